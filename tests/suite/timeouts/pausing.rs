//! Who is waited for within a request: a client that pauses is its own failure, a server that takes nothing is the server's.

use std::time::Duration;

use super::SHORT;
use crate::harness::{
    Alpn, Authority, Client, Gateway, Origin, Script, connect, gateway, h2c, http1, origin, sse, tls_origin, upload,
};
use crate::payloads::{difference, noise};

/// An origin of each kind: in HTTP/1.1 in plain text and in TLS, and in HTTP/2.
async fn origins() -> [(&'static str, Origin); 3] {
    let authority = Authority::new();
    [
        ("http/1.1", origin().await),
        ("http/1.1 in TLS", tls_origin(&authority, &["localhost"], Alpn::Http1).await),
        ("h2", tls_origin(&authority, &["localhost"], Alpn::H2).await),
    ]
}

/// A client of each kind.
async fn clients(gateway: &Gateway) -> [(&'static str, Client); 2] {
    [("http/1.1", http1(gateway.address()).await), ("h2", h2c(gateway.address()).await)]
}

/// No server was blamed, and the same one takes the next request.
async fn is_unhurt(gateway: &Gateway, origin: &Origin) {
    origin.answers(crate::harness::answer(200).body("hello"));
    assert_eq!(http1(gateway.address()).await.get("/next").await.text(), "hello");
    assert_eq!(failures(gateway).await, 0.0);
}

async fn failures(gateway: &Gateway) -> f64 {
    gateway.metrics().await.sum("tollgate_upstream_failures_total", &[])
}

#[tokio::test]
async fn a_client_that_pauses_its_upload_is_told_so_and_no_server_is_to_blame() {
    for (behind, origin) in origins().await {
        let gateway = gateway().upstream(&origin).upstream_settings("timeouts: { first_byte: 200ms, idle: 200ms }");
        let gateway = gateway.settings("server: { body_timeout: 600ms }").start().await;
        for (before, mut client) in clients(&gateway).await {
            let path = format!("/{}", before.len());
            let (sender, streamed) = upload();
            let request = client.request("POST", &path).body(streamed).unwrap();
            assert!(sender.send(noise(1000)).await);
            let answer = client.call(request).await;
            assert_eq!(answer.status, 408, "{before} before {behind}: {}", answer.text());
            let row = gateway.logged(|row| row["path"] == path.as_str()).await;
            let told = (row["outcome"].as_str(), row["status"].as_u64(), row["error"].as_str());
            assert_eq!(told, (Some("refused"), Some(408), Some("body_timeout")), "{before} before {behind}");
        }
        is_unhurt(&gateway, &origin).await;
    }
}

#[tokio::test]
async fn a_client_that_was_invited_and_sends_nothing_is_told_so_too() {
    for (behind, origin) in origins().await {
        let gateway = gateway().upstream(&origin).upstream_settings("timeouts: { first_byte: 200ms, idle: 200ms }");
        let gateway = gateway.settings("server: { body_timeout: 600ms }").start().await;
        // one that would be read first towards HTTP/2, and one that streams
        for length in [1000, 1_000_000] {
            let mut client = connect(gateway.address()).await;
            let head =
                format!("POST /a HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
            client.send(head).await;
            let told = String::from_utf8(client.to_end().await).unwrap();
            assert!(told.starts_with("HTTP/1.1 100 ") && told.contains("HTTP/1.1 408 "), "before {behind}: {told}");
        }
        is_unhurt(&gateway, &origin).await;
    }
}

#[tokio::test]
async fn first_byte_begins_when_the_server_has_the_whole_request_however_long_its_client_paused() {
    for (behind, origin) in origins().await {
        let gateway = gateway().upstream(&origin).upstream_settings("timeouts: { first_byte: 600ms, idle: 600ms }");
        let gateway = gateway.start().await;
        for (before, mut client) in clients(&gateway).await {
            let number = origin.count();
            let (sender, streamed) = upload();
            let request = client.request("POST", "/").body(streamed).unwrap();
            let sending = tokio::spawn(async move {
                for piece in noise(300_000).chunks(100_000) {
                    assert!(sender.send(piece.to_vec()).await, "nobody wants the body any more");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            assert_eq!(client.call(request).await.status, 200, "{before} before {behind}");
            sending.await.unwrap();
            assert_eq!(difference(&noise(300_000), &origin.request(number).await.body), None);
            // and then it counts
            origin.answers_next(Script::silent());
            let (sender, streamed) = upload();
            let path = format!("/{}", before.len());
            let request = client.request("POST", &path).body(streamed).unwrap();
            assert!(sender.send(noise(100_000)).await);
            drop(sender);
            assert_eq!(client.call(request).await.status, 504, "{before} before {behind}");
            let row = gateway.logged(|row| row["path"] == path.as_str()).await;
            assert_eq!(row["error"], "first_byte_timeout", "{before} before {behind}");
        }
    }
}

#[tokio::test]
async fn a_client_that_pauses_while_its_answer_waits_for_the_rest_is_its_own_failure() {
    for (behind, origin) in origins().await {
        let gateway = gateway().upstream(&origin).upstream_settings("timeouts: { first_byte: 200ms, idle: 200ms }");
        let gateway = gateway.settings("server: { body_timeout: 600ms }").start().await;
        for (before, mut client) in clients(&gateway).await {
            origin.answers(sse().before_body().event("one").read_body().event("two").end());
            let path = format!("/{}", before.len());
            let (sender, streamed) = upload();
            let request = client.request("POST", &path).body(streamed).unwrap();
            assert!(sender.send(noise(1000)).await);
            let mut streaming = client.send(request).await.unwrap();
            let (text, clean) = streaming.rest().await;
            assert_eq!(
                (String::from_utf8_lossy(&text).as_ref(), clean),
                ("data: one\n\n", false),
                "{before} before {behind}"
            );
            let row = gateway.logged(|row| row["path"] == path.as_str()).await;
            assert_eq!(row["outcome"], "client_gone", "{before} before {behind}: {row}");
        }
        is_unhurt(&gateway, &origin).await;
    }
}

#[tokio::test]
async fn a_client_that_pauses_while_its_answer_flows_is_waited_for() {
    for (behind, origin) in origins().await {
        let gateway = gateway().upstream(&origin).upstream_settings("timeouts: { first_byte: 500ms, idle: 500ms }");
        let gateway = gateway.settings("server: { body_timeout: 500ms }").start().await;
        for (before, mut client) in clients(&gateway).await {
            let mut script = sse().before_body();
            for number in 0..10 {
                script = script.event(&number.to_string()).pause(Duration::from_millis(100));
            }
            origin.answers(script.read_body().event("last").end());
            let (sender, streamed) = upload();
            let request = client.request("POST", "/").body(streamed).unwrap();
            assert!(sender.send(noise(1000)).await);
            let mut streaming = client.send(request).await.unwrap();
            streaming.until("data: 9\n\n").await;
            drop(sender);
            let (text, clean) = streaming.rest().await;
            assert!(clean && text.ends_with(b"data: last\n\n"), "{before} before {behind}");
        }
    }
}

#[tokio::test]
async fn a_server_that_takes_nothing_of_a_request_is_to_blame_for_it() {
    for (behind, origin) in origins().await {
        // whatever is shorter holds
        for limits in ["first_byte: 400ms, idle: 400ms", "first_byte: 400ms"] {
            // over HTTP/2 it gives no window, over HTTP/1.1 it does not read
            origin.answers(Script::silent().before_body());
            origin.reads(false);
            let gateway = gateway().upstream(&origin).upstream_settings(&format!("timeouts: {{ {limits} }}"));
            let gateway = gateway.settings("server: { body_timeout: 30s }").start().await;
            let mut client = h2c(gateway.address()).await;
            let (sender, streamed) = upload();
            let request = client.request("POST", "/").body(streamed).unwrap();
            let sending = tokio::spawn(async move { while sender.send(noise(100_000)).await {} });
            let answer = client.call(request).await;
            assert_eq!(answer.status, 504, "{limits} before {behind}: {}", answer.text());
            sending.abort();
            let row = gateway.logged(|row| row["path"] == "/").await;
            let told = (row["outcome"].as_str(), row["error"].as_str());
            assert_eq!(told, (Some("upstream_failed"), Some("send_timeout")), "{limits} before {behind}");
            assert_eq!(failures(&gateway).await, 1.0);
        }
    }
}

#[tokio::test]
async fn the_whole_ends_an_upload_that_never_pauses_for_long() {
    for (behind, origin) in origins().await {
        let gateway = gateway().upstream(&origin).upstream_settings("timeouts: { total: 600ms }").start().await;
        for (before, mut client) in clients(&gateway).await {
            let path = format!("/{}", before.len());
            let (sender, streamed) = upload();
            let request = client.request("POST", &path).body(streamed).unwrap();
            let sending = tokio::spawn(async move {
                while sender.send("x").await {
                    tokio::time::sleep(SHORT / 4).await;
                }
            });
            assert_eq!(client.call(request).await.status, 504, "{before} before {behind}");
            // or it would be waited for it to end
            sending.abort();
            let row = gateway.logged(|row| row["path"] == path.as_str()).await;
            assert_eq!(row["error"], "total_timeout");
        }
        is_unhurt(&gateway, &origin).await;
    }
}

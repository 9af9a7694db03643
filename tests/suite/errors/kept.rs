//! An error that the gateway answers before any of a response is out leaves the client its connection, where the framing of both allows it.

use std::time::Duration;

use crate::harness::{Origin, Raw, Script, answer, connect, gateway, origin, refusing, soon};

async fn gateway_of(server: impl std::fmt::Display) -> crate::harness::Gateway {
    let text = gateway().server(server).text();
    // a server that is silent is given up early where a test has it be that
    let silent = "routes:\n  - { paths: [/silent/], upstream: origin, timeouts: { first_byte: 300ms } }\n";
    gateway().yaml(text.replace("routes:\n", silent)).start().await
}

const GET: &str = "GET /first HTTP/1.1\r\nhost: a\r\n\r\n";
const POST: &str = "POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
const CHUNKED: &str = "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";

/// The connection serves another request.
async fn serves_on(client: &mut Raw, origin: &Origin) {
    origin.answers(answer(200).body("hello"));
    client.send("GET /second HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "hello");
}

#[tokio::test]
async fn a_client_keeps_its_connection_when_the_upstream_fails() {
    let origin = origin().await;
    let gateway = gateway_of(origin.server()).await;
    let mut client = connect(gateway.address()).await;
    for request in [GET, POST, CHUNKED] {
        let to_silent = request.replacen(" /", " /silent/", 1);
        for (request, script, status) in [
            (request, Script::closing(), 502),
            (request, Script::raw("no HTTP\r\n\r\n").silence(), 502),
            (&to_silent, Script::silent(), 504),
            (request, Script::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n").silence(), 502),
        ] {
            origin.answers(script);
            client.send(request).await;
            let failed = client.answer().await;
            assert_eq!((failed.status, failed.header("connection")), (status, Some("keep-alive")), "{request}");
            serves_on(&mut client, &origin).await;
        }
    }
}

#[tokio::test]
async fn a_client_keeps_its_connection_when_a_plugin_refuses_it() {
    let origin = origin().await;
    let plugins = "plugins:\n  - access: { rules: [{ deny: all }] }\n";
    let gateway = gateway().upstream(&origin).settings(plugins).start().await;
    let mut client = connect(gateway.address()).await;
    let large = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n{}", "x".repeat(60_000));
    for request in [GET, POST, &large, GET] {
        client.send(request).await;
        let refused = client.answer().await;
        assert_eq!((refused.status, refused.header("connection")), (403, Some("keep-alive")));
    }
    // of this one the gateway would have to read more than is worth a connection
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").await;
    let refused = client.answer().await;
    assert_eq!((refused.status, refused.header("connection")), (403, Some("close")));
}

#[tokio::test]
async fn a_client_keeps_its_connection_when_no_server_is_there() {
    let refused = refusing();
    let gateway = gateway_of(refused.address()).await;
    let mut client = connect(gateway.address()).await;
    for _ in 0..3 {
        client.send(POST).await;
        let failed = client.answer().await;
        assert!([502, 503].contains(&failed.status), "{}", failed.status);
        assert_eq!(failed.header("connection"), Some("keep-alive"));
    }
}

#[tokio::test]
async fn a_request_that_was_sent_behind_a_failed_one_is_served() {
    let origin = origin().await;
    let gateway = gateway_of(origin.server()).await;
    let mut client = connect(gateway.address()).await;
    origin.answers_with(|request| match request.target.as_str() {
        "/first" => Script::closing(),
        _ => answer(200).body("hello"),
    });
    client.send(format!("{GET}GET /second HTTP/1.1\r\nhost: a\r\n\r\nGET /third HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    assert_eq!(client.answer().await.status, 502);
    assert_eq!(client.answer().await.text(), "hello");
    assert_eq!(client.answer().await.text(), "hello");
}

#[tokio::test]
async fn a_connection_ends_where_the_next_request_could_not_be_found_or_is_not_wanted() {
    let origin = origin().await;
    let gateway = gateway_of(origin.server()).await;
    origin.answers(Script::closing().before_body());
    for request in [
        "GET /first HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET /first HTTP/1.0\r\nhost: a\r\n\r\n",
        "POST /first HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n{}",
    ] {
        let mut client = connect(gateway.address()).await;
        client.send(request).await;
        let failed = client.answer().await;
        assert_eq!((failed.status, failed.header("connection")), (502, Some("close")), "{request}");
        client.half_close().await;
        assert_eq!(soon(client.to_end()).await, b"", "{request}");
    }
    origin.answers(Script::closing());
    let mut client = connect(gateway.address()).await;
    client.send("GET /first HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 502);
    serves_on(&mut client, &origin).await;
}

#[tokio::test]
async fn a_kept_connection_is_closed_when_it_is_idle_for_too_long() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings("server: { keepalive_timeout: 300ms }").start().await;
    origin.answers(Script::closing());
    let mut client = connect(gateway.address()).await;
    client.send(GET).await;
    assert_eq!(client.answer().await.status, 502);
    let began = tokio::time::Instant::now();
    assert_eq!(soon(client.to_end()).await, b"");
    assert!(began.elapsed() > Duration::from_millis(200));
}

//! Clients that stop reading: they are given up after `idle`, whoever made the answer, and no server is blamed for them.

use std::time::{Duration, Instant};

use super::{clients, origins, stalled, stream};
use crate::harness::{Client, Gateway, Streaming, answer, body, connect, eventually, gateway, http1, origin};
use crate::payloads::{difference, noise};

const IDLE: &str = "timeouts: { idle: 500ms }";
/// More than any buffers on the way hold.
const LARGE: usize = 24 * 1024 * 1024;

/// Waits until the gateway has given its client up, and sees that no server is blamed.
async fn given_up(gateway: &Gateway, lines: usize) {
    eventually("a line of the access log", async || gateway.access_log().len() == lines).await;
    let line = gateway.access_log().pop().unwrap();
    assert_eq!((&line["outcome"], &line["error"]), (&"client_gone".into(), &"client_gone".into()), "{line}");
    // its line is written a moment before it is over
    eventually("nothing in flight", async || gateway.metrics().await.sum("tollgate_requests_in_flight", &[]) == 0.0)
        .await;
    assert_eq!(gateway.metrics().await.sum("tollgate_upstream_failures_total", &[]), 0.0);
}

#[tokio::test]
async fn a_client_that_stops_reading_is_given_up_and_its_server_is_not_blamed() {
    let piece = noise(64 * 1024);
    for origin in origins().await {
        origin.answers(answer(200).chunked().repeat(&piece, 3200).end());
        for limits in [IDLE, "timeouts: { idle: 500ms, first_byte: 300ms }"] {
            let gateway = gateway().upstream(&origin).upstream_settings(limits).start().await;
            for (round, mut client) in clients(&gateway).await.into_iter().enumerate() {
                let number = origin.count();
                let streaming = stream(&mut client).await;
                origin.abandoned(number).await;
                given_up(&gateway, round + 1).await;
                drop(streaming);
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_drains_goes_on_behind_a_client_that_stops_reading() {
    let origin = origin().await;
    origin.answers(answer(200).chunked().repeat(noise(64 * 1024), 640).end());
    let gateway = gateway().upstream(&origin).upstream_settings(IDLE).route_settings("on_client_disconnect: drain");
    let gateway = gateway.start().await;
    for (round, mut client) in clients(&gateway).await.into_iter().enumerate() {
        let streaming = stream(&mut client).await;
        assert!(origin.answered(round).await.abandoned.is_none());
        given_up(&gateway, round + 1).await;
        drop(streaming);
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_behind_a_client_that_stopped_reading_is_given_up_too() {
    let origin = origin().await;
    origin.answers(answer(200).chunked().repeat(noise(64 * 1024), 640).silence());
    let gateway = gateway().upstream(&origin).upstream_settings(IDLE).route_settings("on_client_disconnect: drain");
    let gateway = gateway.start().await;
    for (round, mut client) in clients(&gateway).await.into_iter().enumerate() {
        let streaming = stream(&mut client).await;
        origin.abandoned(round).await;
        eventually("a line of the access log", async || gateway.access_log().len() == round + 1).await;
        assert_eq!(gateway.access_log().pop().unwrap()["outcome"], "client_gone");
        drop(streaming);
    }
}

/// A gateway that has an answer in its cache, larger than any buffer, and a call for it.
async fn with_a_large_answer() -> (Gateway, Vec<u8>) {
    let origin = origin().await;
    let text: String = noise(LARGE).into_iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    let large = format!(
        r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-5","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","usage":{{"input_tokens":11,"output_tokens":7}}}}"#
    );
    origin.answers(answer(200).header("content-type", "application/json").body(&large));
    let settings = "plugins: [{ response_cache: { max_entry: 64MiB } }]";
    let gateway = gateway().upstream(&origin).upstream_settings(IDLE).settings(settings).start().await;
    let first = ask(&mut http1(gateway.address()).await).await.whole().await;
    assert_eq!(difference(large.as_bytes(), &first.body), None);
    eventually("a line of the access log", async || gateway.access_log().len() == 1).await;
    (gateway, large.into_bytes())
}

/// Sends the call for it.
async fn ask(client: &mut Client) -> Streaming {
    let call = r#"{"model":"claude-opus-5","max_tokens":64,"messages":[{"role":"user","content":"hi"}]}"#;
    let request = client.request("POST", "/v1/messages").header("x-api-key", "a").body(body(call)).unwrap();
    client.send(request).await.unwrap()
}

#[tokio::test]
async fn a_client_that_does_not_read_an_answer_of_the_cache_is_given_up() {
    let (gateway, _) = with_a_large_answer().await;
    for (round, mut client) in clients(&gateway).await.into_iter().enumerate() {
        let streaming = ask(&mut client).await;
        assert_eq!(streaming.headers.get("x-cache").unwrap(), "HIT");
        given_up(&gateway, round + 2).await;
        drop(streaming);
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_of_it() {
    let (gateway, large) = with_a_large_answer().await;
    for mut client in clients(&gateway).await {
        let mut streaming = ask(&mut client).await;
        let (began, mut read) = (Instant::now(), Vec::new());
        while let Some(piece) = streaming.piece().await {
            read.extend_from_slice(&piece.unwrap());
            // in all for thrice as long as it may take nothing
            let due = Duration::from_millis(1500).mul_f64(read.len() as f64 / large.len() as f64);
            tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        }
        assert_eq!(difference(&large, &read), None);
    }
}

#[tokio::test]
async fn one_who_asks_and_asks_and_reads_no_answer_is_given_up() {
    let origin = origin().await;
    // so short that it is written when it ends, with its head
    origin.answers(answer(200).body(noise(3000)));
    let gateway = gateway().upstream(&origin).upstream_settings(IDLE).start().await;
    let mut raw = connect(gateway.address()).await;
    let many = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1000);
    // no more of them are read than can be answered, until the connection is closed
    while raw.try_send(&many).await.is_ok() {}
    eventually("no connection", async || gateway.metrics().await.sum("tollgate_connections_in_flight", &[]) == 0.0)
        .await;
    assert_eq!(gateway.metrics().await.sum("tollgate_upstream_failures_total", &[]), 0.0);
}

#[tokio::test]
async fn a_client_that_reads_again_in_time_gets_the_rest() {
    let piece = noise(64 * 1024);
    for origin in origins().await {
        origin.answers(answer(200).chunked().repeat(&piece, 640).end());
        let gateway = gateway().upstream(&origin).upstream_settings("timeouts: { idle: 5s }").start().await;
        for mut client in clients(&gateway).await {
            let mut streaming = stream(&mut client).await;
            stalled(&origin).await;
            assert_eq!(difference(&piece.repeat(640), &streaming.rest().await.0), None);
        }
    }
}

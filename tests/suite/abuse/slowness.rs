//! Clients that take their time: they are given up at the limits of the YAML, and nobody else notices them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{SETTINGS, SMUGGLED, Target, statuses};
use crate::harness::{Raw, connect, eventually, http1};

const SLOW_ONES: usize = 50;

/// Writes a byte now and then until the gateway has had enough, and tells what it said.
async fn trickle(mut raw: Raw, bytes: &[u8]) -> String {
    for byte in bytes {
        if raw.try_send([*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    String::from_utf8_lossy(&raw.to_end().await).into_owned()
}

#[tokio::test]
async fn a_head_that_trickles_is_given_up_after_header_timeout() {
    let mut target = Target::with(SETTINGS).await;
    let head = format!("GET /smuggled HTTP/1.1\r\nhost: a\r\nx: {}", "y".repeat(1000));
    let began = Instant::now();
    let slow = (0..SLOW_ONES).map(async |_| trickle(connect(target.gateway.address()).await, head.as_bytes()).await);
    let others = async {
        for _ in 0..10 {
            assert_eq!(http1(target.gateway.address()).await.get("/meanwhile").await.text(), "hello");
        }
    };
    let (slow, ()) = tokio::join!(join_all(slow), others);
    assert!(slow.iter().all(String::is_empty), "{slow:?}");
    let took = began.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(10), "{took:?}");
    target.is_unharmed().await;
}

#[tokio::test]
async fn one_who_says_nothing_is_given_up_after_header_timeout() {
    let mut target = Target::with(SETTINGS).await;
    let began = Instant::now();
    let silent = (0..SLOW_ONES).map(async |_| connect(target.gateway.address()).await.to_end().await);
    assert!(join_all(silent).await.iter().all(Vec::is_empty));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    target.is_unharmed().await;
}

#[tokio::test]
async fn half_a_preface_of_http_2_is_given_up_too() {
    let mut target = Target::with(SETTINGS).await;
    assert_eq!(target.told(b"PRI * HTTP/2.0\r\n\r\nSM").await, "");
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_second_head_that_never_ends_is_given_up_too() {
    let mut target = Target::with(SETTINGS).await;
    let told = target.told(b"GET /first HTTP/1.1\r\nhost: a\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n").await;
    assert_eq!(statuses(&told), [200]);
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_body_that_trickles_gets_408_and_never_goes_upstream() {
    let [_, mut target] = Target::both().await;
    let head = |framing: &str| format!("POST /v1/messages HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n");
    let body = " ".repeat(1000);
    let began = Instant::now();
    let slow = ["content-length: 2000", "transfer-encoding: chunked\r\n\r\n800"].map(async |framing| {
        let mut raw = connect(target.gateway.address()).await;
        raw.send(head(framing)).await;
        trickle(raw, body.as_bytes()).await
    });
    for told in join_all(slow).await {
        assert_eq!(statuses(&told), [408], "{told}");
    }
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!(target.whole("/v1/messages"), 0);
    target.is_unharmed().await;
}

#[tokio::test]
async fn what_comes_behind_a_refusal_is_never_a_request() {
    for mut target in Target::both().await {
        let mut raw = connect(target.gateway.address()).await;
        raw.send("POST /v1/messages HTTP/1.1\r\nhost: a\r\nhost: b\r\ncontent-length: 2\r\n\r\n").await;
        assert_eq!(raw.answer().await.status, 400);
        // it lingers for the rest of the body, and so might this look like one
        let _ = raw.try_send(format!("{{}}{SMUGGLED}{SMUGGLED}")).await;
        assert_eq!(statuses(&String::from_utf8_lossy(&raw.to_end().await)), [0_u16; 0]);

        let mut raw = connect(target.gateway.address()).await;
        raw.send("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 2, 2\r\n\r\n").await;
        assert_eq!(raw.answer().await.status, 400);
        let _ = raw.try_send(SMUGGLED).await;
        assert_eq!(statuses(&String::from_utf8_lossy(&raw.to_end().await)), [0_u16; 0]);
        target.is_unharmed().await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_keepalive_timeout() {
    let mut target = Target::with(SETTINGS).await;
    let mut raw = connect(target.gateway.address()).await;
    raw.send("GET /first HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
    let began = Instant::now();
    assert!(raw.to_end().await.is_empty());
    let took = began.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(10), "{took:?}");
    eventually("a slot that is free", async || {
        target.gateway.metrics().await.sum("tollgate_connections_in_flight", &[]) == 0.0
    })
    .await;
    target.is_unharmed().await;
}

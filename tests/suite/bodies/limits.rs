//! Bodies that are too long, too slow, or break off.

use std::time::Duration;

use super::{Behind, KEPT, MANNERS, Manner, READS_BODIES, servers};
use crate::harness::{connect, eventually, h2c, http1, upload};
use crate::payloads::{call, difference, noise};

#[tokio::test]
async fn a_body_over_the_limit_is_413_however_it_is_framed() {
    let settings = format!("server: {{ max_body: 64KiB }}\n{READS_BODIES}");
    let (origins, gateway) = servers(Behind::One, &settings).await;
    for manner in MANNERS {
        // a client that waits to be invited must not be, if it is known already
        if !matches!(manner, Manner::Expecting) {
            let (status, text) = manner.send(&gateway, "/v1/messages", call(KEPT + 1, 1)).await;
            assert_eq!(status, 413, "{manner:?}");
            assert!(text.contains("request_too_large"), "{text}");
            let (status, text) = manner.send(&gateway, "/v1/responses", call(300_000, 1)).await;
            assert_eq!(status, 413, "{manner:?}");
            assert!(text.contains("invalid_request_error") && !text.contains("request_id"), "{text}");
        }
        assert_eq!(manner.send(&gateway, "/v1/messages", call(KEPT, 1)).await.0, 200, "{manner:?}");
    }
    assert_eq!(origins[0].count(), MANNERS.len());
}

#[tokio::test]
async fn a_client_that_waits_is_told_413_instead_of_being_invited() {
    let settings = format!("server: {{ max_body: 1KiB }}\n{READS_BODIES}");
    let (_origins, gateway) = servers(Behind::One, &settings).await;
    let mut raw = connect(gateway.address()).await;
    raw.send("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 2000\r\nexpect: 100-continue\r\n\r\n").await;
    assert_eq!(raw.head().await.status, 413);
}

#[tokio::test]
async fn a_limit_for_bodies_that_are_read_is_none_for_those_that_stream() {
    let (origins, gateway) = servers(Behind::One, "server: { max_body: 1KiB }").await;
    let answer = http1(gateway.address()).await.post("/v1/files", noise(300_000)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(difference(&noise(300_000), &origins[0].request(0).await.body), None);
    // nor for those that no plugin wants to see, on a route that has one
    let (origins, gateway) = servers(Behind::One, &format!("server: {{ max_body: 1KiB }}\n{READS_BODIES}")).await;
    assert_eq!(http1(gateway.address()).await.post("/v1/files", noise(300_000)).await.status, 200);
    assert_eq!(difference(&noise(300_000), &origins[0].request(0).await.body), None);
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_408_in_either_protocol() {
    let settings = format!("server: {{ body_timeout: 300ms }}\n{READS_BODIES}");
    let (origins, gateway) = servers(Behind::One, &settings).await;
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        let (sender, streamed) = upload();
        let request = client.request("POST", "/v1/messages").body(streamed).unwrap();
        let trickling = tokio::spawn(async move {
            // each piece comes in time, but not the whole
            while sender.send("{").await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let streaming = client.send(request).await.unwrap();
        assert_eq!(streaming.status, 408);
        trickling.abort();
    }
    assert_eq!(origins[0].connections(), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_whole_upstream() {
    for (settings, heads) in [(READS_BODIES, 0), ("", 1)] {
        for (broken, behind) in [
            ("content-length: 100\r\n\r\n{\"half", ""),
            ("transfer-encoding: chunked\r\n\r\n5\r\n{\"hal\r\n", ""),
            ("transfer-encoding: chunked\r\n\r\n5\r\n{\"hal\r\n", "zz\r\n"),
        ] {
            let (origins, gateway) = servers(Behind::One, settings).await;
            let mut raw = connect(gateway.address()).await;
            raw.send(format!("POST /v1/messages HTTP/1.1\r\nhost: a\r\n{broken}")).await;
            if heads == 1 {
                origins[0].request_head(0).await;
            }
            raw.send(behind).await;
            raw.reset();
            eventually("a line", async || gateway.access_log().len() == 1).await;
            eventually("an end", async || origins[0].open_connections() == 0).await;
            assert_eq!(origins[0].requests().iter().filter(|request| request.complete).count(), 0, "{broken:?}");
            assert!(origins[0].count() <= heads, "{broken:?}");
        }
    }
}

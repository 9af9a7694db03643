//! Connections that are kept for the next request, and servers that close them.

use std::time::Duration;

use super::SOON;
use crate::harness::{Closed, answer, eventually, gateway, http1, origin};
use crate::payloads::noise;

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_closed_when_it_was_idle_too_long() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).upstream_settings("keepalive: { idle_timeout: 700ms }").start().await;
    for number in 0..3 {
        assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
        // until then its connection is not back in the pool
        eventually("a line for each", async || gateway.access_log().len() > number).await;
    }
    assert_eq!(origin.connections(), 1, "three requests, one after the other");
    let last = origin.answered(2).await.answered.unwrap();
    origin.all_closed().await;
    let (when, by) = origin.closed(0).unwrap();
    assert_eq!(by, Closed::ByPeer);
    let idle = when - last;
    assert!(idle >= Duration::from_millis(600) && idle < SOON, "closed after {idle:?}");
    assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_without_a_word_costs_no_request() {
    let origin = origin().await;
    origin.answers(answer(200).length(2).data("ok").close());
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = http1(gateway.address()).await;
    for number in 0..100 {
        let answer = match number % 2 {
            0 => client.post("/v1/messages", noise(number * 100)).await,
            _ => client.get("/v1/models").await,
        };
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "ok"), "request {number}");
        // a request that arrives just before the end may have been read: see `retries::kept`
        origin.all_closed().await;
    }
    assert_eq!(origin.count(), 100);
}

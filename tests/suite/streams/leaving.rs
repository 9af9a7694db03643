//! Clients that leave: their calls are cancelled at once, or read to their end where the route says so.

use std::time::{Duration, Instant};

use super::{clients, origins, stream};
use crate::harness::{Gateway, Script, body, eventually, feed, gate, gateway, h2c, http1, origin, sse};
use crate::payloads::{difference, noise};

/// Soon enough for a call that nobody reads any more.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_client_that_leaves_cancels_its_call_at_once() {
    for origin in origins().await {
        let gateway = gateway().upstream(&origin).start().await;
        for mut client in clients(&gateway).await {
            let number = origin.count();
            let events = feed();
            origin.answers(sse().feed(&events).end());
            events.send("data: one\n\n");
            let mut streaming = stream(&mut client).await;
            streaming.until("\n\n").await;
            let left = Instant::now();
            drop((streaming, client));
            let given_up = origin.abandoned(number).await.abandoned.unwrap();
            assert!(given_up - left < AT_ONCE, "given up after {:?}", given_up - left);
        }
        eventually("two lines", async || gateway.access_log().len() == 2).await;
        assert!(gateway.access_log().iter().all(|line| line["outcome"] == "client_gone"), "{:?}", gateway.access_log());
        idle(&gateway).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_cancels_its_call_at_once() {
    for origin in origins().await {
        for settings in ["", "plugins: [{ max_tokens: { limit: 4000 } }]"] {
            let gateway = gateway().upstream(&origin).settings(settings).start().await;
            for mut client in clients(&gateway).await {
                let number = origin.count();
                origin.answers(Script::silent());
                let request = client.request("POST", "/v1/messages").body(body("{}")).unwrap();
                let asking = tokio::spawn(async move { client.send(request).await.map(drop) });
                origin.request(number).await;
                let left = Instant::now();
                asking.abort();
                let given_up = origin.abandoned(number).await.abandoned.unwrap();
                assert!(given_up - left < AT_ONCE, "given up after {:?}", given_up - left);
            }
            idle(&gateway).await;
        }
    }
}

/// Waits until the gateway itself says that nothing is in flight.
async fn idle(gateway: &Gateway) {
    eventually("nothing in flight", async || {
        gateway.metrics().await.in_flight().iter().all(|(_, value)| *value == 0.0)
    })
    .await;
}

#[tokio::test]
async fn one_stream_of_a_connection_can_be_cancelled_without_harm_to_the_others() {
    for origin in origins().await {
        let gateway = gateway().upstream(&origin).start().await;
        let client = h2c(gateway.address()).await;
        let feeds = [feed(), feed(), feed()];
        let mut streams = Vec::new();
        for events in &feeds {
            origin.answers_next(sse().feed(events).end());
            events.send("data: one\n\n");
            let mut streaming = stream(&mut client.share()).await;
            streaming.until("\n\n").await;
            streams.push(streaming);
        }
        drop(streams.remove(1));
        origin.abandoned(1).await;
        for (streaming, events) in streams.iter_mut().zip([&feeds[0], &feeds[2]]) {
            events.send("data: two\n\n");
            assert_eq!(streaming.until("\n\n").await, "data: two\n\n");
            events.end();
            assert_eq!(streaming.rest().await, (Vec::new(), true));
        }
    }
}

#[tokio::test]
async fn a_call_that_drains_is_read_to_its_end_after_its_client_left() {
    for origin in origins().await {
        let gateway = gateway().upstream(&origin).route_settings("on_client_disconnect: drain").start().await;
        for (round, mut client) in clients(&gateway).await.into_iter().enumerate() {
            let number = origin.count();
            let events = feed();
            origin.answers(sse().feed(&events).end());
            events.send("data: one\n\n");
            let mut streaming = stream(&mut client).await;
            assert_eq!(streaming.until("\n\n").await, "data: one\n\n");
            drop((streaming, client));
            for _ in 0..200 {
                events.send(noise(10_000));
            }
            events.end();
            let seen = origin.answered(number).await;
            assert!(seen.abandoned.is_none());
            eventually("a line for each", async || gateway.access_log().len() == round + 1).await;
            assert_eq!(gateway.access_log()[round]["outcome"], "client_gone");
        }
        idle(&gateway).await;
    }
}

#[tokio::test]
async fn a_call_that_drains_passes_like_any_other_while_its_client_stays() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).route_settings("on_client_disconnect: drain").start().await;
    for mut client in clients(&gateway).await {
        let number = origin.count();
        let events = feed();
        origin.answers(sse().feed(&events).end());
        let sent = noise(200_000);
        let request = client.request("POST", "/v1/messages").body(body(sent.clone())).unwrap();
        let mut streaming = client.send(request).await.unwrap();
        for event in ["data: one\n\n", "data: two\n\n"] {
            events.send(event);
            assert_eq!(streaming.until("\n\n").await, event);
        }
        events.end();
        assert_eq!(streaming.rest().await, (Vec::new(), true));
        assert_eq!(difference(&sent, &origin.request(number).await.body), None);

        let wait = gate();
        origin.answers(sse().event("one").wait(&wait).close());
        let mut streaming = stream(&mut client).await;
        streaming.until("\n\n").await;
        wait.open();
        assert_eq!(streaming.rest().await, (Vec::new(), false));
    }
}

#[tokio::test]
async fn only_a_post_drains() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).route_settings("on_client_disconnect: drain").start().await;
    let events = feed();
    origin.answers(sse().feed(&events).end());
    events.send("data: one\n\n");
    let mut client = http1(gateway.address()).await;
    let request = client.request("GET", "/v1/events").body(body("")).unwrap();
    let mut streaming = client.send(request).await.unwrap();
    streaming.until("\n\n").await;
    drop((streaming, client));
    origin.abandoned(0).await;
}

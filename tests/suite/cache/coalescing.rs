//! Same calls under way at the same time: one call upstream, and its bytes for all as they come.

use std::time::{Duration, Instant};

use super::*;
use crate::harness::{Feed, Origin, eventually, feed, gate, gateway, h2c, origin};

/// Soon enough for bytes that are there already, also on a machine that is busy with other tests.
const AT_ONCE: Duration = Duration::from_secs(1);

/// As many clients that have the head of one answer, the leader first.
async fn clients(gateway: &Gateway, number: usize, call: &str) -> Vec<Streaming> {
    let asking: Vec<_> = (0..number)
        .map(|_| {
            let (address, call) = (gateway.address(), call.to_owned());
            tokio::spawn(async move { send(&mut http1(address).await, "a", &call, &[]).await })
        })
        .collect();
    let mut streams = Vec::new();
    for one in asking {
        streams.push(one.await.unwrap());
    }
    streams.sort_by_key(|stream| stream.headers["x-cache"] != "MISS");
    streams
}

fn feeding(origin: &Origin) -> Feed {
    let events = feed();
    origin.answers_next(sse().feed(&events).end());
    events
}

#[tokio::test]
async fn fifty_same_streams_are_one_call_and_byte_for_byte_the_same_for_all() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let (feed, call) = (feeding(&origin), asks("hi", true));
    let all = events(&["one", "two", "three"]);
    feed.send(&all[0]);
    let mut streams = clients(&gateway, 50, &call).await;
    let marks = |mark: &str| streams.iter().filter(|stream| stream.headers["x-cache"] == mark).count();
    assert_eq!((marks("MISS"), marks("COALESCED")), (1, 49));
    // the leader's call goes on without its client's task, and is one request all the same
    assert_eq!(gateway.metrics().await.sum("tollgate_requests_in_flight", &[]), 50.0);
    for stream in &mut streams {
        assert_eq!(stream.until("\n\n").await, all[0]);
    }
    for event in &all[1..] {
        feed.send(event);
        let sent = Instant::now();
        for stream in &mut streams {
            assert_eq!(&stream.until("\n\n").await, event);
        }
        assert!(sent.elapsed() < AT_ONCE, "{:?}", sent.elapsed());
    }
    feed.end();
    for stream in &mut streams {
        assert_eq!(stream.rest().await, (Vec::new(), true));
    }
    assert_eq!(origin.count(), 1);
    eventually("kept", async || mark(&ask(&gateway, "a", &call).await) == "HIT").await;
    assert_eq!(origin.count(), 1);
    eventually("a line for each", async || gateway.access_log().len() >= 51).await;
    idle(&gateway).await;
}

#[tokio::test]
async fn one_who_comes_late_has_the_past_at_once_and_then_the_present() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let (feed, call, all) = (feeding(&origin), asks("hi", true), events(&["one", "two"]));
    all[..3].iter().for_each(|event| feed.send(event));
    let mut first = clients(&gateway, 1, &call).await.remove(0);
    let past = all[..3].concat();
    assert_eq!(first.until("one\"}}\n\n").await, past);
    let mut others = Vec::new();
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        let mut late = send(&mut client, "a", &call, &[]).await;
        assert_eq!(late.headers["x-cache"], "COALESCED");
        assert_eq!(late.until("one\"}}\n\n").await, past);
        others.push((client, late));
    }
    all[3..].iter().for_each(|event| feed.send(event));
    feed.end();
    let present = (all[3..].concat().into_bytes(), true);
    assert_eq!(first.rest().await, present);
    for (_client, mut late) in others {
        assert_eq!(late.rest().await, present);
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn the_leader_may_leave_at_any_moment_and_nobody_notices() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let all = events(&["one", "two", "three", "four"]);
    for moment in 0..=all.len() {
        let (feed, call) = (feeding(&origin), asks(&format!("moment {moment}"), true));
        feed.send(": begun\n\n");
        let mut streams = clients(&gateway, 6, &call).await;
        for stream in &mut streams {
            stream.until("\n\n").await;
        }
        for (number, event) in all.iter().enumerate() {
            if number == moment {
                streams.remove(0);
            }
            feed.send(event);
            for stream in &mut streams {
                assert_eq!(&stream.until("\n\n").await, event);
            }
        }
        feed.end();
        for stream in &mut streams {
            assert_eq!(stream.rest().await, (Vec::new(), true));
        }
        assert_eq!(origin.count(), moment + 1);
        eventually("kept", async || mark(&ask(&gateway, "a", &call).await) == "HIT").await;
    }
    idle(&gateway).await;
}

#[tokio::test]
async fn a_leader_that_leaves_before_the_answer_leaves_its_call_to_the_others() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let (wait, call) = (gate(), asks("hi", true));
    origin.answers_next(streamed(&["one"]).after(&wait));
    let leader = tokio::spawn({
        let (address, call) = (gateway.address(), call.clone());
        async move { send(&mut http1(address).await, "a", &call, &[]).await.status }
    });
    origin.request(0).await;
    let follower = tokio::spawn({
        let (address, call) = (gateway.address(), call.clone());
        async move { send(&mut http1(address).await, "a", &call, &[]).await.whole().await }
    });
    // it looks into memory, in vain, and joins in one step
    eventually("two under way", async || {
        gateway.metrics().await.sum("tollgate_cache_misses_total", &[("tier", "memory")]) == 2.0
    })
    .await;
    leader.abort();
    wait.open();
    let told = follower.await.unwrap();
    assert_eq!((mark(&told), told.text()), ("COALESCED", events(&["one"]).concat()));
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn when_the_last_client_has_left_the_call_ends_or_fills_the_cache() {
    for fill in [false, true] {
        let origin = origin().await;
        let settings = if fill { "on_clients_disconnected: fill" } else { "" };
        let gateway = gateway().upstream(&origin).settings(&plugin(settings)).start().await;
        let (feed, call, all) = (feeding(&origin), asks("hi", true), events(&["one"]));
        feed.send(&all[0]);
        let mut streams = clients(&gateway, 5, &call).await;
        for stream in &mut streams {
            stream.until("\n\n").await;
        }
        let left = Instant::now();
        drop(streams);
        if fill {
            eventually("all gone", async || gateway.metrics().await.sum("tollgate_connections_in_flight", &[]) == 0.0)
                .await;
            all[1..].iter().for_each(|event| feed.send(event));
            feed.end();
            assert!(origin.answered(0).await.abandoned.is_none());
            eventually("kept", async || mark(&ask(&gateway, "a", &call).await) == "HIT").await;
        } else {
            let given_up = origin.abandoned(0).await.abandoned.unwrap();
            assert!(given_up - left < Duration::from_secs(2), "{:?}", given_up - left);
        }
        eventually("five who left", async || {
            let gone = |line: &serde_json::Value| line["outcome"] == "client_gone";
            gateway.access_log().iter().filter(|line| gone(line)).count() == 5
        })
        .await;
        idle(&gateway).await;
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_breaks_all_and_one_that_refuses_refuses_all() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let wait = gate();
    let all = events(&["one"]);
    origin.answers_next(sse().data(&all[0]).wait(&wait).close());
    let mut streams = clients(&gateway, 5, &asks("breaks", true)).await;
    for stream in &mut streams {
        stream.until("\n\n").await;
    }
    wait.open();
    for stream in &mut streams {
        assert_eq!(stream.rest().await, (Vec::new(), false));
    }
    let wait = gate();
    let error = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#;
    origin.answers_next(answer(400).header("content-type", "application/json").body(error).after(&wait));
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let address = gateway.address();
            tokio::spawn(async move {
                send(&mut http1(address).await, "a", &asks("refuses", false), &[]).await.whole().await
            })
        })
        .collect();
    // each looks into memory, in vain, and joins in one step
    eventually("all under way", async || {
        gateway.metrics().await.sum("tollgate_cache_misses_total", &[("tier", "memory")]) == 10.0
    })
    .await;
    wait.open();
    for call in calls {
        let told = call.await.unwrap();
        assert_eq!((told.status.as_u16(), told.text()), (400, error.to_owned()));
    }
    assert_eq!(origin.count(), 2);
}

/// The head of the answer has reached the followers by the time that its body turns out to be nothing that can be edited.
#[tokio::test]
async fn an_error_in_place_of_an_answer_that_had_begun_is_no_answer_of_the_upstream_s_to_anybody() {
    let origin = origin().await;
    let route = format!("models: [{{ match: alias, model: claude-opus-5, answer_model: asked }}]\n    {}", plugin(""));
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
         upstreams: {{ u: {{ servers: [{{ address: \"{}\" }}] }} }}\nroutes:\n  - upstream: u\n    {route}\n",
        origin.server()
    );
    let gateway = gateway().yaml(yaml).start().await;
    let wait = gate();
    let head = answer(200).header("content-type", "application/json").header("content-encoding", "gzip");
    let broken = head.body("no gzip at all").after(&wait);
    origin.answers_with(move |_| broken.clone());
    let call = asks("broken", false).replace("claude-opus-5", "alias");
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let (address, call) = (gateway.address(), call.clone());
            tokio::spawn(async move {
                let mut stream = http1(address).await;
                let mut stream = send(&mut stream, "a", &call, &[]).await;
                let (status, (bytes, whole)) = (stream.status.as_u16(), stream.rest().await);
                (status, String::from_utf8(bytes).unwrap(), whole)
            })
        })
        .collect();
    eventually("all under way", async || {
        gateway.metrics().await.sum("tollgate_cache_misses_total", &[("tier", "memory")]) == 5.0
    })
    .await;
    wait.open();
    for call in calls {
        let (status, body, whole) = call.await.unwrap();
        assert!(status == 502 || !whole, "{status} {body}");
        assert!(status == 502 || !body.contains("error"), "{status} {body}");
    }
    idle(&gateway).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let (feed, call) = (feeding(&origin), asks("hi", true));
    feed.send("data: {}\n\n");
    let mut streams = clients(&gateway, 4, &call).await;
    // the leader and one more never read
    let still = [streams.remove(0), streams.remove(0)];
    let piece = format!("data: \"{}\"\n\n", "x".repeat(100_000));
    let before = gateway.rss_bytes();
    // far more than is read ahead of a client, and than its socket takes
    for number in 0..300 {
        feed.send(&piece);
        for stream in &mut streams {
            let mut text = stream.until("\n\n").await;
            while number == 0 && !text.contains('x') || !text.ends_with("\n\n") {
                text = stream.until("\n\n").await;
            }
        }
    }
    feed.end();
    for stream in &mut streams {
        assert!(stream.rest().await.1);
    }
    let grown = gateway.rss_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "grown by {} KiB", grown >> 10);
    // the leader was let go, and nobody blames the server
    eventually("let go", async || gateway.access_log().iter().any(|line| line["outcome"] == "client_gone")).await;
    assert_eq!(gateway.metrics().await.sum("tollgate_upstream_failures_total", &[]), 0.0);
    drop(still);
    idle(&gateway).await;
}

#[tokio::test]
async fn without_coalescing_every_call_goes_upstream() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("coalesce: off")).start().await;
    let wait = gate();
    origin.answers(streamed(&["one"]).after(&wait));
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let address = gateway.address();
            tokio::spawn(
                async move { send(&mut http1(address).await, "a", &asks("hi", true), &[]).await.whole().await },
            )
        })
        .collect();
    eventually("all upstream", async || origin.count() == 5).await;
    wait.open();
    for call in calls {
        assert_eq!(mark(&call.await.unwrap()), "MISS");
    }
}

/// Waits until the gateway itself says that nothing is in flight.
async fn idle(gateway: &Gateway) {
    eventually("nothing in flight", async || {
        gateway.metrics().await.in_flight().iter().all(|(_, value)| *value == 0.0)
    })
    .await;
}

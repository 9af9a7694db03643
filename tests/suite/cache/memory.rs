//! Answers given again from memory: what they carry, who may not have them, and how much room they take.

use super::*;
use crate::harness::{eventually, gateway, h2c, origin, sse};

#[tokio::test]
async fn a_json_answer_is_given_again_as_it_was_but_for_what_belongs_to_the_moment() {
    let origin = origin().await;
    origin.answers(json("hello"));
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let call = asks("hi", false);
    let first = ask(&gateway, "a", &call).await;
    assert_eq!((first.status.as_u16(), mark(&first)), (200, "MISS"));
    assert_eq!(first.header("request-id"), Some("req_original"));
    // in another order, with another user, over another protocol
    let other = r#"{ "messages":[{"content":"h\u0069","role":"user"}], "metadata":{"user_id":"u"}, "stream":false, "max_tokens":64, "model":"claude-opus-5" }"#;
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        let again = send(&mut client, "a", other, &[]).await.whole().await;
        assert_eq!((again.status.as_u16(), mark(&again)), (200, "HIT"));
        assert_eq!(again.body, first.body);
        assert!(again.header("age").unwrap().parse::<u64>().unwrap() < 60);
        assert_eq!(again.header("x-cached-request-id"), Some("req_original"));
        let id = again.header("request-id").unwrap();
        assert!(id != "req_original" && again.header("x-request-id") == Some(id));
        assert_eq!(again.header("content-type"), Some("application/json"));
        for gone in ["anthropic-ratelimit-requests-remaining", "set-cookie"] {
            assert!(again.header(gone).is_none(), "{gone}");
        }
        assert_ne!(again.header("date"), Some("Tue, 24 Nov 2026 12:00:00 GMT"));
        gateway.logged(|line| line["id"] == id && line["outcome"] == "cached").await;
    }
    assert_eq!(origin.count(), 1);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_cache_hits_total", &[("tier", "memory")]), 2.0);
    assert_eq!(metrics.sum("tollgate_cache_misses_total", &[("tier", "memory")]), 1.0);
    assert_eq!(metrics.sum("tollgate_cache_entries", &[("tier", "memory")]), 1.0);
}

#[tokio::test]
async fn a_stream_is_given_again_as_a_stream_and_never_in_the_place_of_json() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    origin.answers_next(streamed(&["one", "two"]));
    origin.answers_next(json("whole"));
    let expected = events(&["one", "two"]).concat();
    let first = ask(&gateway, "a", &asks("hi", true)).await;
    assert_eq!((mark(&first), first.text()), ("MISS", expected.clone()));
    let whole = ask(&gateway, "a", &asks("hi", false)).await;
    assert_eq!((mark(&whole), whole.text()), ("MISS", message("whole")));
    let again = ask(&gateway, "a", &asks("hi", true)).await;
    assert_eq!((mark(&again), again.text()), ("HIT", expected));
    assert_eq!(again.header("content-type"), Some("text/event-stream"));
    assert_eq!(mark(&ask(&gateway, "a", &asks("hi", false)).await), "HIT");
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn what_is_not_whole_and_without_fault_is_asked_again() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("max_entry: 64KiB")).start().await;
    let error =
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n";
    let all = events(&["one"]);
    let without_end = all[..all.len() - 1].iter().fold(sse(), Script::data).end();
    let failing = all[..3].iter().fold(sse(), Script::data).data(error).end();
    let json = |status: u16, text: &str| answer(status).header("content-type", "application/json").body(text);
    let refusal = message("no").replace("end_turn", "refusal");
    let paused = message("wait").replace("end_turn", "pause_turn");
    for (number, (script, stream)) in [
        (without_end, true),
        (failing, true),
        (json(200, r#"{"id":"msg_1","type":"message""#), false),
        (json(200, &refusal), false),
        (json(200, &paused), false),
        (json(400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"x"}}"#), false),
        (json(200, &message(&"x".repeat(70_000))), false),
    ]
    .into_iter()
    .enumerate()
    {
        let call = asks(&number.to_string(), stream);
        for _ in 0..2 {
            origin.answers_next(script.clone());
            assert_eq!(mark(&ask(&gateway, "a", &call).await), "MISS", "{number}");
        }
    }
    assert_eq!(origin.count(), 14);
}

#[tokio::test]
async fn a_client_decides_for_its_own_call() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let call = asks("hi", false);
    let mut client = http1(gateway.address()).await;
    for (number, (control, mark)) in [
        ("", "MISS"),
        ("no-cache", "BYPASS"),
        ("no-store", "BYPASS"),
        ("", "HIT"),
        ("max-age=0", "MISS"),
        ("max-age=100", "HIT"),
    ]
    .into_iter()
    .enumerate()
    {
        origin.answers(json(&number.to_string()));
        let headers: &[_] = if control.is_empty() { &[] } else { &[("cache-control", control)] };
        let told = send(&mut client, "a", &call, headers).await.whole().await;
        assert_eq!(super::mark(&told), mark, "{number}");
        let text = if mark == "HIT" && control.is_empty() {
            "0"
        } else if mark == "HIT" {
            "4"
        } else {
            &number.to_string()
        };
        assert_eq!(told.text(), message(text));
    }
    // without a credential nobody knows whose answer it is
    let request = client.request("POST", "/v1/messages").body(body(call)).unwrap();
    assert_eq!(mark(&client.call(request).await), "BYPASS");
}

#[tokio::test]
async fn a_route_goes_without_and_other_paths_are_left_alone() {
    let origin = origin().await;
    origin.answers(json("hello"));
    let off = "plugins: [{ response_cache: off }]";
    let gateway = gateway().upstream(&origin).settings(&plugin("")).route_settings(off).start().await;
    for _ in 0..2 {
        let told = ask(&gateway, "a", &asks("hi", false)).await;
        assert!(told.header("x-cache").is_none());
    }
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn five_thousand_answers_take_no_more_memory_than_they_may() {
    const ANSWERS: usize = 5000;
    let origin = origin().await;
    let text = "x".repeat(20_000);
    origin.answers(json(&text));
    let gateway = gateway().upstream(&origin).settings(&plugin("memory: { max_bytes: 16MiB }")).start().await;
    let mut client = http1(gateway.address()).await;
    for number in 0..50 {
        let call = asks(&format!("warm {number}"), false);
        send(&mut client, "a", &call, &[("cache-control", "no-store")]).await.whole().await;
    }
    let before = gateway.rss_bytes();
    for number in 0..ANSWERS {
        let told = send(&mut client, "a", &asks(&number.to_string(), false), &[]).await.whole().await;
        assert_eq!(mark(&told), "MISS");
    }
    let grown = gateway.rss_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "grown by {} KiB", grown >> 10);
    let metrics = gateway.metrics().await;
    let bytes = metrics.sum("tollgate_cache_bytes", &[("tier", "memory")]);
    assert!(bytes <= f64::from(16 << 20) && bytes > f64::from(15 << 20), "{bytes}");
    assert!(metrics.sum("tollgate_cache_evictions_total", &[("tier", "memory")]) > 4000.0);
    drop(client);
    eventually("nothing in flight", async || {
        gateway.metrics().await.in_flight().iter().all(|(_, value)| *value == 0.0)
    })
    .await;
}

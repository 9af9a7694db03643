//! What is counted while a call is in progress, and once it is over.

use super::*;

#[tokio::test]
async fn calls_in_progress_are_counted_until_they_end_however_they_end() {
    let host = Host::default();
    let limits = host.limits(json!({ "limits": [{ "by": "all", "concurrent": 2 }] }));
    let first = call(&limits, context(), message(1)).await.ok().unwrap();
    let second = call(&limits, context(), message(1)).await.ok().unwrap();
    let refused = call(&limits, context(), message(1)).await.err().unwrap();
    assert!(refused.message.contains("2 calls in progress for all callers"), "{}", refused.message);
    assert_eq!((refused.header("retry-after"), host.held("all", "concurrent")), (Some("1"), 2));
    first.ends(&limits, &record(Outcome::ClientGone, None));
    assert_eq!(host.held("all", "concurrent"), 1);
    // dropped without an end
    drop(second);
    assert_eq!((host.held("all", "concurrent"), standing(&limits, &context())), (0, (0, 0)));
}

#[tokio::test]
async fn what_is_reserved_is_settled_by_the_figures_of_the_answer_by_class() {
    let host = Host::default();
    let limits =
        host.limits(json!({ "limits": [{ "by": "key", "tokens": "1000000/month" }], "reserve": "max_tokens" }));
    let going = call(&limits, by_key("alice"), message(500)).await.ok().unwrap();
    let reserved = going.reserved()[0];
    assert!((500..600).contains(&reserved), "{reserved}");
    assert_eq!((standing(&limits, &going.context), host.held("key", "tokens")), ((0, reserved), reserved as i64));
    let tokens = Tokens {
        input: Some(100),
        cache_read: Some(1000),
        cache_creation: Some(40),
        output: Some(7),
        ..Tokens::default()
    };
    going.ends(&limits, &record(Outcome::Completed, Some(tokens)));
    // 100 + 1000 · 0.1 + 40 · 1.25 + 7
    assert_eq!((standing(&limits, &by_key("alice")), host.held("key", "tokens")), ((257, 0), 0));
}

#[tokio::test]
async fn what_nobody_used_is_given_back_and_what_was_used_is_not() {
    let reported = Tokens { input: Some(30), output: Some(20), ..Tokens::default() };
    let hit = || Record {
        saved: Some(Answer { usage: Some(Usage { tokens: reported, ..Usage::default() }), ..Answer::default() }.into()),
        answer: None,
        ..record(Outcome::Cached, None)
    };
    let unsent = |outcome| Record { attempts: 0, ..record(outcome, None) };
    let discarded = Record { attempts: 0, ..record(Outcome::ClientGone, Some(reported)) };
    let bad = Record { status: Some(StatusCode::BAD_REQUEST), ..record(Outcome::Completed, None) };
    for (what, record, charge_hits, requests, tokens) in [
        ("an answer", record(Outcome::Completed, Some(reported)), false, 1, 50),
        ("an answer without figures", record(Outcome::Completed, None), false, 1, 118),
        ("an error of the provider's", bad, false, 1, 0),
        ("a hit", hit(), false, 0, 0),
        ("a hit that is charged", hit(), true, 1, 50),
        ("a refusal below", unsent(Outcome::Refused), false, 0, 0),
        ("an answer that was cut", record(Outcome::Refused, Some(reported)), false, 1, 50),
        ("a failure", record(Outcome::UpstreamFailed, None), false, 0, 0),
        ("a failure in mid-stream", record(Outcome::UpstreamFailed, Some(reported)), false, 1, 50),
        ("a client that left early", unsent(Outcome::ClientGone), false, 0, 0),
        ("a client that left behind a discarded answer", discarded, false, 1, 50),
        ("a client that left", record(Outcome::ClientGone, Some(reported)), false, 1, 50),
        ("a client that left before any figure", record(Outcome::ClientGone, None), false, 1, 18),
    ] {
        let host = Host::default();
        let limits = |measure: &str| {
            let config = json!({ "limits": [{ "by": "key", measure: "1000/month" }], "reserve": "max_tokens", "charge_hits": charge_hits,
                                 "weights": { "cache_write": 1 } });
            host.limits(config)
        };
        for (measure, expected) in [("requests", requests), ("tokens", tokens)] {
            let limits = limits(measure);
            let body = TestCall::new().max_tokens(100).to(Endpoint::MESSAGES);
            assert_eq!(body.text().len(), 18);
            call(&limits, by_key("alice"), body).await.ok().unwrap().ends(&limits, &record);
            assert_eq!(standing(&limits, &by_key("alice")), (expected, 0), "{what}: {measure}");
        }
    }
}

#[tokio::test]
async fn all_limits_hold_a_call_and_none_counts_what_another_refuses() {
    let host = Host::default();
    let limits = host.limits(json!({ "limits": [
        { "by": "key", "requests": "100/month", "tokens": "100000/month" },
        { "by": "all", "concurrent": 1 },
    ] }));
    let going = call(&limits, by_key("alice"), message(10)).await.ok().unwrap();
    for _ in 0..10 {
        assert!(call(&limits, by_key("alice"), message(10)).await.is_err());
    }
    assert_eq!(standing(&limits, &by_key("alice")), (1, 0));
    going.costs(&limits, 1, 1);
    assert!(call(&limits, by_key("alice"), message(10)).await.is_ok());
}

#[tokio::test]
async fn a_reload_goes_on_with_the_counts_and_holds_them_to_the_new_limit() {
    let host = Host::default();
    let with = |limit: &str| host.limits(json!({ "limits": [{ "by": "key", "requests": limit, "concurrent": 3 }] }));
    let old = with("3/month");
    let mut going = Vec::new();
    for _ in 0..3 {
        going.push(call(&old, by_key("alice"), message(1)).await.ok().unwrap());
    }
    assert!(call(&old, by_key("alice"), message(1)).await.is_err());
    let new = with("5/month");
    drop(old);
    assert!(call(&new, by_key("alice"), message(1)).await.err().unwrap().message.contains("in progress"));
    going.into_iter().for_each(|call| call.costs(&new, 1, 1));
    for _ in 0..2 {
        call(&new, by_key("alice"), message(1)).await.ok().unwrap().costs(&new, 1, 1);
    }
    assert!(call(&new, by_key("alice"), message(1)).await.is_err());
    // one that counts something else begins anew
    let other = host.limits(json!({ "limits": [{ "name": "other", "by": "key", "requests": "1/month" }] }));
    assert!(call(&other, by_key("alice"), message(1)).await.is_ok());
}

#[tokio::test]
async fn a_call_that_goes_on_without_its_request_counts_what_was_reserved_once() {
    let host = Host::default();
    let limits =
        host.limits(json!({ "limits": [{ "by": "key", "tokens": "1000000/month" }], "reserve": "max_tokens" }));
    let batched = Arc::new(plugin_api::Batched::default());
    let going = call(&limits, by_key("alice"), message(500)).await.ok().unwrap();
    let reserved = going.reserved()[0];
    let with = |outcome| {
        let mut record = Record { attempts: 0, answer: None, ..record(outcome, None) };
        record.context.batched = Some(batched.clone());
        record
    };
    batched.set_outlives_request(true);
    going.ends(&limits, &with(Outcome::Cached));
    assert_eq!(standing(&limits, &by_key("alice")), (reserved, 0));
    // the same request comes again, and gets the answer
    batched.set_outlives_request(false);
    batched.set_counted();
    let again = call(&limits, by_key("alice"), message(500)).await.ok().unwrap();
    again.ends(&limits, &with(Outcome::Completed));
    assert_eq!(standing(&limits, &by_key("alice")), (reserved, 0));
}

#[tokio::test]
async fn a_request_that_waits_for_the_call_of_another_counts_nothing_however_often_it_leaves() {
    let host = Host::default();
    let limits =
        host.limits(json!({ "limits": [{ "by": "key", "tokens": "1000000/month" }], "reserve": "max_tokens" }));
    let batched = Arc::new(plugin_api::Batched::default());
    // its stream had a ping
    let mut gone = Record { answer: None, response_bytes: 30, ..record(Outcome::ClientGone, None) };
    gone.context.batched = Some(batched.clone());
    for (counts_nothing, is_counted) in [(true, false), (false, true)] {
        batched.set_counts_nothing(counts_nothing);
        call(&limits, by_key("alice"), message(500)).await.ok().unwrap().ends(&limits, &gone);
        assert_eq!(standing(&limits, &by_key("alice")).0 > 0, is_counted);
    }
}

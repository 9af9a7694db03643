//! What is kept, for how long, and what a purge or a bound takes away.

use super::*;
use crate::purges::Purge;

#[tokio::test]
async fn only_whole_answers_without_a_fault_are_kept() {
    let (_, cache) = cache(|config| config.max_entry = ByteSize::mebibytes(1));
    let stopped = |reason: &str| Answer { stop_reason: Some(reason.into()), ..complete() };
    let large = "x".repeat((1 << 20) + 1);
    let no_store = [("cache-control", "no-store")];
    let vary = [("vary", "x-other")];
    for (status, headers, body, last, answer) in [
        (200, &[][..], JSON, true, None),
        (200, &[], JSON, true, Some(Answer { state: AnswerState::Partial, ..complete() })),
        (200, &[], JSON, true, Some(Answer { state: AnswerState::Failed, ..complete() })),
        (200, &[], JSON, true, Some(Answer { error_type: Some("overloaded_error".into()), ..complete() })),
        (200, &[], JSON, false, Some(complete())),
        (201, &[], JSON, true, Some(complete())),
        (400, &[], JSON, true, Some(complete())),
        (529, &[], JSON, true, Some(complete())),
        (200, &[], &large, true, Some(complete())),
        (200, &no_store, JSON, true, Some(complete())),
        (200, &vary, JSON, true, Some(complete())),
        (200, &[], JSON, true, Some(stopped("pause_turn"))),
        (200, &[], JSON, true, Some(stopped("refusal"))),
        (200, &[], JSON, true, Some(stopped("compaction"))),
    ] {
        let (mut exchange, reply) = Exchange::begin(&cache, &request(), call()).await;
        assert!(reply.is_none(), "{status} {headers:?} {answer:?}");
        let mut all = json_headers();
        for (name, value) in headers {
            all.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        exchange.head(status, &all);
        exchange.chunk(body, last);
        if last {
            exchange.log(answer);
        } else {
            exchange.fail(Outcome::UpstreamFailed);
        }
    }
    ask(&cache, &request(), call(), "fine").await;
    assert_eq!(ask(&cache, &request(), call(), "x").await.0, "HIT");
}

#[tokio::test]
async fn the_answer_of_a_fallback_is_not_kept() {
    let (_, cache) = cache(|_| {});
    for (upstream, kept) in [("fallback", false), ("test", true)] {
        let (mut exchange, _) = Exchange::begin(&cache, &request(), call()).await;
        exchange.head(200, &json_headers());
        exchange.chunk(JSON, true);
        let record = Record::begun(Uuid::nil(), SystemTime::now());
        let record = Record { answer: Some(complete().into()), upstream: Some(upstream.into()), ..record };
        cache.on_complete(&mut exchange.state, &record);
        assert_eq!(Exchange::begin(&cache, &request(), call()).await.1.is_some(), kept, "{upstream}");
    }
}

#[tokio::test]
async fn an_answer_is_given_no_longer_than_its_time() {
    let (caches, cache) = cache(|config| config.ttl = Period::from_millis(40));
    ask(&cache, &request(), call(), "1").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(ask(&cache, &request(), call(), "2").await.0, "MISS");
    // a shorter time after a reload counts for what is there already
    let cache = again(&caches, |_| {});
    assert_eq!(ask(&cache, &request(), call(), "x").await, ("HIT".into(), "2".into()));
    let cache = again(&caches, |config| config.ttl = Period::from_millis(1));
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(ask(&cache, &request(), call(), "3").await.0, "MISS");
}

#[tokio::test]
async fn a_purge_takes_what_matches_and_what_is_under_way() {
    let (caches, cache) = cache(|_| {});
    let asked = |tenant: &'static str, model: &str| {
        (
            TestRequest::to(Endpoint::MESSAGES).header("x-api-key", tenant),
            TestCall::new().model(model).to(Endpoint::MESSAGES),
        )
    };
    // the SHA-256 of `a`
    let tenant = Some("ca978112ca1bbdcafac231b39a23dc4d".to_owned());
    for (purge, kept) in [
        (Purge { tenant: tenant.clone(), model: None }, [false, false, true]),
        (Purge { tenant: None, model: Some("m".into()) }, [false, true, false]),
        (Purge { tenant, model: Some("m".into()) }, [false, true, true]),
        (Purge::default(), [false, false, false]),
    ] {
        for (key, model) in [("a", "m"), ("a", "n"), ("b", "m")] {
            let (request, call) = asked(key, model);
            ask(&cache, &request, call, "1").await;
        }
        let (request, call) = asked("a", "under way");
        let (under_way, _) = Exchange::begin(&cache, &request, call).await;
        let purged = caches.purge(purge.clone()).await;
        assert_eq!(purged.published, None);
        for ((key, model), kept) in [("a", "m"), ("a", "n"), ("b", "m")].into_iter().zip(kept) {
            let (request, call) = asked(key, model);
            let mark = ask(&cache, &request, call, "2").await.0;
            assert_eq!(mark == "HIT", kept, "{purge:?} {key} {model}");
        }
        under_way.answer("old");
        let (request, call) = asked("a", "under way");
        let fresh = purge.model.is_some();
        assert_eq!(ask(&cache, &request, call, "new").await.0 == "HIT", fresh, "{purge:?}");
        caches.purge(Purge::default()).await;
    }
}

#[tokio::test]
async fn a_purge_takes_the_tenant_whom_the_ledger_names() {
    let (caches, cache) = cache(|_| {});
    for headers in [
        &[("x-api-key", "secret")][..],
        &[("authorization", "Bearer secret")],
        &[("authorization", "Token secret")],
        &[("x-api-key", ""), ("authorization", "bearer  secret")],
        &[("cookie", "session=1"), ("x-goog-api-key", "secret")],
    ] {
        let request =
            headers.iter().fold(TestRequest::to(Endpoint::MESSAGES), |all, (name, value)| all.header(name, value));
        ask(&cache, &request, call(), "1").await;
        let tenant = plugin_api::api_key(request.headers()).map(plugin_api::fingerprint);
        assert_eq!(tenant.as_deref(), Some("2bb80d537b1da3e38bd30361aa855686"));
        assert_eq!(caches.purge(Purge { tenant, model: None }).await.entries, 1, "{headers:?}");
    }
    // nobody knows whose an empty key is
    let nobody = TestRequest::to(Endpoint::MESSAGES).header("x-api-key", " ").header("authorization", "");
    assert_eq!(ask(&cache, &nobody, call(), "1").await.0, "BYPASS");
}

#[tokio::test]
async fn memory_is_bounded_in_number_and_in_bytes_and_its_content_outlives_its_bounds() {
    let fill = async |cache: &ResponseCache, from: u64, to: u64, body: &str| {
        for number in from..to {
            let call = TestCall::new().model("m").max_tokens(number + 1).to(Endpoint::MESSAGES);
            ask(cache, &request(), call, body).await;
        }
    };
    let (caches, cache) = cache(|_| {});
    fill(&cache, 0, 1000, "x").await;
    assert_eq!(caches.kept().0, 1000);
    fill(&cache, 1000, 1100, "x").await;
    assert_eq!(caches.kept().0, 1000);
    // the oldest went, the newest stays
    let number = |number: u64| TestCall::new().model("m").max_tokens(number + 1).to(Endpoint::MESSAGES);
    assert_eq!(ask(&cache, &request(), number(1099), "y").await.0, "HIT");
    assert_eq!(ask(&cache, &request(), number(0), "y").await.0, "MISS");
    // other bounds, after a reload: what fits stays
    let small = again(&caches, |config| config.memory.max_entries = 10);
    drop(cache);
    assert_eq!(caches.kept().0, 10);
    drop(small);

    let (caches, cache) = self::cache(|config| config.memory.max_bytes = ByteSize::mebibytes(16));
    let body = "x".repeat(20_000);
    fill(&cache, 0, 2000, &body).await;
    let (entries, bytes) = caches.kept();
    assert!(bytes <= 16 << 20 && bytes > 15 << 20, "{bytes}");
    assert!(bytes / entries < 21_500, "{}", bytes / entries);
}

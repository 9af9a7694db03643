//! Calls against settings, as a gateway would hand them to the plugin, with the test in the upstream's place.

use std::time::SystemTime;

use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode};
use plugin_api::testing::{ID, TestCall, TestRequest};
use plugin_api::{Answer, AnswerState, Broken, ByteSize, Bytes, HeaderEdit, HeaderEdits, Period, Usage, Uuid};

use super::*;

const JSON: &str = r#"{"id":"msg_1","type":"message"}"#;

fn cache(change: impl FnOnce(&mut Config)) -> (Arc<Caches>, ResponseCache) {
    let caches = Caches::new();
    let cache = again(&caches, change);
    (caches, cache)
}

fn again(caches: &Arc<Caches>, change: impl FnOnce(&mut Config)) -> ResponseCache {
    let mut config = Config::default();
    change(&mut config);
    caches.install(&config).unwrap()
}

fn request() -> TestRequest {
    TestRequest::to(Endpoint::Messages).header("x-api-key", "sk-a")
}

fn call() -> ModelCall {
    TestCall::new().model("m").max_tokens(9).to(Endpoint::Messages)
}

/// An exchange with the cache.
struct Exchange<'a> {
    cache: &'a ResponseCache,
    state: State,
    call: ModelCall,
}

impl<'a> Exchange<'a> {
    async fn begin(cache: &'a ResponseCache, request: &TestRequest, mut call: ModelCall) -> (Self, Option<Reply>) {
        let mut state = State::default();
        assert!(matches!(cache.request_head(&mut state, &mut request.head()).await, Flow::Continue));
        let flow = cache.request_body(&mut state, &mut call).await;
        let reply = if let Flow::Answer(reply) = flow { Some(reply) } else { None };
        (Self { cache, state, call }, reply)
    }

    /// The answer's head comes from upstream; the value of `x-cache`.
    async fn head(&mut self, status: u16, headers: &HeaderMap) -> Option<String> {
        let status = StatusCode::from_u16(status).unwrap();
        let mut head = ResponseHead { status, headers, edits: HeaderEdits::default() };
        self.cache.response_head(&mut self.state, &mut head).await;
        head.edits.iter().find_map(|edit| match edit {
            HeaderEdit::Set(name, value) if name == X_CACHE => Some(value.to_str().unwrap().to_owned()),
            _ => None,
        })
    }

    fn chunk(&mut self, text: &str, last: bool) {
        self.cache.response_chunk(&mut self.state, &Chunk { bytes: &Bytes::copy_from_slice(text.as_bytes()), last });
    }

    fn log(mut self, answer: Option<Answer>) {
        let outcome = Outcome { answer, end: End::Completed, ..Outcome::begun(Uuid::nil(), SystemTime::now()) };
        self.cache.log(&mut self.state, &outcome);
    }

    fn fail(mut self, end: End) {
        self.cache.log(&mut self.state, &Outcome { end, ..Outcome::begun(Uuid::nil(), SystemTime::now()) });
    }

    /// A whole answer comes from upstream.
    async fn answer(mut self, body: &str) {
        assert_eq!(self.head(200, &json_headers()).await.as_deref(), Some("MISS"));
        self.chunk(body, true);
        self.log(Some(complete()));
    }
}

fn json_headers() -> HeaderMap {
    let list = [("content-type", "application/json"), ("request-id", "req_1"), ("set-cookie", "a=b"), ("date", "d")];
    list.into_iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn complete() -> Answer {
    Answer { state: AnswerState::Complete, usage: Some(Usage::default()), ..Answer::default() }
}

/// Asks once, with an upstream that answers; the value of `x-cache`, and the body.
async fn ask(cache: &ResponseCache, request: &TestRequest, call: ModelCall, fresh: &str) -> (String, String) {
    match Exchange::begin(cache, request, call).await {
        (_, Some(reply)) => {
            let mark = reply.headers[X_CACHE].to_str().unwrap().to_owned();
            (mark, text(reply).await)
        }
        (mut exchange, None) => {
            let mark = exchange.head(200, &json_headers()).await.unwrap_or_default();
            exchange.chunk(fresh, true);
            exchange.log(Some(complete()));
            (mark, fresh.to_owned())
        }
    }
}

async fn text(reply: Reply) -> String {
    let bytes = match reply.body {
        Body::Whole(bytes) => bytes.to_vec(),
        Body::Stream(pieces) => pieces.map(|piece| piece.unwrap().to_vec()).collect::<Vec<_>>().await.concat(),
    };
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn an_answer_is_given_again_with_fresh_ids_and_nothing_of_the_moment() {
    let (_, cache) = cache(|_| {});
    let (exchange, reply) = Exchange::begin(&cache, &request(), call()).await;
    assert!(reply.is_none());
    assert_eq!(exchange.call.cache, Some(CacheStatus::Miss));
    assert!(exchange.call.outlive.is_some());
    exchange.answer(JSON).await;
    let (exchange, reply) = Exchange::begin(&cache, &request(), call()).await;
    let reply = reply.unwrap();
    assert_eq!(exchange.call.cache, Some(CacheStatus::Hit));
    assert!(exchange.call.outlive.is_none());
    let header = |name: &str| reply.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("x-cache").unwrap(), "HIT");
    assert_eq!(header("age").unwrap(), "0");
    assert_eq!(header("request-id").unwrap(), ID.to_string());
    assert_eq!(header("x-request-id").unwrap(), ID.to_string());
    assert_eq!(header("x-cached-request-id").unwrap(), "req_1");
    assert_eq!(header("content-type").unwrap(), "application/json");
    assert!(header("set-cookie").is_none() && header("date").is_none());
    assert_eq!((reply.status, reply.end), (StatusCode::OK, End::Cached));
    assert!(reply.saved.as_ref().unwrap().usage.is_some());
    assert_eq!(text(reply).await, JSON);
}

#[tokio::test]
async fn no_two_calls_that_differ_share_an_answer() {
    let (_, cache) = cache(|config| config.vary = vec!["x-team".into()]);
    let body = || TestCall::new().model("m").max_tokens(9);
    let requests: Vec<(TestRequest, ModelCall)> = vec![
        (request(), call()),
        (TestRequest::to(Endpoint::Messages).header("x-api-key", "sk-b"), call()),
        (TestRequest::to(Endpoint::Messages).header("authorization", "Bearer sk-a"), call()),
        (request().header("authorization", "Bearer sk-a"), call()),
        (request().header("cookie", "session=1"), call()),
        (request().header("x-goog-api-key", "g"), call()),
        (request().header("anthropic-version", "2023-06-01"), call()),
        (request().header("anthropic-version", "2026-10-21"), call()),
        (request().header("anthropic-beta", "a"), call()),
        (request().header("openai-organization", "o"), call()),
        (request().header("x-team", "t"), call()),
        (request().header("accept-encoding", "gzip"), call()),
        (request().header("accept-encoding", "gzip, br"), call()),
        (request(), body().with("stream", "true").to(Endpoint::Messages)),
        (request(), body().with("temperature", "1").to(Endpoint::Messages)),
        (request(), body().with("temperature", "1.0").to(Endpoint::Messages)),
        (TestRequest::to(Endpoint::Completions).header("x-api-key", "sk-a"), body().to(Endpoint::Completions)),
    ];
    for (number, (request, call)) in requests.into_iter().enumerate() {
        let call_again = ModelCall::new(
            call.endpoint(),
            call.text().clone(),
            None,
            plugin_api::Reading::Calls(call.calls().to_vec()),
        );
        assert_eq!(ask(&cache, &request, call, &number.to_string()).await.0, "MISS", "{number}");
        let expected = ("HIT".to_owned(), number.to_string());
        assert_eq!(ask(&cache, &request, call_again, "x").await, expected);
    }
}

#[tokio::test]
async fn what_does_not_change_an_answer_does_not_keep_calls_apart() {
    let (_, cache) = cache(|_| {});
    let request = |betas: &'static str| request().header("anthropic-beta", betas);
    ask(&cache, &request("b, a"), call(), "1").await;
    let other =
        request("a").header("anthropic-beta", "b").header("x-stainless-retry-count", "1").header("user-agent", "x");
    let call = TestCall::new().with("metadata", r#"{"user_id":"u"}"#).max_tokens(9).model("m");
    assert_eq!(ask(&cache, &other, call.to(Endpoint::Messages), "2").await, ("HIT".into(), "1".into()));
}

#[tokio::test]
async fn a_call_that_a_client_or_a_rule_keeps_out_is_marked_and_neither_given_nor_kept() {
    let (_, cache) = cache(|_| {});
    ask(&cache, &request(), call(), "kept").await;
    for (request, call) in [
        (request().header("cache-control", "no-cache"), call()),
        (request().header("cache-control", "no-store"), call()),
        (TestRequest::to(Endpoint::Messages), call()),
        (request(), TestCall::new().model("m").max_tokens(0).to(Endpoint::Messages)),
        (request(), TestCall::new().model("m").model("m").to(Endpoint::Messages)),
        (request(), TestCall::new().with("container", "\"c\"").to(Endpoint::Messages)),
        (request(), plugin_api::testing::unreadable(Endpoint::Messages, "x")),
    ] {
        let (mut exchange, reply) = Exchange::begin(&cache, &request, call).await;
        assert!(reply.is_none());
        assert_eq!(exchange.call.cache, Some(CacheStatus::Bypass));
        assert!(exchange.call.outlive.is_none());
        assert_eq!(exchange.head(200, &json_headers()).await.as_deref(), Some("BYPASS"));
        exchange.chunk(JSON, true);
        exchange.log(Some(complete()));
    }
    assert_eq!(ask(&cache, &request(), call(), "x").await, ("HIT".into(), "kept".into()));
}

#[tokio::test]
async fn paths_that_are_not_named_are_left_alone() {
    let (_, cache) = cache(|config| config.paths = vec!["/v1/embeddings".into()]);
    let (mut exchange, reply) = Exchange::begin(&cache, &request(), call()).await;
    assert!(reply.is_none() && exchange.call.cache.is_none());
    assert_eq!(exchange.head(200, &json_headers()).await, None);
}

#[tokio::test]
async fn a_client_may_limit_the_age_and_a_limit_of_none_brings_a_fresh_answer() {
    let (_, cache) = cache(|_| {});
    ask(&cache, &request(), call(), "1").await;
    let with = |value| request().header("cache-control", value);
    assert_eq!(ask(&cache, &with("max-age=60"), call(), "x").await, ("HIT".into(), "1".into()));
    assert_eq!(ask(&cache, &with("max-age=0"), call(), "2").await, ("MISS".into(), "2".into()));
    assert_eq!(ask(&cache, &request(), call(), "x").await, ("HIT".into(), "2".into()));
}

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
        exchange.head(status, &all).await;
        exchange.chunk(body, last);
        exchange.log(answer);
    }
    ask(&cache, &request(), call(), "fine").await;
    assert_eq!(ask(&cache, &request(), call(), "x").await.0, "HIT");
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
async fn same_calls_under_way_are_one_and_all_get_every_piece_as_it_comes() {
    let (caches, cache) = cache(|_| {});
    let (request, head) = (request(), json_headers());
    let (mut leader, none) = Exchange::begin(&cache, &request, call()).await;
    assert!(none.is_none());
    let mut followers: Vec<_> = (0..50).map(|_| Box::pin(Exchange::begin(&cache, &request, call()))).collect();
    for follower in &mut followers {
        assert!(follower.now_or_never().is_none());
    }
    assert_eq!(caches.flights.count(), 1);
    leader.head(200, &head).await;
    let mut bodies = Vec::new();
    for follower in followers {
        let (exchange, reply) = follower.await;
        let reply = reply.unwrap();
        assert_eq!(exchange.call.cache, Some(CacheStatus::Coalesced));
        assert_eq!(reply.headers[X_CACHE], "COALESCED");
        let Body::Stream(body) = reply.body else { panic!("not a stream") };
        bodies.push(body);
    }
    for piece in ["one", "two"] {
        leader.chunk(piece, false);
        for body in &mut bodies {
            assert_eq!(body.next().now_or_never().unwrap().unwrap().unwrap(), piece);
        }
    }
    leader.chunk("", true);
    for body in &mut bodies {
        assert!(body.next().now_or_never().unwrap().is_none());
    }
    // between the end and the log, one who comes late has the past at once
    let (_, late) = Exchange::begin(&cache, &request, call()).await;
    assert_eq!(text(late.unwrap()).await, "onetwo");
    leader.log(Some(complete()));
    assert_eq!(ask(&cache, &request, call(), "x").await, ("HIT".into(), "onetwo".into()));
    drop(bodies);
    assert_eq!((caches.flights.count(), caches.flights.held_bytes()), (0, 0));
}

#[tokio::test]
async fn followers_fail_as_the_leader_does_or_try_for_themselves_where_there_was_no_answer() {
    let (_, cache) = cache(|_| {});
    let request = request();
    // an error of the upstream is theirs, too
    let (mut leader, _) = Exchange::begin(&cache, &request, call()).await;
    let mut follower = Box::pin(Exchange::begin(&cache, &request, call()));
    assert!((&mut follower).now_or_never().is_none());
    leader.head(529, &json_headers()).await;
    leader.chunk("overloaded", true);
    leader.log(None);
    let reply = follower.await.1.unwrap();
    assert_eq!(reply.status.as_u16(), 529);
    assert_eq!(text(reply).await, "overloaded");
    // one of the gateway is not
    let (mut leader, _) = Exchange::begin(&cache, &request, call()).await;
    let mut follower = Box::pin(Exchange::begin(&cache, &request, call()));
    assert!((&mut follower).now_or_never().is_none());
    leader.head(502, &json_headers()).await;
    leader.chunk("bad gateway", true);
    leader.fail(End::UpstreamFailed);
    let (exchange, reply) = follower.await;
    assert!(reply.is_none());
    assert_eq!(exchange.call.cache, Some(CacheStatus::Miss));
    // what breaks off breaks for all
    let (mut leader, _) = Exchange::begin(&cache, &request, call()).await;
    leader.head(200, &json_headers()).await;
    let (_, reply) = Exchange::begin(&cache, &request, call()).await;
    leader.chunk("half", false);
    leader.fail(End::UpstreamFailed);
    let Body::Stream(mut body) = reply.unwrap().body else { panic!("not a stream") };
    assert_eq!(body.next().await, Some(Ok(Bytes::from_static(b"half"))));
    assert_eq!(body.next().await, Some(Err(Broken)));
}

#[tokio::test]
async fn a_leader_that_leaves_before_it_asked_hands_the_lead_on() {
    let (caches, cache) = cache(|_| {});
    let request = request();
    let (leader, _) = Exchange::begin(&cache, &request, call()).await;
    let mut followers: Vec<_> = (0..5).map(|_| Box::pin(Exchange::begin(&cache, &request, call()))).collect();
    for follower in &mut followers {
        assert!(follower.now_or_never().is_none());
    }
    leader.fail(End::ClientGone);
    let mut led = Vec::new();
    for follower in &mut followers {
        led.extend(follower.now_or_never());
    }
    assert_eq!(led.len(), 1);
    assert!(led[0].1.is_none());
    assert_eq!(caches.flights.count(), 1);
}

#[tokio::test]
async fn a_call_is_wanted_as_long_as_anybody_follows_or_to_its_end_where_it_fills() {
    for fill in [false, true] {
        let (_, cache) = cache(|config| config.on_all_gone = if fill { OnAllGone::Fill } else { OnAllGone::Cancel });
        let (mut leader, _) = Exchange::begin(&cache, &request(), call()).await;
        let mut wanted = leader.call.outlive.take().unwrap().into_future();
        leader.head(200, &json_headers()).await;
        let (follower, reply) = Exchange::begin(&cache, &request(), call()).await;
        assert!((&mut wanted).now_or_never().is_none());
        drop((follower, reply));
        assert_eq!((&mut wanted).now_or_never().is_some(), !fill);
        leader.chunk(JSON, true);
        if fill {
            assert!(wanted.now_or_never().is_some());
        }
    }
}

#[tokio::test]
async fn without_coalescing_each_call_is_its_own() {
    let (_, cache) = cache(|config| config.coalesce = Coalesce::Off);
    let (first, none) = Exchange::begin(&cache, &request(), call()).await;
    assert!(none.is_none() && first.call.outlive.is_none());
    assert!(Exchange::begin(&cache, &request(), call()).await.1.is_none());
    first.answer(JSON).await;
    assert_eq!(ask(&cache, &request(), call(), "x").await.0, "HIT");
}

#[tokio::test]
async fn a_purge_takes_what_matches_and_what_is_under_way() {
    let (caches, cache) = cache(|_| {});
    let asked = |tenant: &'static str, model: &str| {
        (
            TestRequest::to(Endpoint::Messages).header("x-api-key", tenant),
            TestCall::new().model(model).to(Endpoint::Messages),
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
        assert_eq!(purged.told, None);
        for ((key, model), kept) in [("a", "m"), ("a", "n"), ("b", "m")].into_iter().zip(kept) {
            let (request, call) = asked(key, model);
            let mark = ask(&cache, &request, call, "2").await.0;
            assert_eq!(mark == "HIT", kept, "{purge:?} {key} {model}");
        }
        under_way.answer("old").await;
        let (request, call) = asked("a", "under way");
        let fresh = purge.model.is_some();
        assert_eq!(ask(&cache, &request, call, "new").await.0 == "HIT", fresh, "{purge:?}");
        caches.purge(Purge::default()).await;
    }
}

#[tokio::test]
async fn the_scope_says_who_shares() {
    let (_, cache) = cache(|config| config.scope = Scope::Header("x-tenant".into()));
    let request = |key, tenant| TestRequest::to(Endpoint::Messages).header("x-api-key", key).header("x-tenant", tenant);
    ask(&cache, &request("a", "t"), call(), "1").await;
    assert_eq!(ask(&cache, &request("b", "t"), call(), "2").await.0, "HIT");
    assert_eq!(ask(&cache, &request("a", "u"), call(), "2").await.0, "MISS");
    assert_eq!(ask(&cache, &request("a", "t").header("x-tenant", "u"), call(), "2").await.0, "BYPASS");
    assert_eq!(ask(&cache, &request("a", ""), call(), "2").await.0, "BYPASS");
    let (_, cache) = self::cache(|config| config.scope = Scope::Name("all".into()));
    ask(&cache, &request("a", "t"), call(), "1").await;
    assert_eq!(ask(&cache, &TestRequest::to(Endpoint::Messages), call(), "2").await.0, "HIT");
}

#[tokio::test]
async fn memory_is_bounded_in_number_and_in_bytes_and_its_content_outlives_its_bounds() {
    let fill = async |cache: &ResponseCache, from: u64, to: u64, body: &str| {
        for number in from..to {
            let call = TestCall::new().model("m").max_tokens(number + 1).to(Endpoint::Messages);
            ask(cache, &request(), call, body).await;
        }
    };
    let (caches, cache) = cache(|_| {});
    fill(&cache, 0, 1000, "x").await;
    assert_eq!(caches.kept().0, 1000);
    fill(&cache, 1000, 1100, "x").await;
    assert_eq!(caches.kept().0, 1000);
    // the oldest went, the newest stays
    let number = |number: u64| TestCall::new().model("m").max_tokens(number + 1).to(Endpoint::Messages);
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

#[test]
fn settings_that_make_no_sense_are_told() {
    let told = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config.check().unwrap_err()
    };
    assert_eq!(told(|config| config.ttl = Period::from_secs(0)), "`ttl` is 0s, so no answer could ever be given again");
    assert!(told(|config| config.memory.max_bytes = ByteSize::mebibytes(0)).starts_with("`max_entry` is 1MiB, above"));
    assert!(told(|config| config.paths.clear()).starts_with("`paths` is empty"));
    assert!(
        told(|config| config.paths = vec!["/v1/models".into()]).contains("`/v1/models`, which is no path of calls")
    );
    assert!(told(|config| config.paths = vec!["/v1/messages/batches".into()]).contains("batches are never answered"));
    assert!(told(|config| config.vary = vec!["a b".into()]).contains("`a b`, which cannot be the name of a header"));
    let redis = |json: &str| Config { redis: Some(serde_json::from_str(json).unwrap()), ..Config::default() }.check();
    assert!(
        redis(r#"{"url":"redis://a:6379"}"#).is_ok() && redis(r#"{"cluster":["redis://a:1","rediss://b:2"]}"#).is_ok()
    );
    assert_eq!(redis("{}").unwrap_err(), "`redis` wants `url`, or `cluster`");
    assert!(redis(r#"{"url":"redis://a","cluster":["redis://a"]}"#).unwrap_err().contains("both `url` and `cluster`"));
    let error = redis(r#"{"url":"http://user:hunter2@a"}"#).unwrap_err();
    assert!(error.starts_with("`redis.url` is no address of a Redis") && !error.contains("hunter2"), "{error}");
    assert!(redis(r#"{"url":"redis://a","timeout":"0s"}"#).unwrap_err().contains("`redis.timeout` is 0s"));
}

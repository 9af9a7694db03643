//! What limits decide, without sockets: who is held to which, what is reserved, what a call costs in the end.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::SystemTime;

use plugin_api::http::{HeaderMap, StatusCode};
use plugin_api::testing::{ID, TestCall, TestRequest, batch, context, not_a_call, unreadable};
use plugin_api::{
    Answer, AnswerState, Endpoint, Grants, ModelCall, Outcome, Quota, TokenField, TokenLimitValue, Tokens, Usage,
};
use serde_json::{Value, json};

use super::*;

/// A gateway's limits, over its reloads.
#[derive(Default)]
struct Host {
    shared: Arc<Shared>,
}

impl Host {
    fn limits(&self, config: Value) -> RateLimit {
        let config: Config = serde_json::from_value(config).unwrap();
        config.check().unwrap();
        let context = BuildContext { base: Path::new("."), shared: &self.shared, secrets: &Arc::from([]) };
        RateLimit::build(&config, &context).unwrap()
    }

    fn held(&self, limit: &str, measure: &str) -> i64 {
        self.shared.figures.held(limit, measure).get()
    }
}

/// A request in progress.
struct InProgress {
    state: State,
    context: Context,
}

/// A refusal, as the caller sees it.
#[derive(Debug)]
struct Refused {
    headers: HeaderMap,
    message: String,
}

impl Refused {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

fn refused(flow: Flow, protocol: &'static Protocol) -> Option<Refused> {
    match flow {
        Flow::Continue => None,
        Flow::Answer(reply) => panic!("answered: {reply:?}"),
        Flow::Refuse(refusal) => {
            let message = refusal.message().to_owned();
            let reply = refusal.into_reply(protocol, ID);
            assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
            Some(Refused { headers: reply.headers, message })
        }
    }
}

fn by_key(name: &str) -> Context {
    let mut context = context();
    context.principal_mut().key_name = Some(name.into());
    context
}

/// A call by this caller goes through both hooks.
async fn call(limits: &RateLimit, mut context: Context, mut body: ModelCall) -> Result<InProgress, Refused> {
    let mut state = State::default();
    let request = TestRequest::to(body.endpoint());
    let flow = limits.on_request(&mut state, &mut request.request(&mut context)).await;
    assert!(refused(flow, body.protocol()).is_none(), "its body comes first");
    let protocol = body.protocol();
    let flow = limits.on_call(&mut state, &mut Call { context: &mut context, body: &mut body }).await;
    match refused(flow, protocol) {
        None => Ok(InProgress { state, context }),
        Some(refused) => Err(refused),
    }
}

fn message(max_tokens: u64) -> ModelCall {
    TestCall::new().model("m").max_tokens(max_tokens).to(Endpoint::MESSAGES)
}

fn record(outcome: Outcome, tokens: Option<Tokens>) -> Record {
    let usage = tokens.map(|tokens| Usage { tokens, ..Usage::default() });
    let answer = Answer { state: AnswerState::Complete, usage, ..Answer::default() };
    Record {
        outcome,
        attempts: 1,
        status: Some(StatusCode::OK),
        endpoint: Some(Endpoint::MESSAGES),
        answer: Some(answer),
        ..Record::begun(ID, SystemTime::UNIX_EPOCH)
    }
}

impl InProgress {
    fn ends(mut self, limits: &RateLimit, record: &Record) {
        limits.on_complete(&mut self.state, record);
    }

    fn costs(self, limits: &RateLimit, input: u64, output: u64) {
        let tokens = Tokens { input: Some(input), output: Some(output), ..Tokens::default() };
        self.ends(limits, &record(Outcome::Completed, Some(tokens)));
    }

    fn reserved(&self) -> Vec<u64> {
        self.state.taken.iter().flat_map(|taken| &taken.items).map(|item| item.reservation.amount()).collect()
    }
}

/// What is used and held of the first limit by a caller.
fn standing(limits: &RateLimit, context: &Context) -> (u64, u64) {
    let (group, now) = (&limits.groups[0], limits.shared.now());
    let caller = Caller { principal: context.principal(), client: context.client, model: Some("m"), headers: &[] };
    let subject = group.by.subject(&caller, &mut 0);
    let rule = &group.rules[0];
    let meter = rule.meters.get(subject, 100, &rule.limit, now).meter;
    (meter.used(&rule.limit, now), meter.held())
}

#[tokio::test]
async fn a_throttled_caller_is_told_by_whom_for_what_and_for_how_long_in_its_own_dialect() {
    let host = Host::default();
    let limits = host.limits(json!({ "limits": [{ "by": "key", "requests": "2/m" }] }));
    for _ in 0..2 {
        assert!(call(&limits, by_key("alice"), message(1)).await.is_ok());
    }
    let refused = call(&limits, by_key("alice"), message(1)).await.err().unwrap();
    assert!(
        refused.message.starts_with("Rate limit `key` reached: 2 requests per minute for key alice. Try again in ")
    );
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-should-retry"), None);
    assert_eq!(refused.header("anthropic-ratelimit-requests-limit"), Some("2"));
    assert_eq!(refused.header("anthropic-ratelimit-requests-remaining"), Some("0"));
    assert!(refused.header("anthropic-ratelimit-requests-reset").unwrap().ends_with('Z'));
    let chat = TestCall::new().model("m").to(Endpoint::CHAT_COMPLETIONS);
    let refused = call(&limits, by_key("alice"), chat).await.err().unwrap();
    assert_eq!(refused.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    assert!(refused.header("x-ratelimit-reset-requests").unwrap().ends_with('s'));
    // another caller is not held to it
    assert!(call(&limits, by_key("bob"), message(1)).await.is_ok());
}

#[tokio::test]
async fn a_day_that_is_used_up_says_when_it_ends_and_is_not_to_be_retried() {
    let host = Host::default();
    let limits = host
        .limits(json!({ "limits": [{ "by": ["tenant", "model"], "tokens": "1000/d" }], "time_zone": "Asia/Tokyo" }));
    let context = || {
        let mut context = context();
        context.principal_mut().tenant = Some("team-a".into());
        context
    };
    call(&limits, context(), message(10)).await.ok().unwrap().costs(&limits, 5000, 10);
    let refused = call(&limits, context(), message(10)).await.err().unwrap();
    let (begin, end) = (
        "Limit `tenant+model` is used up: 1000 tokens per day for tenant team-a and model m. It resets at ",
        "T15:00:00Z.",
    );
    assert!(refused.message.starts_with(begin) && refused.message.ends_with(end), "{}", refused.message);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    // in the last minute of the day in Tokyo it is worth waiting for
    assert!(wait <= 86_400 && (wait <= 60 || refused.header("x-should-retry") == Some("false")), "{refused:?}");
    assert!(refused.header("anthropic-ratelimit-tokens-reset").unwrap().ends_with("T15:00:00Z"));
    assert_eq!(refused.header("anthropic-ratelimit-tokens-limit"), Some("1000"));
}

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
        saved: Some(Answer { usage: Some(Usage { tokens: reported, ..Usage::default() }), ..Answer::default() }),
        answer: None,
        ..record(Outcome::Cached, None)
    };
    let unsent = |outcome| Record { attempts: 0, ..record(outcome, None) };
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
async fn the_largest_of_all_spellings_is_reserved_for_each_answer() {
    let host = Host::default();
    let limits = host.limits(json!({ "limits": [{ "by": "all", "tokens": "1000000000/m" }], "reserve": "max_tokens" }));
    let several = || {
        let call = TestCall::new().model("m").max_tokens(10);
        call.limit(TokenField::MAX_COMPLETION_TOKENS, "7000", TokenLimitValue::Tokens(7000)).max_tokens(20)
    };
    for (body, tokens) in [
        (message(500), 500),
        (several().to(Endpoint::CHAT_COMPLETIONS), 7000),
        (several().answers(3).to(Endpoint::CHAT_COMPLETIONS), 21_000),
        (batch(vec![TestCall::new().max_tokens(100), TestCall::new().max_tokens(200)]), 300),
        (TestCall::new().model("m").to(Endpoint::EMBEDDINGS), 0),
        (
            TestCall::new().limit(TokenField::MAX_TOKENS, "\"9\"", TokenLimitValue::NotANumber).to(Endpoint::MESSAGES),
            1_000_000_000,
        ),
        (TestCall::new().to(Endpoint::MESSAGES), 1_000_000_000),
    ] {
        let what = String::from_utf8_lossy(body.text()).into_owned();
        let reserved = call(&limits, context(), body).await.ok().unwrap().reserved()[0];
        let input = 250.min(1_000_000_000 - tokens);
        assert!((tokens..=tokens + input).contains(&reserved), "{what}: {reserved}");
    }
    for body in [unreadable(Endpoint::MESSAGES, "x"), not_a_call(Endpoint::MESSAGES, "[]")] {
        assert_eq!(call(&limits, context(), body).await.ok().unwrap().reserved(), [4096]);
    }
    let counted = call(&limits, context(), TestCall::new().to(Endpoint::COUNT_TOKENS)).await.ok().unwrap();
    assert!(counted.reserved().is_empty());
}

#[tokio::test]
async fn the_expected_answer_is_what_calls_of_this_key_and_model_have_had() {
    let host = Host::default();
    let limits = host.limits(json!({ "limits": [{ "by": "key", "tokens": "400000/m" }] }));
    let asks = |tokens| call(&limits, by_key("alice"), message(tokens));
    // what an agent asks for is not what it uses
    assert!((4096..4150).contains(&asks(128_000).await.ok().unwrap().reserved()[0]));
    assert!((100..150).contains(&asks(100).await.ok().unwrap().reserved()[0]));
    for _ in 0..20 {
        asks(128_000).await.ok().unwrap().costs(&limits, 10, 300);
    }
    let reserved = asks(128_000).await.ok().unwrap().reserved()[0];
    assert!((300..450).contains(&reserved), "{reserved}");
    let other = TestCall::new().model("other").max_tokens(128_000).to(Endpoint::MESSAGES);
    assert!(call(&limits, by_key("alice"), other).await.ok().unwrap().reserved()[0] >= 4096);
}

#[tokio::test]
async fn no_estimate_makes_a_call_impossible_and_a_debt_is_paid_before_the_next() {
    let host = Host::default();
    for reserve in ["expected", "max_tokens"] {
        let limits = host
            .limits(json!({ "limits": [{ "name": reserve, "by": "key", "tokens": "1000/m" }], "reserve": reserve }));
        let going = call(&limits, by_key("alice"), message(128_000)).await.ok().unwrap();
        assert_eq!(going.reserved(), [1000]);
        assert!(call(&limits, by_key("alice"), message(1)).await.is_err());
        going.costs(&limits, 10, 2990);
        let refused = call(&limits, by_key("alice"), message(1)).await.err().unwrap();
        // a bucket that drains by the minute is waited for, a minute at a time
        assert_eq!((refused.header("retry-after"), refused.header("x-should-retry")), (Some("60"), None));
        assert_eq!(refused.header("anthropic-ratelimit-tokens-remaining"), Some("0"));
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
async fn callers_without_what_a_limit_goes_by_are_counted_as_one() {
    let host = Host::default();
    for by in ["key", "tenant", "user", "session", "model", "client_ip", "header:x-team"] {
        let limits = host.limits(json!({ "limits": [{ "by": by, "requests": "1/month" }] }));
        let silent = || TestCall::new().to(Endpoint::MESSAGES);
        assert!(call(&limits, context(), silent()).await.is_ok(), "{by}");
        let refused = call(&limits, context(), silent()).await.err().unwrap();
        assert!(refused.message.contains("for callers without a "), "{}", refused.message);
    }
}

#[tokio::test]
async fn headers_and_addresses_tell_callers_apart() {
    let host = Host::default();
    let limits = host.limits(json!({ "limits": [
        { "by": ["header:x-team", "client_ip"], "requests": "1/month" },
        { "by": "header:x-app", "requests": "100/month" },
    ] }));
    let ask = async |team: &'static str, address: &str| {
        let mut context = context();
        context.client = Some(address.parse().unwrap());
        let request = TestRequest::to(Endpoint::SPEECH).header("x-team", team).header("x-app", "a");
        let mut form = request.request(&mut context);
        // what is no JSON is decided by its head
        form.endpoint = Some(Endpoint::TRANSCRIPTIONS);
        let flow = limits.on_request(&mut State::default(), &mut form).await;
        refused(flow, Protocol::OPENAI).is_none()
    };
    assert!(ask("red", "10.0.0.1").await && !ask("red", "10.0.0.1").await && !ask("red", "::ffff:10.0.0.1").await);
    assert!(ask("blue", "10.0.0.1").await && ask("red", "10.0.0.2").await);
    assert!(ask("red", "2001:db8::1").await && !ask("red", "2001:db8::2").await && ask("red", "2001:db8:0:1::1").await);
}

#[tokio::test]
async fn a_key_is_held_to_its_own_limits_beside_those_of_the_file() {
    let host = Host::default();
    let limits = host.limits(json!({}));
    let quota =
        Quota { concurrent: NonZeroU32::new(1), requests: Some("2/month".parse().unwrap()), ..Quota::default() };
    let grants = Arc::new(Grants { quota, ..Grants::default() });
    let own = |name| {
        let mut context = by_key(name);
        context.principal_mut().grants = Some(grants.clone());
        context
    };
    let going = call(&limits, own("alice"), message(1)).await.ok().unwrap();
    let refused = call(&limits, own("alice"), message(1)).await.err().unwrap();
    assert!(refused.message.contains("`key_limits` reached: 1 calls in progress for key alice"), "{}", refused.message);
    going.costs(&limits, 1, 1);
    call(&limits, own("alice"), message(1)).await.ok().unwrap().costs(&limits, 1, 1);
    let refused = call(&limits, own("alice"), message(1)).await.err().unwrap();
    assert!(refused.message.contains("2 requests per month for key alice"), "{}", refused.message);
    assert!(call(&limits, own("bob"), message(1)).await.is_ok());
    assert!(call(&limits, by_key("carol"), message(1)).await.is_ok());
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

#[test]
fn settings_that_make_no_sense_are_told() {
    let problem = |limits: Value| {
        let config: Config = serde_json::from_value(json!({ "limits": limits })).unwrap();
        config.check().map_err(String::from)
    };
    for (limits, words) in [
        (json!([{ "by": "key" }]), "`limits[0]` limits nothing"),
        (json!([{ "by": [], "concurrent": 1 }]), "empty list for `by`"),
        (json!([{ "by": ["all", "key"], "concurrent": 1 }]), "goes by `all` and something else"),
        (json!([{ "by": ["key", "key"], "concurrent": 1 }]), "names the same twice"),
        (json!([{ "by": "key", "tokens": "1/m", "burst": 5 }]), "no `requests`"),
        (json!([{ "by": "key", "requests": "1/d", "burst": 5 }]), "of a day or a month"),
        (json!([{ "by": "key", "requests": "1/d", "name": "" }]), "is empty"),
        (json!([{ "by": "key", "requests": "1/s" }, { "by": "key", "requests": "9/s" }]), "give one of them a `name`"),
    ] {
        let problem = problem(limits).unwrap_err();
        assert!(problem.contains(words), "{problem}");
    }
    assert!(problem(json!([{ "by": "key", "requests": "1/s" }, { "by": "key", "requests": "9/d" }])).is_ok());
    let reads = |config: Value| serde_json::from_value::<Config>(config).map_err(|error| error.to_string());
    for (config, words) in [
        (json!({ "limits": [{ "by": "kye", "concurrent": 1 }] }), "told apart by"),
        (json!({ "limits": [{ "by": "header:x y", "concurrent": 1 }] }), "not the name of a header"),
        (json!({ "time_zone": "Europe/Berln" }), "is not a time zone"),
        (json!({ "weights": { "input": -1 } }), "is not a weight"),
        (json!({ "max_subjects": 1 }), "at least 16"),
    ] {
        let problem = reads(config).unwrap_err();
        assert!(problem.contains(words), "{problem}");
    }
    let config =
        json!({ "limits": [{ "by": ["key", "header:x-a"], "requests": "1/s" }], "time_zone": "Europe/Berlin" });
    let written = serde_json::to_value(reads(config).unwrap()).unwrap();
    assert_eq!(written["limits"][0]["by"], json!(["key", "header:x-a"]));
    assert_eq!((&written["time_zone"], &written["weights"]["cache_read"]), (&json!("Europe/Berlin"), &json!(0.1)));
}

#[test]
fn the_memory_of_the_same_limit_on_many_routes_is_counted_once() {
    let config = |name: &str| -> Config {
        serde_json::from_value(json!({ "limits": [{ "name": name, "by": "key", "requests": "1/s" }] })).unwrap()
    };
    let (a, b) = (config("a"), config("b"));
    let one = RateLimit::memory(&[&a]);
    assert_eq!((RateLimit::memory(&[&a, &a]), RateLimit::memory(&[])), (one, 0));
    assert!(RateLimit::memory(&[&a, &b]) > one);
}

//! Calls against settings, as a gateway would hand them to the plugin, with the test in the upstream's place: here, who is
//! given which answer.

mod agent;
mod kept;
mod settings;
mod shared;

use std::time::SystemTime;

use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode};
use plugin_api::testing::{ID, TestCall, TestRequest, context};
use plugin_api::{
    Answer, AnswerState, Broken, ByteSize, Bytes, Context, HeaderEdit, ModelCall, Period, Principal, Usage, Uuid,
};

use super::*;

const JSON: &str = r#"{"id":"msg_1","type":"message"}"#;

fn cache(change: impl FnOnce(&mut Config)) -> (Arc<Caches>, ResponseCache) {
    let caches = Arc::new(Caches::default());
    let cache = again(&caches, change);
    (caches, cache)
}

fn again(caches: &Arc<Caches>, change: impl FnOnce(&mut Config)) -> ResponseCache {
    let mut config = Config::default();
    change(&mut config);
    caches.install(&config).unwrap()
}

fn request() -> TestRequest {
    TestRequest::to(Endpoint::MESSAGES).header("x-api-key", "sk-a")
}

fn call() -> ModelCall {
    TestCall::new().model("m").max_tokens(9).to(Endpoint::MESSAGES)
}

/// An exchange with the cache.
struct Exchange<'a> {
    cache: &'a ResponseCache,
    state: State,
    context: Context,
    call: ModelCall,
    /// What its answer says of itself when its last bytes come, if that is known by then.
    says: Option<Answer>,
}

impl<'a> Exchange<'a> {
    async fn begin(cache: &'a ResponseCache, request: &TestRequest, mut call: ModelCall) -> (Self, Option<Reply>) {
        let (mut state, mut context) = (State::default(), context());
        let flow = plugin_api::on_request(cache, &mut state, &mut request.request(&mut context)).await;
        assert!(matches!(flow, Flow::Continue));
        let flow = plugin_api::on_call(cache, &mut state, &mut Call { context: &mut context, body: &mut call }).await;
        let reply = if let Flow::Answer(reply) = flow { Some(*reply) } else { None };
        (Self { cache, state, context, call, says: None }, reply)
    }

    /// What the ledger will say of the cache.
    fn cache_status(&self) -> Option<&str> {
        self.context.tags.get(tags::CACHE_STATUS).map(|status| &**status)
    }

    /// The answer's head comes from upstream; the value of `x-cache`.
    fn head(&mut self, status: u16, headers: &HeaderMap) -> Option<String> {
        let status = StatusCode::from_u16(status).unwrap();
        let request = TestRequest::to(Endpoint::MESSAGES);
        let mut response = request.response(&mut self.context, status, headers);
        assert!(self.cache.try_on_response(&mut self.state, &mut response).is_some());
        response.edits.iter().find_map(|edit| match edit {
            HeaderEdit::Set(name, value) if name == X_CACHE => Some(value.to_str().unwrap().to_owned()),
            _ => None,
        })
    }

    fn chunk(&mut self, text: &str, last: bool) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let mut chunk = Chunk { context: &self.context, bytes: &bytes, last, complete: false };
        self.cache.on_chunk(&mut self.state, &mut chunk);
        if last {
            let record =
                Record { answer: self.says.clone().map(Box::new), ..Record::begun(Uuid::nil(), SystemTime::now()) };
            self.cache.before_last_byte(&mut self.state, &record);
        }
    }

    fn log(mut self, answer: Option<Answer>) {
        let answer = answer.map(Box::new);
        let record = Record { answer, outcome: Outcome::Completed, ..Record::begun(Uuid::nil(), SystemTime::now()) };
        self.cache.on_complete(&mut self.state, &record);
    }

    fn fail(mut self, end: Outcome) {
        self.cache
            .on_complete(&mut self.state, &Record { outcome: end, ..Record::begun(Uuid::nil(), SystemTime::now()) });
    }

    /// A whole answer comes from upstream.
    fn answer(mut self, body: &str) {
        assert_eq!(self.head(200, &json_headers()).as_deref(), Some("MISS"));
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
            let mark = exchange.head(200, &json_headers()).unwrap_or_default();
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
    assert_eq!(exchange.cache_status(), Some("miss"));
    assert!(exchange.call.detach_until.is_some());
    exchange.answer(JSON);
    let (exchange, reply) = Exchange::begin(&cache, &request(), call()).await;
    let reply = reply.unwrap();
    assert_eq!(exchange.cache_status(), Some("hit"));
    assert!(exchange.call.detach_until.is_none());
    let header = |name: &str| reply.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("x-cache").unwrap(), "HIT");
    assert_eq!(header("age").unwrap(), "0");
    assert_eq!(header("request-id").unwrap(), ID.to_string());
    assert_eq!(header("x-request-id").unwrap(), ID.to_string());
    assert_eq!(header("x-cached-request-id").unwrap(), "req_1");
    assert_eq!(header("content-type").unwrap(), "application/json");
    assert!(header("set-cookie").is_none() && header("date").is_none());
    assert_eq!((reply.status, reply.outcome), (StatusCode::OK, Outcome::Cached));
    assert!(reply.saved.as_ref().unwrap().usage.is_some());
    assert_eq!(text(reply).await, JSON);
}

#[tokio::test]
async fn no_two_calls_that_differ_share_an_answer() {
    let (_, cache) = cache(|config| config.vary = vec!["x-team".into()]);
    let body = || TestCall::new().model("m").max_tokens(9);
    let requests: Vec<(TestRequest, ModelCall)> = vec![
        (request(), call()),
        (TestRequest::to(Endpoint::MESSAGES).header("x-api-key", "sk-b"), call()),
        (TestRequest::to(Endpoint::MESSAGES).header("authorization", "Bearer sk-a"), call()),
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
        (request().header("accept-encoding", "dcb"), call()),
        (request().header("accept-encoding", "*"), call()),
        (request().header("accept-encoding", "gzip;q=0, *"), call()),
        (request(), body().with("stream", "true").to(Endpoint::MESSAGES)),
        (request(), body().with("temperature", "1").to(Endpoint::MESSAGES)),
        (request(), body().with("temperature", "1.0").to(Endpoint::MESSAGES)),
        (TestRequest::to(Endpoint::COMPLETIONS).header("x-api-key", "sk-a"), body().to(Endpoint::COMPLETIONS)),
    ];
    for (number, (request, call)) in requests.into_iter().enumerate() {
        let call_again = ModelCall::new(
            call.endpoint(),
            call.text().clone(),
            None,
            plugin_api::ParsedBody::Calls(call.calls().to_vec()),
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
    ask(&cache, &request("b, a").header("accept-encoding", "gzip, br"), call(), "1").await;
    let other = request("a")
        .header("accept-encoding", "BR;q=0.5,gzip")
        .header("anthropic-beta", "b")
        .header("x-stainless-retry-count", "1")
        .header("user-agent", "x");
    let call = TestCall::new().with("metadata", r#"{"user_id":"u"}"#).max_tokens(9).model("m");
    assert_eq!(ask(&cache, &other, call.to(Endpoint::MESSAGES), "2").await, ("HIT".into(), "1".into()));
}

#[tokio::test]
async fn a_call_that_a_client_or_a_rule_keeps_out_is_marked_and_neither_given_nor_kept() {
    let (_, cache) = cache(|_| {});
    ask(&cache, &request(), call(), "kept").await;
    for (request, call) in [
        (request().header("cache-control", "no-cache"), call()),
        (request().header("cache-control", "no-store"), call()),
        (TestRequest::to(Endpoint::MESSAGES), call()),
        (request(), TestCall::new().model("m").max_tokens(0).to(Endpoint::MESSAGES)),
        (request(), TestCall::new().model("m").model("m").to(Endpoint::MESSAGES)),
        (request(), TestCall::new().with("container", "\"c\"").to(Endpoint::MESSAGES)),
        (request(), plugin_api::testing::unreadable(Endpoint::MESSAGES, "x")),
    ] {
        let (mut exchange, reply) = Exchange::begin(&cache, &request, call).await;
        assert!(reply.is_none());
        assert_eq!(exchange.cache_status(), Some("bypass"));
        assert!(exchange.call.detach_until.is_none());
        assert_eq!(exchange.head(200, &json_headers()).as_deref(), Some("BYPASS"));
        exchange.chunk(JSON, true);
        exchange.log(Some(complete()));
    }
    assert_eq!(ask(&cache, &request(), call(), "x").await, ("HIT".into(), "kept".into()));
}

#[tokio::test]
async fn paths_that_are_not_named_are_left_alone() {
    let (_, cache) = cache(|config| config.paths = vec!["/v1/embeddings".into()]);
    let (mut exchange, reply) = Exchange::begin(&cache, &request(), call()).await;
    assert!(reply.is_none() && exchange.cache_status().is_none());
    assert_eq!(exchange.head(200, &json_headers()), None);
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
async fn the_scope_says_who_shares() {
    let (_, cache) = cache(|config| config.scope = Scope::Header("x-tenant".into()));
    let request = |key, tenant| TestRequest::to(Endpoint::MESSAGES).header("x-api-key", key).header("x-tenant", tenant);
    ask(&cache, &request("a", "t"), call(), "1").await;
    assert_eq!(ask(&cache, &request("b", "t"), call(), "2").await.0, "HIT");
    assert_eq!(ask(&cache, &request("a", "u"), call(), "2").await.0, "MISS");
    assert_eq!(ask(&cache, &request("a", "t").header("x-tenant", "u"), call(), "2").await.0, "BYPASS");
    assert_eq!(ask(&cache, &request("a", ""), call(), "2").await.0, "BYPASS");
    let from = |secret, key: Option<&str>, tenant: Option<&str>| {
        let name = |name: &str| Arc::from(name);
        let principal = Principal { key_name: key.map(name), tenant: tenant.map(name), ..Principal::UNKNOWN };
        TestRequest::to(Endpoint::MESSAGES).header("x-api-key", secret).from(principal)
    };
    let (_, cache) = self::cache(|config| config.scope = Scope::Tenant);
    ask(&cache, &from("1", Some("alice"), Some("a")), call(), "1").await;
    assert_eq!(ask(&cache, &from("2", Some("bob"), Some("a")), call(), "2").await.0, "HIT");
    assert_eq!(ask(&cache, &from("1", Some("alice"), Some("b")), call(), "2").await.0, "MISS");
    assert_eq!(ask(&cache, &from("1", Some("a"), None), call(), "2").await.0, "BYPASS");
    let (_, cache) = self::cache(|config| config.scope = Scope::Key);
    ask(&cache, &from("1", Some("alice"), Some("a")), call(), "1").await;
    assert_eq!(ask(&cache, &from("2", Some("alice"), Some("a")), call(), "2").await.0, "HIT");
    assert_eq!(ask(&cache, &from("1", Some("bob"), Some("a")), call(), "2").await.0, "MISS");
    for tenant in [Some("b"), None] {
        let of_another = from("1", Some("alice"), tenant);
        assert_eq!(ask(&cache, &of_another, call(), "2").await.0, "MISS", "a name that another tenant has, too");
    }
    assert_eq!(ask(&cache, &from("1", None, Some("alice")), call(), "2").await.0, "BYPASS");
    let (_, cache) = self::cache(|config| config.scope = Scope::Name("all".into()));
    ask(&cache, &request("a", "t"), call(), "1").await;
    assert_eq!(ask(&cache, &TestRequest::to(Endpoint::MESSAGES), call(), "2").await.0, "HIT");
}

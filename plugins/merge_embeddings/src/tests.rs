//! The plugin before an upstream of the tests' own, without sockets and on tokio's paused clock.

use std::collections::VecDeque;
use std::path::Path;
use std::pin::pin;
use std::sync::Mutex;

use futures_util::future::join_all;
use plugin_api::http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use plugin_api::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use plugin_api::testing::{TestRequest, context};
use plugin_api::{
    Body, CallFacts, Context, ErrorKind, Outcome as How, ParsedBody, SendError, SendFailure, SendLimits, Sending,
    SentTo, Shared, UpstreamBody, UpstreamRequest, UpstreamResponse, UpstreamSender,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep};

use super::*;

/// What the upstream does with one request, in the place of answering it.
#[derive(Clone)]
enum Does {
    Answers(StatusCode, &'static str),
    Fails(SendError),
    /// Never answers.
    Hangs,
}

/// An upstream that has an embedding for each input, in 30 ms.
#[derive(Default)]
struct Upstream {
    asked: Mutex<Vec<UpstreamRequest>>,
    does: Mutex<VecDeque<Does>>,
    /// Requests that were given up.
    ended: Arc<Mutex<usize>>,
}

/// Counts a request that is dropped before it is answered.
struct Running(Arc<Mutex<usize>>, bool);

impl Running {
    fn answered(&mut self) {
        self.1 = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.lock().unwrap() += usize::from(!self.1);
    }
}

/// The tokens of an input, as a tokenizer that knows more than bytes might count them.
fn tokens(input: &Value) -> u64 {
    match input {
        Value::String(text) => 1 + text.chars().filter(|c| "aeiou ".contains(*c)).count() as u64,
        other => other.as_array().unwrap().len() as u64,
    }
}

/// What the upstream answers to a call alone, byte for byte.
fn alone(call: &[u8]) -> String {
    let call: Value = serde_json::from_slice(call).unwrap();
    let inputs = match &call["input"] {
        Value::Array(inputs) if !inputs[0].is_number() => inputs.clone(),
        one => vec![one.clone()],
    };
    let embedding = |input: &Value| {
        let digest = blake3::hash(input.to_string().as_bytes());
        match call["encoding_format"].as_str() {
            Some("base64") => format!("\"{}\"", digest.to_hex()),
            _ => format!("[0.{:0>5}, -1.50e-{}]", digest.as_bytes()[0], digest.as_bytes()[1]),
        }
    };
    let data: Vec<String> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            format!("{{\"object\": \"embedding\", \"index\": {index}, \"embedding\": {}}}", embedding(input))
        })
        .collect();
    let used: u64 = inputs.iter().map(tokens).sum();
    format!(
        "{{\"object\": \"list\", \"data\": [\n  {}\n], \"model\": \"m-1\", \"usage\": {{\"prompt_tokens\": {used}, \"total_tokens\": {used}}}}}\n",
        data.join(",\n  ")
    )
}

struct At(Arc<Upstream>);

impl UpstreamSender for At {
    fn send(&self, request: UpstreamRequest) -> Sending {
        let body = alone(&request.body);
        self.0.asked.lock().unwrap().push(request);
        let does = self.0.does.lock().unwrap().pop_front();
        let mut running = Running(self.0.ended.clone(), false);
        Box::pin(async move {
            sleep(Duration::from_millis(30)).await;
            let (status, body) = match does {
                Some(Does::Hangs) => std::future::pending().await,
                Some(Does::Fails(error)) => return Err(error),
                Some(Does::Answers(status, body)) => (status, body.to_owned()),
                None => (StatusCode::OK, body),
            };
            running.answered();
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert("x-request-id", HeaderValue::from_static("r1"));
            headers.insert("etag", HeaderValue::from_static("\"1\""));
            let pieces = futures_util::stream::iter([Ok(Bytes::from(body))]);
            let sent = Box::new(SentTo { attempts: 1, ..SentTo::nowhere("a".into()) });
            Ok(UpstreamResponse { status, headers, body: UpstreamBody::new(pieces), sent })
        })
    }
}

/// A gateway's part of the plugin's world.
struct World {
    upstream: Arc<Upstream>,
    plugin: MergeEmbeddings,
}

fn world() -> World {
    with(Config::default())
}

fn with(config: Config) -> World {
    let upstream = Arc::new(Upstream::default());
    let common = Arc::new(Common::default());
    common.upstreams.connect(Arc::new(At(upstream.clone())));
    let (shared, secrets) = (Arc::default(), Arc::default());
    let build = BuildContext { base: Path::new(""), shared: &shared, secrets: &secrets, common: &common };
    World { upstream, plugin: MergeEmbeddings::build(&config, &build).unwrap() }
}

/// A call, and what its caller sends beside the body.
#[derive(Clone, Debug)]
struct Asks {
    body: String,
    headers: Vec<(HeaderName, &'static str)>,
    tenant: Option<&'static str>,
    target: &'static str,
}

fn asks(body: impl ToString) -> Asks {
    Asks { body: body.to_string(), headers: Vec::new(), tenant: Some("t"), target: "/v1/embeddings" }
}

fn text(input: &str) -> Asks {
    asks(json!({ "model": "m", "input": input }))
}

/// What a caller got: of the plugin, or, with `false`, of the upstream, alone.
#[derive(Debug, PartialEq)]
struct Got {
    status: u16,
    body: String,
    of_plugin: bool,
}

impl World {
    /// A call on its way upstream, which goes there alone if the plugin lets it go.
    async fn call(&self, asks: Asks) -> Got {
        let mut state = State::default();
        let (flow, request) = self.send(&mut state, &asks).await;
        if let Flow::Answer(reply) = flow {
            let Body::Whole(body) = reply.body else { panic!() };
            assert!(reply.outcome == How::Completed || reply.outcome == How::UpstreamFailed);
            let body = String::from_utf8(body.to_vec()).unwrap();
            return Got { status: reply.status.as_u16(), body, of_plugin: true };
        }
        assert!(matches!(flow, Flow::Continue), "{flow:?}");
        let sent = At(self.upstream.clone()).send(request).await;
        let response = sent.unwrap();
        let body = response.body.whole(1 << 20).await.unwrap();
        Got { status: response.status.as_u16(), body: String::from_utf8(body.to_vec()).unwrap(), of_plugin: false }
    }

    async fn send(&self, state: &mut State, asks: &Asks) -> (Flow, UpstreamRequest) {
        let mut context: Context = context();
        let mut request = TestRequest::to(Endpoint::EMBEDDINGS);
        for (name, value) in &asks.headers {
            request = request.header(name.as_str().to_owned().leak(), value);
        }
        context.principal_mut().tenant = asks.tenant.map(Into::into);
        assert!(self.plugin.try_on_request(state, &mut request.request(&mut context)).is_some());
        let facts = ParsedBody::Calls(vec![CallFacts::default()]);
        let body = ModelCall::new(Endpoint::EMBEDDINGS, asks.body.clone().into(), None, facts);
        let mut call = OutgoingCall {
            context: &mut context,
            call: &body,
            upstream: &"a".into(),
            upstream_has_credential: false,
            method: &Method::POST,
            target: asks.target,
            headers: request.headers().clone(),
            limits: SendLimits::default(),
        };
        assert!(self.plugin.sends(state, &body));
        let flow = self.plugin.on_send(state, &mut call).await;
        (flow, call.request(body.body().clone()))
    }

    /// Calls that come at once, behind one that is under way, which is left out.
    async fn burst(&self, calls: Vec<Asks>) -> Vec<Got> {
        let first = Asks { body: calls[0].body.clone(), ..calls[0].clone() };
        let mut all = vec![first];
        all.extend(calls);
        let mut got = join_all(all.into_iter().map(|asks| self.call(asks))).await;
        assert!(!got.remove(0).of_plugin, "the first goes at once");
        got
    }

    /// How many inputs each request upstream had.
    fn inputs(&self) -> Vec<usize> {
        let asked = self.upstream.asked.lock().unwrap();
        let count = |request: &UpstreamRequest| Inputs::of(&request.body).map_or(0, |inputs| inputs.count);
        asked.iter().map(count).collect()
    }

    fn figure(&self, name: &str, label: &str) -> f64 {
        let mut families = self.plugin.merging.collectors().into_iter().flat_map(|collector| collector.collect());
        let family = families.find(|family| family.name() == name).unwrap();
        let of = |metric: &plugin_api::prometheus::proto::Metric| {
            metric.get_label().iter().any(|pair| pair.value() == label) || label.is_empty()
        };
        let metric = family.get_metric().iter().find(|metric| of(metric)).unwrap();
        metric.get_counter().get_value()
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_together_are_one_upstream_and_each_gets_what_it_would_have_got_alone() {
    let world = world();
    let calls: Vec<Asks> = vec![
        text("hello world"),
        asks(json!({ "model": "m", "input": ["aa", "b\u{e9}\n\"x\""] })),
        text("hello world"),
        asks(r#"{"model":"m","input":"caf\u00e9"}"#),
    ];
    let bodies: Vec<String> = calls.iter().map(|asks| asks.body.clone()).collect();
    let got = world.burst(calls).await;
    assert_eq!(world.inputs(), [1, 5]);
    let mut used = 0;
    for (got, body) in got.iter().zip(&bodies) {
        assert!(got.of_plugin);
        let (own, alone): (Value, Value) =
            (serde_json::from_str(&got.body).unwrap(), serde_json::from_str(&alone(body.as_bytes())).unwrap());
        assert_eq!(own["data"], alone["data"]);
        assert_eq!(got.body.split("\"usage\"").next(), crate::tests::alone(body.as_bytes()).split("\"usage\"").next());
        assert_eq!(own["usage"]["prompt_tokens"], own["usage"]["total_tokens"]);
        used += own["usage"]["total_tokens"].as_u64().unwrap();
    }
    let whole: Value = serde_json::from_str(&alone(&world.upstream.asked.lock().unwrap()[1].body)).unwrap();
    assert_eq!(used, whole["usage"]["total_tokens"].as_u64().unwrap(), "the shares are the whole");
    assert_eq!(
        (world.figure("tollgate_merge_calls_total", "merged"), world.figure("tollgate_merge_upstream_calls_total", "")),
        (4.0, 1.0)
    );
    assert_eq!(world.plugin.merging.groups.keys(), 0);
}

#[tokio::test]
async fn a_call_waits_for_its_window_at_most() {
    // the machine may be busy with other things
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let world = with(Config { window: plugin_api::Period::from_millis(20), ..Config::default() });
        let began = Instant::now();
        let got = world.burst(vec![text("a"), text("b")]).await;
        assert!(got.iter().all(|got| got.of_plugin));
        quickest = quickest.min(began.elapsed());
    }
    assert!((50..60).contains(&quickest.as_millis()), "the window and the answer: {quickest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_with_no_other_under_way_goes_at_once_and_as_it_came() {
    let world = world();
    for _ in 0..3 {
        let began = Instant::now();
        let got = world.call(text("a")).await;
        assert_eq!((got.of_plugin, began.elapsed().as_millis()), (false, 30));
    }
    // one that has waited in vain goes as it came, too
    let calls = [Duration::ZERO, Duration::from_millis(1)].map(|after| {
        let world = &world;
        async move {
            sleep(after).await;
            world.call(text("a")).await.of_plugin
        }
    });
    assert_eq!(join_all(calls).await, [false, false]);
    assert_eq!(world.upstream.asked.lock().unwrap().len(), 5);
    assert_eq!(world.figure("tollgate_merge_calls_total", "alone"), 5.0);
}

#[tokio::test(start_paused = true)]
async fn a_group_has_no_more_calls_than_it_may_and_no_more_tokens_than_the_upstream_takes() {
    let world = with(Config { max: plugin_api::Count::clamped(4), ..Config::default() });
    let got = world.burst((0..9).map(|number| text(&number.to_string())).collect()).await;
    assert_eq!(got.iter().filter(|got| got.of_plugin).count(), 8, "the last was alone in its window");
    assert_eq!(world.inputs(), [1, 4, 4, 1]);
    let world = super::tests::world();
    let long = "a".repeat(200_000);
    world.burst(vec![text(&long), text(&long), text(&"a".repeat(400_000))]).await;
    assert_eq!(world.inputs().len(), 4, "each went alone");
    let large = json!({ "model": "m", "input": vec!["a"; 200] });
    let world = super::tests::world();
    world.burst(vec![asks(&large), asks(&large), text("b")]).await;
    assert_eq!(
        world.inputs().iter().filter(|inputs| **inputs > inputs::MOST_INPUTS).count(),
        0,
        "{:?}",
        world.inputs()
    );
}

#[tokio::test(start_paused = true)]
async fn calls_that_differ_in_more_than_their_inputs_are_never_merged() {
    let credential = |key| Asks { headers: vec![(AUTHORIZATION, key)], ..text("a") };
    let one = asks(json!({ "model": "m", "input": "a" }));
    let different = [
        one.clone(),
        asks(json!({ "model": "other", "input": "a" })),
        asks(json!({ "model": "m", "input": "a", "dimensions": 3 })),
        asks(json!({ "model": "m", "input": "a", "encoding_format": "base64" })),
        asks(json!({ "model": "m", "input": "a", "user": "u" })),
        asks(json!({ "model": "m", "input": "a", "unknown": 1 })),
        asks(json!({ "model": "m", "input": [1, 2] })),
        Asks { tenant: Some("other"), ..one.clone() },
        Asks { tenant: None, ..one.clone() },
        Asks { target: "/v1/embeddings?api-version=1", ..one.clone() },
        credential("Bearer 1"),
        credential("Bearer 2"),
        Asks { tenant: None, ..credential("Bearer 1") },
        Asks { headers: vec![(HeaderName::from_static("openai-project"), "p")], ..one.clone() },
    ];
    let world = world();
    // the first of each kind goes at once
    let got = join_all(different.iter().cloned().map(|asks| world.call(asks))).await;
    assert!(got.iter().all(|got| !got.of_plugin));
    // and behind those, each waits for its own kind
    let behind = different.iter().cloned().chain(different.iter().cloned()).map(|asks| world.call(asks));
    let first = join_all(different.iter().cloned().map(|asks| world.call(asks)));
    let (_, got) = futures_util::future::join(first, join_all(behind)).await;
    assert!(got.iter().all(|got| got.of_plugin));
    let twice = world.inputs().split_off(2 * different.len());
    assert_eq!(twice, vec![2; different.len()]);
    // what tells calls apart by name only is no difference
    let same = [
        vec![(USER_AGENT, "a"), (HeaderName::from_static("x-request-id"), "1")],
        vec![(USER_AGENT, "b"), (HeaderName::from_static("x-stainless-os"), "Linux")],
    ];
    let world = super::tests::world();
    let got = world.burst(same.into_iter().map(|headers| Asks { headers, ..one.clone() }).collect()).await;
    assert!(got.iter().all(|got| got.of_plugin));
    let sent = world.upstream.asked.lock().unwrap()[1].headers.clone();
    assert!(!sent.contains_key("x-request-id"));
    assert_eq!(sent["accept-encoding"], "identity");
    // and a call that may be sent twice is never changed
    let key = vec![(HeaderName::from_static("idempotency-key"), "k")];
    let got = world.burst(vec![Asks { headers: key.clone(), ..one.clone() }, Asks { headers: key, ..one }]).await;
    assert!(got.iter().all(|got| !got.of_plugin));
}

#[tokio::test(start_paused = true)]
async fn a_merged_call_that_is_refused_is_sent_again_as_what_it_was_made_of() {
    for status in [400, 413, 422] {
        let world = world();
        let does = [None, Some(StatusCode::from_u16(status).unwrap())];
        let does = does.map(|status| Does::Answers(status.unwrap_or(StatusCode::OK), "{}"));
        *world.upstream.does.lock().unwrap() = does.into();
        let got = world.burst(vec![text("a"), text("b")]).await;
        for (got, input) in got.iter().zip(["a", "b"]) {
            let body = alone(text(input).body.as_bytes());
            assert_eq!(*got, Got { status: 200, body, of_plugin: false });
        }
        assert_eq!(world.inputs(), [1, 2, 1, 1]);
        // for a while none is merged, as the same input may come again
        world.burst(vec![text("a"), text("b")]).await;
        assert_eq!(world.inputs()[4..], [1, 1, 1]);
        advance(Duration::from_secs(2)).await;
        assert_eq!(world.figure("tollgate_merge_calls_total", "again"), 2.0);
    }
}

#[tokio::test(start_paused = true)]
async fn other_errors_are_those_of_every_caller() {
    for status in [401, 403, 404, 429, 500, 503, 529] {
        let world = world();
        let status = StatusCode::from_u16(status).unwrap();
        *world.upstream.does.lock().unwrap() =
            [Does::Answers(StatusCode::OK, "{}"), Does::Answers(status, "{\"error\":1}")].into();
        let got = world.burst(vec![text("a"), text("b")]).await;
        let wanted = || Got { status: status.as_u16(), body: "{\"error\":1}".to_owned(), of_plugin: true };
        assert_eq!(got, [wanted(), wanted()]);
        assert_eq!(world.inputs(), [1, 2]);
    }
    // nor is one tried again that no server took
    let sent = Box::new(SentTo { error: Some("connect"), ..SentTo::nowhere("a".into()) });
    let (kind, status, message) = (ErrorKind::BadGateway, StatusCode::BAD_GATEWAY, "no");
    let failure = SendError::Failed(Box::new(SendFailure { kind, status, message, retry_after: None, sent }));
    let world = world();
    *world.upstream.does.lock().unwrap() = [Does::Answers(StatusCode::OK, "{}"), Does::Fails(failure)].into();
    let got = world.burst(vec![text("a"), text("b")]).await;
    assert!(got.iter().all(|got| got.status == 502 && got.body.contains("bad_gateway") && got.of_plugin), "{got:?}");
    // but where the gateway could not send or hold the merged one, each goes by itself
    for error in [SendError::NoMemory, SendError::TooLarge, SendError::Stopped, SendError::UnknownUpstream("a".into())]
    {
        let world = super::tests::world();
        *world.upstream.does.lock().unwrap() = [Does::Answers(StatusCode::OK, "{}"), Does::Fails(error)].into();
        let got = world.burst(vec![text("a"), text("b")]).await;
        assert!(got.iter().all(|got| got.status == 200 && !got.of_plugin), "{got:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_taken_apart_is_given_to_nobody() {
    for answer in [
        r#"{"data":[{"index":1},{"index":0}],"usage":{"prompt_tokens":7,"total_tokens":7}}"#,
        r#"{"data":[{"index":0}],"usage":{"prompt_tokens":7,"total_tokens":7}}"#,
        "no JSON",
    ] {
        let world = world();
        *world.upstream.does.lock().unwrap() =
            [Does::Answers(StatusCode::OK, "{}"), Does::Answers(StatusCode::OK, answer)].into();
        let got = world.burst(vec![text("a"), text("b")]).await;
        assert!(
            got.iter().zip(["a", "b"]).all(|(got, input)| got.body == alone(text(input).body.as_bytes())),
            "{got:?}"
        );
        assert_eq!(world.inputs(), [1, 2, 1, 1]);
        let discarded = if answer.starts_with('{') { 7.0 } else { 0.0 };
        assert_eq!(world.figure("tollgate_merge_discarded_tokens_total", ""), discarded);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_takes_its_own_part_and_the_last_one_the_call() {
    let world = world();
    *world.upstream.does.lock().unwrap() = [Does::Hangs, Does::Hangs].into();
    let mut first = pin!(world.call(text("first")));
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    // before the window passes: it is in no call
    let (mut a, mut b, mut c) =
        (Box::pin(world.call(text("a"))), Box::pin(world.call(text("b"))), Box::pin(world.call(text("c"))));
    for call in [&mut a, &mut b, &mut c] {
        assert!(futures_util::poll!(call.as_mut()).is_pending());
    }
    drop(a);
    while world.inputs() != [1, 2] {
        tokio::task::yield_now().await;
    }
    // while the call is under way, one that leaves does not end it
    drop(b);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(*world.upstream.ended.lock().unwrap(), 0);
    drop(c);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(*world.upstream.ended.lock().unwrap(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_when_each_caller_has_its_embeddings_and_the_usage_sums(
        calls in prop::collection::vec(
            (prop::collection::vec("[a-z \"\\\\é\n]{1,40}", 1..4), 0..12_u64, prop::bool::ANY, 0..3_u8),
            1..40,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = world();
            let run = |(inputs, after, is_base64, tenant): (Vec<String>, u64, bool, u8)| {
                let world = &world;
                async move {
                    sleep(Duration::from_millis(after)).await;
                    let mut body = json!({ "model": "m", "input": inputs });
                    if is_base64 {
                        body["encoding_format"] = "base64".into();
                    }
                    let asks = Asks { tenant: [Some("a"), Some("b"), None][usize::from(tenant)], ..asks(&body) };
                    let got = world.call(asks.clone()).await;
                    (asks.body, got)
                }
            };
            let mut used = 0;
            for (body, got) in join_all(calls.into_iter().map(run)).await {
                assert_eq!(got.status, 200);
                let (own, alone) = (got.body.split_once("\"usage\"").unwrap(), alone(body.as_bytes()));
                assert_eq!(own.0, alone.split_once("\"usage\"").unwrap().0);
                let answer: Value = serde_json::from_str(&got.body).unwrap();
                used += answer["usage"]["total_tokens"].as_u64().unwrap();
            }
            let asked = world.upstream.asked.lock().unwrap();
            let total = |request: &UpstreamRequest| {
                let answer: Value = serde_json::from_str(&alone(&request.body)).unwrap();
                answer["usage"]["total_tokens"].as_u64().unwrap()
            };
            assert_eq!(used, asked.iter().map(total).sum::<u64>());
            assert_eq!(world.plugin.merging.groups.keys(), 0);
        });
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let read = |text: &str| serde_json::from_str::<Config>(text);
    assert_eq!(read("{}").unwrap().check(), Ok(()));
    for wrong in [r#"{"window":"0"}"#, r#"{"window":"2s"}"#] {
        assert!(read(wrong).unwrap().check().is_err(), "{wrong}");
    }
    for wrong in [r#"{"max":1}"#, r#"{"max":257}"#, r#"{"windows":"1ms"}"#] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn an_explanation_says_whether_a_call_may_go_with_others() {
    let world = world();
    for (text, said) in [(r#"{"input":"a"}"#, "may go together"), (r#"{"input":""}"#, "goes alone")] {
        let (mut context, facts) = (context(), ParsedBody::Calls(vec![CallFacts::default()]));
        let mut body = ModelCall::new(Endpoint::EMBEDDINGS, Bytes::from(text), None, facts);
        let mut call = Call { context: &mut context, body: &mut body };
        let mut explanation = Explanation::default();
        let flow = world.plugin.explain_call(&mut State::default(), &mut call, &mut explanation).await;
        assert!(matches!(flow, Flow::Continue) && explanation.said()[0].contains(said), "{explanation:?}");
    }
}

//! The plugin before an upstream of the tests' own, mostly on tokio's paused clock.

mod failures;
mod upstream;
mod world;

use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use plugin_api::http::header::{AUTHORIZATION, USER_AGENT};
use plugin_api::http::{HeaderName, StatusCode};
use plugin_api::testing::context;
use plugin_api::{CallFacts, Count, ErrorKind, ParsedBody, Period, SendError, SendFailure, SentTo, UpstreamRequest};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep};

use self::upstream::{Does, alone};
use self::world::{Asks, Got, asks, text, with, world};
use super::*;

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
        assert_eq!(got.body.split("\"usage\"").next(), self::alone(body.as_bytes()).split("\"usage\"").next());
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
        let world = with(Config { window: Period::from_millis(20), ..Config::default() });
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
    let world = with(Config { max: Count::clamped(4), ..Config::default() });
    let got = world.burst((0..9).map(|number| text(&number.to_string())).collect()).await;
    assert_eq!(got.iter().filter(|got| got.of_plugin).count(), 8, "the last was alone in its window");
    assert_eq!(world.inputs(), [1, 4, 4, 1]);
    let world = self::world();
    let long = "a".repeat(200_000);
    world.burst(vec![text(&long), text(&long), text(&"a".repeat(400_000))]).await;
    assert_eq!(world.inputs().len(), 4, "each went alone");
    let large = json!({ "model": "m", "input": vec!["a"; 200] });
    let world = self::world();
    world.burst(vec![asks(&large), asks(&large), text("b")]).await;
    assert_eq!(world.inputs().iter().filter(|inputs| **inputs > 256).count(), 0, "{:?}", world.inputs());
    // the YAML says how many
    let world = with(Config { max_inputs: Count::clamped(500), ..Config::default() });
    world.burst(vec![asks(&large), asks(&large), text("b")]).await;
    assert_eq!(world.inputs(), [200, 401]);
    let world = with(Config { max_tokens: Count::clamped(3), ..Config::default() });
    world.burst(vec![text("aa"), text("b"), text("cc"), text("dddd")]).await;
    let mut inputs = world.inputs();
    inputs.sort_unstable();
    assert_eq!(inputs, [1, 1, 1, 2], "one of them is too long for any group");
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
    let world = self::world();
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
    for wrong in [
        r#"{"max":1}"#,
        r#"{"max":257}"#,
        r#"{"max_inputs":1}"#,
        r#"{"max_inputs":2049}"#,
        r#"{"max_tokens":0}"#,
        r#"{"windows":"1ms"}"#,
    ] {
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

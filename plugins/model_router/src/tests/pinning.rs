//! What conversations keep, over reloads and restarts, and when they move.

use std::time::SystemTime;

use plugin_api::http::StatusCode;
use plugin_api::testing::TestFolder;
use plugin_api::{Answer, AnswerState, JournalIn, OpenLedger, Outcome, SpendingReader};

use super::*;

#[tokio::test]
async fn a_conversation_keeps_its_model_whatever_it_says_next() {
    let host = Host::default();
    let router = host.router(auto(&json!([{ "when": { "text": "prove" }, "model": "large" }])));
    let caller = Caller::of(&router);
    let first = says("hello");
    assert_eq!(caller.call(&first).await.0.rule.as_deref(), Some("auto/otherwise"));
    let next = goes_on(&first, "hi", "prove it");
    let (routed, ..) = caller.call(&next).await;
    assert_eq!((&*routed.model, routed.rule.as_deref()), ("medium", Some("auto/otherwise; pinned")));
    // a conversation that begins so gets the other one, and keeps that too
    let other = says("prove it");
    assert_eq!(caller.model(&other).await, "large");
    assert_eq!(caller.model(&goes_on(&other, "done", "thanks")).await, "large");
    // another caller's, or another session's, is another conversation
    let key = Caller::of(&router).key("bob");
    assert_eq!(key.model(&next).await, "large");
    let session = Caller::of(&router).session("s2");
    assert_eq!(session.model(&next).await, "large");
}

#[tokio::test]
async fn a_session_keeps_its_model_for_all_that_it_asks() {
    let host = Host::default();
    let mut config = auto(&json!([{ "when": { "text": "prove" }, "model": "large" }]));
    config["auto"]["pin"] = json!("session");
    let router = host.router(config);
    let caller = Caller::of(&router).session("s1");
    assert_eq!(caller.model(&says("prove it")).await, "large");
    assert_eq!(caller.model(&says("a title for this")).await, "large");
    assert_eq!(Caller::of(&router).session("s2").model(&says("hello")).await, "medium");
    // without a session, by conversation
    let nobody = Caller::of(&router);
    assert_eq!(nobody.model(&says("hello")).await, "medium");
    assert_eq!(nobody.model(&says("prove it")).await, "large");
}

#[tokio::test]
async fn a_reload_changes_what_is_begun_and_not_what_goes_on() {
    let host = Host::default();
    let first = says("hello");
    let before = host.router(auto(&json!([])));
    assert_eq!(Caller::of(&before).model(&first).await, "medium");
    let other_rules = host.router(auto(&json!([{ "when": { "text": "*" }, "model": "large" }])));
    assert_eq!(Caller::of(&other_rules).model(&goes_on(&first, "hi", "more")).await, "medium");
    assert_eq!(Caller::of(&other_rules).model(&says("new")).await, "large");
    // a model that no rule has any more is not served
    let gone = host.router(json!({ "auto": { "otherwise": "small" } }));
    assert_eq!(Caller::of(&gone).model(&goes_on(&first, "hi", "more")).await, "small");
}

#[tokio::test]
async fn a_restart_knows_what_conversations_keep() {
    let folder = TestFolder::new().unwrap();
    let opened = || {
        let host = Host::default();
        let ledger = host.common.spending.feed().ledger();
        let ledger = OpenLedger {
            ledger,
            runs: Vec::new(),
            folder: folder.to_path_buf(),
            database: plugin_api::DatabaseId::of(&"a"),
            journal: JournalIn::Folder,
        };
        host.shared.opened(&ledger, true);
        host
    };
    let config = || {
        auto(
            &json!([{ "when": { "time": "00:00-00:01" }, "model": "large" }, { "when": { "text": "prove" }, "model": "large" }]),
        )
    };
    let first = says("hello");
    let host = opened();
    assert_eq!(Caller::of(&host.router(config())).model(&first).await, "medium");
    let host = opened();
    let (routed, ..) = Caller::of(&host.router(config())).call(&goes_on(&first, "hi", "prove it")).await;
    assert_eq!((&*routed.model, routed.rule.as_deref()), ("medium", Some("auto/otherwise; pinned")));
}

/// The record of a call that ended with this status and reason.
fn ended(status: u16, stop_reason: Option<&str>) -> Record {
    let mut record = Record::begun(testing::ID, SystemTime::now());
    record.status = Some(StatusCode::from_u16(status).unwrap());
    record.outcome = Outcome::Completed;
    let stop_reason = stop_reason.map(str::to_owned);
    record.answer = Some(Answer { state: AnswerState::Complete, stop_reason, ..Answer::default() }.into());
    record
}

#[tokio::test]
async fn a_conversation_moves_only_where_a_rule_says_so() {
    let host = Host::default();
    let router = host.router(json!({ "auto": { "otherwise": "small", "escalate": [
        { "on": ["context"], "from": "small", "to": "large" },
        { "on": "refusal", "to": "medium" },
    ] } }));
    assert!(router.needs().answer);
    let caller = Caller::of(&router);
    for (text, record, body, next) in [
        ("a", ended(200, Some("end_turn")), "", "small"),
        ("b", ended(200, Some("refusal")), "", "medium"),
        ("c", ended(500, None), "", "small"),
        ("d", ended(400, None), r#"{"error":{"message":"prompt is too long: 210000 tokens > 200000"}}"#, "large"),
        ("e", ended(400, None), r#"{"error":{"code":"context_length_exceeded"}}"#, "large"),
        ("f", ended(400, None), r#"{"error":{"message":"no"}}"#, "small"),
        ("g", ended(200, Some("model_context_window_exceeded")), "", "large"),
    ] {
        let call = says(text);
        let (_, mut state, mut context) = caller.call(&call).await;
        let headers = HeaderMap::new();
        let status = record.status.unwrap();
        let mut response = caller.request.response(&mut context, status, &headers);
        assert!(router.try_on_response(&mut state, &mut response).is_some());
        assert!(response.edits.iter().count() == 1, "{text}");
        let bytes = Bytes::from_static(body.as_bytes());
        router.on_chunk(&mut state, &mut Chunk { context: &context, bytes: &bytes, last: true, complete: false });
        router.before_last_byte(&mut state, &record);
        router.on_complete(&mut state, &record);
        let (routed, ..) = caller.call(&goes_on(&call, "x", "more")).await;
        assert_eq!(routed.model, next, "{text}");
        let is_escalated = routed.rule.as_deref().unwrap().starts_with("auto/escalated-");
        assert_eq!(is_escalated, next != "small", "{text}: {:?}", routed.rule);
    }
}

/// A call of `OpenAI`'s responses, which names the answer that it goes on from.
async fn respond(router: &ModelRouter, input: &str, previous: Option<&str>) -> (String, State, Context) {
    let text = json!({ "model": "auto", "input": input, "previous_response_id": previous }).to_string();
    let (endpoint, text) = (Endpoint::RESPONSES, Bytes::from(text));
    let (parsed, _) = protocols::parse(endpoint, &HeaderMap::new(), &text, Hashing::Nothing);
    let mut body = ModelCall::new(endpoint, text, None, parsed);
    let (mut state, mut context) = (State::default(), context());
    let mut call = Call { context: &mut context, body: &mut body };
    assert!(matches!(testing::on_call(router, &mut state, &mut call).await, Flow::Continue));
    let model = body.call().unwrap().model.clone().unwrap();
    (model, state, context)
}

#[tokio::test]
async fn a_call_that_names_an_answer_keeps_the_model_of_that_answer() {
    let host = Host::default();
    let router = host.router(auto(&json!([{ "when": { "text": "prove" }, "model": "large" }])));
    let (model, mut state, _) = respond(&router, "prove it", None).await;
    assert_eq!(model, "large");
    let mut record = ended(200, Some("completed"));
    record.answer.as_mut().unwrap().id = Some("resp_1".to_owned());
    router.before_last_byte(&mut state, &record);
    router.on_complete(&mut state, &record);
    let (model, mut state, context) = respond(&router, "thanks", Some("resp_1")).await;
    assert_eq!((&*model, context.tags.get(tags::RULE).map(|rule| &**rule)), ("large", Some("auto/1; pinned")));
    record.answer.as_mut().unwrap().id = Some("resp_2".to_owned());
    router.on_complete(&mut state, &record);
    assert_eq!(respond(&router, "more", Some("resp_2")).await.0, "large");
    assert_eq!(respond(&router, "more", Some("resp_3")).await.0, "medium");
}

#[tokio::test]
async fn one_call_moves_a_conversation_once() {
    let host = Host::default();
    let router = host.router(json!({ "auto": { "otherwise": "small", "escalate": [
        { "on": "error", "from": "small", "to": "medium" },
        { "on": "error", "from": "medium", "to": "large" },
    ] } }));
    let caller = Caller::of(&router);
    let call = says("a");
    let (_, mut state, _) = caller.call(&call).await;
    let record = ended(503, None);
    router.before_last_byte(&mut state, &record);
    router.on_complete(&mut state, &record);
    assert_eq!(caller.model(&goes_on(&call, "x", "more")).await, "medium");
}

#[tokio::test]
async fn a_long_call_is_decided_as_a_short_one() {
    let host = Host::default();
    let router = host.router(auto(&json!([{ "when": { "input_tokens": ">100000" }, "model": "large" }])));
    let caller = Caller::of(&router);
    let call = says(&"word ".repeat(200_000));
    assert_eq!(caller.call(&call).await.0.rule.as_deref(), Some("auto/1"));
    let (routed, ..) = caller.call(&goes_on(&call, "x", "more")).await;
    assert_eq!((&*routed.model, routed.rule.as_deref()), ("large", Some("auto/1; pinned")));
}

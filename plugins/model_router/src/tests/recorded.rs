//! A thousand calls as they are recorded: agents with tools, chats, questions about images and documents, code; several conversations at a
//! time. They are made up, the same each time.

mod talks;

use std::collections::HashMap;
use std::time::SystemTime;

use plugin_api::http::StatusCode;
use plugin_api::{Answer, AnswerState, Outcome, PastCall, Replayed};
use prices::{Prices, Terms, Tokens};

use self::talks::{Talk, Talks};
use super::*;

const CALLS: usize = 1000;

fn rules() -> Value {
    json!({ "auto": {
        "rules": [
            { "name": "agent", "when": { "tools": true, "turns": ">=3" }, "model": "claude-opus-5" },
            { "name": "short", "when": { "input_tokens": "<400", "tools": false, "images": false, "documents": false, "thinking": false, "max_tokens": "<=4000" }, "model": "claude-haiku-4-5" },
            { "name": "hard", "when": { "text": ["prove", "refactor*"] }, "model": "claude-opus-5" },
            { "name": "free", "when": { "tenant": "free" }, "model": "claude-haiku-4-5" },
        ],
        "otherwise": "claude-sonnet-4-5",
        "escalate": [{ "on": "refusal", "from": "claude-haiku-*", "to": "claude-sonnet-4-5" }],
    } })
}

/// What became of a call, as its row has it.
#[derive(Clone, Debug, PartialEq)]
struct Recorded {
    talk: usize,
    tenant: &'static str,
    session: Option<String>,
    turn: [u8; 16],
    previous_turn: Option<[u8; 16]>,
    stream: bool,
    tokens: Tokens,
    model: String,
    rule: String,
    refused: bool,
}

/// The next call of a conversation, as the router lets it go.
async fn routed(router: &ModelRouter, talk: &Talk) -> (Routed, State) {
    let mut caller = Caller::of(router);
    caller.principal.tenant = Some(talk.tenant().into());
    caller.principal.session = talk.session().map(Into::into);
    let (routed, state, _) = caller.call(&talk.body).await;
    (routed, state)
}

/// Its answer came whole, and ended for this reason.
fn end(router: &ModelRouter, state: &mut State, stop_reason: &str) {
    let mut record = Record::begun(testing::ID, SystemTime::now());
    (record.status, record.outcome) = (Some(StatusCode::OK), Outcome::Completed);
    let stop_reason = Some(stop_reason.to_owned());
    record.answer = Some(Answer { state: AnswerState::Complete, stop_reason, ..Answer::default() }.into());
    router.before_last_byte(state, &record);
    router.on_complete(state, &record);
}

fn stop_reason(refused: bool) -> &'static str {
    if refused { "refusal" } else { "end_turn" }
}

fn input_tokens(talk: &Talk) -> u64 {
    call_content::Content::read(Endpoint::MESSAGES, &talk.body.to_string()).input_tokens()
}

/// Has all calls decided by a router that has seen none before.
async fn all() -> Vec<Recorded> {
    let host = Host::default();
    let router = host.router(rules());
    let (mut talks, mut all) = (Talks::new(7), Vec::new());
    while all.len() < CALLS {
        let (routed, mut state) = routed(&router, talks.next()).await;
        let refused = routed.model.starts_with("claude-haiku") && talks.draws.below(20) == 0;
        end(&router, &mut state, stop_reason(refused));
        let output = 20 + talks.draws.below(900);
        let talk = talks.now();
        let content = input_tokens(talk);
        let (read, fresh) = (talk.cached.min(content), content.saturating_sub(talk.cached));
        let tokens = Tokens {
            input: Some(fresh / 2),
            cache_write: Some(fresh - fresh / 2),
            cache_read: Some(read),
            output: Some(output),
            ..Tokens::default()
        };
        talk.cached = content;
        all.push(Recorded {
            talk: talk.number,
            tenant: talk.tenant(),
            session: talk.session(),
            turn: talk.turn(),
            previous_turn: talk.previous_turn(),
            stream: talk.body["stream"] == json!(true),
            tokens,
            model: routed.model,
            rule: routed.rule.unwrap(),
            refused,
        });
        talks.answered();
    }
    all
}

fn cost(model: &str, tokens: &Tokens) -> f64 {
    let cost = Prices::default().cost(model, tokens, Terms::default()).unwrap();
    cost.picos() as f64 / 1e12
}

#[tokio::test]
async fn a_thousand_calls_are_decided_the_same_twice_and_conversations_keep_their_models() {
    let calls = all().await;
    assert_eq!(calls, all().await);
    // each rule decides some, and conversations have several calls
    for rule in ["short", "hard", "free", "otherwise"] {
        assert!(calls.iter().any(|call| call.rule == format!("auto/{rule}")), "{rule}");
    }
    let mut kept: HashMap<usize, &Recorded> = HashMap::new();
    let (mut pinned, mut moved) = (0, 0);
    for call in &calls {
        let Some(before) = kept.insert(call.talk, call) else {
            assert!(!call.rule.contains("pinned"), "{call:?}");
            continue;
        };
        assert!(call.rule.ends_with("; pinned"), "{call:?}");
        pinned += 1;
        if before.refused {
            assert_eq!((&*call.model, &*call.rule), ("claude-sonnet-4-5", "auto/escalated-refusal; pinned"));
            moved += 1;
        } else {
            assert_eq!(call.model, before.model, "{call:?}");
            assert_eq!(call.rule.trim_end_matches("; pinned"), before.rule.trim_end_matches("; pinned"));
        }
    }
    assert!(moved > 5, "{moved}");
    let routed: f64 = calls.iter().map(|call| cost(&call.model, &call.tokens)).sum();
    let dearest: f64 = calls.iter().map(|call| cost("claude-opus-5", &call.tokens)).sum();
    let middle: f64 = calls.iter().map(|call| cost("claude-sonnet-4-5", &call.tokens)).sum();
    println!(
        "{} calls of {} conversations: {:.1} % pinned, {moved} moved; {routed:.2} USD, with claude-opus-5 for all {dearest:.2} ({:.1} % saved), \
         with claude-sonnet-4-5 for all {middle:.2}",
        calls.len(),
        kept.len(),
        100.0 * f64::from(pinned) / calls.len() as f64,
        100.0 * (1.0 - routed / dearest),
    );
    assert!(routed < dearest * 0.9);
}

#[tokio::test]
async fn what_rows_tell_is_decided_as_it_was_and_the_rest_is_not_known() {
    let config: Config = serde_json::from_value(json!({ "auto": {
        "rules": [
            { "name": "long", "when": { "input_tokens": ">=1500" }, "model": "claude-opus-5" },
            { "name": "agent", "when": { "tools": true, "tenant": "team-b" }, "model": "claude-opus-5" },
            { "name": "free", "when": { "tenant": "free", "stream": true }, "model": "claude-haiku-4-5" },
        ],
        "otherwise": "claude-sonnet-4-5",
        "escalate": [{ "on": "refusal", "from": "claude-haiku-*", "to": "claude-sonnet-4-5" }],
    } }))
    .unwrap();
    let host = Host::default();
    let router = ModelRouter::build(
        &config,
        &BuildContext { base: Path::new("."), shared: &host.shared, secrets: &Arc::from([]), common: &host.common },
    )
    .unwrap();
    let mut replay = <ModelRouter as Plugin>::replay(&config).unwrap();
    let mut talks = Talks::new(11);
    let (mut same, mut unknown) = (0, 0);
    for _ in 0..CALLS {
        let (routed, mut state) = routed(&router, talks.next()).await;
        let stop_reason = stop_reason(talks.draws.below(15) == 0);
        end(&router, &mut state, stop_reason);
        let is_served = |model: &str| Some(model == routed.model);
        let talk = talks.now();
        let (session, conversation) = (talk.session(), format!("c{}", talk.number));
        let past = PastCall {
            asked: "auto",
            is_served: &is_served,
            tenant: Some(talk.tenant()),
            key: None,
            session: session.as_deref(),
            conversation: Some(&conversation),
            turn: Some(talk.turn()),
            previous_turn: talk.previous_turn(),
            input_tokens: Some(input_tokens(talk)),
            stream: Some(talk.body["stream"] == json!(true)),
            unix: 0,
            stop_reason: Some(stop_reason),
            status: Some(200),
            outcome: "completed",
        };
        match replay.choose(&past) {
            Replayed::Chosen { model, rule, pinned } => {
                let suffix = if pinned { "; pinned" } else { "" };
                assert_eq!((&*model, format!("{rule}{suffix}")), (&*routed.model, routed.rule.unwrap()));
                same += 1;
            }
            Replayed::Unknown(lacking) => {
                assert_eq!((lacking, talk.tenant()), ("tools", "team-b"));
                unknown += 1;
            }
            Replayed::Unrouted => panic!("it is routed"),
        }
        talks.answered();
    }
    assert!(same > 500 && unknown > 50, "{same} {unknown}");
}

//! A thousand calls as they are recorded: agents with tools, chats, questions about images and documents, code; several conversations at a
//! time. They are made up, the same each time.

use std::collections::HashMap;
use std::time::SystemTime;

use plugin_api::http::StatusCode;
use plugin_api::{Answer, AnswerState, Outcome, PastCall, Replayed};
use prices::{Prices, Terms, Tokens};

use super::*;

const CALLS: usize = 1000;
/// Conversations that go on at the same time.
const OPEN: usize = 12;

/// Numbers that look random and are the same each time.
struct Draws(u64);

impl Draws {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len() as u64) as usize]
    }
}

/// A conversation that is being had.
struct Talk {
    number: usize,
    kind: Kind,
    left: u64,
    body: Value,
    calls: u8,
    cached: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Chat,
    Agent,
    Picture,
    Paper,
    Code,
}

impl Talk {
    fn begun(number: usize, draws: &mut Draws) -> Self {
        let kind = match draws.below(10) {
            0..4 => Kind::Agent,
            4..7 => Kind::Chat,
            7 => Kind::Picture,
            8 => Kind::Paper,
            _ => Kind::Code,
        };
        let topic = draws.of(&["the harbour", "a parser", "this invoice", "die Größe", "теорему", "天気", "a poem"]);
        let verb = draws.of(&["explain", "prove", "refactor", "translate", "sum up", "compare"]);
        let text = format!("{verb} {topic}, number {number}. {}", "More words. ".repeat(draws.below(120) as usize));
        let image =
            json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } });
        let document = json!({ "type": "document", "source": { "type": "url", "url": "https://a.test/a.pdf" } });
        let text_block = json!({ "type": "text", "text": text });
        let content = match kind {
            Kind::Picture => json!([image, text_block]),
            Kind::Paper => json!([document, text_block]),
            Kind::Chat | Kind::Agent | Kind::Code => json!(text),
        };
        let mut body = json!({
            "model": "auto", "max_tokens": 100 + draws.below(8000), "stream": draws.below(2) == 0,
            "messages": [{ "role": "user", "content": content }],
        });
        if kind == Kind::Agent {
            body["system"] = json!([{ "type": "text", "text": "You are an agent. ".repeat(60) }]);
            body["tools"] = json!([{ "name": "read", "input_schema": { "type": "object" } }]);
        }
        if kind == Kind::Code && draws.below(3) == 0 {
            body["thinking"] = json!({ "type": "enabled", "budget_tokens": 2000 });
        }
        let left = if kind == Kind::Agent { 3 + draws.below(20) } else { 1 + draws.below(4) };
        Self { number, kind, left, body, calls: 0, cached: 0 }
    }

    /// The model has answered, and the user or a tool goes on.
    fn goes_on(&mut self, draws: &mut Draws) {
        let messages = self.body["messages"].as_array_mut().unwrap();
        if self.kind == Kind::Agent && draws.below(5) > 0 {
            messages.push(json!({ "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "read", "input": {} }] }));
            let result = "line\n".repeat(draws.below(400) as usize);
            messages.push(json!({ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t", "content": result }] }));
        } else {
            messages.push(json!({ "role": "assistant", "content": "Done. ".repeat(1 + draws.below(40) as usize) }));
            messages.push(json!({ "role": "user", "content": draws.of(&["go on", "and now prove it", "thanks", "refactoring, please"]) }));
        }
    }

    fn session(&self) -> Option<String> {
        (!self.number.is_multiple_of(3)).then(|| format!("s{}", self.number / 2))
    }

    fn tenant(&self) -> &'static str {
        ["team-a", "team-b", "free"][self.number % 3]
    }

    fn turn(&self, call: u8) -> [u8; 16] {
        let mut turn = [call; 16];
        turn[..8].copy_from_slice(&(self.number as u64).to_le_bytes());
        turn
    }
}

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

/// Has all calls decided by a router that has seen none before.
async fn all() -> Vec<Recorded> {
    let host = Host::default();
    let router = host.router(rules());
    let (mut draws, mut open, mut begun, mut all) = (Draws(7), Vec::new(), 0, Vec::new());
    while all.len() < CALLS {
        while open.len() < OPEN {
            open.push(Talk::begun(begun, &mut draws));
            begun += 1;
        }
        let at = draws.below(OPEN as u64) as usize;
        let talk = &mut open[at];
        let mut caller = Caller::of(&router);
        caller.principal.tenant = Some(talk.tenant().into());
        caller.principal.session = talk.session().map(Into::into);
        let (routed, mut state, _) = caller.call(&talk.body).await;
        let content = call_content::Content::read(Endpoint::MESSAGES, &talk.body.to_string()).input_tokens();
        let refused = routed.model.starts_with("claude-haiku") && draws.below(20) == 0;
        let mut record = Record::begun(testing::ID, SystemTime::now());
        (record.status, record.outcome) = (Some(StatusCode::OK), Outcome::Completed);
        let stop_reason = Some(if refused { "refusal" } else { "end_turn" }.to_owned());
        record.answer = Some(Answer { state: AnswerState::Complete, stop_reason, ..Answer::default() });
        router.before_last_byte(&mut state, &record);
        router.on_complete(&mut state, &record);
        let (read, fresh) = (talk.cached.min(content), content.saturating_sub(talk.cached));
        let tokens = Tokens {
            input: Some(fresh / 2),
            cache_write: Some(fresh - fresh / 2),
            cache_read: Some(read),
            output: Some(20 + draws.below(900)),
            ..Tokens::default()
        };
        talk.cached = content;
        let (turn, previous) = (talk.turn(talk.calls + 1), (talk.calls > 0).then(|| talk.turn(talk.calls)));
        all.push(Recorded {
            talk: talk.number,
            tenant: talk.tenant(),
            session: talk.session(),
            turn,
            previous_turn: previous,
            stream: talk.body["stream"] == json!(true),
            tokens,
            model: routed.model,
            rule: routed.rule.unwrap(),
            refused,
        });
        (talk.calls, talk.left) = (talk.calls + 1, talk.left - 1);
        talk.goes_on(&mut draws);
        if talk.left == 0 {
            open.swap_remove(at);
        }
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
    let (mut draws, mut open, mut begun) = (Draws(11), Vec::new(), 0);
    let (mut same, mut unknown) = (0, 0);
    for _ in 0..CALLS {
        while open.len() < OPEN {
            open.push(Talk::begun(begun, &mut draws));
            begun += 1;
        }
        let at = draws.below(OPEN as u64) as usize;
        let talk = &mut open[at];
        let mut caller = Caller::of(&router);
        caller.principal.tenant = Some(talk.tenant().into());
        caller.principal.session = talk.session().map(Into::into);
        let (routed, mut state, _) = caller.call(&talk.body).await;
        let refused = draws.below(15) == 0;
        let stop_reason = if refused { "refusal" } else { "end_turn" };
        let mut record = Record::begun(testing::ID, SystemTime::now());
        (record.status, record.outcome) = (Some(StatusCode::OK), Outcome::Completed);
        let state_of = AnswerState::Complete;
        record.answer = Some(Answer { state: state_of, stop_reason: Some(stop_reason.into()), ..Answer::default() });
        router.before_last_byte(&mut state, &record);
        router.on_complete(&mut state, &record);
        let is_served = |model: &str| Some(model == routed.model);
        let content = call_content::Content::read(Endpoint::MESSAGES, &talk.body.to_string()).input_tokens();
        let (session, conversation) = (talk.session(), format!("c{}", talk.number));
        let past = PastCall {
            asked: "auto",
            is_served: &is_served,
            tenant: Some(talk.tenant()),
            key: None,
            session: session.as_deref(),
            conversation: Some(&conversation),
            turn: Some(talk.turn(talk.calls + 1)),
            previous_turn: (talk.calls > 0).then(|| talk.turn(talk.calls)),
            input_tokens: Some(content),
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
        (talk.calls, talk.left) = (talk.calls + 1, talk.left - 1);
        talk.goes_on(&mut draws);
        if talk.left == 0 {
            open.swap_remove(at);
        }
    }
    assert!(same > 500 && unknown > 50, "{same} {unknown}");
}

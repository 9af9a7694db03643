//! What past calls are decided to, and what is not known of them, by rows without a ledger.

use serde_json::json;

use super::*;

fn replayer() -> Replayer {
    let config = json!({ "auto": {
        "rules": [
            { "name": "long", "when": { "input_tokens": ">1000" }, "model": "large" },
            { "name": "tools", "when": { "tools": true, "tenant": "team-*" }, "model": "large" },
            { "name": "free", "when": { "tenant": "free" }, "model": "small" },
        ],
        "otherwise": "medium",
        "escalate": [{ "on": "refusal", "from": "small", "to": "large" }],
    } });
    Replayer::new(&serde_json::from_value(config).unwrap())
}

fn call<'a>(tenant: &'a str, input: u64, turn: u8, previous: u8) -> PastCall<'a> {
    let hash = |byte: u8| (byte > 0).then_some([byte; 16]);
    PastCall {
        asked: "Auto",
        is_served: &|_| Some(false),
        tenant: Some(tenant),
        key: None,
        session: None,
        conversation: None,
        turn: hash(turn),
        previous_turn: hash(previous),
        input_tokens: Some(input),
        stream: None,
        unix: 0,
        stop_reason: None,
        status: Some(200),
        outcome: "completed",
    }
}

fn told(replayed: Replayed) -> String {
    match replayed {
        Replayed::Unrouted => "unrouted".to_owned(),
        Replayed::Chosen { model, rule, pinned } => format!("{model} {rule} {pinned}"),
        Replayed::Unknown(lacking) => format!("lacks {lacking}"),
    }
}

#[test]
fn rules_decide_where_the_row_has_what_they_are_on() {
    let mut replayer = replayer();
    let mut choose = |call: &PastCall<'_>| told(replayer.choose(call));
    assert_eq!(choose(&call("team-a", 2000, 0, 0)), "large auto/long false");
    assert_eq!(choose(&call("team-a", 10, 0, 0)), "lacks tools");
    assert_eq!(choose(&call("free", 10, 0, 0)), "small auto/free false");
    assert_eq!(choose(&call("other", 10, 0, 0)), "medium auto/otherwise false");
    assert_eq!(choose(&PastCall { input_tokens: None, ..call("free", 0, 0, 0) }), "lacks input_tokens");
    assert_eq!(choose(&PastCall { asked: "medium", ..call("free", 0, 0, 0) }), "unrouted");
}

#[test]
fn a_conversation_keeps_its_model_and_what_is_not_known_of_it() {
    let mut replayer = replayer();
    let mut choose = |call: &PastCall<'_>| told(replayer.choose(call));
    assert_eq!(choose(&call("free", 10, 1, 0)), "small auto/free false");
    assert_eq!(choose(&call("free", 9000, 2, 1)), "small auto/free true");
    assert_eq!(choose(&call("free", 9000, 3, 2)), "small auto/free true");
    // of another caller it is another one
    assert_eq!(choose(&call("other", 10, 4, 3)), "lacks the beginning of its conversation");
    assert_eq!(choose(&call("other", 10, 5, 4)), "lacks the beginning of its conversation");
    assert_eq!(choose(&call("team-a", 10, 6, 0)), "lacks tools");
    assert_eq!(choose(&call("team-a", 2000, 7, 6)), "lacks tools");
    // without a session, the ledger's conversation is one
    let of = |call: PastCall<'static>| PastCall { conversation: Some("c1"), ..call };
    assert_eq!(choose(&of(call("free", 10, 8, 0))), "small auto/free false");
    assert_eq!(choose(&of(call("free", 9000, 9, 99))), "small auto/free true");
    let session = PastCall { session: Some("s"), ..of(call("free", 9000, 10, 98)) };
    assert_eq!(choose(&session), "lacks the beginning of its conversation");
}

#[test]
fn an_escalation_follows_what_happened_to_the_same_model_alone() {
    for (served, next) in [("small", "large auto/escalated-refusal true"), ("medium", "small auto/free true")] {
        let mut replayer = replayer();
        let is_served = |model: &str| Some(model == served);
        let refused = PastCall { stop_reason: Some("refusal"), is_served: &is_served, ..call("free", 10, 1, 0) };
        assert_eq!(told(replayer.choose(&refused)), "small auto/free false");
        assert_eq!(told(replayer.choose(&call("free", 10, 2, 1))), next);
    }
}

#[test]
fn behind_an_error_that_may_move_it_a_conversation_is_not_known() {
    let lacks = "lacks the model of an earlier error, or its text";
    let same = "small auto/free true";
    for (on, from, status, outcome, next) in [
        ("error", "small", Some(503), "completed", lacks),
        ("error", "small", Some(429), "completed", lacks),
        ("error", "small", None, "upstream_failed", lacks),
        ("error", "small", Some(400), "completed", same),
        ("error", "small", Some(503), "refused", same),
        ("error", "medium", Some(503), "completed", same),
        ("context", "small", Some(400), "completed", lacks),
        ("context", "small", Some(413), "completed", lacks),
        ("context", "small", Some(400), "refused", same),
        ("context", "small", Some(503), "completed", same),
        ("refusal", "small", Some(400), "completed", same),
    ] {
        let mut replayer = replayer();
        let escalate = json!([{ "on": on, "from": from, "to": "large" }]);
        replayer.names[0].1.escalate = serde_json::from_value(escalate).unwrap();
        let failed = PastCall { is_served: &|_| None, status, outcome, ..call("free", 10, 1, 0) };
        assert_eq!(told(replayer.choose(&failed)), "small auto/free false");
        assert_eq!(told(replayer.choose(&call("free", 10, 2, 1))), next, "{on} {from} {status:?} {outcome}");
    }
}

#[test]
fn a_call_that_is_sent_again_goes_on_from_what_came_last() {
    let is_served = |model: &str| Some(model == "small");
    let refused = |turn, previous| PastCall {
        stop_reason: Some("refusal"),
        is_served: &is_served,
        ..call("free", 10, turn, previous)
    };
    let moved = "large auto/escalated-refusal true";
    let mut replayer = replayer();
    let mut choose = |call: &PastCall<'_>| told(replayer.choose(call));
    assert_eq!(choose(&call("free", 10, 1, 0)), "small auto/free false");
    assert_eq!(choose(&refused(2, 1)), "small auto/free true");
    assert_eq!(choose(&call("free", 10, 2, 1)), moved);
    // of another session it is another call
    assert_eq!(choose(&PastCall { session: Some("s"), ..call("free", 10, 1, 0) }), "small auto/free false");
    // without a session, what goes on from an earlier turn is the same conversation
    let of = |call: PastCall<'static>| PastCall { conversation: Some("c1"), ..call };
    assert_eq!(choose(&of(call("free", 10, 11, 0))), "small auto/free false");
    let is_served: &'static dyn Fn(&str) -> Option<bool> = &|model| Some(model == "small");
    let refused = PastCall { stop_reason: Some("refusal"), is_served, ..call("free", 10, 12, 11) };
    assert_eq!(choose(&of(refused)), "small auto/free true");
    assert_eq!(choose(&of(call("free", 10, 13, 11))), moved);
}

#[test]
fn memory_is_bounded() {
    let mut kept = Kept::default();
    for n in 0..(FEWEST as u64 * 3) {
        let mut place = [0; 16];
        place[..8].copy_from_slice(&n.to_le_bytes());
        kept.put(place, Past::Unknown(""));
    }
    assert!(kept.young.len() <= FEWEST && kept.old.len() <= FEWEST);
    assert!(kept.get(&[0; 16]).is_none());
}

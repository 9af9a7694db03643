//! Answers of `OpenAI`'s responses: one object, or events of which the last holds that object.

use crate::answer::AnswerState;
use crate::compatible::{self, ERROR_MEMBERS, unnamed};
use crate::response::{ResponseFacts, ResponseSchema};
use crate::slot::{Extractor, Members, Pattern, Slot};

/// Answers to responses.
pub(super) static RESPONSE: ResponseSchema = ResponseSchema {
    whole: WHOLE,
    on_whole,
    events: EVENTS,
    events_behind_content: EVENTS,
    types: Some(&[
        r#""response.created""#,
        r#""response.completed""#,
        r#""response.incomplete""#,
        r#""response.failed""#,
        r#""error""#,
    ]),
    types_with_words: None,
    on_event,
    text_event: None,
    stops_before_its_end: false,
    is_lines: false,
    usage: compatible::usage,
};

const RESPONSE_MEMBERS: Members = &[
    ("id", Pattern::Value(Slot::Id)),
    ("model", Pattern::Value(Slot::Model)),
    ("status", Pattern::Value(Slot::Status)),
    ("incomplete_details", Pattern::Members(&[("reason", Pattern::Value(Slot::Reason))])),
    ("output", Pattern::Value(Slot::Content)),
    ("usage", Pattern::Value(Slot::Usage)),
    ("service_tier", Pattern::Value(Slot::Tier)),
    ("container", Pattern::Value(Slot::Container)),
    ("error", Pattern::Value(Slot::Error)),
];

const WHOLE: Members = &[("", Pattern::Also(RESPONSE_MEMBERS)), ("", Pattern::Also(ERROR_MEMBERS))];

const EVENTS: Members = &[("response", Pattern::Members(RESPONSE_MEMBERS)), ("", Pattern::Also(ERROR_MEMBERS))];

fn on_whole(facts: &mut ResponseFacts, json: &Extractor) {
    read_response(facts, json);
    let is_answer = json.is_list(Slot::Content);
    match json.get(Slot::Status) {
        // it goes on in the background; its cost is told to who asks for it later
        Some(br#""queued""# | br#""in_progress""#) => facts.stop_reason = None,
        Some(br#""failed""#) => facts.fail(unnamed()),
        Some(br#""completed""# | br#""incomplete""#) if is_answer => facts.complete(),
        _ => facts.reach(AnswerState::Unrecognized),
    }
    facts.read_error(json, is_answer || json.has(Slot::Status));
}

fn on_event(facts: &mut ResponseFacts, json: &Extractor) {
    let Some(kind) = json.get(Slot::Type) else {
        // some servers end a stream like this in the words of the others
        facts.read_error(json, false);
        return;
    };
    match kind {
        br#""response.created""# => facts.read(json),
        br#""response.completed""# | br#""response.incomplete""# => {
            read_response(facts, json);
            facts.complete();
            facts.read_error(json, true);
        }
        br#""response.failed""# => {
            read_response(facts, json);
            facts.fail(unnamed());
            facts.read_error(json, true);
        }
        br#""error""# => facts.read_error(json, false),
        kind => facts.has_content |= kind.ends_with(br#".delta""#),
    }
}

fn read_response(facts: &mut ResponseFacts, json: &Extractor) {
    facts.read(json);
    facts.read_usage(json);
    facts.hear(json, |spoken, output| spoken.words.items(output));
    facts.stop_reason = json.string(Slot::Reason).or_else(|| json.string(Slot::Status)).or(facts.stop_reason.take());
}

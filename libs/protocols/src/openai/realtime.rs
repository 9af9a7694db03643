//! Answers of `OpenAI`'s realtime: events of a session, of which one ends each answer.

use crate::compatible::{self, ERROR_MEMBERS, unnamed};
use crate::response::{ResponseFacts, ResponseSchema};
use crate::slot::{Extractor, Members, Pattern, Slot};

/// Answers of a session. There are none outside of one.
pub(super) static RESPONSE: ResponseSchema = ResponseSchema {
    whole: EVENTS,
    on_whole: on_event,
    events: EVENTS,
    events_behind_content: EVENTS,
    types: Some(&[r#""response.created""#, r#""response.done""#, r#""error""#]),
    types_with_words: None,
    on_event,
    text_event: None,
    stops_before_its_end: false,
    is_lines: false,
    usage: compatible::usage,
};

const EVENTS: Members = &[
    (
        "response",
        Pattern::Members(&[
            ("id", Pattern::Value(Slot::Id)),
            ("model", Pattern::Value(Slot::Model)),
            ("status", Pattern::Value(Slot::Status)),
            (
                "status_details",
                Pattern::Members(&[("reason", Pattern::Value(Slot::Reason)), ("error", Pattern::Value(Slot::Errors))]),
            ),
            ("usage", Pattern::Value(Slot::Usage)),
        ]),
    ),
    ("", Pattern::Also(ERROR_MEMBERS)),
];

fn on_event(facts: &mut ResponseFacts, json: &Extractor) {
    match json.get(Slot::Type) {
        Some(br#""response.created""#) => facts.read(json),
        Some(br#""response.done""#) => {
            facts.read(json);
            facts.read_usage(json);
            facts.stop_reason = json.string(Slot::Reason).or_else(|| json.string(Slot::Status));
            if json.get(Slot::Status) == Some(br#""failed""#) {
                facts.fail(compatible::name_of(json, Slot::Errors).unwrap_or_else(unnamed));
            } else {
                facts.complete();
            }
        }
        Some(br#""error""#) => facts.read_error(json, false),
        Some(kind) => facts.has_content |= kind.ends_with(br#".delta""#),
        None => {}
    }
}

//! Answers of `OpenAI`'s responses: one object, or events of which the last holds that object.

use crate::dialect::found::{Field, Found, Members, Wanted};

use super::facts::{Facts, Shape};
use super::openai;

/// Answers to responses.
pub(super) static SHAPE: Shape = Shape {
    whole: RESPONSE,
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
    on_event,
    stops_before_its_end: false,
    usage: openai::usage,
};

const RESPONSE: Members = &[
    ("id", Wanted::Value(Field::Id)),
    ("model", Wanted::Value(Field::Model)),
    ("status", Wanted::Value(Field::Status)),
    ("incomplete_details", Wanted::Members(&[("reason", Wanted::Value(Field::Reason))])),
    ("usage", Wanted::Value(Field::Usage)),
    ("service_tier", Wanted::Value(Field::Tier)),
    ("error", Wanted::Value(Field::Error)),
];

const EVENTS: Members = &[
    ("type", Wanted::Value(Field::Type)),
    ("response", Wanted::Members(RESPONSE)),
    ("error", Wanted::Value(Field::Error)),
    ("code", Wanted::Value(Field::ErrorCode)),
];

fn on_whole(facts: &mut Facts, found: &Found) {
    note(facts, found);
    match found.get(Field::Status) {
        // it goes on in the background; its cost is told to who asks for it later
        Some(br#""queued""# | br#""in_progress""#) => facts.stop_reason = None,
        Some(br#""failed""#) => facts.fail(),
        _ => facts.complete(),
    }
    facts.note_error(found);
}

fn on_event(facts: &mut Facts, found: &Found) {
    let Some(kind) = found.get(Field::Type) else {
        // some servers end a stream like this in the words of the others
        facts.note_error(found);
        return;
    };
    match kind {
        br#""response.created""# => facts.note(found),
        br#""response.completed""# | br#""response.incomplete""# => {
            note(facts, found);
            facts.complete();
        }
        br#""response.failed""# => {
            note(facts, found);
            facts.note_error(found);
            facts.fail();
        }
        br#""error""# => {
            facts.note_error(found);
            facts.error_type = facts.error_type.take().or(found.text(Field::ErrorCode));
            facts.fail();
        }
        kind => facts.has_content |= kind.ends_with(br#".delta""#),
    }
}

fn note(facts: &mut Facts, found: &Found) {
    facts.note(found);
    facts.note_usage(found);
    facts.stop_reason = found.text(Field::Reason).or_else(|| found.text(Field::Status)).or(facts.stop_reason.take());
}

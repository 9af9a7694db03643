//! Answers of `OpenAI`'s responses: one object, or events of which the last holds that object.

use plugin_api::AnswerState;

use crate::dialect::found::{Field, Found, Members, Wanted};

use super::facts::{Facts, Shape};
use super::{conventions, failure};

/// Answers to responses.
pub(super) static SHAPE: Shape = Shape {
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
    on_event,
    stops_before_its_end: false,
    is_lines: false,
    usage: conventions::usage,
};

const RESPONSE: Members = &[
    ("id", Wanted::Value(Field::Id)),
    ("model", Wanted::Value(Field::Model)),
    ("status", Wanted::Value(Field::Status)),
    ("incomplete_details", Wanted::Members(&[("reason", Wanted::Value(Field::Reason))])),
    ("output", Wanted::Value(Field::Content)),
    ("usage", Wanted::Value(Field::Usage)),
    ("service_tier", Wanted::Value(Field::Tier)),
    ("container", Wanted::Value(Field::Container)),
    ("error", Wanted::Value(Field::Error)),
];

const WHOLE: Members = &[("", Wanted::Also(RESPONSE)), ("", Wanted::Also(failure::MEMBERS))];

const EVENTS: Members = &[("response", Wanted::Members(RESPONSE)), ("", Wanted::Also(failure::MEMBERS))];

fn on_whole(facts: &mut Facts, found: &Found) {
    note(facts, found);
    let is_answer = found.is_list(Field::Content);
    match found.get(Field::Status) {
        // it goes on in the background; its cost is told to who asks for it later
        Some(br#""queued""# | br#""in_progress""#) => facts.stop_reason = None,
        Some(br#""failed""#) => facts.fail(failure::unnamed()),
        Some(br#""completed""# | br#""incomplete""#) if is_answer => facts.complete(),
        _ => facts.reach(AnswerState::Unrecognized),
    }
    facts.note_error(found, is_answer || found.has(Field::Status));
}

fn on_event(facts: &mut Facts, found: &Found) {
    let Some(kind) = found.get(Field::Type) else {
        // some servers end a stream like this in the words of the others
        facts.note_error(found, false);
        return;
    };
    match kind {
        br#""response.created""# => facts.note(found),
        br#""response.completed""# | br#""response.incomplete""# => {
            note(facts, found);
            facts.complete();
            facts.note_error(found, true);
        }
        br#""response.failed""# => {
            note(facts, found);
            facts.fail(failure::unnamed());
            facts.note_error(found, true);
        }
        br#""error""# => facts.note_error(found, false),
        kind => facts.has_content |= kind.ends_with(br#".delta""#),
    }
}

fn note(facts: &mut Facts, found: &Found) {
    facts.note(found);
    facts.note_usage(found);
    facts.stop_reason = found.text(Field::Reason).or_else(|| found.text(Field::Status)).or(facts.stop_reason.take());
}

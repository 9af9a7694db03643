//! Answers of `OpenAI`'s images, recordings and moderations: one object, or events of which the last tells usage.

use plugin_api::AnswerState;

use crate::dialect::found::{Field, Found, Members, Wanted};

use super::facts::{Facts, Shape};
use super::{conventions, failure};

/// Such answers.
pub(super) static SHAPE: Shape = Shape {
    whole: OBJECT,
    on_whole,
    events: OBJECT,
    events_behind_content: OBJECT,
    types: Some(&[
        r#""image_generation.completed""#,
        r#""image_edit.completed""#,
        r#""transcript.text.done""#,
        r#""speech.audio.done""#,
        r#""error""#,
    ]),
    on_event,
    stops_before_its_end: false,
    is_lines: false,
    usage: conventions::usage,
};

const OBJECT: Members = &[
    ("type", Wanted::Value(Field::Type)),
    ("id", Wanted::Value(Field::Id)),
    ("model", Wanted::Value(Field::Model)),
    ("data", Wanted::Value(Field::Content)),    // images
    ("results", Wanted::Value(Field::Content)), // moderations
    ("text", Wanted::Value(Field::Text)),       // transcriptions
    ("usage", Wanted::Value(Field::Usage)),
    ("", Wanted::Also(failure::MEMBERS)),
];

fn on_whole(facts: &mut Facts, found: &Found) {
    facts.note(found);
    facts.note_usage(found);
    let is_answer = found.is_filled_list(Field::Content) || found.mentions(Field::Text);
    facts.reach(if is_answer { AnswerState::Complete } else { AnswerState::Unrecognized });
    facts.note_error(found, is_answer);
}

fn on_event(facts: &mut Facts, found: &Found) {
    match found.get(Field::Type) {
        Some(br#""error""#) | None => facts.note_error(found, false),
        Some(kind) if kind.ends_with(br#".completed""#) || kind.ends_with(br#".done""#) => {
            facts.note(found);
            facts.note_usage(found);
            // of several pictures each has its own end
            facts.complete();
        }
        Some(kind) => {
            facts.has_content |= kind.ends_with(br#".delta""#) || kind.ends_with(br#".partial_image""#);
        }
    }
}

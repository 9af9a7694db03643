//! Answers of `OpenAI`'s chat, completions and embeddings: one object, or chunks of which the last that has usage counts.

use plugin_api::AnswerState;

use crate::dialect::found::{Field, Found, Members, Wanted};

use super::facts::{Facts, Shape};
use super::{conventions, failure};

/// Answers to chat and completions.
pub(super) static CHOICES: Shape = Shape {
    whole: CHUNK,
    on_whole,
    events: CHUNK_WITH_CONTENT,
    events_behind_content: CHUNK,
    types: None,
    on_event,
    stops_before_its_end: true,
    is_lines: false,
    usage: conventions::usage,
};

/// Answers to embeddings.
pub(super) static EMBEDDINGS: Shape = Shape {
    whole: LIST,
    on_whole: on_list,
    events: LIST,
    events_behind_content: LIST,
    types: None,
    on_event: |facts, found| facts.note_error(found, false),
    stops_before_its_end: false,
    is_lines: false,
    usage: conventions::usage,
};

const CHUNK: Members = &[
    ("id", Wanted::Value(Field::Id)),
    ("model", Wanted::Value(Field::Model)),
    ("choices", Wanted::Each(&Wanted::Members(&[INDEX, STOP, USAGE_OF_CHOICE, ERROR_OF_CHOICE]))),
    ("", Wanted::Also(AROUND)),
];

const CHUNK_WITH_CONTENT: Members = &[
    ("id", Wanted::Value(Field::Id)),
    ("model", Wanted::Value(Field::Model)),
    (
        "choices",
        Wanted::Each(&Wanted::Members(&[
            INDEX,
            STOP,
            USAGE_OF_CHOICE,
            ERROR_OF_CHOICE,
            ("delta", Wanted::Value(Field::Content)),
            ("text", Wanted::Value(Field::Content)),
        ])),
    ),
    ("", Wanted::Also(AROUND)),
];

const AROUND: Members = &[
    ("usage", Wanted::Value(Field::Usage)),
    ("service_tier", Wanted::Value(Field::Tier)),
    ("x_groq", Wanted::Members(&[("usage", Wanted::Value(Field::GroqUsage)), ("error", Wanted::Value(Field::Error))])),
    ("", Wanted::Also(failure::MEMBERS)),
];

const INDEX: (&str, Wanted) = ("index", Wanted::Value(Field::Choice));
const STOP: (&str, Wanted) = ("finish_reason", Wanted::Value(Field::Stop));
const USAGE_OF_CHOICE: (&str, Wanted) = ("usage", Wanted::Value(Field::ChoiceUsage));
/// `OpenRouter` tells there of what failed on its way.
const ERROR_OF_CHOICE: (&str, Wanted) = ("error", Wanted::Value(Field::Error));

const LIST: Members = &[
    ("id", Wanted::Value(Field::Id)),
    ("model", Wanted::Value(Field::Model)),
    ("data", Wanted::Value(Field::Content)),
    ("usage", Wanted::Value(Field::Usage)),
    ("", Wanted::Also(failure::MEMBERS)),
];

fn on_whole(facts: &mut Facts, found: &Found) {
    facts.note(found);
    facts.note_usage(found);
    let choices = found.elements();
    facts.reach(match choices {
        // one that says nothing as its reason to stop has not come to its end
        1.. if found.stops() < choices && found.mentions(Field::Stop) => AnswerState::Partial,
        1.. if found.stops() == choices => AnswerState::Complete,
        _ => AnswerState::Unrecognized,
    });
    facts.note_error(found, choices > 0);
}

fn on_list(facts: &mut Facts, found: &Found) {
    facts.note(found);
    facts.note_usage(found);
    let is_answer = found.is_filled_list(Field::Content);
    facts.reach(if is_answer { AnswerState::Complete } else { AnswerState::Unrecognized });
    facts.note_error(found, is_answer);
}

fn on_event(facts: &mut Facts, found: &Found) {
    facts.note(found);
    facts.note_usage(found);
    let choices = found.elements();
    facts.note_error(found, choices > 0);
    facts.has_begun |= choices > 0;
    facts.has_choices |= choices > 1 || found.get(Field::Choice).is_some_and(|index| index != b"0");
    facts.has_content = facts.has_content || carries_content(found);
}

/// Whether the chunk brings a piece of the answer; the first one mostly names a role only.
fn carries_content(found: &Found) -> bool {
    let Some(content) = found.get(Field::Content) else { return found.is_too_long(Field::Content) };
    match serde_json::from_slice(content) {
        Ok(serde_json::Value::Object(delta)) => delta.iter().any(|(key, value)| key != "role" && !is_empty(value)),
        Ok(value) => !is_empty(&value),
        Err(_) => false,
    }
}

fn is_empty(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => true,
        serde_json::Value::String(text) => text.is_empty(),
        serde_json::Value::Array(list) => list.is_empty(),
        serde_json::Value::Object(members) => members.is_empty(),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => false,
    }
}

//! Answers of `OpenAI`'s chat, completions and embeddings: one object, or chunks of which the last that has usage counts.

use plugin_api::AnswerState;

use crate::dialect::slot::{Extractor, Members, Pattern, Slot};

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
    on_event: |facts, json| facts.note_error(json, false),
    stops_before_its_end: false,
    is_lines: false,
    usage: conventions::usage,
};

const CHUNK: Members = &[
    ("id", Pattern::Value(Slot::Id)),
    ("model", Pattern::Value(Slot::Model)),
    ("choices", Pattern::Each(&Pattern::Members(&[INDEX, STOP, USAGE_OF_CHOICE, ERROR_OF_CHOICE]))),
    ("", Pattern::Also(AROUND)),
];

const CHUNK_WITH_CONTENT: Members = &[
    ("id", Pattern::Value(Slot::Id)),
    ("model", Pattern::Value(Slot::Model)),
    (
        "choices",
        Pattern::Each(&Pattern::Members(&[
            INDEX,
            STOP,
            USAGE_OF_CHOICE,
            ERROR_OF_CHOICE,
            ("delta", Pattern::Value(Slot::Content)),
            ("text", Pattern::Value(Slot::Content)),
        ])),
    ),
    ("", Pattern::Also(AROUND)),
];

const AROUND: Members = &[
    ("usage", Pattern::Value(Slot::Usage)),
    ("service_tier", Pattern::Value(Slot::Tier)),
    ("x_groq", Pattern::Members(&[("usage", Pattern::Value(Slot::GroqUsage)), ("error", Pattern::Value(Slot::Error))])),
    ("", Pattern::Also(failure::MEMBERS)),
];

const INDEX: (&str, Pattern) = ("index", Pattern::Value(Slot::Choice));
const STOP: (&str, Pattern) = ("finish_reason", Pattern::Value(Slot::Stop));
const USAGE_OF_CHOICE: (&str, Pattern) = ("usage", Pattern::Value(Slot::ChoiceUsage));
/// `OpenRouter` tells there of what failed on its way.
const ERROR_OF_CHOICE: (&str, Pattern) = ("error", Pattern::Value(Slot::Error));

const LIST: Members = &[
    ("id", Pattern::Value(Slot::Id)),
    ("model", Pattern::Value(Slot::Model)),
    ("data", Pattern::Value(Slot::Content)),
    ("usage", Pattern::Value(Slot::Usage)),
    ("", Pattern::Also(failure::MEMBERS)),
];

fn on_whole(facts: &mut Facts, json: &Extractor) {
    facts.note(json);
    facts.note_usage(json);
    let choices = json.elements();
    facts.reach(match choices {
        // one that says nothing as its reason to stop has not come to its end
        1.. if json.words() < choices && json.mentions(Slot::Stop) => AnswerState::Partial,
        1.. if json.words() == choices => AnswerState::Complete,
        _ => AnswerState::Unrecognized,
    });
    facts.note_error(json, choices > 0);
}

fn on_list(facts: &mut Facts, json: &Extractor) {
    facts.note(json);
    facts.note_usage(json);
    let is_answer = json.is_filled_list(Slot::Content);
    facts.reach(if is_answer { AnswerState::Complete } else { AnswerState::Unrecognized });
    facts.note_error(json, is_answer);
}

fn on_event(facts: &mut Facts, json: &Extractor) {
    facts.note(json);
    facts.note_usage(json);
    let choices = json.elements();
    facts.note_error(json, choices > 0);
    facts.has_begun |= choices > 0;
    facts.has_choices |= choices > 1 || json.get(Slot::Choice).is_some_and(|index| index != b"0");
    facts.has_content = facts.has_content || carries_content(json);
}

/// Whether the chunk brings a piece of the answer; the first one mostly names a role only.
fn carries_content(json: &Extractor) -> bool {
    let Some(content) = json.get(Slot::Content) else { return json.is_too_long(Slot::Content) };
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

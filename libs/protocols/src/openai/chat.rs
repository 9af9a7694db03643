//! Answers of `OpenAI`'s chat, completions and embeddings: one object, or chunks of which the last that has usage counts.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::answer::AnswerState;
use crate::compatible::{self, CHOICE_MEMBERS, CHUNK_MEMBERS, ERROR_MEMBERS};
use crate::reader::TextEvent;
use crate::response::{ResponseFacts, ResponseSchema};
use crate::slot::{Extractor, Members, Pattern, Slot};

/// Answers to chat and completions.
pub(super) static CHOICES: ResponseSchema = ResponseSchema {
    whole: WHOLE,
    on_whole,
    events: CHUNK_WITH_CONTENT,
    events_behind_content: CHUNK,
    types: None,
    types_with_words: None,
    on_event,
    text_event: Some(&TEXT_EVENT),
    stops_before_its_end: true,
    is_lines: false,
    usage: compatible::usage,
};

static GOES_ON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""finish_reason":null}]"#));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"error"));

static TEXT_EVENT: TextEvent = TextEvent {
    before: LazyLock::new(|| Finder::new(br#""delta":{"content":""#)),
    // one choice that goes on, and neither usage nor an error, which are objects
    says_nothing: |rest| {
        let goes_on = rest.starts_with(b"},") && GOES_ON.find(rest).is_some();
        // the event is whole
        let ends = || rest.trim_ascii_end().ends_with(b"}") && rest.iter().filter(|byte| **byte == b'}').count() == 3;
        goes_on && memchr::memchr(b'{', rest).is_none() && ends() && ERROR.find(rest).is_none()
    },
    is_one: |json| json.elements() == 1 && json.get(Slot::Choice) == Some(b"0"),
};

/// Answers to embeddings.
pub(super) static EMBEDDINGS: ResponseSchema = ResponseSchema {
    whole: LIST,
    on_whole: on_list,
    events: LIST,
    events_behind_content: LIST,
    types: None,
    types_with_words: None,
    on_event: |facts, json| facts.read_error(json, false),
    text_event: None,
    stops_before_its_end: false,
    is_lines: false,
    usage: compatible::usage,
};

const WHOLE: Members = &[
    ("id", Pattern::Value(Slot::Id)),
    ("model", Pattern::Value(Slot::Model)),
    (
        "choices",
        Pattern::Each(&Pattern::Members(&[INDEX, STOP, OF_SERVERS, ("message", Pattern::Value(Slot::Content))])),
    ),
    ("", Pattern::Also(AROUND)),
];

const CHUNK: Members = &[
    ("id", Pattern::Value(Slot::Id)),
    ("model", Pattern::Value(Slot::Model)),
    ("choices", Pattern::Each(&Pattern::Members(&[INDEX, STOP, OF_SERVERS]))),
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
            OF_SERVERS,
            ("delta", Pattern::Value(Slot::Content)),
            ("text", Pattern::Value(Slot::Content)),
        ])),
    ),
    ("", Pattern::Also(AROUND)),
];

const AROUND: Members = &[
    ("usage", Pattern::Value(Slot::Usage)),
    ("service_tier", Pattern::Value(Slot::Tier)),
    ("", Pattern::Also(CHUNK_MEMBERS)),
    ("", Pattern::Also(ERROR_MEMBERS)),
];

const INDEX: (&str, Pattern) = ("index", Pattern::Value(Slot::Choice));
const STOP: (&str, Pattern) = ("finish_reason", Pattern::Value(Slot::Stop));
const OF_SERVERS: (&str, Pattern) = ("", Pattern::Also(CHOICE_MEMBERS));

const LIST: Members = &[
    ("id", Pattern::Value(Slot::Id)),
    ("model", Pattern::Value(Slot::Model)),
    ("data", Pattern::Value(Slot::List)),
    ("usage", Pattern::Value(Slot::Usage)),
    ("", Pattern::Also(ERROR_MEMBERS)),
];

fn on_whole(facts: &mut ResponseFacts, json: &Extractor) {
    facts.read(json);
    facts.read_usage(json);
    let choices = json.elements();
    facts.reach(match choices {
        // one that says nothing as its reason to stop has not come to its end
        1.. if json.words() < choices && json.mentions(Slot::Stop) => AnswerState::Partial,
        1.. if json.words() == choices => AnswerState::Complete,
        _ => AnswerState::Unrecognized,
    });
    facts.read_error(json, choices > 0);
    facts.hear(json, |spoken, message| spoken.words.message(message));
    if choices > 1 {
        facts.hear(json, |spoken, _| spoken.words.lose());
    }
}

fn on_list(facts: &mut ResponseFacts, json: &Extractor) {
    facts.read(json);
    facts.read_usage(json);
    let is_answer = json.is_filled_list(Slot::List);
    facts.reach(if is_answer { AnswerState::Complete } else { AnswerState::Unrecognized });
    facts.read_error(json, is_answer);
}

fn on_event(facts: &mut ResponseFacts, json: &Extractor) {
    facts.read(json);
    facts.read_usage(json);
    let choices = json.elements();
    facts.read_error(json, choices > 0);
    facts.has_begun |= choices > 0;
    facts.has_choices |= choices > 1 || json.get(Slot::Choice).is_some_and(|index| index != b"0");
    facts.has_content = facts.has_content || carries_content(json);
    facts.hear(json, |spoken, delta| spoken.words.message(delta));
    if facts.has_choices {
        facts.hear(json, |spoken, _| spoken.words.lose());
    }
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

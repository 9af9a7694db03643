//! Answers of `OpenAI`'s chat, completions and embeddings: one object, or chunks of which the last that has usage counts.

use plugin_api::{Tokens, Usage};

use crate::dialect::found::{Field, Found, Members, Wanted};

use super::facts::{Facts, Shape};
use super::figures::Figures;

/// Answers to chat, completions and embeddings.
pub(super) static SHAPE: Shape = Shape {
    whole: CHUNK,
    on_whole,
    events: CHUNK_WITH_CONTENT,
    events_behind_content: CHUNK,
    types: None,
    on_event,
    stops_before_its_end: true,
    usage,
};

const CHUNK: Members = &[
    ("id", Wanted::Value(Field::Id)),
    ("model", Wanted::Value(Field::Model)),
    ("choices", Wanted::Each(&Wanted::Members(&[INDEX, STOP]))),
    ("usage", Wanted::Value(Field::Usage)),
    ("service_tier", Wanted::Value(Field::Tier)),
    ("error", Wanted::Value(Field::Error)),
];

const CHUNK_WITH_CONTENT: Members = &[
    ("id", Wanted::Value(Field::Id)),
    ("model", Wanted::Value(Field::Model)),
    (
        "choices",
        Wanted::Each(&Wanted::Members(&[
            INDEX,
            STOP,
            ("delta", Wanted::Value(Field::Content)),
            ("text", Wanted::Value(Field::Content)),
        ])),
    ),
    ("usage", Wanted::Value(Field::Usage)),
    ("service_tier", Wanted::Value(Field::Tier)),
    ("error", Wanted::Value(Field::Error)),
];

const INDEX: (&str, Wanted) = ("index", Wanted::Value(Field::Choice));
const STOP: (&str, Wanted) = ("finish_reason", Wanted::Value(Field::Stop));

fn on_whole(facts: &mut Facts, found: &Found) {
    facts.note(found);
    facts.note_usage(found);
    facts.complete();
    facts.note_error(found);
}

fn on_event(facts: &mut Facts, found: &Found) {
    facts.note(found);
    facts.note_usage(found);
    facts.note_error(found);
    facts.has_choices = facts.has_choices || found.get(Field::Choice).is_some_and(|index| index != b"0");
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

/// The meaning of `OpenAI`'s usage object, in the words of any of its endpoints.
///
/// What was read from the cache, or written to it, is a part of the prompt there, and is taken out of it here.
pub(super) fn usage(of: &Figures<'_>) -> Usage {
    let either = |one, other| of.count(one).or_else(|| of.count(other));
    let details = |one, other| of.within(one).or_else(|| of.within(other));
    let input = details("prompt_tokens_details", "input_tokens_details");
    let output = details("completion_tokens_details", "output_tokens_details");
    let part = |details: &Option<Figures<'_>>, key| details.as_ref().and_then(|details| details.count(key));
    let cache_read = part(&input, "cached_tokens");
    let cache_creation = part(&input, "cache_write_tokens");
    let cached = cache_read.unwrap_or(0).saturating_add(cache_creation.unwrap_or(0));
    Usage {
        tokens: Tokens {
            input: either("prompt_tokens", "input_tokens").map(|prompt| prompt.saturating_sub(cached)),
            cache_read,
            cache_creation,
            cache_creation_1h: None,
            output: either("completion_tokens", "output_tokens"),
            reasoning: part(&output, "reasoning_tokens"),
        },
        ..Usage::default()
    }
}

//! The facts of a call in the JSON text of its body: one pass over it, no tree, and the places of what may be edited.

mod batch;
mod key;
mod messages;
mod stream_options;
mod thinking;

use std::borrow::Cow;
use std::fmt;

use json_extract::decimal;
use plugin_api::{Asked, CallFacts, Endpoint, RequestType, StreamOptions, TokenField, TokenLimit};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::thread::Turns;
use batch::{Batch, Calls};
use key::{Key, Match, Place};
use messages::{Messages, is_quota};

/// How often a call may name a model, or a token limit, and how often those of a batch may name one again.
const MOST_REPEATS: usize = 16;
const MOST_REPEATS_IN_ALL: usize = 1000;
/// How many keys of an object are compared with each other.
const MOST_KEYS: usize = 256;

/// The calls in the text of a body: one, or those of a batch. The messages of one become the turns, where they are wanted.
///
/// # Errors
/// Why it cannot be read, in words for the caller.
pub(super) fn calls(endpoint: Endpoint, text: &str, turns: Option<&mut Turns>) -> Result<Vec<CallFacts>, String> {
    // Python's reader drops the mark; what is sent keeps it
    let json = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut reader = serde_json::Deserializer::from_str(json);
    let place = Place { text, at: text.len() - json.len() };
    let read = if endpoint == Endpoint::MessageBatches {
        let mut calls = Calls::in_text(text);
        (&mut reader).deserialize_map(Batch { place, calls: &mut calls }).map(|()| calls.found)
    } else {
        CallAt { endpoint, place, turns, repeats: &mut 0 }.deserialize(&mut reader).map(|call| vec![call])
    };
    read.and_then(|calls| reader.end().map(|()| calls)).map_err(|error| match error.classify() {
        // it may quote a whole value
        Category::Data => error.to_string().chars().take(200).collect(),
        Category::Syntax | Category::Eof | Category::Io => format!("it is not strict JSON: {error}"),
    })
}

/// A call that begins at this place.
struct CallAt<'de, 't> {
    endpoint: Endpoint,
    place: Place<'de>,
    turns: Option<&'t mut Turns>,
    /// How often calls of the text have named a model or a limit again.
    repeats: &'t mut usize,
}

impl<'de> DeserializeSeed<'de> for CallAt<'de, '_> {
    type Value = CallFacts;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<CallFacts, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for CallAt<'de, '_> {
    type Value = CallFacts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a call")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CallFacts, A::Error> {
        let Self { endpoint, place, mut turns, repeats } = self;
        let streams_usage = matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Completions);
        let mut purpose = Purpose::default();
        let mut call = CallFacts { members_at: place.next_token().1.at + 1, ..CallFacts::default() };
        let list = if endpoint == Endpoint::Responses { "input" } else { "messages" };
        let mut names: Vec<Cow<'de, [u8]>> = Vec::with_capacity(16);
        let mut models = 0;
        let mut model_named = false;
        while let Some(key) = Key::next(&mut map, place)? {
            call.has_members = true;
            let limit = TokenField::ALL.into_iter().find_map(|field| key.is(field.as_str()).map(|how| (field, how)));
            if let Some((field, how)) = limit {
                let value = map.next_value::<&'de RawValue>()?.get();
                let start = place.of(value).at;
                call.token_limits.push(TokenLimit {
                    field,
                    exact: how == Match::Exact,
                    asked: asked(value),
                    at: start..start + value.len(),
                });
                bounded::<A::Error>(call.token_limits.len(), repeats, "token limits")?;
            } else if let Some(how) = key.is("model") {
                let value = map.next_value::<&'de RawValue>()?.get();
                let start = place.of(value).at;
                call.models_at.push(start..start + value.len());
                let named = model(value);
                models += 1;
                bounded::<A::Error>(models, repeats, "models")?;
                match how {
                    Match::Folded => call.other_models.push(named),
                    Match::Exact => {
                        let earlier = std::mem::replace(&mut call.model, named);
                        if std::mem::replace(&mut model_named, true) {
                            call.other_models.push(earlier);
                        }
                    }
                }
            } else if let Some(member) = thinking::member(&key) {
                let value = map.next_value::<&'de RawValue>()?.get();
                thinking::read(place, member, value, &mut call.thinking_budgets);
                bounded::<A::Error>(call.thinking_budgets.len(), repeats, "thinking budgets")?;
            } else if *key.name == *b"stream" {
                call.stream = map.next_value::<&'de RawValue>()?.get() == "true";
            } else if *key.name == *b"tools" {
                call.tools = length(&mut map, &key)? > 0;
            } else if *key.name == *list.as_bytes() {
                match key.end.next_token() {
                    (Some(b'['), _) => {
                        let messages = map.next_value_seed(Messages { turns: turns.as_deref_mut() })?;
                        call.messages = messages.count;
                        purpose.system_messages = messages.system;
                        purpose.quota = messages.asks_quota;
                    }
                    _ => {
                        let value = map.next_value::<&'de RawValue>()?.get();
                        call.messages = 0;
                        purpose.quota = is_quota(value);
                    }
                }
            } else if *key.name == *b"system" || *key.name == *b"instructions" {
                purpose.system_blocks = match key.end.next_token() {
                    (Some(b'['), _) => map.next_value_seed(Length)?,
                    (token, _) => map.next_value::<IgnoredAny>().map(|_| usize::from(token == Some(b'"')))?,
                };
            } else if *key.name == *b"prompt" && endpoint == Endpoint::Completions {
                purpose.quota = is_quota(map.next_value::<&'de RawValue>()?.get());
            } else if *key.name == *b"stream_options" && streams_usage {
                let said = stream_options::read(place, map.next_value::<&'de RawValue>()?.get());
                let first = call.stream_options == StreamOptions::Absent;
                call.stream_options = if first { said } else { StreamOptions::Unclear };
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            if names.len() < MOST_KEYS && !key.is_unclear {
                names.push(key.name);
            } else {
                call.duplicate_keys = true;
            }
        }
        names.sort_unstable();
        call.duplicate_keys |= names.windows(2).any(|pair| pair[0] == pair[1]);
        call.request_type = purpose.request_type(endpoint);
        // there may be many of them, and a list is made with room for four
        call.token_limits.shrink_to_fit();
        call.models_at.shrink_to_fit();
        call.thinking_budgets.shrink_to_fit();
        Ok(call)
    }
}

/// What tells what a call is for.
#[derive(Default)]
struct Purpose {
    system_blocks: usize,
    system_messages: usize,
    quota: bool,
}

impl Purpose {
    /// By the rule of Claude Nexus, which knows Anthropic's calls only: `OpenAI`'s instructions and developer messages count as
    /// its system blocks. What holds no conversation is a query.
    fn request_type(&self, endpoint: Endpoint) -> RequestType {
        let conversation = endpoint.converses();
        match self.system_blocks + self.system_messages {
            _ if self.quota => RequestType::Quota,
            2.. if conversation => RequestType::Inference,
            _ => RequestType::QueryEvaluation,
        }
    }
}

/// The value of a token limit, as a JSON value.
fn asked(value: &str) -> Asked {
    match decimal::whole(value) {
        Some(tokens) => Asked::Tokens(tokens),
        None if value == "null" => Asked::Null,
        None => Asked::NotANumber,
    }
}

/// A model's name, as a JSON value; `None` if it is no string, too long, or no text (half of a surrogate pair).
fn model(value: &str) -> Option<String> {
    let longest = CallFacts::LONGEST_MODEL;
    // every byte may be written as an escape of six
    if !value.starts_with('"') || value.len() > longest * 6 + 2 {
        return None;
    }
    serde_json::from_str::<String>(value).ok().filter(|name| name.len() <= longest)
}

/// Notes that a call has named so many.
fn bounded<E: Error>(number: usize, repeats: &mut usize, of: &str) -> Result<(), E> {
    *repeats += usize::from(number > 1);
    if number <= MOST_REPEATS && *repeats <= MOST_REPEATS_IN_ALL {
        return Ok(());
    }
    if number <= MOST_REPEATS {
        return Err(E::custom(format!("its calls name {of} again more than {MOST_REPEATS_IN_ALL} times")));
    }
    Err(E::custom(format!("it names more than {MOST_REPEATS} {of} in one call")))
}

/// The length of a value that should be a list; 0 if it is none.
fn length<'de, A: MapAccess<'de>>(map: &mut A, key: &Key<'de>) -> Result<usize, A::Error> {
    match key.end.next_token() {
        (Some(b'['), _) => map.next_value_seed(Length),
        _ => map.next_value::<IgnoredAny>().map(|_| 0),
    }
}

struct Length;

impl<'de> DeserializeSeed<'de> for Length {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<usize, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Length {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
        let mut length = 0;
        while list.next_element::<IgnoredAny>()?.is_some() {
            length += 1;
        }
        Ok(length)
    }
}

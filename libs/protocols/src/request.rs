//! Reads the body of a call: the facts of its JSON text in one pass over it, without a tree, and the places of what may be
//! edited.

mod batch;
mod caller;
mod key;
mod messages;
mod stream_options;
mod thinking;

use std::borrow::Cow;

use http::HeaderMap;
use json_extract::decimal;
use json_tape::{Fault, Reader};
use serde::de::IgnoredAny;

use crate::conversation::{ConversationHasher, Hashing, MessageHashes};
use crate::facts::{CallFacts, StreamOptions, TokenField, TokenLimit, TokenLimitValue};
use crate::{Endpoint, charset};
use batch::Calls;
pub(crate) use key::Key;

use key::Match;
use messages::is_quota;

/// How often a call may name a model, or a token limit, and how often those of a batch may name one again.
const MOST_REPEATS: usize = 16;
const MOST_REPEATS_IN_ALL: usize = 1000;
/// How many keys of an object are compared with each other.
const MOST_KEYS: usize = 256;

/// What a body turned out to be.
#[derive(Debug)]
pub enum ParsedBody {
    /// A JSON object, read to its last byte. One call, or as many as a batch holds.
    Calls(Vec<CallFacts>),
    /// Nothing that any server could take for a JSON object. The upstream may say so itself.
    NotACall,
    /// It may hold a call that a more lenient reader would understand, but not one that can be read with
    /// certainty here; why, in words for the caller.
    Unreadable(String),
}

/// The calls that the body of a request with these headers makes, its content-encoding taken off, and the hashes of its messages
/// that are wanted, where the endpoint has turns.
///
/// A body that is no JSON object is [`ParsedBody::NotACall`]. One that begins like an object but is not strict JSON in UTF-8 is
/// [`ParsedBody::Unreadable`], since a more lenient server might find a call in it.
#[must_use]
pub fn parse(endpoint: Endpoint, headers: &HeaderMap, body: &[u8], hashing: Hashing) -> (ParsedBody, MessageHashes) {
    let mut turns = ConversationHasher::new(hashing).filter(|_| endpoint.has_turns);
    let parsed = parse_with(endpoint, headers, body, turns.as_mut());
    (parsed, turns.map(ConversationHasher::finish).unwrap_or_default())
}

fn parse_with(
    endpoint: Endpoint,
    headers: &HeaderMap,
    body: &[u8],
    turns: Option<&mut ConversationHasher>,
) -> ParsedBody {
    if body.is_empty() {
        return ParsedBody::NotACall;
    }
    if let Some(charset) = charset::unreadable(headers) {
        return ParsedBody::Unreadable(format!("its charset is {charset}, not UTF-8"));
    }
    if !may_be_an_object(body) {
        return ParsedBody::NotACall;
    }
    match simdutf8::basic::from_utf8(body) {
        Ok(text) => calls(endpoint, text, turns).map_or_else(ParsedBody::Unreadable, ParsedBody::Calls),
        Err(_) => {
            let valid = std::str::from_utf8(body).map_or_else(|error| error.valid_up_to(), str::len);
            ParsedBody::Unreadable(format!("it is not UTF-8 at byte {valid}"))
        }
    }
}

/// Whether any reader could take the bytes for a JSON object: in UTF-8, UTF-16 or UTF-32, with or without a byte
/// order mark, behind white space, or behind a comment as JSON5 has it.
pub(crate) fn may_be_an_object(body: &[u8]) -> bool {
    // the zero bytes of the wide encodings, white space, and every byte of the three byte order marks
    let fills = |byte: &u8| matches!(byte, 0 | 9..=13 | b' ' | 0xEF | 0xBB | 0xBF | 0xFE | 0xFF);
    let mut significant = body.iter().filter(|byte| !fills(byte));
    match significant.next() {
        Some(b'{') => true,
        Some(b'/') => matches!(significant.next(), Some(b'/' | b'*')),
        _ => false,
    }
}

/// The calls in the text of a body: one, or those of a batch. The messages of one become the turns, where they are wanted.
///
/// # Errors
/// Why it cannot be read, in words for the caller.
fn calls(endpoint: Endpoint, text: &str, turns: Option<&mut ConversationHasher>) -> Result<Vec<CallFacts>, String> {
    // Python's reader drops the mark; what is sent keeps it
    let json = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut reader = Reader::new(text, text.len() - json.len());
    let read = if let Some(members) = endpoint.batch {
        let mut calls = Calls::in_text(text);
        batch::read(&mut reader, endpoint, members, &mut calls).map(|()| calls.found)
    } else {
        call(&mut reader, endpoint, turns, &mut 0).map(|call| vec![call])
    };
    read.and_then(|calls| Ok(reader.end().map(|()| calls)?)).map_err(|why| match why {
        Unread::Because(why) => why,
        Unread::NotStrict => not_strict(json),
    })
}

/// Why a text is not read.
enum Unread {
    /// It is no strict JSON.
    NotStrict,
    /// In words for the caller.
    Because(String),
}

impl From<Fault> for Unread {
    fn from(_: Fault) -> Self {
        Self::NotStrict
    }
}

/// Says where a text is no strict JSON.
pub(crate) fn not_strict(json: &str) -> String {
    match serde_json::from_str::<IgnoredAny>(json) {
        Ok(_) => "it is not strict JSON".to_owned(),
        Err(error) => format!("it is not strict JSON: {error}"),
    }
}

/// Reads the call that comes next.
fn call<'t>(
    reader: &mut Reader<'t>,
    endpoint: Endpoint,
    mut turns: Option<&mut ConversationHasher>,
    repeats: &mut usize,
) -> Result<CallFacts, Unread> {
    let token_fields = TokenField::all();
    let (mut system_blocks, mut system_messages) = (0, 0);
    let (mut answers, mut prompts) = (None::<u64>, None::<u64>);
    let mut call = CallFacts { members_at: reader.at() + 1, ..CallFacts::default() };
    reader.object()?;
    let mut names: Vec<Cow<'t, [u8]>> = Vec::with_capacity(16);
    let mut models = 0;
    let mut model_named = false;
    while let Some(key) = Key::next(reader)? {
        call.has_members = true;
        let limit = token_fields.iter().find_map(|field| key.is(field.as_str()).map(|how| (*field, how)));
        if let Some((field, how)) = limit {
            let start = reader.at();
            let value = reader.value()?;
            call.token_limits.push(TokenLimit {
                field,
                exact: how == Match::Exact,
                asked: asked(value),
                at: start..start + value.len(),
            });
            bounded(call.token_limits.len(), repeats, "token limits")?;
        } else if let Some(how) = key.is("model") {
            let start = reader.at();
            let value = reader.value()?;
            call.models_at.push(start..start + value.len());
            let named = name(value);
            models += 1;
            bounded(models, repeats, "models")?;
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
            let start = reader.at();
            thinking::read(start, member, reader.value()?, &mut call.thinking_budgets);
            bounded(call.thinking_budgets.len(), repeats, "thinking budgets")?;
        } else if key.is("n").or_else(|| key.is("best_of")).is_some() {
            answers = answers.max(count(reader.value()?));
        } else if let Some(member) = caller::member(&key).filter(|_| !endpoint.is_batch()) {
            caller::read(member, reader.value()?, call.caller.get_or_insert_default());
        } else if *key.name == *b"stream" {
            call.stream = reader.value()? == "true";
        } else if *key.name == *b"service_tier" {
            call.service_tier = name(reader.value()?);
        } else if *key.name == *b"speed" {
            call.speed = name(reader.value()?);
        } else if *key.name == *b"tools" {
            call.tools = length(reader)? > 0;
        } else if endpoint.earlier_answer.is_some_and(|name| *key.name == *name.as_bytes()) {
            let value = reader.value()?;
            if let Some(turns) = turns.as_deref_mut() {
                turns.goes_on_from(name(value).as_deref());
            }
        } else if *key.name == *endpoint.messages.as_bytes() {
            if reader.peek() == Some(b'[') {
                let messages = messages::read(reader, turns.as_deref_mut())?;
                call.messages = messages.count;
                system_messages = messages.system;
                call.asks_quota = messages.asks_quota;
            } else {
                call.messages = 0;
                call.asks_quota = is_quota(reader.value()?);
            }
        } else if *key.name == *b"system" || *key.name == *b"instructions" {
            system_blocks = match reader.peek() {
                Some(b'[') => length(reader)?,
                token => reader.value().map(|_| usize::from(token == Some(b'"')))?,
            };
        } else if endpoint.prompt.is_some_and(|prompt| *key.name == *prompt.as_bytes()) {
            let value = reader.value()?;
            call.asks_quota = is_quota(value);
            prompts = prompts.max(prompts_in(value));
        } else if *key.name == *b"stream_options" && endpoint.reports_usage_on_request {
            let start = reader.at();
            let said = stream_options::read(start, reader.value()?);
            let first = call.stream_options == StreamOptions::Absent;
            call.stream_options = if first { said } else { StreamOptions::Unclear };
        } else {
            reader.value()?;
        }
        if names.len() < MOST_KEYS && !key.is_unclear {
            names.push(key.name);
        } else {
            call.duplicate_keys = true;
        }
    }
    names.sort_unstable();
    call.duplicate_keys |= names.windows(2).any(|pair| pair[0] == pair[1]);
    call.system_blocks = system_blocks + system_messages;
    call.answers = answers.or(prompts).map(|_| answers.unwrap_or(1).saturating_mul(prompts.unwrap_or(1)));
    if endpoint.is_batch() {
        // there may be many of them, and a list is made with room for four
        call.token_limits.shrink_to_fit();
        call.models_at.shrink_to_fit();
        call.thinking_budgets.shrink_to_fit();
    }
    Ok(call)
}

/// The value of a token limit, as a JSON value.
fn asked(value: &str) -> TokenLimitValue {
    match decimal::whole(value) {
        Some(tokens) => TokenLimitValue::Tokens(tokens),
        None if value == "null" => TokenLimitValue::Null,
        None => TokenLimitValue::NotANumber,
    }
}

/// How many answers a value asks for, as a JSON value; `None` for `null`.
fn count(value: &str) -> Option<u64> {
    match asked(value) {
        TokenLimitValue::Tokens(answers) => Some(answers),
        TokenLimitValue::Null => None,
        TokenLimitValue::NotANumber => Some(u64::MAX),
    }
}

/// How many prompts a value is, as a JSON value: a list of texts, or of lists of tokens, is as many as it has. `None` for any
/// other, which is one.
fn prompts_in(value: &str) -> Option<u64> {
    let first = value.strip_prefix('[')?.trim_start().as_bytes().first()?;
    let is_many = matches!(first, b'"' | b'[');
    let length = || length(&mut Reader::new(value, 0)).ok();
    is_many.then(length).flatten().map(|length| length as u64)
}

/// A name, as a JSON value; `None` if it is no string, too long, or no text (half of a surrogate pair).
fn name(value: &str) -> Option<String> {
    let longest = CallFacts::LONGEST_MODEL;
    // every byte may be written as an escape of six
    if !value.starts_with('"') || value.len() > longest * 6 + 2 {
        return None;
    }
    json_extract::content(value.as_bytes()).filter(|name| name.len() <= longest)
}

/// Notes that a call has named so many.
fn bounded(number: usize, repeats: &mut usize, of: &str) -> Result<(), Unread> {
    *repeats += usize::from(number > 1);
    if number <= MOST_REPEATS && *repeats <= MOST_REPEATS_IN_ALL {
        return Ok(());
    }
    Err(Unread::Because(if number <= MOST_REPEATS {
        format!("its calls name {of} again more than {MOST_REPEATS_IN_ALL} times")
    } else {
        format!("it names more than {MOST_REPEATS} {of} in one call")
    }))
}

/// The length of the value that comes next, which should be a list; 0 if it is none.
fn length(reader: &mut Reader<'_>) -> Result<usize, Fault> {
    if reader.peek() != Some(b'[') {
        return reader.value().map(|_| 0);
    }
    reader.list()?;
    let mut length = 0;
    while reader.item()? {
        reader.value()?;
        length += 1;
    }
    Ok(length)
}

#[cfg(test)]
mod tests;

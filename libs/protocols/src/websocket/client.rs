//! A message of a client: whether it asks for an answer, and where in it the call stands.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use http::HeaderMap;
use json_tape::{Fault, Reader};

use crate::request::{Key, may_be_an_object, not_strict, parse};
use crate::{CallFacts, Endpoint, Hashing, MessageHashes, ParsedBody};

/// What a message of a client is.
#[derive(Debug)]
pub enum ClientMessage {
    /// It asks for an answer, or may do so to a reader that is more lenient than this one.
    Call(Box<CallMessage>),
    /// It asks for none.
    Other,
}

/// A message that asks for an answer.
#[derive(Debug)]
pub struct CallMessage {
    /// What its call turned out to be; never [`ParsedBody::NotACall`].
    pub parsed: ParsedBody,
    /// The hashes of its messages that are wanted.
    pub hashes: MessageHashes,
    /// The id by which the client knows the message, where it gave it one.
    pub event_id: Option<String>,
    place: CallPlace,
}

/// Where the call stands in the message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum CallPlace {
    Whole,
    Member(Range<usize>),
    /// A `null` stands in its place.
    Null(Range<usize>),
    /// There is none; where the first member begins, and whether there is one.
    Absent {
        members_at: usize,
        has_members: bool,
    },
}

/// The call where a message names none.
const NO_CALL: &[u8] = b"{}";

impl ClientMessage {
    /// Reads a message to this endpoint. `model` is the one that the connection is for, if it is for one. That is the model of all its
    /// calls; one that a call names beside is another that a server may take.
    #[must_use]
    pub fn read(endpoint: Endpoint, text: &[u8], model: Option<&str>, hashing: Hashing) -> Self {
        let Some(schema) = endpoint.websocket.filter(|_| may_be_an_object(text)) else { return Self::Other };
        let message = std::str::from_utf8(text)
            .map_err(|error| format!("it is not UTF-8 at byte {}", error.valid_up_to()))
            .and_then(|text| Members::of(text, schema.call_types, schema.call_member));
        let members = match message {
            Ok(members) if !members.is_call => return Self::Other,
            Ok(members) => members,
            Err(why) => return Self::Call(Box::new(CallMessage::unreadable(why))),
        };
        let place = match (schema.call_member, members.calls) {
            // the call may stand in either place, as servers go
            (None, calls) if calls.iter().any(|(_, at)| !is_null(text, at)) => {
                return Self::Call(Box::new(CallMessage::unreadable("its call stands in two places".to_owned())));
            }
            (None, _) => CallPlace::Whole,
            (Some(_), calls) => match &calls[..] {
                [] => CallPlace::Absent { members_at: members.members_at, has_members: members.has_members },
                [(true, at)] if text[at.start] == b'{' => CallPlace::Member(at.clone()),
                [(true, at)] if is_null(text, at) => CallPlace::Null(at.clone()),
                [(_, at), ..] => {
                    let why = format!("the value at byte {} is no call, or not the only one", at.start);
                    return Self::Call(Box::new(CallMessage::unreadable(why)));
                }
            },
        };
        let text = match &place {
            CallPlace::Whole => text,
            CallPlace::Member(at) => &text[at.clone()],
            CallPlace::Null(_) | CallPlace::Absent { .. } => NO_CALL,
        };
        let (mut parsed, hashes) = parse(endpoint, &HeaderMap::new(), text, hashing);
        if let ParsedBody::Calls(calls) = &mut parsed {
            for call in calls {
                call.stream = true;
                if let Some(model) = model.filter(|_| schema.model_in_query) {
                    in_session(call, model, text);
                }
            }
        }
        Self::Call(Box::new(CallMessage { parsed, hashes, event_id: members.event_id, place }))
    }
}

impl CallMessage {
    fn unreadable(why: String) -> Self {
        Self {
            parsed: ParsedBody::Unreadable(why),
            hashes: MessageHashes::default(),
            event_id: None,
            place: CallPlace::Whole,
        }
    }

    /// The text of the call, which is a part of the message's.
    #[must_use]
    pub fn call(&self, message: &Bytes) -> Bytes {
        match &self.place {
            CallPlace::Whole => message.clone(),
            CallPlace::Member(at) => message.slice(at.clone()),
            CallPlace::Null(_) | CallPlace::Absent { .. } => Bytes::from_static(NO_CALL),
        }
    }

    /// The message with another call in the place of its own.
    #[must_use]
    pub fn with_call(&self, endpoint: Endpoint, message: &[u8], call: &[u8]) -> Vec<u8> {
        match &self.place {
            CallPlace::Whole => call.to_vec(),
            CallPlace::Member(at) | CallPlace::Null(at) => [&message[..at.start], call, &message[at.end..]].concat(),
            CallPlace::Absent { members_at, has_members } => {
                let member = endpoint.websocket.and_then(|schema| schema.call_member).unwrap_or_default();
                let (before, behind) = message.split_at(*members_at);
                let comma: &[u8] = if *has_members { b"," } else { b"" };
                [before, b"\"", member.as_bytes(), b"\":", call, comma, behind].concat()
            }
        }
    }
}

/// The members of a message that matter.
struct Members {
    is_call: bool,
    event_id: Option<String>,
    /// What may be its call, `null` included: whether the key is in the API's own letters, and the bytes of the value.
    calls: Vec<(bool, Range<usize>)>,
    members_at: usize,
    has_members: bool,
}

/// The most that is kept of an id that the client gave, in bytes.
const LONGEST_ID: usize = 512;

impl Members {
    /// Reads the members of a message.
    ///
    /// # Errors
    /// That it is no strict JSON.
    fn of(text: &str, types: &'static [&'static str], member: Option<&'static str>) -> Result<Self, String> {
        let json = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let mut reader = Reader::new(text, text.len() - json.len());
        let read = Self::read(&mut reader, types, member.unwrap_or("response"));
        read.and_then(|members| reader.end().map(|()| members)).map_err(|_| not_strict(json))
    }

    fn read(reader: &mut Reader<'_>, types: &'static [&'static str], member: &'static str) -> Result<Self, Fault> {
        let mut members =
            Self { is_call: false, event_id: None, calls: Vec::new(), members_at: reader.at() + 1, has_members: false };
        reader.object()?;
        while let Some(key) = Key::next(reader)? {
            members.has_members = true;
            let start = reader.at();
            let value = reader.value()?;
            if key.is("type").is_some() {
                // of a key that stands twice one server takes the first, another the last
                members.is_call |=
                    text(value).is_some_and(|value| types.iter().any(|call| value.eq_ignore_ascii_case(call)));
            } else if let Some(exact) = key.is_exactly(member) {
                members.calls.push((exact, start..start + value.len()));
            } else if *key.name == *b"event_id" {
                members.event_id = text(value).filter(|id| id.len() <= LONGEST_ID).map(Cow::into_owned);
            }
        }
        Ok(members)
    }
}

/// Gives a call the model of its session.
fn in_session(call: &mut CallFacts, model: &str, text: &[u8]) {
    let own = call.model.replace(model.to_owned());
    if call.models_at.iter().all(|at| is_null(text, at)) {
        // it names none
        call.models_at.clear();
        call.other_models.clear();
    } else {
        call.other_models.push(own);
    }
}

fn is_null(text: &[u8], at: &Range<usize>) -> bool {
    text.get(at.clone()) == Some(b"null")
}

/// A string, as a JSON value.
fn text(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(value).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

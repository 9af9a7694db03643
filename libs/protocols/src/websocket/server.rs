//! The messages of a server: an event each, read from a copy as its bytes pass. Keeps the facts of the answers that they are about.

use serde_json::Value;

use crate::response::{ResponseFacts, ResponseSchema};
use crate::slot::{Extractor, Slot};
use crate::{Answer, Endpoint};

/// The reader of one message after another.
#[derive(Debug)]
pub struct ServerMessages {
    json: Extractor,
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// An answer begins.
    Created,
    /// An answer is over: its last event, which has its usage.
    Ended,
    /// Something failed.
    Error,
    /// A piece of an answer.
    Content,
    /// Anything else, or no event.
    Other,
}

/// A message that has been read to its end.
#[derive(Debug)]
pub struct ServerEvent<'a> {
    json: &'a Extractor,
}

/// The facts of one answer, as events tell them.
#[derive(Debug)]
pub struct AnswerEvents {
    schema: &'static ResponseSchema,
    facts: ResponseFacts,
}

impl ServerMessages {
    /// A reader of the messages of this endpoint.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        let schema = endpoint.response;
        let json = match schema.types {
            Some(types) => Extractor::only_with(schema.events, Slot::Type, types),
            None => Extractor::new(schema.events),
        };
        Self { json }
    }

    /// The next bytes of a message.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.json.feed(bytes);
    }

    /// Shows the message that is over, and begins the next.
    pub fn end<T>(&mut self, read: impl FnOnce(&ServerEvent<'_>) -> T) -> T {
        let result = read(&ServerEvent { json: &self.json });
        self.json.begin();
        result
    }
}

impl ServerEvent<'_> {
    /// What it says.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        if !self.json.is_sound() {
            return EventKind::Other;
        }
        match self.json.get(Slot::Type) {
            Some(br#""response.created""#) => EventKind::Created,
            Some(
                br#""response.completed""#
                | br#""response.incomplete""#
                | br#""response.failed""#
                | br#""response.done""#,
            ) => EventKind::Ended,
            Some(br#""error""#) => EventKind::Error,
            Some(kind) if kind.ends_with(br#".delta""#) => EventKind::Content,
            _ => EventKind::Other,
        }
    }

    /// The id of the answer that begins or ends.
    #[must_use]
    pub fn answer_id(&self) -> Option<String> {
        self.json.string(Slot::Id)
    }

    /// The model of the answer that begins or ends, where it says so.
    #[must_use]
    pub fn model(&self) -> Option<String> {
        self.json.string(Slot::Model)
    }

    /// The id of the client's message that an error is about, where it says so.
    #[must_use]
    pub fn failed_message(&self) -> Option<String> {
        let error: Value = serde_json::from_slice(self.json.get(Slot::Error)?).ok()?;
        Some(error.get("event_id")?.as_str()?.to_owned())
    }
}

impl AnswerEvents {
    /// An answer of this endpoint, of which nothing has come yet.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { schema: endpoint.response, facts: ResponseFacts::default() }
    }

    /// Reads an event that is about the answer.
    pub fn read(&mut self, event: &ServerEvent<'_>) {
        if event.json.is_sound() {
            (self.schema.on_event)(&mut self.facts, event.json);
        }
    }

    /// Whether an event has come that carries content.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.facts.has_content
    }

    /// What the answer has said of itself so far.
    #[must_use]
    pub fn into_answer(self) -> Answer {
        self.facts.into_answer(self.schema)
    }
}

//! Reads an answer from a copy of its bytes as they pass: JSON or events, encoded or not, cut anywhere. Keeps its facts and
//! no content; whatever it cannot read ends the reading and nothing else.

#[cfg(test)]
mod tests;
mod text_events;

use decode::Decoder;
use event_stream::{Events, Piece};
use http::{HeaderMap, StatusCode};

use crate::Endpoint;
use crate::answer::{Answer, AnswerState};
use crate::compatible::{error_name, unnamed};
use crate::response::{ResponseFacts, ResponseSchema};
use crate::slot::{Extractor, Slot};
use text_events::TextEvents;
pub(crate) use text_events::{TextEvent, is_plain_rest};

/// One answer on its way.
#[derive(Debug)]
pub struct AnswerReader {
    coding: Coding,
    text: Text,
    failed: bool,
}

/// How the bytes are encoded.
#[derive(Debug)]
pub(crate) enum Coding {
    Plain,
    Encoded(Box<Decoder>),
    /// In no way that is known here, or not as they say.
    Unreadable,
}

impl AnswerReader {
    /// A reader of the answer with this head to a call of this endpoint.
    #[must_use]
    pub fn new(endpoint: Endpoint, status: StatusCode, headers: &HeaderMap) -> Self {
        Self {
            coding: Coding::of(headers),
            text: Text::new(endpoint.response),
            failed: status.is_client_error() || status.is_server_error(),
        }
    }

    /// Also reads [what the model says](Answer::words). For calls that may be turns of a conversation.
    #[must_use]
    pub fn with_words(mut self) -> Self {
        self.text.facts.spoken = Some(Box::default());
        self
    }

    /// The next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        let text = &mut self.text;
        self.coding.feed(bytes, &mut |bytes| text.feed(bytes));
    }

    /// The body is complete.
    pub fn finish(&mut self) {
        self.text.finish();
    }

    /// Whether an event has come that carries content.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.text.facts.has_content
    }

    /// Whether the event has come that ends a stream by its protocol, be it that of a success or of an error: `message_stop`,
    /// `[DONE]`, `response.completed` and the like. What comes behind it is no part of the answer.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.text.form, Form::Events { .. }) && self.text.facts.state != AnswerState::Partial
    }

    /// What the answer has said of itself so far.
    #[must_use]
    pub fn into_answer(self) -> Answer {
        let (schema, mut facts) = (self.text.schema, self.text.into_facts());
        if self.failed {
            facts.state = AnswerState::Failed;
        }
        facts.into_answer(schema)
    }
}

impl Coding {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match Decoder::new(headers) {
            Ok(None) => Self::Plain,
            Ok(Some(decoder)) => Self::Encoded(Box::new(decoder)),
            Err(_) => Self::Unreadable,
        }
    }

    /// Hands the decoded bytes on.
    pub(crate) fn feed(&mut self, bytes: &[u8], text: &mut dyn FnMut(&[u8])) {
        match self {
            Self::Plain => text(bytes),
            Self::Encoded(decoder) => {
                if decoder.feed(bytes, text).is_err() {
                    *self = Self::Unreadable;
                }
            }
            Self::Unreadable => {}
        }
    }
}

/// What the decoded bytes hold.
#[derive(Debug)]
struct Text {
    schema: &'static ResponseSchema,
    form: Form,
    json: Extractor,
    facts: ResponseFacts,
}

/// Told from the first bytes: some servers give no `content-type`, and some a wrong one.
#[derive(Debug)]
enum Form {
    Unknown,
    Json {
        told: bool,
    },
    /// An object a line.
    Lines,
    Events {
        events: Events,
        start: Start,
        /// Whether its words are read.
        listens: bool,
        texts: TextEvents,
        /// Whether the event was one that brings text, and has been dealt with.
        is_text: bool,
    },
}

/// The first bytes of an event's data, by which the last of `OpenAI`'s is known, which is no JSON.
#[derive(Debug, Default)]
struct Start {
    bytes: [u8; 8],
    length: usize,
}

impl Text {
    fn new(schema: &'static ResponseSchema) -> Self {
        Self { schema, form: Form::Unknown, json: Extractor::new(schema.whole), facts: ResponseFacts::default() }
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        if let Form::Unknown = self.form {
            let fills = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0xEF | 0xBB | 0xBF);
            bytes = &bytes[bytes.iter().take_while(|byte| fills(byte)).count()..];
            match bytes.first() {
                None => return,
                Some(b'{') if self.schema.is_lines => self.form = Form::Lines,
                Some(b'{') => self.form = Form::Json { told: false },
                Some(b'[') => {
                    // no answer is a list, but Gemini lists its errors
                    self.form = Form::Json { told: false };
                    bytes = &bytes[1..];
                }
                Some(_) => {
                    let listens = self.facts.listens();
                    self.json = match self.schema.types_that_matter(listens) {
                        Some(types) => Extractor::only_with(self.schema.events, Slot::Type, types),
                        None => Extractor::new(self.schema.events),
                    };
                    self.form = Form::Events {
                        events: Events::default(),
                        start: Start::default(),
                        listens,
                        texts: TextEvents::default(),
                        is_text: false,
                    };
                }
            }
        }
        match &mut self.form {
            Form::Unknown => {}
            Form::Json { told } => {
                self.json.feed(bytes);
                if !*told && self.json.is_complete() {
                    *told = true;
                    (self.schema.on_whole)(&mut self.facts, &self.json);
                }
            }
            Form::Lines => {
                while let Some(end) = memchr::memchr(b'\n', bytes) {
                    self.json.feed(&bytes[..end]);
                    bytes = &bytes[end + 1..];
                    self.end_line();
                }
                self.json.feed(bytes);
            }
            Form::Events { events, start, listens, texts, is_text } => {
                while let Some(piece) = events.next(&mut bytes) {
                    match piece {
                        Piece::Data(data) => {
                            if *is_text {
                                continue;
                            }
                            if start.length == 0
                                && let Some(event) = self.schema.text_event
                                && let Some(text) = texts.text(event, data)
                            {
                                *is_text = self.facts.hear_text(text);
                                if *is_text {
                                    continue;
                                }
                            }
                            start.push(data);
                            self.json.feed(data);
                        }
                        Piece::End if std::mem::take(is_text) => {}
                        Piece::End => {
                            if let Some(event) = self.schema.text_event {
                                texts.was_read(event, &self.json);
                            }
                            if self.json.is_sound() {
                                (self.schema.on_event)(&mut self.facts, &self.json);
                            } else if self.schema.stops_before_its_end && start.is_done() {
                                self.facts.end();
                            }
                            if events.was_error() {
                                self.facts.fail(error_name(&self.json, false).unwrap_or_else(unnamed));
                            }
                            let listened = std::mem::replace(listens, self.facts.listens());
                            if self.facts.has_content && !*listens {
                                self.json.look_for(self.schema.events_behind_content);
                            }
                            if listened != *listens
                                && let Some(types) = self.schema.types_that_matter(*listens)
                            {
                                self.json.look_only_with(Slot::Type, types);
                            }
                            self.json.begin();
                            start.length = 0;
                        }
                    }
                }
            }
        }
    }

    /// A line is over; its object may go on in the next.
    fn end_line(&mut self) {
        if self.json.is_complete() {
            (self.schema.on_event)(&mut self.facts, &self.json);
            self.json.begin();
        }
    }

    fn finish(&mut self) {
        if let Form::Lines = self.form {
            self.end_line();
        }
        let facts = &self.facts;
        // of several choices others may have been under way
        let stopped = self.schema.stops_before_its_end && facts.stop_reason.is_some() && !facts.has_choices;
        if matches!(self.form, Form::Events { .. }) && stopped {
            self.facts.complete();
        }
    }

    fn into_facts(mut self) -> ResponseFacts {
        if let Form::Lines = self.form {
            self.end_line();
        }
        if let Form::Json { told } = self.form
            && !self.json.is_complete()
        {
            if !told {
                (self.schema.on_whole)(&mut self.facts, &self.json);
            }
            // what came of it may be right, but is not all, or not all that came
            self.facts.reach(AnswerState::Partial);
        }
        self.facts
    }
}

impl Start {
    fn push(&mut self, data: &[u8]) {
        let room = &mut self.bytes[self.length..];
        let length = data.len().min(room.len());
        room[..length].copy_from_slice(&data[..length]);
        self.length += length;
    }

    fn is_done(&self) -> bool {
        self.bytes[..self.length].trim_ascii() == b"[DONE]"
    }
}

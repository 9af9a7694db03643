//! Reads an answer from a copy of its bytes as they pass: JSON or events, encoded or not, cut anywhere. Keeps its facts and
//! no content; whatever it cannot read ends the reading and nothing else.

mod anthropic;
mod batch;
mod conventions;
mod facts;
mod failure;
mod figures;
mod media;
mod ollama;
mod openai;
mod responses;
#[cfg(test)]
mod tests;
mod usage_text;

use decode::Decoder;
use http::{HeaderMap, StatusCode};
use plugin_api::{Answer, AnswerState, Endpoint};

use super::slot::{Extractor, Slot};
use event_stream::{Events, Piece};
use facts::{Facts, Shape};
use figures::Figures;

pub use batch::{BatchReader, batch_of_results};

/// One answer on its way.
#[derive(Debug)]
pub struct Reader {
    coding: Coding,
    text: Text,
    failed: bool,
}

/// How the bytes are encoded.
#[derive(Debug)]
enum Coding {
    Plain,
    Encoded(Box<Decoder>),
    /// In no way that is known here, or not as they say.
    Unreadable,
}

impl Reader {
    /// A reader of the answer with this head to a call of this endpoint.
    #[must_use]
    pub fn new(endpoint: Endpoint, status: StatusCode, headers: &HeaderMap) -> Self {
        Self {
            coding: Coding::of(headers),
            text: Text::new(shape_of(endpoint)),
            failed: status.is_client_error() || status.is_server_error(),
        }
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
        let (shape, mut facts) = (self.text.shape, self.text.into_facts());
        if self.failed {
            facts.state = AnswerState::Failed;
        }
        let raw = facts.usage.finish();
        let mut usage = raw.as_deref().and_then(|raw| Figures::of(raw.get())).map(|figures| (shape.usage)(&figures));
        if let Some(usage) = &mut usage {
            usage.service_tier = usage.service_tier.take().or(facts.service_tier.into_text());
            usage.raw = raw;
        }
        Answer {
            state: facts.state,
            id: facts.id.into_text(),
            model: facts.model.into_text(),
            stop_reason: facts.stop_reason,
            error_type: facts.error_type,
            usage,
            server_state: facts.has_server_state,
        }
    }
}

/// What the answers of an endpoint look like.
fn shape_of(endpoint: Endpoint) -> &'static Shape {
    match endpoint {
        Endpoint::Messages => &anthropic::MESSAGES,
        Endpoint::CountTokens => &anthropic::COUNTS,
        Endpoint::MessageBatches => &anthropic::BATCHES,
        Endpoint::ChatCompletions | Endpoint::Completions => &openai::CHOICES,
        Endpoint::Embeddings => &openai::EMBEDDINGS,
        Endpoint::ImageGenerations
        | Endpoint::ImageEdits
        | Endpoint::Transcriptions
        | Endpoint::Speech
        | Endpoint::Moderations => &media::SHAPE,
        Endpoint::Ollama => &ollama::SHAPE,
        Endpoint::Responses => &responses::SHAPE,
    }
}

impl Coding {
    fn of(headers: &HeaderMap) -> Self {
        match Decoder::new(headers) {
            Ok(None) => Self::Plain,
            Ok(Some(decoder)) => Self::Encoded(Box::new(decoder)),
            Err(_) => Self::Unreadable,
        }
    }

    /// Hands the decoded bytes on.
    fn feed(&mut self, bytes: &[u8], text: &mut dyn FnMut(&[u8])) {
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
    shape: &'static Shape,
    form: Form,
    json: Extractor,
    facts: Facts,
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
    },
}

/// The first bytes of an event's data, by which the last of `OpenAI`'s is known, which is no JSON.
#[derive(Debug, Default)]
struct Start {
    bytes: [u8; 8],
    length: usize,
}

impl Text {
    fn new(shape: &'static Shape) -> Self {
        Self { shape, form: Form::Unknown, json: Extractor::new(shape.whole), facts: Facts::default() }
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        if let Form::Unknown = self.form {
            let fills = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0xEF | 0xBB | 0xBF);
            bytes = &bytes[bytes.iter().take_while(|byte| fills(byte)).count()..];
            match bytes.first() {
                None => return,
                Some(b'{') if self.shape.is_lines => self.form = Form::Lines,
                Some(b'{') => self.form = Form::Json { told: false },
                Some(b'[') => {
                    // no answer is a list, but Gemini lists its errors
                    self.form = Form::Json { told: false };
                    bytes = &bytes[1..];
                }
                Some(_) => {
                    self.json = match self.shape.types {
                        Some(types) => Extractor::only_with(self.shape.events, Slot::Type, types),
                        None => Extractor::new(self.shape.events),
                    };
                    self.form = Form::Events { events: Events::default(), start: Start::default() };
                }
            }
        }
        match &mut self.form {
            Form::Unknown => {}
            Form::Json { told } => {
                self.json.feed(bytes);
                if !*told && self.json.is_complete() {
                    *told = true;
                    (self.shape.on_whole)(&mut self.facts, &self.json);
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
            Form::Events { events, start } => {
                while let Some(piece) = events.next(&mut bytes) {
                    match piece {
                        Piece::Data(data) => {
                            start.push(data);
                            self.json.feed(data);
                        }
                        Piece::End => {
                            if self.json.is_sound() {
                                (self.shape.on_event)(&mut self.facts, &self.json);
                            } else if self.shape.stops_before_its_end && start.is_done() {
                                self.facts.end();
                            }
                            if events.was_error() {
                                self.facts.fail(failure::name(&self.json, false).unwrap_or_else(failure::unnamed));
                            }
                            if self.facts.has_content {
                                self.json.look_for(self.shape.events_behind_content);
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
            (self.shape.on_event)(&mut self.facts, &self.json);
            self.json.begin();
        }
    }

    fn finish(&mut self) {
        if let Form::Lines = self.form {
            self.end_line();
        }
        let facts = &self.facts;
        // of several choices others may have been under way
        let stopped = self.shape.stops_before_its_end && facts.stop_reason.is_some() && !facts.has_choices;
        if matches!(self.form, Form::Events { .. }) && stopped {
            self.facts.complete();
        }
    }

    fn into_facts(mut self) -> Facts {
        if let Form::Lines = self.form {
            self.end_line();
        }
        if let Form::Json { told } = self.form
            && !self.json.is_complete()
        {
            if !told {
                (self.shape.on_whole)(&mut self.facts, &self.json);
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

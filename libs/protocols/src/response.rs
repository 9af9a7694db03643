//! The shape of an endpoint's answers, and the facts of one answer as they are gathered.

use crate::answer::{Answer, AnswerState};
use crate::compatible::{self, unnamed};
use crate::lenient_object::LenientObject;
use crate::reader::TextEvent;
use crate::slot::{Extractor, Members, Slot};
use crate::spoken::Spoken;
use crate::usage::Usage;
use crate::usage_text::UsageText;

/// What is known of an answer so far.
#[derive(Debug, Default)]
pub(crate) struct ResponseFacts {
    pub(crate) state: AnswerState,
    pub(crate) id: Word,
    pub(crate) model: Word,
    pub(crate) stop_reason: Option<String>,
    pub(crate) error_type: Option<String>,
    pub(crate) service_tier: Word,
    /// The provider's object, or what its events make of it.
    pub(crate) usage: UsageText,
    /// Whether its first event, or a choice of it, has come.
    pub(crate) has_begun: bool,
    /// Whether it is of several choices, each of which stops for itself.
    pub(crate) has_choices: bool,
    /// Whether an event has come that carries content.
    pub(crate) has_content: bool,
    /// Whether it names state on the server that it goes on with.
    pub(crate) has_server_state: bool,
    /// What it says, where that is wanted.
    pub(crate) spoken: Option<Box<Spoken>>,
}

impl ResponseFacts {
    /// Reads what an answer of either dialect says at its top.
    pub(crate) fn read(&mut self, json: &Extractor) {
        self.id.update(json.get(Slot::Id));
        self.model.update(json.get(Slot::Model));
        self.service_tier.update(json.get(Slot::Tier));
        self.has_server_state |= json.has(Slot::Container);
        self.read_stop(json);
    }

    /// Reads why it stopped. What is no word is no stop, and some words say that it failed.
    pub(crate) fn read_stop(&mut self, json: &Extractor) {
        if json.words() > 0 {
            let stop = json.string(Slot::Stop).filter(|stop| !stop.trim().is_empty());
            if let Some(stop) = stop.as_deref().filter(|stop| compatible::is_failure(stop)) {
                self.fail(stop.to_owned());
            }
            self.stop_reason = stop.or(self.stop_reason.take());
        }
    }

    /// Reads usage that replaces what was said before; `null` says nothing.
    pub(crate) fn read_usage(&mut self, json: &Extractor) {
        if let Some(usage) = usage_object(json) {
            self.usage.replace(usage);
        }
    }

    /// Reads an error, if the object tells of one; `is_answer` says that it is, or may be, a part of an answer.
    pub(crate) fn read_error(&mut self, json: &Extractor, is_answer: bool) {
        if let Some(name) = compatible::error_name(json, is_answer) {
            self.fail(name);
        }
    }

    /// It says that it failed, and calls that by a name. One that says more than another stays.
    pub(crate) fn fail(&mut self, name: String) {
        self.state = AnswerState::Failed;
        if self.error_type.is_none() || name != unnamed() {
            self.error_type = Some(name);
        }
    }

    /// The event has come that ends a stream by its protocol. One that had not begun is over, too, but was no answer.
    pub(crate) fn end(&mut self) {
        self.reach(if self.has_begun { AnswerState::Complete } else { AnswerState::Unrecognized });
    }

    /// It has been seen to its end. An error before that stays one.
    pub(crate) fn complete(&mut self) {
        self.reach(AnswerState::Complete);
    }

    /// What the answer has said of itself.
    pub(crate) fn into_answer(self, schema: &ResponseSchema) -> Answer {
        let raw = self.usage.finish();
        let mut usage =
            raw.as_deref().and_then(|raw| LenientObject::of(raw.get())).map(|figures| (schema.usage)(&figures));
        if let Some(usage) = &mut usage {
            usage.service_tier = usage.service_tier.take().or(self.service_tier.into_text());
            usage.raw = raw;
        }
        let (words, tasks) = self.spoken.map(|spoken| spoken.finish()).unwrap_or_default();
        let words = words.filter(|_| self.state == AnswerState::Complete);
        Answer {
            state: self.state,
            id: self.id.into_text(),
            model: self.model.into_text(),
            stop_reason: self.stop_reason,
            error_type: self.error_type,
            usage,
            server_state: self.has_server_state,
            words,
            tasks,
        }
    }

    /// Whether the words of the next events may count.
    pub(crate) fn listens(&self) -> bool {
        self.spoken.as_ref().is_some_and(|spoken| spoken.listens())
    }

    /// Hears a piece of text, as a JSON string. Whether that is all that its event says.
    pub(crate) fn hear_text(&mut self, text: &[u8]) -> bool {
        // the first event with content is read
        if self.has_content
            && let Some(spoken) = &mut self.spoken
        {
            spoken.words.string(text);
        }
        self.has_content
    }

    /// Hears what a whole answer says, where that is wanted: its content, as JSON.
    pub(crate) fn hear(&mut self, json: &Extractor, read: impl FnOnce(&mut Spoken, &str)) {
        let Some(spoken) = &mut self.spoken else { return };
        match json.get(Slot::Content).map(std::str::from_utf8) {
            Some(Ok(content)) => read(spoken, content),
            None if !json.is_too_long(Slot::Content) => {}
            _ => spoken.words.lose(),
        }
    }

    /// It got so far. An error before that stays one.
    pub(crate) fn reach(&mut self, state: AnswerState) {
        if self.state != AnswerState::Failed {
            self.state = state;
        }
    }
}

/// A text that is said again and again, and read only where it changes. The last that is not empty counts.
#[derive(Debug, Default)]
pub(crate) struct Word {
    json: Vec<u8>,
    text: Option<String>,
}

impl Word {
    /// Takes the JSON text of a value; what is no string says nothing, and neither does an empty one: Azure begins its streams with
    /// an empty name.
    pub(crate) fn update(&mut self, json: Option<&[u8]>) {
        let Some(json) = json.filter(|json| json.starts_with(b"\"") && json.len() > 2 && **json != *self.json) else {
            return;
        };
        if let Some(text) = json_extract::content(json) {
            self.json.clear();
            self.json.extend_from_slice(json);
            self.text = Some(text);
        }
    }

    /// The text.
    pub(crate) fn into_text(self) -> Option<String> {
        self.text
    }
}

/// What the answers of an endpoint look like.
#[derive(Debug)]
pub(crate) struct ResponseSchema {
    /// What is looked for in an answer that is one object.
    pub(crate) whole: Members,
    pub(crate) on_whole: fn(&mut ResponseFacts, &Extractor),
    /// What is looked for in an event.
    pub(crate) events: Members,
    /// The same, once an event with content has been seen.
    pub(crate) events_behind_content: Members,
    /// The types of events, in quotes, that matter beyond their type; all of them where there are none.
    pub(crate) types: Option<&'static [&'static str]>,
    /// The same, where the words of the answer are wanted.
    pub(crate) types_with_words: Option<&'static [&'static str]>,
    pub(crate) on_event: fn(&mut ResponseFacts, &Extractor),
    /// The events that bring text, where they are spelled alike.
    pub(crate) text_event: Option<&'static TextEvent>,
    /// Whether a stream of one choice may end without an event that says so, and so is complete once it has said why it
    /// stopped.
    pub(crate) stops_before_its_end: bool,
    /// Whether a stream is an object a line.
    pub(crate) is_lines: bool,
    /// The meaning of the provider's usage.
    pub(crate) usage: fn(&LenientObject<'_>) -> Usage,
}

impl ResponseSchema {
    /// The types of events that matter beyond their type, with or without those that bring words.
    pub(crate) fn types_that_matter(&self, with_words: bool) -> Option<&'static [&'static str]> {
        self.types_with_words.filter(|_| with_words).or(self.types)
    }
}

/// The provider's usage, where it gave one.
pub(crate) fn usage_object(json: &Extractor) -> Option<&[u8]> {
    compatible::usage_places().find_map(|place| json.get(place).filter(|usage| usage.starts_with(b"{")))
}

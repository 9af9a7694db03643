//! The facts of an answer as they are gathered, and what there is to say of the shape of answers.

use plugin_api::{AnswerState, Usage};

use crate::dialect::slot::{Extractor, Members, Slot};

use super::conventions::PLACES;
use super::failure;
use super::figures::Figures;
use super::usage_text::UsageText;

/// What is known of an answer so far.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) state: AnswerState,
    pub(super) id: Word,
    pub(super) model: Word,
    pub(super) stop_reason: Option<String>,
    pub(super) error_type: Option<String>,
    pub(super) service_tier: Word,
    /// The provider's object, or what its events make of it.
    pub(super) usage: UsageText,
    /// Whether its first event, or a choice of it, has come.
    pub(super) has_begun: bool,
    /// Whether it is of several choices, each of which stops for itself.
    pub(super) has_choices: bool,
    /// Whether an event has come that carries content.
    pub(super) has_content: bool,
    /// Whether it names state on the server that it goes on with.
    pub(super) has_server_state: bool,
}

impl Facts {
    /// Notes what an answer of either dialect says at its top.
    pub(super) fn note(&mut self, json: &Extractor) {
        self.id.note(json.get(Slot::Id));
        self.model.note(json.get(Slot::Model));
        self.service_tier.note(json.get(Slot::Tier));
        self.has_server_state |= json.has(Slot::Container);
        self.note_stop(json);
    }

    /// Notes why it stopped. What is no word is no stop, and some words say that it failed.
    pub(super) fn note_stop(&mut self, json: &Extractor) {
        if json.words() > 0 {
            let stop = json.string(Slot::Stop).filter(|stop| !stop.trim().is_empty());
            if let Some(stop) = stop.as_deref().filter(|stop| failure::is_stop(stop)) {
                self.fail(stop.to_owned());
            }
            self.stop_reason = stop.or(self.stop_reason.take());
        }
    }

    /// Notes usage that replaces what was said before; `null` says nothing.
    pub(super) fn note_usage(&mut self, json: &Extractor) {
        if let Some(usage) = usage(json) {
            self.usage.replace(usage);
        }
    }

    /// Notes an error, if the object tells of one; `is_answer` says that it is, or may be, a part of an answer.
    pub(super) fn note_error(&mut self, json: &Extractor, is_answer: bool) {
        if let Some(name) = failure::name(json, is_answer) {
            self.fail(name);
        }
    }

    /// It says that it failed, and calls that by a name. One that says more than another stays.
    pub(super) fn fail(&mut self, name: String) {
        self.state = AnswerState::Failed;
        if self.error_type.is_none() || name != failure::unnamed() {
            self.error_type = Some(name);
        }
    }

    /// The event has come that ends a stream by its protocol. One that had not begun is over, too, but was no answer.
    pub(super) fn end(&mut self) {
        self.reach(if self.has_begun { AnswerState::Complete } else { AnswerState::Unrecognized });
    }

    /// It has been seen to its end. An error before that stays one.
    pub(super) fn complete(&mut self) {
        self.reach(AnswerState::Complete);
    }

    /// It got so far. An error before that stays one.
    pub(super) fn reach(&mut self, state: AnswerState) {
        if self.state != AnswerState::Failed {
            self.state = state;
        }
    }
}

/// A text that is said again and again, and read only where it changes. The last that is not empty counts.
#[derive(Debug, Default)]
pub(super) struct Word {
    json: Vec<u8>,
    text: Option<String>,
}

impl Word {
    /// Notes the JSON text of a value; what is no string says nothing, and neither does an empty one: Azure begins its streams with
    /// an empty name.
    pub(super) fn note(&mut self, json: Option<&[u8]>) {
        let Some(json) = json.filter(|json| json.starts_with(b"\"") && json.len() > 2 && **json != *self.json) else {
            return;
        };
        if let Ok(text) = serde_json::from_slice(json) {
            self.json.clear();
            self.json.extend_from_slice(json);
            self.text = Some(text);
        }
    }

    /// The text.
    pub(super) fn into_text(self) -> Option<String> {
        self.text
    }
}

/// What the answers of an endpoint look like.
#[derive(Debug)]
pub(super) struct Shape {
    /// What is looked for in an answer that is one object.
    pub(super) whole: Members,
    pub(super) on_whole: fn(&mut Facts, &Extractor),
    /// What is looked for in an event.
    pub(super) events: Members,
    /// The same, once an event with content has been seen.
    pub(super) events_behind_content: Members,
    /// The types of events, in quotes, that matter beyond their type; all of them where there are none.
    pub(super) types: Option<&'static [&'static str]>,
    pub(super) on_event: fn(&mut Facts, &Extractor),
    /// Whether a stream of one choice may end without an event that says so, and so is complete once it has said why it
    /// stopped.
    pub(super) stops_before_its_end: bool,
    /// Whether a stream is an object a line.
    pub(super) is_lines: bool,
    /// The meaning of the provider's usage.
    pub(super) usage: fn(&Figures<'_>) -> Usage,
}

/// The provider's usage, where it gave one.
pub(super) fn usage(json: &Extractor) -> Option<&[u8]> {
    PLACES.into_iter().find_map(|place| json.get(place).filter(|usage| usage.starts_with(b"{")))
}

//! The facts of an answer as they are gathered, and what there is to say of the shape of answers.

use plugin_api::{AnswerState, Usage};
use serde_json::value::RawValue;

use crate::dialect::found::{Field, Found, Members};

use super::figures::Figures;

/// What is known of an answer so far.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) state: AnswerState,
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) stop_reason: Option<String>,
    pub(super) error_type: Option<String>,
    pub(super) service_tier: Option<String>,
    /// The provider's object, or what its events make of it.
    pub(super) usage: Option<Box<RawValue>>,
    /// Whether its first event has come.
    pub(super) has_begun: bool,
    /// Whether it is of several choices, each of which stops for itself.
    pub(super) has_choices: bool,
    /// Whether an event has come that carries content.
    pub(super) has_content: bool,
}

impl Facts {
    /// Notes what an answer of either dialect says at its top.
    pub(super) fn note(&mut self, found: &Found) {
        self.id = found.text(Field::Id).filter(|id| !id.is_empty()).or(self.id.take());
        // Azure begins its streams with an empty name
        self.model = found.text(Field::Model).filter(|model| !model.is_empty()).or(self.model.take());
        self.stop_reason = found.text(Field::Stop).or(self.stop_reason.take());
        self.service_tier = found.text(Field::Tier).or(self.service_tier.take());
    }

    /// Notes usage that replaces what was said before; `null` says nothing.
    pub(super) fn note_usage(&mut self, found: &Found) {
        self.usage = raw(found).or(self.usage.take());
    }

    /// Notes an error, if there is one: an object with a `type` or a `code`, or anything else that is not `null`.
    pub(super) fn note_error(&mut self, found: &Found) {
        let error = found.get(Field::Error);
        if error.is_none() && !found.is_too_long(Field::Error) {
            return;
        }
        self.state = AnswerState::Failed;
        let object = error.and_then(|error| std::str::from_utf8(error).ok()).and_then(Figures::of);
        let named = object.and_then(|error| error.text("type").or_else(|| error.word("code")));
        self.error_type = named.or(self.error_type.take());
    }

    /// It says that it failed.
    pub(super) fn fail(&mut self) {
        self.state = AnswerState::Failed;
    }

    /// It has been seen to its end. An error before that stays one.
    pub(super) fn complete(&mut self) {
        if self.state != AnswerState::Failed {
            self.state = AnswerState::Complete;
        }
    }
}

/// What the answers of an endpoint look like.
#[derive(Debug)]
pub(super) struct Shape {
    /// What is looked for in an answer that is one object.
    pub(super) whole: Members,
    pub(super) on_whole: fn(&mut Facts, &Found),
    /// What is looked for in an event.
    pub(super) events: Members,
    /// The same, once an event with content has been seen.
    pub(super) events_behind_content: Members,
    /// The types of events, in quotes, that matter beyond their type; all of them where there are none.
    pub(super) types: Option<&'static [&'static str]>,
    pub(super) on_event: fn(&mut Facts, &Found),
    /// Whether a stream of one choice may end without an event that says so, and so is complete once it has said why it
    /// stopped.
    pub(super) stops_before_its_end: bool,
    /// The meaning of the provider's usage.
    pub(super) usage: fn(&Figures<'_>) -> Usage,
}

impl Shape {
    pub(super) fn usage(&self, raw: &RawValue) -> Option<Usage> {
        Figures::of(raw.get()).map(|figures| (self.usage)(&figures))
    }
}

/// The provider's usage, where it gave one.
pub(super) fn raw(found: &Found) -> Option<Box<RawValue>> {
    let usage = found.get(Field::Usage).filter(|usage| usage.starts_with(b"{"))?;
    RawValue::from_string(String::from_utf8(usage.to_vec()).ok()?).ok()
}

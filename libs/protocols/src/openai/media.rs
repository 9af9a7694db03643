//! Answers of `OpenAI`'s images, recordings and moderations: one object, or events of which the last tells usage.

use crate::answer::AnswerState;
use crate::compatible::{self, ERROR_MEMBERS};
use crate::response::{ResponseFacts, ResponseSchema};
use crate::slot::{Extractor, Members, Pattern, Slot};

/// Such answers.
pub(super) static MEDIA: ResponseSchema = ResponseSchema {
    whole: OBJECT,
    on_whole,
    events: OBJECT,
    events_behind_content: OBJECT,
    types: Some(&[
        r#""image_generation.completed""#,
        r#""image_edit.completed""#,
        r#""transcript.text.done""#,
        r#""speech.audio.done""#,
        r#""error""#,
    ]),
    types_with_words: None,
    on_event,
    text_event: None,
    stops_before_its_end: false,
    is_lines: false,
    usage: compatible::usage,
};

const OBJECT: Members = &[
    ("type", Pattern::Value(Slot::Type)),
    ("id", Pattern::Value(Slot::Id)),
    ("model", Pattern::Value(Slot::Model)),
    ("data", Pattern::Value(Slot::List)),    // images
    ("results", Pattern::Value(Slot::List)), // moderations
    ("text", Pattern::Value(Slot::Text)),    // transcriptions
    ("usage", Pattern::Value(Slot::Usage)),
    ("", Pattern::Also(ERROR_MEMBERS)),
];

fn on_whole(facts: &mut ResponseFacts, json: &Extractor) {
    facts.read(json);
    facts.read_usage(json);
    let is_answer = json.is_filled_list(Slot::List) || json.mentions(Slot::Text);
    facts.reach(if is_answer { AnswerState::Complete } else { AnswerState::Unrecognized });
    facts.read_error(json, is_answer);
}

fn on_event(facts: &mut ResponseFacts, json: &Extractor) {
    match json.get(Slot::Type) {
        Some(br#""error""#) | None => facts.read_error(json, false),
        Some(kind) if kind.ends_with(br#".completed""#) || kind.ends_with(br#".done""#) => {
            facts.read(json);
            facts.read_usage(json);
            // of several pictures each has its own end
            facts.complete();
        }
        Some(kind) => {
            facts.has_content |= kind.ends_with(br#".delta""#) || kind.ends_with(br#".partial_image""#);
        }
    }
}

//! Answers of Ollama's own API: an object a line, of which the last has the figures.

use plugin_api::AnswerState;

use crate::dialect::slot::{Extractor, Members, Pattern, Slot};

use super::conventions;
use super::facts::{Facts, Shape};

/// Such answers.
pub(super) static SHAPE: Shape = Shape {
    whole: LINE,
    on_whole: on_line,
    events: LINE,
    events_behind_content: LINE,
    types: None,
    on_event: on_line,
    stops_before_its_end: false,
    is_lines: true,
    usage: conventions::usage,
};

const LINE: Members = &[
    ("model", Pattern::Value(Slot::Model)),
    ("done", Pattern::Value(Slot::Status)),
    ("done_reason", Pattern::Value(Slot::Stop)),
    ("prompt_eval_count", Pattern::Value(Slot::Count)),
    ("eval_count", Pattern::Value(Slot::OutputCount)),
    ("message", Pattern::Members(&[("content", Pattern::Value(Slot::Content))])),
    ("response", Pattern::Value(Slot::Content)),
    ("embeddings", Pattern::Value(Slot::List)),
    // others serve other things under these paths, in which a `message` or a `code` is no error
    ("error", Pattern::Value(Slot::Error)),
];

fn on_line(facts: &mut Facts, json: &Extractor) {
    facts.model.note(json.get(Slot::Model));
    facts.note_stop(json);
    let has_text = json.is_too_long(Slot::Content) || json.get(Slot::Content).is_some_and(|text| text != b"\"\"");
    facts.has_content |= has_text;
    match json.get(Slot::Status) {
        Some(b"true") => {
            facts.usage.replace(figures(json).as_bytes());
            facts.complete();
        }
        Some(_) => facts.reach(AnswerState::Partial),
        // embeddings come at once
        None if json.is_filled_list(Slot::List) => {
            facts.usage.replace(figures(json).as_bytes());
            facts.complete();
        }
        None => facts.reach(AnswerState::Unrecognized),
    }
    facts.note_error(json, true);
}

/// The figures that stand in the answer itself, as an object of their own.
fn figures(json: &Extractor) -> String {
    let figure = |name: &str, field| {
        let value = json.get(field).and_then(|value| std::str::from_utf8(value).ok())?;
        Some(format!("\"{name}\":{value}"))
    };
    let figures = [figure("prompt_eval_count", Slot::Count), figure("eval_count", Slot::OutputCount)];
    format!("{{{}}}", figures.into_iter().flatten().collect::<Vec<_>>().join(","))
}

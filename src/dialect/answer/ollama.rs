//! Answers of Ollama's own API: an object a line, of which the last has the figures.

use plugin_api::AnswerState;

use crate::dialect::found::{Field, Found, Members, Wanted};

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
    ("model", Wanted::Value(Field::Model)),
    ("done", Wanted::Value(Field::Status)),
    ("done_reason", Wanted::Value(Field::Stop)),
    ("prompt_eval_count", Wanted::Value(Field::Count)),
    ("eval_count", Wanted::Value(Field::OutputCount)),
    ("message", Wanted::Members(&[("content", Wanted::Value(Field::Content))])),
    ("response", Wanted::Value(Field::Content)),
    ("embeddings", Wanted::Value(Field::List)),
    // others serve other things under these paths, in which a `message` or a `code` is no error
    ("error", Wanted::Value(Field::Error)),
];

fn on_line(facts: &mut Facts, found: &Found) {
    facts.model.note(found.get(Field::Model));
    facts.note_stop(found);
    let has_text = found.is_too_long(Field::Content) || found.get(Field::Content).is_some_and(|text| text != b"\"\"");
    facts.has_content |= has_text;
    match found.get(Field::Status) {
        Some(b"true") => {
            facts.usage.replace(figures(found).as_bytes());
            facts.complete();
        }
        Some(_) => facts.reach(AnswerState::Partial),
        // embeddings come at once
        None if found.is_filled_list(Field::List) => {
            facts.usage.replace(figures(found).as_bytes());
            facts.complete();
        }
        None => facts.reach(AnswerState::Unrecognized),
    }
    facts.note_error(found, true);
}

/// The figures that stand in the answer itself, as an object of their own.
fn figures(found: &Found) -> String {
    let figure = |name: &str, field| {
        let value = found.get(field).and_then(|value| std::str::from_utf8(value).ok())?;
        Some(format!("\"{name}\":{value}"))
    };
    let figures = [figure("prompt_eval_count", Field::Count), figure("eval_count", Field::OutputCount)];
    format!("{{{}}}", figures.into_iter().flatten().collect::<Vec<_>>().join(","))
}

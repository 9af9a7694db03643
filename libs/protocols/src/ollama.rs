//! Ollama's own API: an object a line, of which the last has the figures. Its errors, and the provider under which it is counted,
//! are `OpenAI`'s.

use crate::answer::AnswerState;
use crate::compatible;
use crate::endpoint::{EndpointSpec, PathRule};
use crate::refused::Closing;
use crate::response::{ResponseFacts, ResponseSchema};
use crate::slot::{Extractor, Members, Pattern, Slot};
use crate::{Endpoint, Protocol, openai};

/// The protocol.
pub(crate) static PROTOCOL: Protocol = Protocol {
    name: "ollama",
    provider: "openai",
    endpoints: &[Endpoint::new(&OLLAMA)],
    websockets: &[],
    marker_header: None,
    token_fields: &[],
    null_limit_is_none: true,
    session_fields: &[],
    padding_fields: &[],
    errors: openai::ERRORS,
    limit_headers: None,
    batch_results: None,
};

impl Endpoint {
    /// Ollama's own `POST /api/chat`, `/api/generate` and `/api/embed`, under whose paths others serve other things.
    pub const OLLAMA: Self = Self::new(&OLLAMA);
}

static OLLAMA: EndpointSpec = EndpointSpec {
    name: "ollama",
    protocol: &PROTOCOL,
    paths: &[
        PathRule::takes(&["api", "chat"]),
        PathRule::takes(&["api", "generate"]),
        PathRule::takes(&["api", "embed"]),
    ],
    operation: "generate_content",
    takes_json: false,
    converses: false,
    has_turns: false,
    batch: None,
    messages: "messages",
    earlier_answer: None,
    prompt: None,
    token_fields: &[],
    fewest_tokens: 0,
    reports_usage_on_request: false,
    is_repeatable: false,
    stores_answers: false,
    state_members: &[],
    server_tool_members: &[],
    closing: Closing::Line,
    websocket: None,
    response: &RESPONSE,
};

/// Its answers.
static RESPONSE: ResponseSchema = ResponseSchema {
    whole: LINE,
    on_whole: on_line,
    events: LINE,
    events_behind_content: LINE,
    types: None,
    types_with_words: None,
    on_event: on_line,
    text_event: None,
    stops_before_its_end: false,
    is_lines: true,
    usage: compatible::usage,
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

fn on_line(facts: &mut ResponseFacts, json: &Extractor) {
    facts.model.update(json.get(Slot::Model));
    facts.read_stop(json);
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
    facts.read_error(json, true);
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

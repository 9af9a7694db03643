//! The end of an answer that a plugin refuses within it, in its own API's words: a stream that ends properly before its time, or
//! a body with nothing of what was said. Knows no plugin.

mod body;
mod open_stream;

use serde_json::{Value, json};

use crate::Endpoint;

pub use body::refused_body;
pub use open_stream::OpenStream;

/// What an error event says where an API has no other way to end.
const MESSAGE: &str = "The answer was stopped by a policy of this gateway";

/// How the answers of an endpoint say that they end here because they are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Content blocks are closed, and the message stops for a refusal.
    Message,
    /// Each open choice stops for the content filter, with an empty `delta`.
    Deltas,
    /// The same, with an empty `text`.
    Texts,
    /// The response is incomplete for the content filter.
    Response,
    /// The last line has nothing to say.
    Line,
    /// Only with an error, in a named event as Anthropic has it.
    NamedError,
    /// Only with an error as `OpenAI` has it.
    Error,
}

impl Closing {
    fn of(endpoint: Option<Endpoint>) -> Self {
        endpoint.map_or(Self::Error, |endpoint| endpoint.closing)
    }
}

fn openai_error() -> Value {
    json!({
        "error": { "message": MESSAGE, "type": "invalid_request_error", "param": null, "code": "content_filter" }
    })
}

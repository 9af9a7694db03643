//! The answer of a batch, which is one JSON object, as the stream of events that the endpoint itself would send. Knows no transport.

mod chat;
mod messages;
mod responses;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde_json::Value;

use crate::call::Api;
use crate::request::one_line;

/// What keeps a stream alive, as clients of the API know it: Anthropic's event, and elsewhere a comment, which every reader skips.
pub(crate) fn ping(api: Api) -> Bytes {
    Bytes::from_static(match api {
        Api::Messages => b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
        Api::Chat | Api::Responses | Api::Embeddings => b": ping\n\n",
    })
}

/// An answer as a stream. `reports_usage` is whether a stream of chunks was asked for its usage.
pub(crate) fn stream(api: Api, answer: &[u8], reports_usage: bool) -> Option<Bytes> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let mut events = Events::default();
    match api {
        Api::Messages => messages::write(&mut events, answer)?,
        Api::Chat => chat::write(&mut events, &answer, reports_usage)?,
        Api::Responses => responses::write(&mut events, &answer)?,
        Api::Embeddings => return None,
    }
    Some(events.0.into())
}

/// An error object as the event that ends a stream.
pub(crate) fn error(api: Api, object: &[u8]) -> Bytes {
    let head = match api {
        Api::Messages | Api::Responses => "event: error\ndata: ",
        Api::Chat | Api::Embeddings => "data: ",
    };
    // a line end within the object would end the event's data
    head.bytes().chain(one_line(object)).chain(*b"\n\n").collect()
}

/// Events that are being written.
#[derive(Default)]
struct Events(Vec<u8>);

impl Events {
    /// An event whose name is its `type`.
    fn named(&mut self, data: &Value) {
        let name = data["type"].as_str().unwrap_or_default();
        self.0.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
    }

    /// An event without a name.
    fn data(&mut self, data: &Value) {
        self.0.extend_from_slice(format!("data: {data}\n\n").as_bytes());
    }
}

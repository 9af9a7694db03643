//! Reads calls to models and their answers from a copy of their bytes: what is asked for, and what it cost.
//! Never changes a byte but one that a plugin had added, and never guesses: what cannot be read for certain is said to be so.

mod answer;
mod charset;
mod form;
mod json;
mod refused;
mod slot;
mod stream_usage;
mod thread;

use bytes::Bytes;
use http::HeaderMap;
use plugin_api::{Endpoint, ModelCall, Reading};

use thread::Turns;

pub use answer::{BatchReader, Reader, batch_of_results};
pub use form::FormModel;
pub use refused::{OpenStream, refused_body};
pub use stream_usage::StreamUsageFilter;

/// The call that a body makes.
///
/// The body is decoded by its `content-encoding` into at most `max_decoded` bytes, then read once, without
/// building a tree of it. A body that is no JSON object is [`Reading::NotACall`]. One that begins like an
/// object but is not strict JSON in UTF-8 is [`Reading::Unreadable`], since a more lenient server might find a
/// call in it; so is one whose encoding or charset is unknown, broken or ambiguous.
///
/// With `thread`, its messages are hashed for its place in a conversation.
///
/// Takes time in proportion to the body; of a large one, too much for a thread that serves other requests meanwhile.
#[must_use]
pub fn read(endpoint: Endpoint, headers: &HeaderMap, body: Bytes, max_decoded: usize, thread: bool) -> ModelCall {
    if body.is_empty() {
        return ModelCall::new(endpoint, body, None, Reading::NotACall);
    }
    match decode::decode(headers, &body, max_decoded) {
        Ok(decoded) => {
            let converses = matches!(endpoint, Endpoint::Messages | Endpoint::ChatCompletions | Endpoint::Responses);
            let mut turns = (thread && converses).then(Turns::default);
            let reading = reading(endpoint, headers, decoded.as_ref().unwrap_or(&body), turns.as_mut());
            ModelCall::new(endpoint, body, decoded, reading).in_thread(turns.and_then(|turns| turns.thread()))
        }
        Err(error) => ModelCall::new(endpoint, body, None, Reading::Unreadable(error.to_string())),
    }
}

fn reading(endpoint: Endpoint, headers: &HeaderMap, body: &[u8], turns: Option<&mut Turns>) -> Reading {
    if body.is_empty() {
        return Reading::NotACall;
    }
    if let Some(charset) = charset::unreadable(headers) {
        return Reading::Unreadable(format!("its charset is {charset}, not UTF-8"));
    }
    if !may_be_an_object(body) {
        return Reading::NotACall;
    }
    match std::str::from_utf8(body) {
        Ok(text) => json::calls(endpoint, text, turns).map_or_else(Reading::Unreadable, Reading::Calls),
        Err(error) => Reading::Unreadable(format!("it is not UTF-8 at byte {}", error.valid_up_to())),
    }
}

/// Whether any reader could take the bytes for a JSON object: in UTF-8, UTF-16 or UTF-32, with or without a byte
/// order mark, behind white space, or behind a comment as JSON5 has it.
fn may_be_an_object(body: &[u8]) -> bool {
    // the zero bytes of the wide encodings, white space, and every byte of the three byte order marks
    let fills = |byte: &u8| matches!(byte, 0 | 9..=13 | b' ' | 0xEF | 0xBB | 0xBF | 0xFE | 0xFF);
    let mut significant = body.iter().filter(|byte| !fills(byte));
    match significant.next() {
        Some(b'{') => true,
        Some(b'/') => matches!(significant.next(), Some(b'/' | b'*')),
        _ => false,
    }
}

#[cfg(test)]
mod tests;

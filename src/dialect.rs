//! Reads the body of a call from a copy of its bytes, its content-encoding taken off. What it holds is for the protocols to read.

use bytes::Bytes;
use http::HeaderMap;
use plugin_api::{Edit, Endpoint, Hashing, ModelCall, ParsedBody};

/// The call that a body makes.
///
/// The body is decoded by its `content-encoding` into at most `max_decoded` bytes, then read once, without
/// building a tree of it. A body that is no JSON object is [`ParsedBody::NotACall`]. One that begins like an
/// object but is not strict JSON in UTF-8 is [`ParsedBody::Unreadable`], since a more lenient server might find a
/// call in it; so is one whose encoding or charset is unknown, broken or ambiguous.
///
/// Its messages are hashed as `hashing` says.
///
/// Takes time in proportion to the body; of a large one, too much for a thread that serves other requests meanwhile.
#[must_use]
pub fn read(endpoint: Endpoint, headers: &HeaderMap, body: Bytes, max_decoded: usize, hashing: Hashing) -> ModelCall {
    if body.is_empty() {
        return ModelCall::new(endpoint, body, None, ParsedBody::NotACall);
    }
    match decode::decode(headers, &body, max_decoded) {
        Ok(decoded) => {
            let text = decoded.as_ref().unwrap_or(&body);
            let (parsed, hashes) = protocols::parse(endpoint, headers, text, hashing);
            ModelCall::new(endpoint, body, decoded, parsed).hashed(hashes)
        }
        Err(error) => ModelCall::new(endpoint, body, None, ParsedBody::Unreadable(error.to_string())),
    }
}

/// Edits a call whose stream would report no usage so that it does. Whether that was necessary: then its usage has to be taken
/// out of the answer, since the client did not ask for it.
pub fn request_usage(call: &mut ModelCall) -> bool {
    let edit = call.call().and_then(|facts| Edit::report_usage(call.endpoint(), facts));
    let is_necessary = edit.is_some();
    call.edit(edit.into_iter().collect());
    is_necessary
}

#[cfg(test)]
mod tests;

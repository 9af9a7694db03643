//! What an HTTP/2 server says of a request that it has certainly not processed (RFC 9113 §8.7). Decides nothing.

use pingora_error::{Error, ErrorType};

use crate::exchange::attempts::Unprocessed;

/// How Pingora words that a stream was closed while a body was being sent on it. The reason is lost with the stream.
pub(super) const CLOSED_WHILE_SENDING: &str = "cannot reserve capacity";

/// Why the request was certainly not processed; `None` if it may have been. `whole` says that the server cannot act on it without all of
/// its body, which is sent with its length.
#[must_use]
pub fn unprocessed(error: &Error, whole: bool) -> Option<Unprocessed> {
    let Some(h2) = h2_error(error) else {
        let closed = *error.etype() == ErrorType::H2Error
            && error.context.as_ref().is_some_and(|context| context.as_str() == CLOSED_WHILE_SENDING);
        return (closed && whole).then_some(Unprocessed::Unsent);
    };
    if !h2.is_remote() {
        return None;
    }
    // of the streams of a connection, only those above the last that `GOAWAY` names fail by it
    match (h2.is_go_away(), h2.reason()?) {
        (true, h2::Reason::NO_ERROR) => Some(Unprocessed::Closing),
        (_, h2::Reason::HTTP_1_1_REQUIRED) => Some(Unprocessed::WantsHttp1),
        (true, _) => Some(Unprocessed::Failing),
        (false, h2::Reason::REFUSED_STREAM) => Some(Unprocessed::Refused),
        (false, _) => None,
    }
}

fn h2_error(error: &Error) -> Option<&h2::Error> {
    error.root_cause().downcast_ref()
}

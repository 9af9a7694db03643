//! What an HTTP/2 server says of a request that it has certainly not processed (RFC 9113 §8.7): such a request may be sent
//! again, whatever its method. Decides nothing.

use pingora_error::{Error, ErrorType};

/// Why a request was certainly not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unprocessed {
    /// The server closes the connection in an orderly way, and the request came too late for it (`GOAWAY` without an error).
    Closing,
    /// It closes the connection for an error that it has found, before it looked at the request.
    Failing,
    /// It takes no further request on this connection now (`REFUSED_STREAM`).
    Refused,
    /// It takes the request in HTTP/1.1 alone (`HTTP_1_1_REQUIRED`).
    WantsHttp1,
    /// It closed the stream before all of the request had been sent. Why is not known any more by then.
    Unsent,
}

/// How Pingora words that a stream was closed while a body was being sent on it. The reason is lost with the stream.
const CLOSED_WHILE_SENDING: &str = "cannot reserve capacity";

impl Unprocessed {
    /// What the error of an attempt says. `whole` tells that the request is one that nobody can act on without all of its
    /// body, which is sent with its length.
    #[must_use]
    pub fn of(error: &Error, whole: bool) -> Option<Self> {
        let Some(h2) = of_h2(error) else {
            let closed = *error.etype() == ErrorType::H2Error
                && error.context.as_ref().is_some_and(|context| context.as_str() == CLOSED_WHILE_SENDING);
            return (closed && whole).then_some(Self::Unsent);
        };
        if !h2.is_remote() {
            return None;
        }
        // of the streams of a connection, only those above the last that `GOAWAY` names fail by it
        match (h2.is_go_away(), h2.reason()?) {
            (true, h2::Reason::NO_ERROR) => Some(Self::Closing),
            (_, h2::Reason::HTTP_1_1_REQUIRED) => Some(Self::WantsHttp1),
            (true, _) => Some(Self::Failing),
            (false, h2::Reason::REFUSED_STREAM) => Some(Self::Refused),
            (false, _) => None,
        }
    }
}

/// Whether the server itself ended the stream or the connection, so that it was no stale connection.
#[must_use]
pub fn ended_by_server(error: &Error) -> bool {
    of_h2(error).is_some_and(|h2| h2.is_reset() || h2.is_go_away())
}

fn of_h2(error: &Error) -> Option<&h2::Error> {
    error.root_cause().downcast_ref()
}

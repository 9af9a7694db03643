//! Translates the errors of Pingora and h2 into the events of an exchange's attempts. Decides nothing.

use std::io;

use pingora_error::{Error, ErrorSource, ErrorType};
use plugin_api::shortened;

use crate::exchange::attempts::{BreakCause, ConnectFailure, Unprocessed};
use crate::exchange::deadlines::Expired;
use crate::exchange::failure::Failure;

use super::unprocessed::unprocessed;

/// The error of a hook in which a plugin panicked.
pub const PLUGIN_PANIC: &str = "PluginPanic";
/// The error of a hook whose plugins want to change a response that cannot be changed.
pub const TRANSFORM: &str = "Transform";

/// The error of a body that is too large for its route.
const BODY_TOO_LARGE: &str = "BodyTooLarge";

/// A body that is too large for its route, found out while it streams.
#[must_use]
pub fn body_too_large() -> Box<Error> {
    // of any other source Pingora would take it for a failure of the server, and go on
    Error::explain(ErrorType::CustomCode(BODY_TOO_LARGE, 413), "the body is larger than max_body").into_down()
}

/// The failure of a client whose connection ended by this error.
#[must_use]
pub fn of_client(error: &Error) -> Failure {
    match error.etype() {
        ErrorType::ConnectionClosed
        | ErrorType::ConnectError
        | ErrorType::ReadError
        | ErrorType::WriteError
        | ErrorType::WriteTimedout
        | ErrorType::H2Error => Failure::ClientGone,
        ErrorType::ReadTimedout => Failure::BodyTimeout,
        ErrorType::CustomCode(BODY_TOO_LARGE, _) => Failure::BodyTooLarge,
        _ => Failure::BadRequest,
    }
}

/// Why no connection was established.
#[must_use]
pub fn of_connect(error: &Error) -> ConnectFailure {
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => ConnectFailure::Timeout,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::TLSWantX509Lookup => ConnectFailure::Tls,
        ErrorType::H2Error => ConnectFailure::Closing,
        _ => ConnectFailure::Refused,
    }
}

/// Whether a server's certificate is why no connection was established. Pingora keeps of rustls' error its words alone.
#[must_use]
pub fn is_of_certificate(error: &Error) -> bool {
    *error.etype() == ErrorType::InvalidCert || cause(error).contains("invalid peer certificate")
}

/// The cause of an error in words, as the library that met it says it. It goes to the log alone.
#[must_use]
pub fn cause(error: &Error) -> String {
    const LONGEST: usize = 200;
    // what TLS said is the context; the cause beneath it is the socket's address
    let of_tls = matches!(error.etype(), ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert);
    match &error.context {
        Some(context) if of_tls || error.cause.is_none() => shortened(context.as_str(), LONGEST).into_owned(),
        _ => shortened(&error.root_cause().to_string(), LONGEST).into_owned(),
    }
}

/// The cause by which a connected attempt broke. `expired` is the deadline that passed, if one did; `whole` says that the server cannot act on the
/// request without all of its body, which is sent with its length; `closed_unread` that the server closed the connection before any of the
/// request arrived.
#[must_use]
pub fn of_attempt(error: &Error, expired: Option<Expired>, whole: bool, closed_unread: bool) -> BreakCause {
    match (error.etype(), error.esource(), expired) {
        (_, _, Some(deadline)) => BreakCause::Deadline(deadline),
        (ErrorType::ReadTimedout, ErrorSource::Downstream, _) => BreakCause::Deadline(Expired::RequestBody),
        (_, ErrorSource::Downstream, _) => BreakCause::Client(of_client(error)),
        (ErrorType::ReadTimedout, _, _) => BreakCause::ReadTimeout,
        (ErrorType::CustomCode(PLUGIN_PANIC, _), _, _) => BreakCause::PluginPanic,
        (ErrorType::CustomCode(TRANSFORM, _), _, _) => BreakCause::Transform,
        (_, ErrorSource::Internal, _) => BreakCause::Internal,
        (ErrorType::InvalidHTTPHeader, _, _) => BreakCause::NotHttp,
        _ if closed_unread => BreakCause::NotProcessed(Unprocessed::Unread),
        _ => unprocessed(error, whole).map_or(BreakCause::Closed, BreakCause::NotProcessed),
    }
}

/// Whether a TLS connection ended in order. The server may have read a request before a reset.
#[must_use]
pub fn is_orderly_end(error: &Error) -> bool {
    match error.root_cause().downcast_ref::<io::Error>() {
        // UnexpectedEof: TCP ended without close_notify. BrokenPipe: RST after FIN
        Some(error) => matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe),
        None => *error.etype() == ErrorType::ConnectionClosed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::unprocessed::CLOSED_WHILE_SENDING;

    fn error(kind: ErrorType, source: ErrorSource) -> Box<Error> {
        let mut error = Error::new(kind);
        error.esource = source;
        error
    }

    #[test]
    fn a_deadline_that_passed_goes_before_what_the_connection_says() {
        let broken = error(ErrorType::ConnectionClosed, ErrorSource::Upstream);
        let deadline = of_attempt(&broken, Some(Expired::FirstByte), true, true);
        assert_eq!(deadline, BreakCause::Deadline(Expired::FirstByte));
        assert_eq!(of_attempt(&broken, None, true, true), BreakCause::NotProcessed(Unprocessed::Unread));
        assert_eq!(of_attempt(&broken, None, true, false), BreakCause::Closed);
    }

    #[test]
    fn the_side_that_broke_is_told_apart() {
        for (kind, source, cause) in [
            (ErrorType::ReadTimedout, ErrorSource::Downstream, BreakCause::Deadline(Expired::RequestBody)),
            (ErrorType::WriteError, ErrorSource::Downstream, BreakCause::Client(Failure::ClientGone)),
            (ErrorType::InvalidHTTPHeader, ErrorSource::Downstream, BreakCause::Client(Failure::BadRequest)),
            (ErrorType::ReadTimedout, ErrorSource::Upstream, BreakCause::ReadTimeout),
            (ErrorType::InvalidHTTPHeader, ErrorSource::Upstream, BreakCause::NotHttp),
            (ErrorType::CustomCode(PLUGIN_PANIC, 500), ErrorSource::Internal, BreakCause::PluginPanic),
            (ErrorType::CustomCode(TRANSFORM, 502), ErrorSource::Internal, BreakCause::Transform),
            (ErrorType::InternalError, ErrorSource::Internal, BreakCause::Internal),
        ] {
            assert_eq!(of_attempt(&error(kind, source), None, false, false), cause);
        }
    }

    #[test]
    fn only_the_end_of_a_connection_is_orderly_and_no_reset() {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, InvalidData, TimedOut, UnexpectedEof};
        for (kind, is_orderly) in [
            (BrokenPipe, true),
            (UnexpectedEof, true),
            (ConnectionReset, false),
            (InvalidData, false),
            (TimedOut, false),
        ] {
            let broken = Error::because(ErrorType::ReadError, "while reading", io::Error::from(kind));
            assert_eq!(is_orderly_end(&broken), is_orderly, "{kind:?}");
        }
        for (kind, is_orderly) in [(ErrorType::ConnectionClosed, true), (ErrorType::ReadError, false)] {
            assert_eq!(is_orderly_end(&error(kind.clone(), ErrorSource::Upstream)), is_orderly, "{kind:?}");
        }
    }

    #[test]
    fn a_stream_closed_under_a_body_was_not_processed_only_if_the_body_was_whole() {
        let mut closed = error(ErrorType::H2Error, ErrorSource::Upstream);
        closed.context = Some(CLOSED_WHILE_SENDING.into());
        assert_eq!(of_attempt(&closed, None, true, false), BreakCause::NotProcessed(Unprocessed::Unsent));
        assert_eq!(of_attempt(&closed, None, false, false), BreakCause::Closed);
    }
}

//! The events of the attempts of an exchange, and the actions that they lead to. The engine translates Pingora's errors into these.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use crate::balance::{Lease, SelectError};
use crate::exchange::deadlines::Expired;
use crate::exchange::failure::Failure;
use crate::exchange::upstream::Upstream;

/// What has happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A server is wanted: for the first attempt, after [`Action::Retry`], [`Action::Reconnect`] or [`Action::FailOver`].
    ServerWanted,
    /// The wait in the queue is over.
    QueueEnded(Result<Lease, SelectError>),
    /// No connection was established.
    ConnectFailed(ConnectFailure),
    /// The head of a response has come.
    Answered {
        /// Its status.
        status: StatusCode,
        /// Its headers.
        headers: &'a HeaderMap,
        /// Whether the request can be sent once more.
        replayable: bool,
    },
    /// The server switched protocols.
    Upgraded,
    /// The attempt broke after it was connected.
    Broke {
        /// By what.
        cause: BreakCause,
        /// Whether the request can be sent once more.
        replayable: bool,
    },
    /// The client left while nothing was under way for it.
    ClientLeft,
    /// The exchange may take no longer.
    TimeOver,
}

/// Why no connection was established.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFailure {
    /// It was refused, or could not be made at all.
    Refused,
    /// It took too long, TLS included.
    Timeout,
    /// TLS failed.
    Tls,
    /// The server's certificate was not looked for: its `tls.ca` has authorities and names certificates themselves, and one connection verifies
    /// the one or the other. The next verifies the other.
    OtherVerification,
    /// There is one, over HTTP/2, that takes no further stream because the server is closing it.
    Closing,
}

/// What broke an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakCause {
    /// A deadline that the gateway keeps.
    Deadline(Expired),
    /// Something on the client's side.
    Client(Failure),
    /// The one limit that Pingora keeps on a shared connection.
    ReadTimeout,
    /// A plugin that panicked.
    PluginPanic,
    /// Plugins change the response, and it cannot be changed.
    Transform,
    /// A fault of the gateway.
    Internal,
    /// What came was not HTTP.
    NotHttp,
    /// The server, which certainly has not processed the request.
    NotProcessed(Unprocessed),
    /// The connection was closed, or the stream.
    Closed,
}

impl BreakCause {
    /// The failure of an attempt that breaks by it, by whether its response was passing to the client and the time was up.
    pub(super) fn failure(self, passing: bool, out_of_time: bool) -> Failure {
        match self {
            Self::Deadline(Expired::FirstByte) => Failure::FirstByteTimeout,
            Self::Deadline(Expired::Send) => Failure::SendTimeout,
            Self::Deadline(Expired::Idle) => Failure::IdleTimeout,
            Self::Deadline(Expired::Upgraded) => Failure::UpgradedTimeout,
            Self::Deadline(Expired::Total | Expired::RequestHead) => Failure::TotalTimeout,
            // a client that has a part of the response cannot be answered any more
            Self::Deadline(Expired::RequestBody) if !passing => Failure::BodyTimeout,
            Self::Deadline(Expired::RequestBody | Expired::Stalled) => Failure::ClientGone,
            Self::Client(failure) => failure,
            Self::ReadTimeout if out_of_time => Failure::TotalTimeout,
            Self::ReadTimeout if passing => Failure::IdleTimeout,
            Self::ReadTimeout => Failure::FirstByteTimeout,
            Self::PluginPanic => Failure::PluginPanic,
            Self::Transform => Failure::Transform,
            Self::Internal if !passing => Failure::Internal,
            _ if passing => Failure::BrokenAnswer,
            Self::NotHttp => Failure::InvalidHeader,
            Self::NotProcessed(_) => Failure::NotProcessed,
            Self::Closed | Self::Internal => Failure::NoAnswer,
        }
    }
}

impl ConnectFailure {
    /// The failure of an attempt that ends by it.
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Timeout => Failure::ConnectTimeout,
            Self::Tls | Self::OtherVerification => Failure::Tls,
            Self::Refused | Self::Closing => Failure::Connect,
        }
    }
}

/// Why a request was certainly not processed (for HTTP/2: RFC 9113 §8.7).
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
    /// It had closed a kept connection before any of the request arrived.
    Unread,
}

/// What is to be done.
pub enum Action {
    /// Connect to the leased server.
    Connect,
    /// Wait in the queue of the present upstream, which has no room now: [`Attempts::wait`](super::Attempts::wait).
    Wait(SelectError),
    /// Make the request one for the fallback of this upstream, which is exhausted, and ask for a server again.
    FailOver(Arc<Upstream>),
    /// Drop the attempt, log its failure, and ask for a server again.
    Retry(Failure),
    /// Drop the attempt, which is no failure, and ask for a server again.
    Reconnect,
    /// Give the response to the client.
    Pass,
    /// The exchange has failed.
    GiveUp(Failure),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_breaks_under_a_response_is_a_broken_answer() {
        for cause in [BreakCause::NotHttp, BreakCause::Internal, BreakCause::Closed] {
            assert_eq!(cause.failure(true, false), Failure::BrokenAnswer, "{cause:?}");
        }
        assert_eq!(BreakCause::NotHttp.failure(false, false), Failure::InvalidHeader);
        assert_eq!(BreakCause::Internal.failure(false, false), Failure::Internal);
        assert_eq!(BreakCause::Closed.failure(false, false), Failure::NoAnswer);
    }

    #[test]
    fn pingoras_one_read_timeout_is_told_apart_by_the_stage_of_the_attempt() {
        assert_eq!(BreakCause::ReadTimeout.failure(false, false), Failure::FirstByteTimeout);
        assert_eq!(BreakCause::ReadTimeout.failure(true, false), Failure::IdleTimeout);
        assert_eq!(BreakCause::ReadTimeout.failure(true, true), Failure::TotalTimeout);
    }

    #[test]
    fn a_slow_upload_is_answered_only_while_nothing_of_a_response_has_gone_out() {
        let late = BreakCause::Deadline(Expired::RequestBody);
        assert_eq!(late.failure(false, false), Failure::BodyTimeout);
        assert_eq!(late.failure(true, false), Failure::ClientGone);
    }
}

//! What can go wrong in an exchange: how it ends, what the client is told, and whether another attempt is worth it.

use std::time::Duration;

use log::{debug, warn};
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{Error, ErrorSource, ErrorType};
use pingora_proxy::{FailToProxy, Session};
use plugin_api::{End, ErrorKind, Outcome, Reply};
use tokio::time::Instant;

use crate::balance::RetryOn;

use super::exchange::{Exchange, written};
use super::response;
use super::watch::Expired;

/// A failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client left.
    ClientGone,
    /// The client broke its own request.
    BadRequest,
    /// No connection to the server came about.
    Connect,
    /// It took too long.
    ConnectTimeout,
    /// TLS with the server failed: its certificate, above all.
    Tls,
    /// The server's name has no address.
    Unresolved,
    /// No server is left to try.
    NoServer,
    /// No answer began in time.
    FirstByteTimeout,
    /// The answer paused too long.
    IdleTimeout,
    /// The exchange as a whole took too long.
    TotalTimeout,
    /// The server closed the connection or did not speak HTTP before its answer's head.
    NoAnswer,
    /// It did so within its answer.
    BrokenAnswer,
    /// The server answered with a status that is worth another attempt.
    Status(u16),
    /// A plugin panicked.
    PluginPanic,
    /// A fault of the gateway.
    Internal,
}

impl Failure {
    /// How the exchange ends by it.
    #[must_use]
    pub fn end(self) -> End {
        match self {
            Self::ClientGone => End::ClientGone,
            Self::BadRequest => End::Refused,
            Self::PluginPanic | Self::Internal => End::Aborted,
            _ => End::UpstreamFailed,
        }
    }

    /// The word for it in logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::BadRequest => "bad_request",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Unresolved => "unresolved",
            Self::NoServer => "no_server",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::NoAnswer => "no_answer",
            Self::BrokenAnswer => "broken_answer",
            Self::Status(_) => "status",
            Self::PluginPanic => "plugin_panic",
            Self::Internal => "internal",
        }
    }

    /// Tells the operator.
    pub fn tell(self, outcome: &Outcome) {
        let (id, error) = (outcome.id, self.word());
        let (upstream, server) = (outcome.upstream.as_deref().unwrap_or("-"), outcome.server.as_deref().unwrap_or("-"));
        match self {
            Self::ClientGone | Self::BadRequest => debug!(id:%, error; "{}", self.advice()),
            Self::PluginPanic => {} // the chain has told
            _ => warn!(id:%, error, upstream, server, attempts = outcome.attempts; "{}", self.advice()),
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::ClientGone => "client left",
            Self::BadRequest => "client sent a malformed request body",
            Self::Connect => "upstream refused the connection; check that it runs and listens there",
            Self::ConnectTimeout => {
                "upstream did not accept the connection in time; check the network, or raise timeouts.connect"
            }
            Self::Tls => "upstream failed the TLS handshake; check its certificate, its name and upstreams.*.tls",
            Self::Unresolved => "upstream has no address; check its name and the DNS",
            Self::NoServer => "no server is left to try",
            Self::FirstByteTimeout => "upstream began no answer in time; check it, or raise timeouts.first_byte",
            Self::IdleTimeout => "upstream paused too long within its answer; check it, or raise timeouts.idle",
            Self::TotalTimeout => "exchange took too long as a whole; check the upstream, or raise timeouts.total",
            Self::NoAnswer => "upstream closed the connection, or did not speak HTTP, before its answer",
            Self::BrokenAnswer => "upstream broke its answer; the client's connection is broken too",
            Self::Status(_) => "upstream answered with a status worth another attempt",
            Self::PluginPanic | Self::Internal => "a fault of the gateway; please report it",
        }
    }

    fn kind(self) -> Option<ErrorKind> {
        match self {
            Self::ClientGone => None,
            Self::BadRequest => Some(ErrorKind::InvalidRequest),
            Self::Connect | Self::Tls | Self::Unresolved | Self::NoAnswer | Self::BrokenAnswer | Self::Status(_) => {
                Some(ErrorKind::BadGateway)
            }
            Self::NoServer => Some(ErrorKind::NoServer),
            Self::ConnectTimeout | Self::FirstByteTimeout | Self::IdleTimeout | Self::TotalTimeout => {
                Some(ErrorKind::GatewayTimeout)
            }
            Self::PluginPanic | Self::Internal => Some(ErrorKind::Internal),
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::BadRequest => "The request body is malformed",
            Self::NoServer => "No server can take the request now",
            Self::ConnectTimeout => "The upstream could not be reached in time",
            Self::FirstByteTimeout | Self::IdleTimeout => "The upstream did not answer in time",
            Self::TotalTimeout => "The request took too long",
            Self::NoAnswer | Self::BrokenAnswer => "The upstream closed the connection without an answer",
            Self::PluginPanic | Self::Internal => "The gateway failed to handle the request",
            _ => "The upstream could not be reached",
        }
    }
}

/// How soon a connection that the server had closed before shows that it is. Whatever breaks later may have been at work
/// on the call.
const STALE_SHOWS: Duration = Duration::from_secs(1);

/// No connection came about: nothing was sent, so another attempt is always safe.
pub fn on_connect(x: &mut Exchange, peer: &HttpPeer, mut error: Box<Error>) -> Box<Error> {
    let failure = match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Failure::ConnectTimeout,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::TLSWantX509Lookup => Failure::Tls,
        _ => Failure::Connect,
    };
    let failure = if out_of_time(x) { Failure::TotalTimeout } else { failure };
    let other_address = failure != Failure::TotalTimeout && next_address(x, peer);
    let again =
        other_address || another(x, failure, x.route.as_ref().is_some_and(|r| r.upstream.retries_on(RetryOn::Connect)));
    x.attempts.same_server = other_address;
    debug!(error:%; "attempt failed to connect");
    error.set_retry(again);
    error
}

/// An attempt failed after it was connected.
pub fn on_attempt(x: &mut Exchange, session: &mut Session, mut error: Box<Error>, reused: bool) -> Box<Error> {
    let answered = written(session).is_some();
    let expired = x.watch.expired();
    x.watch.awaits_nothing();
    let begun = answered || x.outcome.status.is_some();
    let failure = match (error.etype(), error.esource(), expired) {
        (_, _, Some(Expired::FirstByte)) => Failure::FirstByteTimeout,
        (_, _, Some(Expired::Total)) => Failure::TotalTimeout,
        (ErrorType::HTTPStatus(status), ErrorSource::Upstream, _) => Failure::Status(*status),
        (kind, ErrorSource::Downstream, _) => by_client(kind),
        (ErrorType::ReadTimedout, _, _) if out_of_time(x) => Failure::TotalTimeout,
        (ErrorType::ReadTimedout, _, _) if begun => Failure::IdleTimeout,
        (ErrorType::ReadTimedout, _, _) => Failure::FirstByteTimeout,
        (ErrorType::CustomCode(PLUGIN_PANIC, _), _, _) => Failure::PluginPanic,
        (_, ErrorSource::Internal, _) if !begun => Failure::Internal,
        _ if begun => Failure::BrokenAnswer,
        _ => Failure::NoAnswer,
    };
    debug!(error:%, reused, word = failure.word(); "attempt failed");
    // the server closed a kept connection just as it was used again: its own choice of time, not a failed attempt
    let at_once = x.attempts.began.is_some_and(|began| began.elapsed() < STALE_SHOWS);
    let stale = reused && failure == Failure::NoAnswer && at_once && x.attempts.spared == 0;
    let again = !begun && x.replayable(session) && !out_of_time(x) && {
        if stale {
            x.attempts.spared += 1;
            x.failure = Some(failure);
            true
        } else {
            let upstream = x.route.as_ref().map(|route| &route.upstream);
            let worth = upstream.is_some_and(|upstream| match failure {
                Failure::FirstByteTimeout => upstream.retries_on(RetryOn::Timeout),
                Failure::NoAnswer => upstream.retries_on(RetryOn::Error),
                Failure::Status(status) => upstream.retries_on_status(status),
                _ => false,
            });
            another(x, failure, worth)
        }
    };
    if !again {
        x.failure = Some(failure);
    }
    x.attempts.same_server = again && stale;
    error.set_retry(again);
    error
}

/// The exchange has failed for good: answers the client, if nothing has reached it yet.
pub async fn on_exchange(x: &mut Exchange, session: &mut Session, error: &Error) -> FailToProxy {
    let failure = *x.failure.get_or_insert_with(|| match error.esource() {
        ErrorSource::Downstream => by_client(error.etype()),
        ErrorSource::Upstream => Failure::NoAnswer,
        _ => Failure::Internal,
    });
    if failure == Failure::Internal {
        log::error!(id:% = x.outcome.id, error:%; "{}", failure.advice());
    } else {
        failure.tell(&x.outcome);
    }
    // with the head out already, the answer stays as broken as it is: no clean end, nothing appended
    if written(session).is_none()
        && let Some(kind) = failure.kind()
    {
        let reply = Reply::error(x.dialect(), kind, failure.message(), x.outcome.id);
        if let Err(error) = response::send(session, x, reply).await {
            debug!(error:%; "client left before the error answer");
        }
    }
    let error_code = failure.kind().map_or(0, |kind| kind.status().as_u16());
    FailToProxy { error_code, can_reuse_downstream: false }
}

/// The error by which a hook tells that a plugin panicked.
pub const PLUGIN_PANIC: &str = "PluginPanic";

/// What a client has done whose connection failed.
pub fn by_client(kind: &ErrorType) -> Failure {
    match kind {
        ErrorType::ConnectionClosed
        | ErrorType::ConnectError
        | ErrorType::ReadError
        | ErrorType::ReadTimedout
        | ErrorType::WriteError
        | ErrorType::WriteTimedout
        | ErrorType::H2Error => Failure::ClientGone,
        _ => Failure::BadRequest,
    }
}

/// Whether there will be another attempt, on another server. Notes the failure of this one.
fn another(x: &mut Exchange, failure: Failure, worth: bool) -> bool {
    x.failure = Some(failure);
    let Some(route) = &x.route else { return false };
    if let Some(lease) = &x.attempts.lease {
        x.attempts.tried.push(lease.index());
    }
    x.attempts.spared = 0;
    let servers_left = x.attempts.tried.len() < route.upstream.pool.servers().len();
    let again = worth && servers_left && x.outcome.attempts < route.upstream.attempts && !out_of_time(x);
    if again {
        failure.tell(&x.outcome);
        x.snapshot.metrics.retried(&route.upstream.name);
    }
    again
}

/// Whether the server has another address to try.
fn next_address(x: &mut Exchange, peer: &HttpPeer) -> bool {
    let (Some(route), Some(lease)) = (&x.route, &x.attempts.lease) else { return false };
    let name = route.upstream.server_name(lease.index());
    if let Some(address) = peer.address().as_inet() {
        name.failed(*address);
    }
    x.attempts.spared += 1;
    x.attempts.spared < name.count()
}

fn out_of_time(x: &Exchange) -> bool {
    x.attempts.end.is_some_and(|end| end <= Instant::now())
}

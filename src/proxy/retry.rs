//! What becomes of an exchange when an attempt fails: another attempt, or the answer that it has failed.

use std::time::Duration;

use log::debug;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{Error, ErrorSource, ErrorType};
use pingora_proxy::{FailToProxy, Session};
use plugin_api::Reply;
use tokio::time::Instant;

use crate::balance::RetryOn;

use super::exchange::{Exchange, written};
use super::failure::{Failure, PLUGIN_PANIC};
use super::reply;
use super::watch::Expired;

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
        (kind, ErrorSource::Downstream, _) => Failure::of_client(kind),
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
        ErrorSource::Downstream => Failure::of_client(error.etype()),
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
        if let Err(error) = reply::send(session, x, reply).await {
            debug!(error:%; "client left before the error answer");
        }
    }
    let error_code = failure.kind().map_or(0, |kind| kind.status().as_u16());
    FailToProxy { error_code, can_reuse_downstream: false }
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

//! Hands Pingora's errors to the attempts of the exchange, which decide whether there is another attempt.

use std::os::fd::RawFd;

use log::debug;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;
use tokio::time::Instant;

use crate::exchange::attempts::{Action, ConnectFailure, Event};

use super::attempt_error;
use super::ctx::Exchange;
use super::{retry, tls_socket, transform};

/// Why an attempt is followed by another on a fresh connection, which is no failure.
const STALE: &str = "stale_connection";

/// No connection was established.
pub fn on_connect(ctx: &mut Exchange, peer: &HttpPeer, mut error: Box<Error>) -> Box<Error> {
    debug!(error:%; "attempt failed to connect");
    let mut failure = attempt_error::of_connect(&error);
    if attempt_error::is_of_certificate(&error) && peer.options.verify_cert && may_be_named(ctx) {
        failure = ConnectFailure::OtherVerification;
        ctx.named_certificate = Some(true);
    }
    ctx.cause = Some(attempt_error::cause(&error));
    let retry = goes_on(ctx, Event::ConnectFailed(failure));
    error.set_retry(retry);
    error
}

/// Whether the server of the attempt may present a certificate that its upstream's `tls.ca` names itself.
fn may_be_named(ctx: &Exchange) -> bool {
    let Some((upstream, lease)) = ctx.attempts.as_ref().and_then(|a| Some((a.upstream(), a.lease()?))) else {
        return false;
    };
    ctx.snapshot.peers[upstream.index].may_be_named(lease)
}

/// A connection was established, or a kept one is used. The attempt keeps its number.
///
/// # Errors
/// That the server's certificate is none that verifies.
pub fn on_connected(
    ctx: &mut Exchange,
    peer: &HttpPeer,
    fd: RawFd,
    reused: bool,
    digest: Option<&Digest>,
) -> Result<()> {
    ctx.is_reused = reused;
    // Pingora knows no descriptor of a socket of ours
    ctx.connection = ctx.connector.as_ref().map_or(fd, |connector| connector.descriptor());
    let Some((upstream, lease)) = ctx.attempts.as_ref().and_then(|a| Some((a.upstream(), a.lease()?))) else {
        return Ok(());
    };
    let certificate = || digest.and_then(|digest| digest.ssl_digest.as_deref()).map_or(&[][..], |ssl| &ssl.cert_digest);
    if ctx.snapshot.peers[upstream.index].is_verified(lease, peer, certificate) {
        return Ok(());
    }
    ctx.named_certificate = Some(false);
    let words = "its certificate is not signed by an authority of tls.ca, nor named there itself";
    Err(Error::explain(ErrorType::InvalidCert, words).into_up())
}

/// An attempt failed after it was connected.
pub fn on_attempt(ctx: &mut Exchange, session: &mut Session, mut error: Box<Error>) -> Box<Error> {
    if transform::is_cut(ctx) {
        // the client has the rest of its response coming: see `cut`
        error.set_retry(false);
        return error;
    }
    if ctx.is_delivered(session, &error) {
        debug!(error:%; "the upstream failed after the answer had been delivered");
        error.set_retry(false);
        return error;
    }
    let expired = ctx.timer.expired();
    ctx.timer.awaits_nothing();
    if let (ErrorType::InvalidCert, ErrorSource::Upstream) = (error.etype(), error.esource()) {
        // decided before anything was sent
        ctx.cause = Some(attempt_error::cause(&error));
        let retry = goes_on(ctx, Event::ConnectFailed(ConnectFailure::OtherVerification));
        error.set_retry(retry);
        return error;
    }
    if let (ErrorType::HTTPStatus(_), ErrorSource::Upstream) = (error.etype(), error.esource()) {
        // decided when the head came
        error.set_retry(true);
        return error;
    }
    let cause = attempt_error::of_attempt(&error, expired, ctx.body.is_some(), is_closed_unread(ctx, &error));
    debug!(error:%, cause:?; "attempt failed");
    ctx.cause = None;
    let event = Event::Broke { cause, replayable: ctx.replayable(session) };
    let retry = goes_on(ctx, event);
    error.set_retry(retry);
    error
}

/// Whether a kept connection turned out to be closed by its server before any of the request arrived.
fn is_closed_unread(ctx: &Exchange, error: &Error) -> bool {
    match &ctx.connector {
        Some(connector) => connector.is_closed_unread(),
        None => {
            let acknowledged = ctx.acknowledged.zip(tls_socket::acknowledged_at_close(ctx.connection));
            acknowledged.is_some_and(|(before, now)| before == now) && attempt_error::is_orderly_end(error)
        }
    }
}

/// Whether there will be another attempt after this event.
fn goes_on(ctx: &mut Exchange, event: Event<'_>) -> bool {
    let Some(attempts) = &mut ctx.attempts else { return false };
    let now = Instant::now();
    match attempts.on(event, now) {
        Action::Retry(failure) => {
            ctx.attempt_failed(failure.word(), None, now);
            retry::report(ctx, failure);
            true
        }
        Action::Reconnect => {
            ctx.attempt_failed(STALE, None, now);
            true
        }
        Action::GiveUp(failure) => {
            ctx.attempt_failed(failure.word(), None, now);
            ctx.failure = Some(failure);
            false
        }
        Action::Connect | Action::Wait(_) | Action::FailOver(_) | Action::Pass => false,
    }
}

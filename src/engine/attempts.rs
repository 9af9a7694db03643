//! Hands Pingora's errors to the attempts of the exchange, which decide whether there is another attempt.

use log::debug;
use pingora_error::{Error, ErrorSource, ErrorType};
use pingora_proxy::Session;
use tokio::time::Instant;

use crate::exchange::attempts::{Action, Event};

use super::attempt_error;
use super::ctx::Exchange;
use super::{retry, transform};

/// No connection was established.
pub fn on_connect(ctx: &mut Exchange, mut error: Box<Error>) -> Box<Error> {
    debug!(error:%; "attempt failed to connect");
    let event = Event::ConnectFailed(attempt_error::of_connect(&error));
    let retry = goes_on(ctx, event);
    error.set_retry(retry);
    error
}

/// An attempt failed after it was connected.
pub fn on_attempt(ctx: &mut Exchange, session: &mut Session, mut error: Box<Error>, reused: bool) -> Box<Error> {
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
    if let (ErrorType::HTTPStatus(_), ErrorSource::Upstream) = (error.etype(), error.esource()) {
        // decided when the head came
        error.set_retry(true);
        return error;
    }
    let cause = attempt_error::of_attempt(&error, expired, ctx.body.is_some(), reused);
    debug!(error:%, reused, cause:?; "attempt failed");
    let event = Event::Broke { cause, replayable: ctx.replayable(session) };
    let retry = goes_on(ctx, event);
    error.set_retry(retry);
    error
}

/// Whether there will be another attempt after this event.
fn goes_on(ctx: &mut Exchange, event: Event<'_>) -> bool {
    let Some(attempts) = &mut ctx.attempts else { return false };
    match attempts.on(event, Instant::now()) {
        Action::Retry(failure) => {
            retry::report(ctx, failure);
            true
        }
        Action::Reconnect => true,
        Action::GiveUp(failure) => {
            ctx.failure = Some(failure);
            false
        }
        Action::Connect | Action::Wait(_) | Action::FailOver(_) | Action::Pass => false,
    }
}

//! What keeps a request from its upstream: an answer made here, or a failure. One function for each way it comes about.

use log::warn;
use pingora_error::{Error, ErrorType};
use plugin_api::{ErrorKind, LogLimit, Reply, Shortage};

use crate::chain::EarlyExit;
use crate::exchange::failure::{Failure, LATE_BODY};

use super::attempt_error;
use super::ctx::Exchange;

/// In how many seconds one that was refused for want of memory may come again.
const RETRY_AFTER: u64 = 1;

/// What keeps a request from its upstream.
pub enum Interruption {
    /// It is answered here.
    Answer(Box<Reply>),
    /// It fails.
    Fail(Failure, Box<Error>),
}

/// The client left before its call could go upstream.
pub fn left(ctx: &mut Exchange, error: Option<Box<Error>>) -> Interruption {
    let error = error.unwrap_or_else(|| Error::explain(ErrorType::ConnectionClosed, "unexpected bytes"));
    client_fault(ctx, error)
}

/// Refuses a body for which there is no memory left.
pub fn no_room(ctx: &mut Exchange, shortage: Shortage) -> Interruption {
    match shortage {
        Shortage::Full => overloaded(ctx, "body_memory", "The gateway holds as many request bodies as it may"),
        Shortage::Never => {
            ctx.record.error = Some("body_memory");
            refuse(ctx, ErrorKind::TooLarge, "The request body is larger than the gateway can hold")
        }
    }
}

/// Refuses what another attempt may get through.
pub fn overloaded(ctx: &mut Exchange, reason: &'static str, message: &str) -> Interruption {
    ctx.record.error = Some(reason);
    log_overload(ctx, reason);
    let reply = Reply::error(ctx.protocol(), ErrorKind::Overloaded, message, ctx.record.context.id);
    Interruption::Answer(Box::new(reply.with_retry_after(RETRY_AFTER)))
}

/// Logs an overload, limited.
fn log_overload(ctx: &Exchange, reason: &'static str) {
    static OVERLOADS: LogLimit<&str> = LogLimit::new();
    if let Some(suppressed) = OVERLOADS.pass(reason) {
        warn!(id:% = ctx.record.context.id, reason, suppressed; "request refused: the gateway is at its limit; see `tollgate check` for its sizes");
    }
}

/// A client that broke its own request is told so; one that left is told nothing.
pub fn client_fault(ctx: &Exchange, error: Box<Error>) -> Interruption {
    match error.etype() {
        ErrorType::ReadTimedout => refuse(ctx, ErrorKind::RequestTimeout, LATE_BODY),
        _ => Interruption::Fail(attempt_error::of_client(&error), error),
    }
}

/// Refuses a request for good.
pub fn refuse(ctx: &Exchange, kind: ErrorKind, message: &str) -> Interruption {
    Interruption::Answer(Box::new(Reply::error(ctx.protocol(), kind, message, ctx.record.context.id)))
}

/// A plugin ended the exchange.
pub fn interrupted(ctx: &mut Exchange, exit: EarlyExit) -> Interruption {
    match exit {
        EarlyExit::Answer(reply) => Interruption::Answer(reply),
        EarlyExit::Refuse { plugin, refusal } => {
            (ctx.record.plugin, ctx.record.reason) = (Some(plugin), Some(refusal.reason()));
            Interruption::Answer(Box::new(refusal.into_reply(ctx.protocol(), ctx.record.context.id)))
        }
        EarlyExit::Panic(plugin) => {
            ctx.snapshot.metrics.plugin_panicked(plugin);
            let error = Error::explain(ErrorType::InternalError, "a plugin panicked");
            Interruption::Fail(Failure::PluginPanic, error)
        }
    }
}

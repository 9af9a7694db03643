//! What keeps a request from its upstream: an answer made here, or a failure. One function for each way it comes about.

use pingora_error::{Error, ErrorType};
use plugin_api::Reply;

use crate::chain::EarlyExit;
use crate::exchange::failure::Failure;

use super::attempt_error;
use super::ctx::Exchange;

/// What keeps a request from its upstream.
pub enum Interruption {
    /// It is answered here.
    Answer(Box<Reply>),
    /// It fails.
    Fail(Failure, Box<Error>),
}

/// Refuses the request with the message of this failure.
pub fn refuse(ctx: &mut Exchange, failure: Failure) -> Interruption {
    refuse_with(ctx, failure, failure.message())
}

/// Refuses the request with a message that says more than that of the failure.
pub fn refuse_with(ctx: &mut Exchange, failure: Failure, message: &str) -> Interruption {
    let Some(kind) = failure.error() else {
        return Interruption::Fail(failure, Error::explain(ErrorType::ConnectionClosed, failure.word()));
    };
    ctx.record.error = Some(failure.word());
    failure.log(&ctx.record, None);
    let mut reply = Reply::error(ctx.protocol(), kind, message, ctx.record.context.id);
    if let Some(seconds) = failure.retry_after() {
        reply = reply.with_retry_after(seconds);
    }
    Interruption::Answer(Box::new(reply))
}

/// The client left before its call could go upstream.
pub fn client_left(ctx: &mut Exchange, error: Option<Box<Error>>) -> Interruption {
    let error = error.unwrap_or_else(|| Error::explain(ErrorType::ConnectionClosed, "unexpected bytes"));
    client_failed(ctx, error)
}

/// The client's connection failed. A client that broke its own request, or was too slow, is answered; one that left is not.
pub fn client_failed(ctx: &mut Exchange, error: Box<Error>) -> Interruption {
    match attempt_error::of_client(&error) {
        late @ Failure::BodyTimeout => refuse(ctx, late),
        failure => Interruption::Fail(failure, error),
    }
}

/// A plugin ended the exchange.
pub fn ended_by_plugin(ctx: &mut Exchange, exit: EarlyExit) -> Interruption {
    match exit {
        EarlyExit::Answer(reply) => Interruption::Answer(reply),
        EarlyExit::Refuse { plugin, refusal } => {
            (ctx.record.plugin, ctx.record.reason) = (Some(plugin), Some(refusal.reason()));
            Interruption::Answer(Box::new(refusal.into_reply(ctx.protocol(), ctx.record.context.id)))
        }
        EarlyExit::Panic(plugin) => {
            ctx.plugin_panicked(plugin);
            let error = Error::explain(ErrorType::InternalError, "a plugin panicked");
            Interruption::Fail(Failure::PluginPanic, error)
        }
    }
}

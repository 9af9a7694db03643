//! Answers the client of an exchange that has failed for good, as far as that is still possible.

use http::header::RETRY_AFTER;
use log::debug;
use pingora_error::{Error, ErrorSource};
use pingora_proxy::{FailToProxy, Session};
use plugin_api::{LogLimit, Reply};
use tokio::time::Instant;

use crate::exchange::attempts::ErrorAnswer;
use crate::exchange::failure::Failure;

use super::attempt_error;
use super::body;
use super::ctx::Exchange;
use super::recording::written;
use super::reply;
use super::request::leave_connection;

/// The exchange has failed for good: answers the client, if nothing has reached it yet.
pub async fn on_exchange(ctx: &mut Exchange, session: &mut Session, error: &Error) -> FailToProxy {
    if ctx.ending.is_over() {
        // the call that runs on its own has answered, as far as anybody can
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    if let Some(transformed) = ctx.transform.take_if(|transformed| transformed.is_cut()) {
        ctx.release_server();
        if let Err(error) = transformed.unwritten.write(session).await {
            debug!(error:%; "client left before the end of a response that a plugin cut");
            ctx.failure = Some(attempt_error::of_client(&error));
        }
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    if ctx.is_delivered(session, error) {
        ctx.failure = None;
        // of use where it is the server that broke off: a client that has left sees nothing of it
        let _ = reply::end(session).await;
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    let failure = *ctx.failure.get_or_insert_with(|| match error.esource() {
        ErrorSource::Downstream => attempt_error::of_client(error),
        ErrorSource::Upstream => Failure::NoAnswer,
        _ => Failure::Internal,
    });
    if failure == Failure::Internal {
        static FAULTS: LogLimit = LogLimit::new();
        if let Some(suppressed) = FAULTS.pass(()) {
            log::error!(id:% = ctx.record.context.id, error:%, suppressed; "{}", failure.hint());
        }
    } else {
        failure.log(&ctx.record, ctx.cause.as_deref());
    }
    let answer = match &ctx.attempts {
        Some(attempts) => attempts.error_answer(failure, Instant::now()),
        None => ErrorAnswer::of(failure),
    };
    // nothing more is asked of its server, however long the client takes
    ctx.release_server();
    if let Some(request) = &ctx.plugin_request {
        request.failed(failure, answer, ctx);
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    let error_code = answer.as_ref().map_or(0, |answer| answer.status.as_u16());
    // with the head out already, the answer stays as broken as it is: no clean end, nothing appended
    if let Some(answer) = answer.filter(|_| written(session).is_none()) {
        let mut reply = Reply::error(ctx.protocol(), answer.kind, answer.message, ctx.record.context.id);
        reply.status = answer.status;
        if let Some(retry_after) = answer.retry_after {
            reply.headers.insert(RETRY_AFTER, retry_after);
        }
        if failure == Failure::BadRequest {
            // nobody knows where its body ends
            session.set_keepalive(None);
        } else if body::is_small(session) {
            leave_connection(session, ctx);
        }
        match reply::send(session, ctx, reply).await {
            Ok(()) => {
                reply::linger(session).await;
                ctx.is_answered = true;
            }
            Err(error) => debug!(error:%; "client left before the error answer"),
        }
    }
    FailToProxy { error_code, can_reuse_downstream: false }
}

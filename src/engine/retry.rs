//! Reports another attempt to the operator and to Pingora.

use http::StatusCode;
use pingora_error::{Error, ErrorType};

use crate::exchange::failure::Failure;

use super::ctx::Exchange;

/// Logs and counts that an attempt is followed by another because of this failure.
pub fn report(ctx: &Exchange, failure: Failure) {
    failure.log(&ctx.record, ctx.cause.as_deref());
    if let Some(upstream) = &ctx.record.upstream {
        ctx.snapshot.metrics.retried(upstream);
    }
}

/// The error by which a response with this status is discarded, and the request sent again.
#[must_use]
pub fn discard(status: StatusCode) -> Box<Error> {
    let mut error = Error::explain(ErrorType::HTTPStatus(status.as_u16()), "a status worth another attempt");
    error.as_up();
    error.set_retry(true);
    error
}

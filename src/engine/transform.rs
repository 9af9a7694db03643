//! Responses on routes whose plugins change them: the head is made fit for another body, and the body passes through the chain.
//! What cannot be changed fails the exchange.

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method, Version};
use log::debug;
use nix::sys::socket::{Shutdown, shutdown};
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use plugin_api::{Outcome, Response};

use crate::chain::{Transform, TransformBody, TransformError};
use crate::exchange::ending::Part;
use crate::exchange::failure::Failure;

use super::attempt_error::TRANSFORM;
use super::ctx::Exchange;
use super::recording::body_length;
use super::response_tap;
use super::upstream::ConnectionUse;

/// Headers that speak of the bytes of a body, and are wrong of others.
const OF_THE_BODY: [HeaderName; 7] = [
    ACCEPT_RANGES,
    CONTENT_ENCODING,
    ETAG,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// A response that plugins change.
pub struct Changing {
    transform: Transform,
    /// No other request uses the connection to the server, so that it can be closed under the call.
    may_hang_up: bool,
}

/// Whether a plugin of the route may change its responses.
#[must_use]
pub fn is_possible(ctx: &Exchange) -> bool {
    ctx.route.as_ref().is_some_and(|route| route.chain.needs().transform)
}

/// Asks the plugins whether they change this response, and makes its head fit for that. What was begun for an earlier attempt is
/// forgotten.
///
/// # Errors
/// That they do, and that it cannot be changed.
pub fn begin(session: &Session, head: &mut ResponseHeader, ctx: &mut Exchange) -> Result<()> {
    ctx.transform = None;
    let is_head = session.req_header().method == Method::HEAD;
    if !is_possible(ctx) || !is_head && body_length(session, head) == Some(0) {
        return Ok(());
    }
    ctx.note_endpoint();
    let body = TransformBody { endpoint: ctx.record.endpoint, limit: ctx.snapshot.limits.max_body };
    let (status, headers, edits) = (head.status, &head.headers, Default::default());
    let mut response = Response { context: &mut ctx.record.context, status, headers, edits };
    let begun = Transform::begin(&mut ctx.plugins, &mut response, body);
    let Some(transform) = begun.map_err(|error| failed(ctx, error))? else { return Ok(()) };
    for name in &OF_THE_BODY {
        head.remove_header(name);
    }
    let had_length = head.remove_header(&CONTENT_LENGTH).is_some();
    if !is_head {
        if had_length {
            // over h2 this goes no further
            head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
        }
        let may_hang_up = head.version != Version::HTTP_2 || ctx.connection_use == ConnectionUse::Exclusive;
        ctx.transform = Some(Box::new(Changing { transform, may_hang_up }));
    }
    Ok(())
}

/// Passes bytes of the upstream's response through the plugins.
///
/// # Errors
/// Why they must not go on; or that the response has been cut, so that no more of it is wanted.
pub fn on_chunk(session: &Session, body: &mut Option<Bytes>, last: bool, ctx: &mut Exchange) -> Result<()> {
    if is_cut(ctx) {
        // the client has the end of its response: this one ends the call
        return Err(Error::explain(ErrorType::ConnectionClosed, "a plugin cut the response").into_up());
    }
    let part = response_tap::part(last, ctx);
    let (bytes, part) = pass(&body.take().unwrap_or_default(), part, ctx)?;
    ctx.piece_passes(session, bytes.len() as u64, part);
    *body = Some(bytes);
    if is_cut(ctx) && ctx.transform.as_ref().is_some_and(|changing| changing.may_hang_up) {
        // or the client would wait for what the server says next; the number is that of the attempt's own connection
        let _ = shutdown(ctx.connection, Shutdown::Both);
    }
    Ok(())
}

/// Passes bytes through the plugins, and says what they are to the whole then.
///
/// # Errors
/// Why they must not go on.
pub fn pass(bytes: &Bytes, part: Part, ctx: &mut Exchange) -> Result<(Bytes, Part)> {
    let Some(mut changing) = ctx.transform.take() else { return Ok((bytes.clone(), part)) };
    let transform = &mut changing.transform;
    let (last, complete) = (part == Part::Last, part == Part::Complete);
    let fed = transform.feed(&mut ctx.plugins, &ctx.record.context, bytes, last, complete);
    let passed = fed.map_err(|error| failed(ctx, error))?;
    if let Some(cut) = transform.cut() {
        ctx.ending.answered_here(Outcome::Refused);
        (ctx.record.plugin, ctx.record.reason) = (Some(cut.plugin), Some(cut.reason));
    }
    ctx.transform = Some(changing);
    let part = match (last, passed.complete) {
        (true, _) => Part::Last,
        (false, true) => Part::Complete,
        (false, false) => Part::Some,
    };
    Ok((passed.bytes, part))
}

/// Passes a body through the plugins that is there as a whole, and gives its head the length that it has then.
///
/// # Errors
/// Why it must not go on.
pub fn pass_whole(head: &mut ResponseHeader, body: &Bytes, ctx: &mut Exchange) -> Result<Bytes> {
    let (bytes, _) = pass(body, Part::Last, ctx)?;
    head.remove_header(&TRANSFER_ENCODING);
    head.insert_header(CONTENT_LENGTH, HeaderValue::from(bytes.len()))?;
    Ok(bytes)
}

/// Whether a plugin has ended the response.
#[must_use]
pub fn is_cut(ctx: &Exchange) -> bool {
    ctx.transform.as_ref().is_some_and(|changing| changing.transform.cut().is_some())
}

fn failed(ctx: &mut Exchange, error: TransformError) -> Box<Error> {
    if let TransformError::Panic(plugin) = error {
        return response_tap::panicked(ctx, plugin);
    }
    debug!(id:% = ctx.record.context.id; "{error}");
    ctx.failure = Some(Failure::Transform);
    let mut failure = Error::explain(ErrorType::CustomCode(TRANSFORM, 502), error.to_string());
    failure.esource = ErrorSource::Internal;
    failure
}

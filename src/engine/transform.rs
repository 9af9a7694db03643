//! Responses on routes whose plugins change them: the head is made fit for another body, and the body passes through the chain.
//! A response that cannot be changed fails the exchange. The end of a response that a plugin cuts is in `cut`.

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method};
use log::debug;
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use plugin_api::Outcome;

use crate::chain::{Transform, TransformBody, TransformError};
use crate::exchange::ending::Part;
use crate::exchange::failure::Failure;

use super::attempt_error::TRANSFORM;
use super::ctx::Exchange;
use super::cut::{self, Unwritten};
use super::recording::body_length;
use super::response_tap;

/// Headers that describe the bytes of a body, and are wrong for other bytes.
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
pub struct TransformedResponse {
    transform: Transform,
    /// The part of it that is on its way to the client.
    pub(super) unwritten: Unwritten,
}

impl TransformedResponse {
    /// Whether a plugin has ended it.
    pub fn is_cut(&self) -> bool {
        self.transform.cut().is_some()
    }
}

/// Whether the response may be changed: by a plugin of the route, or to name the model that the client asked for.
#[must_use]
pub fn is_possible(ctx: &Exchange) -> bool {
    ctx.plugins.may_transform()
}

/// Asks the plugins whether they change this response, and makes its head fit for another body. The state of an earlier attempt is
/// dropped.
///
/// # Errors
/// A plugin wants to change the response, and it cannot be changed.
pub fn begin(session: &Session, head: &mut ResponseHeader, ctx: &mut Exchange) -> Result<()> {
    ctx.transform = None;
    let is_head = session.req_header().method == Method::HEAD;
    if !is_possible(ctx) || !is_head && body_length(session, head) == Some(0) {
        return Ok(());
    }
    ctx.find_endpoint();
    let body = TransformBody { endpoint: ctx.record.endpoint, limit: ctx.snapshot.limits.max_body };
    let (mut response, plugins) = ctx.response(session, head);
    let begun = Transform::begin(plugins, &mut response, body);
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
        ctx.transform = Some(Box::new(TransformedResponse { transform, unwritten: Unwritten::default() }));
    }
    Ok(())
}

/// Passes bytes of the upstream's response through the plugins.
///
/// # Errors
/// The bytes must not go on, or a plugin has cut the response: then the attempt ends, and `cut` writes the rest.
pub fn on_chunk(session: &Session, body: &mut Option<Bytes>, last: bool, ctx: &mut Exchange) -> Result<()> {
    let part = response_tap::part(last, ctx);
    let (bytes, part) = pass(&body.take().unwrap_or_default(), part, ctx)?;
    ctx.piece_passes(session, bytes.len() as u64, part);
    if let Some(transformed) = &mut ctx.transform {
        transformed.unwritten.add(bytes.clone(), session.body_bytes_sent() as u64);
    }
    *body = Some(bytes);
    if is_cut(ctx) && !last { Err(cut::end_attempt()) } else { Ok(()) }
}

/// Passes bytes through the plugins. Returns the bytes to send, and which part of the whole they are.
///
/// # Errors
/// The bytes must not go on.
pub fn pass(bytes: &Bytes, part: Part, ctx: &mut Exchange) -> Result<(Bytes, Part)> {
    let Some(mut transformed) = ctx.transform.take() else { return Ok((bytes.clone(), part)) };
    let transform = &mut transformed.transform;
    let (last, complete) = (part == Part::Last, part == Part::Complete);
    let fed = transform.feed(&mut ctx.plugins, &ctx.record.context, bytes, last, complete);
    let passed = fed.map_err(|error| failed(ctx, error))?;
    if let Some(cut) = transform.cut() {
        ctx.ending.answered_here(Outcome::Refused);
        (ctx.record.plugin, ctx.record.reason) = (Some(cut.plugin), Some(cut.reason));
    }
    ctx.transform = Some(transformed);
    let part = match (last, passed.complete) {
        (true, _) => Part::Last,
        (false, true) => Part::Complete,
        (false, false) => Part::Some,
    };
    Ok((passed.bytes, part))
}

/// Passes a whole body through the plugins, and sets the length of the result in its head.
///
/// # Errors
/// The body must not go on.
pub fn pass_whole(head: &mut ResponseHeader, body: &Bytes, ctx: &mut Exchange) -> Result<Bytes> {
    let (bytes, _) = pass(body, Part::Last, ctx)?;
    head.remove_header(&TRANSFER_ENCODING);
    head.insert_header(CONTENT_LENGTH, HeaderValue::from(bytes.len()))?;
    Ok(bytes)
}

/// Whether a plugin has ended the response.
#[must_use]
pub fn is_cut(ctx: &Exchange) -> bool {
    ctx.transform.as_ref().is_some_and(|transformed| transformed.is_cut())
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

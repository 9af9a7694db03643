//! The way of the upstream's response to the client: its head is checked and made fit for the client, its bytes pass on.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{StatusCode, Version};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use plugin_api::Transport;

use crate::exchange::attempts::{Action, Event};
use crate::exchange::{hop_by_hop, response_framing};

use super::clock;
use super::ctx::Exchange;
use super::recording::body_length;
use super::snapshot::Snapshot;
use super::{redirects, response_tap, retry, transform, websocket};

/// The head of a response has come from upstream. It may lead to another attempt.
pub fn on_head(
    session: &Session,
    head: &mut ResponseHeader,
    ctx: &mut Exchange,
    in_force: &Arc<ArcSwap<Snapshot>>,
) -> Result<()> {
    let (status, now) = (head.status, clock::now());
    let replayable = ctx.replayable(session);
    let Some(timeouts) = ctx.timeouts() else { return Ok(()) };
    let Some(attempts) = &mut ctx.attempts else { return Ok(()) };
    if status == StatusCode::SWITCHING_PROTOCOLS {
        attempts.on(Event::Upgraded, now);
        ctx.attempt_answered(status);
        ctx.record.status = Some(status);
        // Pingora passes no other upgrade
        ctx.record.transport = Transport::WebSocket;
        ctx.record.first_byte = Some(now - ctx.began);
        ctx.failure = None;
        ctx.timer.upgraded(timeouts.upgraded);
        websocket::begin(session, ctx, in_force);
        return Ok(());
    }
    if status.is_informational() {
        return Ok(());
    }
    clear_framing(head)?;
    let action = attempts.on(Event::Answered { status, headers: &head.headers, replayable }, now);
    ctx.attempt_answered(status);
    if let Action::Retry(failure) = action {
        ctx.attempt_failed(failure.word(), Some(status), now);
        retry::report(ctx, failure);
        return Err(retry::discard(status));
    }
    ctx.record.status = Some(status);
    ctx.record.first_byte = Some(now - ctx.began);
    ctx.failure = None;
    if let Some(body) = &mut ctx.body {
        body.answered();
    }
    ctx.timer.streams(timeouts.idle);
    strip_hop_by_hop(session, head);
    if let Some(request) = &ctx.plugin_request {
        request.answered(ctx);
        return Ok(());
    }
    redirects::make_own(session, head, ctx)?;
    response_tap::begin(status, &head.headers, ctx);
    response_tap::begin_filter(head, ctx)?;
    transform::begin(session, head, ctx)
}

/// The head is about to go to the client.
pub async fn on_head_to_client(session: &mut Session, head: &mut ResponseHeader, ctx: &mut Exchange) -> Result<()> {
    if session.req_header().version == Version::HTTP_10 && head.headers.contains_key(TRANSFER_ENCODING) {
        // HTTP/1.0 has no chunks (RFC 9112 §6.1): the end of the connection ends the response
        head.remove_header(&TRANSFER_ENCODING);
        session.set_keepalive(None);
    }
    if session.is_process_shutting_down() {
        // or the client's next request would find the connection closed
        session.set_keepalive(None);
    }
    if ctx.plugins.is_empty() || head.status.is_informational() {
        return Ok(());
    }
    response_tap::show_head(session, head, ctx).await?;
    ctx.head_passes(session, body_length(session, head));
    if let Some(transformed) = &mut ctx.transform {
        transformed.unwritten.add_head(head);
    }
    Ok(())
}

/// Bytes of the response pass.
pub fn on_chunk(session: &Session, body: &mut Option<Bytes>, last: bool, ctx: &mut Exchange) -> Result<()> {
    ctx.timer.progress();
    if let Some(socket) = &ctx.websocket
        && let Some(bytes) = body.take()
    {
        *body = Some(socket.pass(bytes));
    }
    response_tap::read(body.as_deref().unwrap_or_default(), last, ctx)?;
    if let Some(filter) = &mut ctx.stream_usage {
        *body = Some(response_tap::filtered(filter, body.as_deref().unwrap_or_default(), last));
    }
    if ctx.transform.is_some() {
        return transform::on_chunk(session, body, last, ctx);
    }
    let none = Bytes::new();
    let bytes = body.as_ref().unwrap_or(&none);
    let part = response_tap::part(last, ctx);
    response_tap::show_chunk(bytes, part, ctx)?;
    ctx.piece_passes(session, bytes.len() as u64, part);
    Ok(())
}

/// Leaves one meaning to where the body ends.
///
/// # Errors
/// There is none; it is the upstream's fault.
fn clear_framing(head: &mut ResponseHeader) -> Result<()> {
    match response_framing::check(&head.headers) {
        Ok(None) => Ok(()),
        Ok(Some(length)) => head.insert_header(CONTENT_LENGTH, length),
        Err(fault) => Err(Error::explain(ErrorType::InvalidHTTPHeader, fault).into_up()),
    }
}

/// Removes the headers that belong to the connection with the upstream alone.
fn strip_hop_by_hop(session: &Session, head: &mut ResponseHeader) {
    // Pingora passes trailers of HTTP/2 to HTTP/2, and no others
    let trailers_pass = head.version == Version::HTTP_2 && session.req_header().version == Version::HTTP_2;
    for name in hop_by_hop::names(&head.headers, trailers_pass) {
        head.remove_header(&name);
    }
}

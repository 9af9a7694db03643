//! The body of a request: received in full where somebody needs it, read as a call, shown to the plugins, and sent upstream.

use bytes::Bytes;
use http::HeaderMap;
use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::Session;
use plugin_api::{BODIES, Call, Endpoint, Hashing, Transport, run_blocking};
use tokio::time::timeout_at;

use crate::dialect;
use crate::exchange::buffered_body::BufferedBody;
use crate::exchange::failure::Failure;
use crate::exchange::hash_key;

use super::attempt_error;
use super::body::{self, Read};
use super::clock;
use super::ctx::Exchange;
use super::interruption::{Interruption, client_failed, client_left, ended_by_plugin, refuse, refuse_with};
use super::model_route;
use super::sending::Outgoing;

/// The largest body that is read on the worker's own thread, which takes less than a millisecond. A larger or encoded one is read on a
/// blocking thread.
const READ_IN_LINE: usize = 1024 * 1024;
/// The same limit where reading takes several times as long: messages are hashed too, or there are many calls in a batch.
const HASHED_IN_LINE: usize = READ_IN_LINE / 8;

/// The largest text that is read on the worker's own thread, of a call to this endpoint whose messages are hashed so.
#[must_use]
pub fn most_in_line(endpoint: Endpoint, hashing: Hashing) -> usize {
    let is_hashed = hashing != Hashing::Nothing && endpoint.has_turns;
    if is_hashed || endpoint.is_batch() { HASHED_IN_LINE } else { READ_IN_LINE }
}

/// Reads the whole body within the time that the client has for it.
pub async fn receive_body(session: &mut Session, ctx: &mut Exchange) -> Result<Bytes, Interruption> {
    let max = ctx.max_read();
    let until = clock::recent() + ctx.snapshot.limits.body_timeout;
    let until = ctx.attempts.as_ref().map_or(until, |attempts| attempts.deadline().min(until));
    let bytes = match timeout_at(until, body::read(session, max)).await {
        Ok(Ok(Read::Whole(bytes))) => bytes,
        Ok(Ok(Read::NoRoom(shortage))) => return Err(refuse(ctx, Failure::BodyMemory(shortage))),
        Ok(Ok(Read::TooLarge)) => {
            return Err(too_large(ctx, max as u64));
        }
        Ok(Err(error)) => return Err(client_failed(ctx, error)),
        Err(_) => return Err(refuse(ctx, Failure::BodyTimeout)),
    };
    ctx.record.request_bytes = bytes.len() as u64;
    Ok(bytes)
}

/// Reads the body of a request, and shows a call to the plugins. Of another request, `is_call` is false.
pub async fn read_body(session: &mut Session, ctx: &mut Exchange, is_call: bool) -> Result<(), Interruption> {
    let (limits, max) = (ctx.snapshot.limits, ctx.max_read());
    let bytes = receive_body(session, ctx).await?;
    let (Some(route), Some(endpoint)) = (ctx.route.clone(), ctx.record.endpoint.filter(|_| is_call)) else {
        ctx.read_form(&bytes);
        ctx.body = Some(BufferedBody::new(bytes, false));
        choose_keys(session, ctx, None).await;
        return Ok(());
    };
    let headers = &session.req_header().headers;
    let needs = route.chain.needs();
    let hashing = needs.hashing();
    let read = move |headers: &HeaderMap, bytes: Bytes| dialect::read(endpoint, headers, bytes, max, hashing);
    let mut call = if bytes.len() > most_in_line(endpoint, hashing) || ctx.flags.content_encoding {
        // on a blocking thread, so that other requests of this worker go on
        let headers = headers.clone();
        let reading = run_blocking(move || read(&headers, bytes));
        let read = tokio::select! {
            biased;
            read = tokio::time::timeout(limits.body_timeout, reading) => read,
            // it may wait for a slot, but not for a client that has left
            gone = session.downstream_session.read_body_or_idle(true) => return Err(client_left(ctx, gone.err())),
        };
        match read {
            Ok(Some(read)) => read,
            Ok(None) => {
                let error = Error::explain(ErrorType::InternalError, "reading a call panicked");
                return Err(Interruption::Fail(Failure::Internal, error));
            }
            Err(_) => return Err(refuse(ctx, Failure::Busy)),
        }
    } else {
        read(headers, bytes)
    };
    if let Some(models) = route.models() {
        call = call.on_route(models.models().clone());
    }
    // the memory that reading took, held as long as the call
    let mut made = BODIES.charge();
    made.cover(call.made_bytes(), 1).map_err(|shortage| refuse(ctx, Failure::BodyMemory(shortage)))?;
    if let Some(only) = call.call() {
        ctx.record.model.clone_from(&only.model);
        ctx.record.streaming = Some(only.stream);
        ctx.record.system_blocks = Some(only.system_blocks);
        ctx.record.asks_quota = only.asks_quota;
        if !ctx.plugins.is_empty() || route.upstream().is_some_and(|target| target.hashes_sessions) {
            let headers = &session.req_header().headers;
            ctx.snapshot.attribution.of_call(headers, only, &mut ctx.record.context);
        }
    }
    ctx.record.body_read = true;
    ctx.record.conversation = call.conversation();
    let began = ctx.traced_time();
    let mut on_call = Call { context: &mut ctx.record.context, body: &mut call };
    let ran = tokio::select! {
        biased;
        ran = ctx.plugins.on_call(&mut on_call) => ran,
        // a plugin may take long, but does not go on for a client that has left
        gone = session.downstream_session.read_body_or_idle(true) => return Err(client_left(ctx, gone.err())),
    };
    ctx.detach_until = call.detach_until.take();
    ctx.hook_ran(1, began);
    ran.map_err(|exit| ended_by_plugin(ctx, exit))?;
    ctx.record.upstream_model = model_route::renamed(&call, ctx.record.model.as_deref());
    model_route::follow(session, ctx, &mut call)?;
    ctx.adds_stream_usage = needs.usage && dialect::request_usage(&mut call);
    if let Some(attempts) = &mut ctx.attempts {
        attempts.demand().tokens = hash_key::tokens(&call);
    }
    choose_keys(session, ctx, Some(call.text().clone())).await;
    let edited = call.is_edited();
    let renames = ctx.attempts.as_ref().is_some_and(|attempts| attempts.upstream().renames_models);
    if renames && ctx.flags.content_encoding && !edited {
        ctx.sent_headers = Some(Box::new(session.req_header().headers.clone()));
    }
    let sends = needs.send && ctx.plugins.sends(&call).map_err(|exit| ended_by_plugin(ctx, exit))?;
    let (mut bytes, call) = if sends { (call.body().clone(), Some(call)) } else { (call.into_body(), None) };
    if edited {
        made.settle(bytes.len());
        bytes = std::mem::replace(&mut made, BODIES.charge()).on(bytes);
    }
    ctx.outgoing = call.map(|call| Box::new(Outgoing::new(call, made)));
    ctx.body = Some(BufferedBody::new(bytes, edited));
    Ok(())
}

/// Hashes the keys of the request for the upstream that it goes to, now that all is known of it.
async fn choose_keys(session: &Session, ctx: &mut Exchange, text: Option<Bytes>) {
    let Some(attempts) = &mut ctx.attempts else { return };
    let (upstream, headers) = (attempts.upstream().clone(), &session.req_header().headers);
    let is_large = text.as_ref().is_some_and(|text| text.len() > READ_IN_LINE);
    attempts.demand().hash_keys = if is_large && hash_key::reads_text(&upstream) {
        // on a blocking thread, so that other requests of this worker go on
        let (context, headers) = (ctx.record.context.clone(), headers.clone());
        let keys = run_blocking(move || hash_key::of(&upstream, &context, &headers, text.as_deref())).await;
        keys.unwrap_or_default()
    } else {
        hash_key::of(&upstream, &ctx.record.context, headers, text.as_deref())
    };
}

/// Refuses a body that is said to be larger than the route's limit.
///
/// # Errors
/// That it is.
pub fn check_length(session: &Session, ctx: &mut Exchange) -> Result<(), Interruption> {
    match ctx.max_body().filter(|max| body::length(session).is_some_and(|length| length as u64 > *max)) {
        Some(max) => Err(too_large(ctx, max)),
        None => Ok(()),
    }
}

fn too_large(ctx: &mut Exchange, max: u64) -> Interruption {
    refuse_with(ctx, Failure::BodyTooLarge, &format!("The request body is larger than {max} bytes"))
}

/// A piece of the request's body is about to go upstream.
///
/// # Errors
/// That the body, whose length was not known, is larger than the route's limit by now.
pub fn on_body(session: &Session, body: &mut Option<Bytes>, end: bool, ctx: &mut Exchange) -> Result<()> {
    if ctx.body.is_none() && ctx.record.transport != Transport::WebSocket {
        let max = ctx.max_body();
        if max.is_some_and(|max| session.body_bytes_read() as u64 > max) {
            return Err(attempt_error::body_too_large());
        }
        ctx.read_form(body.as_deref().unwrap_or_default());
    }
    if let Some(socket) = &ctx.websocket
        && let Some(bytes) = body.take()
    {
        *body = Some(socket.forward(bytes));
    }
    let piece = match &mut ctx.body {
        // the whole body with the end, in place of Pingora's buffer; `None` would end it at once
        Some(read) if end => Some(read.send()),
        Some(_) => Some(Bytes::new()),
        // the last frame of an h2 body may be empty; written as a piece, it would end the body twice
        None => body.take().filter(|piece| !(end && piece.is_empty())),
    };
    let is_piece = piece.is_some();
    let sent = ctx.timer.sends(piece.unwrap_or_default(), end || !is_piece);
    *body = is_piece.then_some(sent);
    Ok(())
}

//! The way in: admission, route, plugins, body, and the choice of a server.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use log::info;
use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::Session;
use plugin_api::{BODIES, Call, Endpoint, ErrorKind, Hashing, LogLimit, Request, run_blocking};
use tokio::time::{Instant, timeout_at};

use crate::balance::ASSUMED_TOKENS;
use crate::dialect;
use crate::exchange::attempts::{Attempts, Demand};
use crate::exchange::buffered_body::BufferedBody;
use crate::exchange::failure::{Failure, LATE_BODY};
use crate::exchange::upstream::Upstream;
use crate::memory::count_large_head;
use crate::routes::OnClientDisconnect;

use super::body::{self, Read};
use super::ctx::Exchange;
use super::detached;
use super::hash_key;
use super::head;
use super::interruption::{Interruption, client_fault, interrupted, left, no_room, overloaded, refuse};
use super::reply;

/// What Pingora is told of a connection that may be used again: that it has no limit, because the timer keeps it.
pub const KEPT_ALIVE: u64 = 0;

/// A body up to this size is read in less than a millisecond; whatever is larger, or encoded, may take longer.
pub const READ_IN_LINE: usize = 1024 * 1024;
/// The same where its messages are hashed too, which takes several times as long.
const HASHED_IN_LINE: usize = READ_IN_LINE / 8;

/// Decides what becomes of a request; `true` if it has been answered here.
pub async fn handle(session: &mut Session, ctx: &mut Box<Exchange>) -> Result<bool> {
    if let Some(head) = ctx.handed_over.take() {
        return detached::resume(session, ctx, *head).await.map(|()| false);
    }
    match prepare(session, ctx).await {
        Ok(()) if detached::is_wanted(ctx) => detached::spawn_detached(session, ctx).await.map(|()| true),
        Ok(()) => Ok(false),
        Err(Interruption::Answer(reply)) => {
            if ctx.route.is_none() {
                client_may_stall(session, ctx, ctx.snapshot.limits.longest_idle);
            }
            reply::send(session, ctx, *reply).await.map(|()| true)
        }
        Err(Interruption::Fail(failure, error)) => {
            ctx.failure = Some(failure);
            Err(error)
        }
    }
}

async fn prepare(session: &mut Session, ctx: &mut Exchange) -> Result<(), Interruption> {
    ctx.note_request(session);
    if session.downstream_session.get_keepalive().is_some() {
        let kept = !ctx.snapshot.limits.keepalive_timeout.is_zero();
        session.set_keepalive(kept.then_some(KEPT_ALIVE));
    }
    // RFC 9112 §9.3.2: a client may send its next request before this answer; it waits its turn. Not behind chunks: their
    // size lines are read leniently below us, so what a stricter proxy before us takes for a body could look like a request
    session.downstream_session.set_pipelining_enabled(!ctx.flags.transfer_encoding);
    check_head(session, ctx)?;
    if let Err(fault) = head::admit(session, ctx.flags) {
        return Err(refuse(ctx, ErrorKind::InvalidRequest, fault));
    }
    if let Err(fault) = ctx.normalize_path() {
        return Err(refuse(ctx, ErrorKind::InvalidRequest, &fault.to_string()));
    }
    let snapshot = ctx.snapshot.clone();
    let Some(found) = snapshot.router.find(&ctx.record.host, ctx.path()) else {
        return Err(refuse(ctx, ErrorKind::NotFound, "No route leads anywhere for this host and path"));
    };
    let route = snapshot.routes[found.index].clone();
    ctx.domain = found.domain;
    let upstream = &route.upstream;
    ctx.record.upstream = Some(upstream.name.clone());
    let deadline = ctx.began + upstream.timeouts.total;
    let demand = Demand {
        hash_keys: hash_key::of_head(upstream, ctx.record.context.client, &session.req_header().headers),
        tokens: ASSUMED_TOKENS,
        idempotent: ctx.record.method.is_idempotent(),
    };
    ctx.attempts = Some(Attempts::new(upstream.clone(), demand, deadline, ctx.began));
    ctx.timer.ends_at(deadline);
    client_may_stall(session, ctx, upstream.timeouts.idle);
    // Pingora keeps it for HTTP/1.1 alone, and where no attempt is made; the timer keeps the same for both
    session.set_read_timeout(Some(ctx.snapshot.limits.body_timeout));
    ctx.plugins = route.chain.instances();
    ctx.route = Some(route.clone());
    if !ctx.plugins.is_empty() {
        ctx.record.context.route = Some(route.name.clone());
        snapshot.attribution.of_head(&session.req_header().headers, &mut ctx.record.context);
        ctx.note_endpoint();
        if ctx.record.endpoint.is_some_and(|endpoint| !endpoint.takes_json) && ctx.answer_is_wanted() {
            ctx.form = protocols::FormModel::of(&session.req_header().headers).map(Box::new);
        }
        run_request_head(session, ctx).await?;
    }
    let drains = route.on_client_disconnect == OnClientDisconnect::Drain && ctx.record.method == Method::POST;
    if upstream.reads_body {
        ctx.note_endpoint();
    }
    if drains
        || (route.chain.needs().body || upstream.reads_body)
            && ctx.record.endpoint.is_some_and(|endpoint| endpoint.takes_json)
    {
        read_body(session, ctx).await?;
        return Ok(());
    }
    if upstream.speaks_h2 && body::is_small(session) {
        // then it can share a connection with others
        let bytes = receive_body(session, ctx).await?;
        ctx.body = Some(BufferedBody::new(bytes, false));
        return Ok(());
    }
    // what Pingora keeps of a body that streams, for another attempt
    let kept = body::kept_of_stream(session);
    if kept > 0 {
        let mut charge = BODIES.charge();
        charge.grow_to(kept).map_err(|shortage| no_room(ctx, shortage))?;
        ctx.stream_charge = Some(charge);
    }
    if ctx.flags.expect {
        body::invite(session).await.map_err(|error| Interruption::Fail(Failure::ClientGone, error))?;
    }
    Ok(())
}

/// Refuses a head that is larger than allowed, or for which there is no memory left.
fn check_head(session: &Session, ctx: &mut Exchange) -> Result<(), Interruption> {
    let size = head::size(session);
    let max = ctx.snapshot.limits.max_header;
    if size.bytes > max {
        count_large_head();
        static LARGE: LogLimit = LogLimit::new();
        if let Some(suppressed) = LARGE.pass(()) {
            let (id, bytes) = (ctx.record.context.id, size.bytes);
            info!(id:%, bytes, suppressed; "request head refused: it is larger than max_header");
        }
        ctx.record.error = Some("head_too_large");
        let message = format!("The request head is larger than {max} bytes");
        return Err(refuse(ctx, ErrorKind::HeadTooLarge, &message));
    }
    if ctx.head_charge.grow_to(size.charged()).is_err() {
        return Err(overloaded(ctx, "head_memory", "The gateway holds as many requests as it may"));
    }
    Ok(())
}

/// Bounds how long the client may take nothing of its answer.
fn client_may_stall(session: &mut Session, ctx: &Exchange, limit: Duration) {
    ctx.timer.client_may_stall(limit);
    if session.req_header().version == Version::HTTP_2 {
        // the connection does not see what its flow control holds back, nor does the timer: so this must be over before an
        // answer can have paused for too long
        session.set_write_timeout(Some(limit * 9 / 10));
    }
}

async fn run_request_head(session: &Session, ctx: &mut Exchange) -> Result<(), Interruption> {
    let head = session.req_header();
    let protocol = ctx.protocol();
    let mut request = Request {
        context: &mut ctx.record.context,
        method: &head.method,
        uri: &head.uri,
        headers: &head.headers,
        host: &ctx.record.host,
        upstream: ctx.record.upstream.as_deref().unwrap_or_default(),
        endpoint: ctx.record.endpoint,
        protocol,
        edits: std::mem::take(&mut ctx.request_edits),
    };
    let ran = ctx.plugins.on_request(&mut request).await;
    ctx.request_edits = request.edits;
    ran.map_err(|exit| interrupted(ctx, exit))
}

/// Reads the whole body, in the time that the client has for it.
async fn receive_body(session: &mut Session, ctx: &mut Exchange) -> Result<Bytes, Interruption> {
    let limits = ctx.snapshot.limits;
    let until = Instant::now() + limits.body_timeout;
    let until = ctx.attempts.as_ref().map_or(until, |attempts| attempts.deadline().min(until));
    let bytes = match timeout_at(until, body::read(session, limits.max_body)).await {
        Ok(Ok(Read::Whole(bytes))) => bytes,
        Ok(Ok(Read::NoRoom(shortage))) => return Err(no_room(ctx, shortage)),
        Ok(Ok(Read::TooLarge)) => {
            let message = format!("The request body is larger than {} bytes", limits.max_body);
            return Err(refuse(ctx, ErrorKind::TooLarge, &message));
        }
        Ok(Err(error)) => return Err(client_fault(ctx, error)),
        Err(_) => return Err(refuse(ctx, ErrorKind::RequestTimeout, LATE_BODY)),
    };
    ctx.record.request_bytes = bytes.len() as u64;
    Ok(bytes)
}

async fn read_body(session: &mut Session, ctx: &mut Exchange) -> Result<(), Interruption> {
    let limits = ctx.snapshot.limits;
    let bytes = receive_body(session, ctx).await?;
    let Some(upstream) = ctx.attempts.as_ref().map(|attempts| attempts.upstream().clone()) else { return Ok(()) };
    let Some(endpoint) = call_endpoint(ctx, &upstream) else {
        ctx.note_form(&bytes);
        ctx.body = Some(BufferedBody::new(bytes, false));
        return Ok(());
    };
    let headers = &session.req_header().headers;
    let needs = ctx.route.as_ref().map(|route| route.chain.needs()).unwrap_or_default();
    let hashing = needs.hashing();
    if upstream.renames_models && ctx.flags.content_encoding {
        ctx.sent_headers = headers.clone();
    }
    let read = move |upstream: &Upstream, headers: &HeaderMap, bytes: Bytes| {
        let call = dialect::read(endpoint, headers, bytes, limits.max_body, hashing);
        let keys = hash_key::of_body(upstream, &call);
        (call, keys)
    };
    let in_line = if hashing == Hashing::Nothing { READ_IN_LINE } else { HASHED_IN_LINE };
    let (mut call, keys) = if bytes.len() > in_line || ctx.flags.content_encoding {
        // others of this thread need not wait for it
        let headers = headers.clone();
        let reading = run_blocking(move || read(&upstream, &headers, bytes));
        let read = tokio::select! {
            biased;
            read = tokio::time::timeout(limits.body_timeout, reading) => read,
            // it may have to wait for others; nobody waits for a client that has left
            gone = session.downstream_session.read_body_or_idle(true) => return Err(left(ctx, gone.err())),
        };
        match read {
            Ok(Some(read)) => read,
            Ok(None) => {
                let error = Error::explain(ErrorType::InternalError, "reading a call panicked");
                return Err(Interruption::Fail(Failure::Internal, error));
            }
            Err(_) => return Err(overloaded(ctx, "busy", "The gateway reads as many large bodies as it may")),
        }
    } else {
        read(&upstream, headers, bytes)
    };
    // what was made of the body, which goes with the call
    let mut made = BODIES.charge();
    made.cover(call.made_bytes(), 1).map_err(|shortage| no_room(ctx, shortage))?;
    if let Some(attempts) = &mut ctx.attempts {
        let demand = attempts.demand();
        keys.into_iter().for_each(|(place, key)| demand.hash_keys[place] = Some(key));
    }
    if let Some(only) = call.call() {
        ctx.record.model.clone_from(&only.model);
        ctx.record.streaming = Some(only.stream);
        ctx.record.system_blocks = Some(only.system_blocks);
        ctx.record.asks_quota = only.asks_quota;
        if !ctx.plugins.is_empty() {
            let headers = &session.req_header().headers;
            ctx.snapshot.attribution.of_call(headers, only, &mut ctx.record.context);
        }
    }
    ctx.record.body_read = true;
    ctx.record.conversation = call.conversation();
    let mut on_call = Call { context: &mut ctx.record.context, body: &mut call };
    let ran = tokio::select! {
        biased;
        ran = ctx.plugins.on_call(&mut on_call) => ran,
        // a plugin may wait for long; nobody waits for a client that has left
        gone = session.downstream_session.read_body_or_idle(true) => return Err(left(ctx, gone.err())),
    };
    ctx.detach_until = call.detach_until.take();
    ran.map_err(|exit| interrupted(ctx, exit))?;
    ctx.adds_stream_usage = needs.usage && dialect::request_usage(&mut call);
    if let Some(attempts) = &mut ctx.attempts {
        attempts.demand().tokens = hash_key::tokens(&call);
    }
    let edited = call.is_edited();
    let mut bytes = call.into_body();
    if edited {
        made.settle(bytes.len());
        bytes = made.on(bytes);
    }
    ctx.body = Some(BufferedBody::new(bytes, edited));
    Ok(())
}

/// The endpoint of a call whose body somebody reads.
fn call_endpoint(ctx: &Exchange, upstream: &Upstream) -> Option<Endpoint> {
    let is_read = !ctx.plugins.is_empty() || upstream.reads_body;
    ctx.record.endpoint.filter(|endpoint| is_read && endpoint.takes_json)
}

/// A piece of the request's body is about to go upstream.
pub fn on_body(body: &mut Option<Bytes>, end: bool, ctx: &mut Exchange) {
    if ctx.body.is_none() {
        ctx.note_form(body.as_deref().unwrap_or_default());
    }
    let piece = match &mut ctx.body {
        // the whole at once with the end, in the place of what Pingora kept; `None` would end it at once
        Some(read) if end => Some(read.send()),
        Some(_) => Some(Bytes::new()),
        // the last frame of an h2 body may be empty; written as a piece, it would end the body twice
        None => body.take().filter(|piece| !(end && piece.is_empty())),
    };
    let is_piece = piece.is_some();
    let sent = ctx.timer.sends(piece.unwrap_or_default(), end || !is_piece);
    *body = is_piece.then_some(sent);
}

//! The way in: admission, route, the plugins' look at the head. The body is read in `call_body`.

use std::time::Duration;

use http::{Method, Version};
use pingora_error::Result;
use pingora_proxy::Session;
use plugin_api::{BODIES, Request, RouteModels};

use crate::balance::ASSUMED_TOKENS;
use crate::exchange::admission::check_handshake;
use crate::exchange::attempts::{Attempts, Demand};
use crate::exchange::buffered_body::BufferedBody;
use crate::exchange::failure::Failure;
use crate::exchange::hash_key;
use crate::exchange::model_routes::ModelRoutes;
use crate::memory::count_large_head;
use crate::routes::OnClientDisconnect;

use super::body;
use super::call_body::{read_body, receive_body};
use super::ctx::Exchange;
use super::detached;
use super::head;
use super::interruption::{Interruption, ended_by_plugin, refuse, refuse_with};
use super::snapshot::Route;
use super::{model_route, reply, websocket};

/// The keep-alive limit that Pingora gets for a connection that may be used again: none, because the timer keeps it.
pub const KEPT_ALIVE: u64 = 0;

/// Handles a new request. `true` if it has been answered here.
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
    ctx.read_request_head(session);
    if session.downstream_session.get_keepalive().is_some() {
        let kept = !ctx.snapshot.limits.keepalive_timeout.is_zero();
        session.set_keepalive(kept.then_some(KEPT_ALIVE));
    }
    // RFC 9112 §9.3.2: a client may send its next request before this answer. Not behind chunks: Pingora reads their size lines
    // leniently, so bytes that a stricter proxy before us takes for a body could look like a request
    session.downstream_session.set_pipelining_enabled(!ctx.flags.transfer_encoding);
    check_head(session, ctx)?;
    if let Err(fault) = head::admit(session, ctx.flags) {
        return Err(refuse_with(ctx, Failure::InvalidHead, fault));
    }
    if ctx.record.method == Method::TRACE {
        return Err(refuse(ctx, Failure::Trace));
    }
    if let Err(fault) = ctx.normalize_path() {
        return Err(refuse_with(ctx, Failure::InvalidPath, &fault.to_string()));
    }
    let snapshot = ctx.snapshot.clone();
    let Some(found) = snapshot.router.find(&ctx.record.host, ctx.path()) else {
        return Err(refuse(ctx, Failure::NoRoute));
    };
    let route = snapshot.routes[found.index].clone();
    ctx.domain = found.domain;
    let upstream = &route.upstream;
    ctx.record.upstream = Some(upstream.name.clone());
    let deadline = ctx.began + upstream.timeouts.total;
    let idempotent = ctx.record.method.is_idempotent();
    let demand = Demand { hash_keys: hash_key::Keys::new(), tokens: ASSUMED_TOKENS, idempotent };
    ctx.attempts = Some(Attempts::new(upstream.clone(), demand, deadline, ctx.began));
    ctx.timer.ends_at(deadline);
    client_may_stall(session, ctx, upstream.timeouts.idle);
    // Pingora keeps it for HTTP/1.1 alone, and where no attempt is made; the timer keeps the same for both
    session.set_read_timeout(Some(ctx.snapshot.limits.body_timeout));
    ctx.plugins = route.chain.instances();
    ctx.route = Some(route.clone());
    if ctx.flags.upgrade && websocket::is_websocket(&session.req_header().headers) {
        if !route.websocket {
            return Err(refuse(ctx, Failure::WebSocketOff));
        }
        if let Err(fault) = check_handshake(&session.req_header().headers, ctx.flags) {
            return Err(refuse_with(ctx, Failure::InvalidHead, fault));
        }
        ctx.websocket_endpoint = websocket::endpoint_to_read(ctx);
    }
    if !ctx.plugins.is_empty() || route.hashes_sessions {
        snapshot.attribution.of_head(&session.req_header().headers, &mut ctx.record.context);
    }
    if !ctx.plugins.is_empty() {
        ctx.record.context.route = Some(route.name.clone());
        ctx.find_endpoint();
        if ctx.record.endpoint.is_some_and(|endpoint| !endpoint.takes_json) && ctx.needs_answer() {
            ctx.form = protocols::FormModel::of(&session.req_header().headers).map(Box::new);
        }
        run_request_head(session, ctx, &route).await?;
    }
    model_route::follow_session(session, ctx)?;
    let drains = route.on_client_disconnect == OnClientDisconnect::Drain && ctx.record.method == Method::POST;
    let reads_call = reads_call(ctx, &route);
    if reads_call {
        ctx.find_endpoint();
    }
    let is_call = ctx.record.endpoint.is_some_and(|endpoint| endpoint.takes_json);
    if drains || is_call && (reads_call || route.chain.needs().body) {
        let is_call = is_call && (reads_call || !ctx.plugins.is_empty());
        read_body(session, ctx, is_call).await?;
        return Ok(());
    }
    let Some(attempts) = &mut ctx.attempts else { return Ok(()) };
    let keys = hash_key::of(attempts.upstream(), &ctx.record.context, &session.req_header().headers, None);
    attempts.demand().hash_keys = keys;
    if attempts.upstream().speaks_h2 && body::is_small(session) {
        // a body that has been read can go over a shared connection
        let bytes = receive_body(session, ctx).await?;
        ctx.body = Some(BufferedBody::new(bytes, false));
        return Ok(());
    }
    // Pingora's buffer of a streaming body, for another attempt
    let kept = body::kept_of_stream(session);
    if kept > 0 {
        let mut charge = BODIES.charge();
        charge.grow_to(kept).map_err(|shortage| refuse(ctx, Failure::BodyMemory(shortage)))?;
        ctx.stream_charge = Some(charge);
    }
    if ctx.flags.expect {
        body::invite(session).await.map_err(|error| Interruption::Fail(Failure::ClientGone, error))?;
    }
    Ok(())
}

/// Whether the choice of an upstream or of a server needs the body of a call.
fn reads_call(ctx: &Exchange, route: &Route) -> bool {
    // a session that the head names is that of the call
    let lacks_session = || route.hashes_sessions && ctx.record.context.principal().session.is_none();
    route.models.is_some() || route.upstream.reads_body || lacks_session()
}

/// Refuses a head that is larger than allowed, or for which there is no memory left.
fn check_head(session: &Session, ctx: &mut Exchange) -> Result<(), Interruption> {
    let size = head::size(session);
    let max = ctx.snapshot.limits.max_header;
    if size.bytes > max {
        count_large_head();
        let message = format!("The request head is larger than {max} bytes");
        return Err(refuse_with(ctx, Failure::HeadTooLarge, &message));
    }
    if ctx.head_charge.grow_to(size.charged()).is_err() {
        return Err(refuse(ctx, Failure::HeadMemory));
    }
    Ok(())
}

/// Bounds how long the client may accept none of its answer.
pub fn client_may_stall(session: &mut Session, ctx: &Exchange, limit: Duration) {
    ctx.timer.client_may_stall(limit);
    if session.req_header().version == Version::HTTP_2 {
        // neither the connection nor the timer sees the bytes that flow control holds back, so this limit must end before that of
        // the answer's pauses
        session.set_write_timeout(Some(limit * 9 / 10));
    }
}

async fn run_request_head(session: &Session, ctx: &mut Exchange, route: &Route) -> Result<(), Interruption> {
    let head = session.req_header();
    let protocol = ctx.protocol();
    let none = RouteModels::default();
    let models = route.models.as_ref().map_or(&none, ModelRoutes::models);
    let mut request = Request {
        context: &mut ctx.record.context,
        method: &head.method,
        uri: &head.uri,
        target: head.raw_path(),
        path: ctx.normal_path.as_deref().unwrap_or(&ctx.record.path),
        version: head.version,
        headers: &head.headers,
        host: &ctx.record.host,
        domain: &ctx.domain,
        upstream: ctx.record.upstream.as_deref().unwrap_or_default(),
        models,
        endpoint: ctx.record.endpoint,
        protocol,
        reads_messages: ctx.websocket_endpoint.is_some(),
        edits: std::mem::take(&mut ctx.request_edits),
    };
    let ran = ctx.plugins.on_request(&mut request).await;
    ctx.request_edits = request.edits;
    ran.map_err(|exit| ended_by_plugin(ctx, exit))
}

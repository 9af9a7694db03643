//! The way in: admission, route, the plugins' look at the head. The body is read in `call_body`.

use std::sync::Arc;
use std::time::Duration;

use http::header::UPGRADE;
use http::{Method, StatusCode, Version};
use pingora_error::{Error, Result};
use pingora_proxy::Session;
use plugin_api::{BODIES, LONGEST_PATH, Request, RequestHead, shortened};

use crate::balance::ASSUMED_TOKENS;
use crate::exchange::admission::check_handshake;
use crate::exchange::attempts::{Attempts, Demand};
use crate::exchange::buffered_body::BufferedBody;
use crate::exchange::failure::Failure;
use crate::exchange::hash_key;
use crate::exchange::upstream::Upstream;
use crate::memory::count_large_head;
use crate::routes::{PathChange, RouteRequest, Scope, Unsendable, WebSockets};

use super::body;
use super::call_body::{check_length, read_body, receive_body};
use super::ctx::Exchange;
use super::detached;
use super::head;
use super::interruption::{Interruption, ended_by_plugin, refuse, refuse_with};
use super::local_answer::LocalAnswer;
use super::route::{Route, RouteTarget, UpstreamRoute};
use super::sent_target::SentTarget;
use super::view::path_of;
use super::{model_route, reply, sending, websocket};

/// The keep-alive limit that Pingora gets for a connection that may be used again: none, because the timer keeps it.
pub const KEPT_ALIVE: u64 = 0;

/// Handles a new request. `true` if it has been answered here.
pub async fn handle(session: &mut Session, ctx: &mut Box<Exchange>) -> Result<bool> {
    let ready = match ctx.handed_over.take() {
        Some(head) => detached::resume(session, ctx, *head).await.map_err(fault),
        None => prepare(session, ctx).await,
    };
    let is_resumed = ctx.delivery.is_some();
    if ready.is_ok() && !is_resumed && detached::is_wanted(ctx) && !detached::outlive_client(session, ctx) {
        return detached::spawn_detached(session, ctx).await.map(|()| true);
    }
    let ready = match ready {
        // boxed, so that calls that no plugin may send carry no room for it
        Ok(()) if ctx.outgoing.is_some() => Box::pin(sending::offer(session, ctx)).await,
        ready => ready,
    };
    match ready {
        Ok(()) => Ok(false),
        Err(Interruption::Answer(reply)) => {
            if ctx.route.is_none() {
                client_may_stall(session, ctx, ctx.snapshot.limits.longest_idle);
            } else if body::is_small(session) && reply.status != StatusCode::REQUEST_TIMEOUT {
                leave_connection(session, ctx);
            }
            reply::send(session, ctx, *reply).await.map(|()| true)
        }
        Err(Interruption::Fail(failure, error)) => {
            ctx.failure = Some(failure);
            Err(error)
        }
    }
}

/// Takes a request as far as its upstream: admission, route, plugins, body.
///
/// # Errors
/// What keeps it from its upstream.
pub async fn prepare(session: &mut Session, ctx: &mut Exchange) -> Result<(), Interruption> {
    let as_sent = head::take_as_sent(session).map_err(fault)?;
    ctx.read_request_head(session);
    if session.downstream_session.get_keepalive().is_some() {
        session.set_keepalive(ctx.snapshot.keeps_connections().then_some(KEPT_ALIVE));
    }
    // RFC 9112 §9.3.2: a client may send its next request before this answer. Not behind chunks: Pingora reads their size lines
    // leniently, so bytes that a stricter proxy before us takes for a body could look like a request
    session.downstream_session.set_pipelining_enabled(!ctx.flags.transfer_encoding);
    if ctx.record.method == Method::CONNECT {
        // what comes behind it is no HTTP
        session.set_keepalive(None);
    }
    check_head(session, ctx)?;
    if let Err(fault) = head::admit(session, ctx.flags, as_sent.as_ref()) {
        return Err(refuse_with(ctx, Failure::InvalidHead, fault));
    }
    match ctx.record.method {
        Method::TRACE => return Err(refuse(ctx, Failure::Trace)),
        Method::CONNECT => {
            let head = session.req_header();
            let raw = || String::from_utf8_lossy(head.raw_path());
            let target = head.uri.authority().map_or_else(raw, |authority| authority.as_str().into());
            ctx.record.path = shortened(&target, LONGEST_PATH).into_owned();
            return Err(refuse(ctx, Failure::Tunnel));
        }
        _ => {}
    }
    head::make_plain(session, ctx.flags).map_err(fault)?;
    ctx.raw_target = as_sent.and_then(|as_sent| as_sent.raw);
    if let Err(fault) = ctx.normalize_path() {
        return Err(refuse_with(ctx, Failure::InvalidPath, &fault.to_string()));
    }
    let snapshot = ctx.snapshot.clone();
    let Some(found) = snapshot.router.find(&route_request(session, ctx)) else {
        return Err(refuse(ctx, Failure::NoRoute));
    };
    let route = snapshot.routes[found.index].clone();
    ctx.domain = found.domain;
    ctx.plugins = route.chain.instances();
    ctx.begin_trace(route.chain.needs().trace);
    ctx.route = Some(route.clone());
    match &route.target {
        RouteTarget::Upstream(target) => send_upstream(session, ctx, &route, target).await,
        RouteTarget::Here(answer) => Err(answer_here(session, ctx, &route, answer).await),
    }
}

/// What routes look at of a request.
pub fn route_request<'a>(session: &'a Session, ctx: &'a Exchange) -> RouteRequest<'a> {
    let head = session.req_header();
    RouteRequest {
        host: &ctx.record.host,
        path: ctx.client_path(),
        method: &head.method,
        headers: &head.headers,
        query: head.uri.query(),
        connection: ctx.record.context.connection(),
    }
}

/// Makes a request ready for the upstream of its route.
async fn send_upstream(
    session: &mut Session,
    ctx: &mut Exchange,
    route: &Route,
    target: &UpstreamRoute,
) -> Result<(), Interruption> {
    let idempotent = ctx.record.method.is_idempotent();
    let demand = Demand { hash_keys: hash_key::Keys::new(), tokens: ASSUMED_TOKENS, idempotent, once: false };
    begin_attempts(session, ctx, target.upstream.clone(), demand);
    // Pingora keeps it for HTTP/1.1 alone, and where no attempt is made; the timer keeps the same for both
    session.set_read_timeout(Some(ctx.snapshot.limits.body_timeout));
    if let Some(change) = &target.path_change {
        change_path(session, ctx, route, change)?;
    }
    if ctx.flags.upgrade {
        match target.websocket {
            WebSockets::Ignore => {
                session.req_header_mut().remove_header(&UPGRADE);
                ctx.flags.upgrade = false;
            }
            _ if !websocket::is_websocket(&session.req_header().headers) => {}
            WebSockets::Off => return Err(refuse(ctx, Failure::WebSocketOff)),
            WebSockets::On => {
                if let Err(fault) = check_handshake(&session.req_header().headers, ctx.flags) {
                    return Err(refuse_with(ctx, Failure::InvalidHead, fault));
                }
                ctx.websocket_endpoint = websocket::endpoint_to_read(ctx);
            }
        }
    }
    show_head(session, ctx, route, target.hashes_sessions).await?;
    check_length(session, ctx)?;
    model_route::follow_session(session, ctx)?;
    let drains = route.drains() && ctx.record.method == Method::POST;
    let reads_call = reads_call(ctx, target);
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

/// Answers a request whose route leads to no upstream. The plugins see its head, and see the answer; its body is left unread.
async fn answer_here(session: &mut Session, ctx: &mut Exchange, route: &Route, answer: &LocalAnswer) -> Interruption {
    client_may_stall(session, ctx, ctx.snapshot.limits.longest_idle);
    if let Err(interruption) = show_head(session, ctx, route, false).await {
        return interruption;
    }
    if let Err(interruption) = check_length(session, ctx) {
        return interruption;
    }
    leave_connection(session, ctx);
    let protocol = ctx.protocol();
    let groups = answer.uses_groups().then(|| ctx.snapshot.router.groups(route.index, ctx.client_path())).flatten();
    let scope = Scope { variables: ctx.variables(session), groups };
    Interruption::Answer(Box::new(answer.reply(protocol, &scope)))
}

/// Leaves the client its connection though the body of its request is unread: it is read behind the answer. A client that waits to be
/// invited may send none, and then the next request would be taken for it.
pub fn leave_connection(session: &mut Session, ctx: &Exchange) {
    if !ctx.flags.expect {
        session.downstream_session.set_close_on_response_before_downstream_finish(false);
    }
}

/// Puts the path that the route names in the place of the client's.
fn change_path(session: &Session, ctx: &mut Exchange, route: &Route, change: &PathChange) -> Result<(), Interruption> {
    let groups = change.uses_groups().then(|| ctx.snapshot.router.groups(route.index, ctx.client_path())).flatten();
    let scope = Scope { variables: ctx.variables(session), groups };
    let changed = change.apply(scope.variables.request.request_uri(), &scope);
    let target = match changed {
        Ok(None) => return Ok(()),
        Ok(Some(target)) => SentTarget::new(target),
        Err(Unsendable) => None,
    };
    let Some(target) = target else {
        return Err(refuse_with(ctx, Failure::InvalidPath, "The path leads out of the one that it stands for here"));
    };
    ctx.sent_target = Some(Box::new(target));
    Ok(())
}

/// Begins the attempts at an upstream. None has been made yet.
pub fn begin_attempts(session: &mut Session, ctx: &mut Exchange, upstream: Arc<Upstream>, demand: Demand) {
    let timeouts = ctx.timeouts_of(&upstream);
    let deadline = ctx.began + timeouts.total;
    ctx.timer.ends_at(deadline);
    ctx.record.upstream = Some(upstream.name.clone());
    ctx.attempts = Some(Attempts::new(upstream, demand, deadline, ctx.began));
    client_may_stall(session, ctx, timeouts.idle);
}

/// Finds out whose request it is, and shows its head to the plugins.
async fn show_head(
    session: &Session,
    ctx: &mut Exchange,
    route: &Route,
    hashes_sessions: bool,
) -> Result<(), Interruption> {
    if !ctx.plugins.is_empty() || hashes_sessions {
        let headers = &session.req_header().headers;
        ctx.snapshot.attribution.of_head(headers, &mut ctx.record.context);
    }
    if ctx.plugins.is_empty() {
        return Ok(());
    }
    ctx.record.context.route = Some(route.name.clone());
    ctx.find_endpoint();
    if ctx.record.endpoint.is_some_and(|endpoint| !endpoint.takes_json) && ctx.needs_answer() {
        ctx.form = protocols::FormModel::of(&session.req_header().headers).map(Box::new);
    }
    run_request_head(session, ctx, route).await
}

fn fault(error: Box<Error>) -> Interruption {
    Interruption::Fail(Failure::Internal, error)
}

/// Whether the choice of an upstream or of a server needs the body of a call.
fn reads_call(ctx: &Exchange, target: &UpstreamRoute) -> bool {
    // a session that the head names is that of the call
    let lacks_session = || target.hashes_sessions && ctx.record.context.principal().session.is_none();
    target.models.is_some() || target.upstream.reads_body || lacks_session()
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
    let began = ctx.traced_time();
    let head = session.req_header();
    let protocol = ctx.protocol();
    let mut request = Request {
        context: &mut ctx.record.context,
        head: RequestHead {
            method: &head.method,
            target: head.raw_path(),
            path: path_of(ctx.sent_target.as_deref(), ctx.normal_path.as_deref(), &ctx.record.path),
            version: head.version,
            host: &ctx.record.host,
            server_name: &route.server_name,
            headers: &head.headers,
        },
        uri: ctx.sent_target.as_ref().map_or(&head.uri, |target| target.uri()),
        upstream: ctx.record.upstream.as_deref().unwrap_or_default(),
        models: &route.names,
        endpoint: ctx.record.endpoint,
        protocol,
        reads_messages: ctx.websocket_endpoint.is_some(),
        edits: std::mem::take(&mut ctx.request_edits),
    };
    let ran = ctx.plugins.on_request(&mut request).await;
    ctx.request_edits = request.edits;
    ctx.hook_ran(0, began);
    ran.map_err(|exit| ended_by_plugin(ctx, exit))
}

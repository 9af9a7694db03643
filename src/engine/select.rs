//! Carries out the actions with which an attempt begins: waits in the queue, makes the request one for a fallback, and gives Pingora
//! the peer of the selected server.

use pingora_core::protocols::http::ServerSession;
use pingora_core::upstreams::peer::{HttpPeer, Scheme};
use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::Session;
use tokio::time::Instant;

use crate::balance::SelectError;
use crate::exchange::attempts::{Action, Attempts, Event};

use super::clock;
use super::connection::Connection;
use super::ctx::Exchange;
use super::failover;
use super::upstream::ConnectionUse;
use super::upstream_socket::Connector;

/// How to connect to the server of the next attempt.
///
/// # Errors
/// That there is none, or that the client left or the time was up while it waited for one.
pub async fn choose_server(session: &mut Session, ctx: &mut Exchange) -> Result<Box<HttpPeer>> {
    let mut event = Event::ServerWanted;
    let mut wanted = None;
    loop {
        let now = clock::recent();
        let wanted = *wanted.get_or_insert(now);
        let Some(attempts) = &mut ctx.attempts else {
            return Error::e_explain(ErrorType::InternalError, "no upstream was chosen");
        };
        event = match attempts.on(event, now) {
            Action::Connect => return connect(session, ctx, now, wanted),
            Action::Wait(error) => {
                // neither a detached call nor a plugin's request has a client of its own to watch
                let has_client = ctx.delivery.is_none() && ctx.plugin_request.is_none();
                wait(session, attempts, error, has_client, now).await
            }
            Action::FailOver(exhausted) => {
                failover::apply(ctx, &exhausted).await?;
                Event::ServerWanted
            }
            Action::GiveUp(failure) => {
                ctx.failure = Some(failure);
                return Error::e_explain(ErrorType::ConnectProxyFailure, "no server is left");
            }
            Action::Retry(_) | Action::Reconnect | Action::Pass => {
                return Error::e_explain(ErrorType::InternalError, "no attempt was under way");
            }
        };
    }
}

fn connect(session: &mut Session, ctx: &mut Exchange, now: Instant, wanted: Instant) -> Result<Box<HttpPeer>> {
    ctx.attempt_begins(wanted, now);
    let Some((attempts, lease)) = ctx.attempts.as_ref().and_then(|attempts| Some((attempts, attempts.lease()?))) else {
        return Error::e_explain(ErrorType::InternalError, "no server was chosen");
    };
    ctx.record.attempts = attempts.total();
    ctx.record.server = Some(lease.label().clone());
    ctx.record.upstream_addrs.push(lease.server().socket());
    ctx.connection_use = connection_use(session, ctx.body.is_some());
    let named = ctx.named_certificate.take();
    let upstream = attempts.upstream();
    let timeouts = ctx.timeouts_of(upstream);
    let mut peer =
        ctx.snapshot.peers[upstream.index].peer(timeouts, lease, attempts.time_left(now), ctx.connection_use, named);
    let fresh = attempts.wants_fresh_connection();
    ctx.connector = None;
    ctx.acknowledged = None;
    if peer.scheme == Scheme::HTTP {
        let idle_timeout = peer.options.idle_timeout.unwrap_or_default();
        let connector = Connector::new(peer.group_key, idle_timeout, fresh);
        peer.options.custom_l4 = Some(connector.clone());
        ctx.connector = Some(connector);
    } else if fresh {
        // a key of its own, so that no kept connection is taken
        peer.group_key = peer.group_key.wrapping_add(ctx.record.context.id.as_u64_pair().1);
    }
    if attempts.is_http1_only() {
        peer.options.set_http_version(1, 1);
    }
    Ok(peer)
}

/// How the request goes to its server.
fn connection_use(session: &mut Session, body_is_read: bool) -> ConnectionUse {
    if session.downstream_session.is_upgrade_req() {
        ConnectionUse::Http1
    } else if body_is_read || session.downstream_session.is_body_empty() {
        ConnectionUse::Shared
    } else {
        ConnectionUse::Exclusive
    }
}

/// Waits for a server, as long as the client does and the exchange may take.
async fn wait(
    session: &mut Session,
    attempts: &Attempts,
    error: SelectError,
    has_client: bool,
    now: Instant,
) -> Event<'static> {
    tokio::select! {
        found = attempts.wait(error, now) => Event::QueueEnded(found),
        () = tokio::time::sleep_until(attempts.deadline()) => Event::TimeOver,
        () = client_leaves(session), if has_client => Event::ClientLeft,
    }
}

/// Waits until the client is gone. Reads nothing that belongs to its request.
async fn client_leaves(session: &mut Session) {
    let body_is_read = session.downstream_session.is_body_done();
    match &mut *session.downstream_session {
        ServerSession::H2(h2) => drop(h2.idle().await),
        downstream if body_is_read => drop(downstream.read_body_or_idle(true).await),
        downstream => match downstream.as_http1() {
            Some(session) => Connection::client_closed(session.stream()).await,
            None => std::future::pending().await,
        },
    }
}

//! The choice of a server: the first, in the queue if need be, and the next when one has failed, on a fallback upstream
//! where this one has none left.

use std::time::Duration;

use http::StatusCode;
use pingora_core::protocols::http::ServerSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::Session;
use tokio::time::Instant;

use crate::balance::{Lease, Pool, SelectError, SelectParams};

use super::ClientClosed;
use super::ctx::Exchange;
use super::failover;
use super::failure::Failure;
use super::upstream::Carriage;

/// How a further attempt is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A server for it has been taken.
    Taken,
    /// All that could take it are busy, but there is a queue.
    Queue,
    /// There is none.
    None,
}

/// Chooses the server of the next attempt.
///
/// # Errors
/// That there is none, or that the client left or the time was up while it waited for one.
pub async fn choose_server(
    session: &mut Session,
    x: &mut Exchange,
    client_closed: ClientClosed,
) -> Result<Box<HttpPeer>> {
    let fresh_connection = std::mem::take(&mut x.attempts.same_server);
    if !fresh_connection {
        x.attempts.lease = None;
        for _ in 0..std::mem::take(&mut x.attempts.takeovers) {
            failover::enter(x).await?;
        }
        let lease = match x.attempts.next.take() {
            Some(lease) => lease,
            None => first(session, x, client_closed).await?,
        };
        x.record.attempts += 1;
        x.attempts.made += 1;
        x.record.server = Some(lease.label().clone());
        x.attempts.lease = Some(lease);
    }
    x.attempts.is_second = fresh_connection;
    let now = Instant::now();
    x.attempts.began = Some(now);
    let (Some(upstream), Some(lease)) = (&x.attempts.upstream, &x.attempts.lease) else {
        return Error::e_explain(ErrorType::InternalError, "no upstream was chosen");
    };
    let end = x.attempts.end.unwrap_or(now);
    x.attempts.carriage = carriage(session, x.body.is_some());
    let mut peer = upstream.peer(lease, end.saturating_duration_since(now), x.attempts.carriage);
    if fresh_connection {
        // a key of its own, so that no kept connection is taken
        peer.group_key = peer.group_key.wrapping_add(x.record.id.as_u64_pair().1);
    }
    if x.attempts.wants_http_1 {
        peer.options.set_http_version(1, 1);
    }
    Ok(peer)
}

/// How the request goes to its server.
fn carriage(session: &mut Session, body_is_read: bool) -> Carriage {
    if session.downstream_session.is_upgrade_req() {
        Carriage::Http1
    } else if body_is_read || session.downstream_session.is_body_empty() {
        Carriage::Shared
    } else {
        Carriage::Own
    }
}

/// Takes a server for a further attempt: of this upstream if it has one left and the attempts and the budget allow it, or
/// else of a fallback, which takes over when that attempt begins. `server_index` asks for another address of that server in the
/// YAML, which costs no attempt. Unless it is taken or the request may wait for one, nothing changes.
pub fn next_server(x: &mut Exchange, server_index: Option<usize>, may_wait: bool) -> Next {
    let Some(upstream) = x.attempts.upstream.clone() else { return Next::None };
    if next_address(x, server_index) {
        return Next::Taken;
    }
    let now = std::time::Instant::now();
    if x.attempts.made < upstream.attempts {
        match upstream.pool.lease(&ask(x, now)) {
            Ok(lease) => return taken(x, lease, 0),
            Err(SelectError::Full(_)) if may_wait && upstream.pool.queue().is_some() => return queue(x, 0),
            _ => {}
        }
    }
    for (fallbacks, fallback) in upstream.chain().enumerate().skip(1) {
        let key = x.attempts.keys.get(x.attempts.taken_over + fallbacks).copied().flatten();
        // its own requests are what its budget is a share of, and this is one of them
        match fallback.pool.lease(&SelectParams { tried: &[], budget: None, key, ..ask(x, now) }) {
            Ok(lease) => return taken(x, lease, fallbacks),
            Err(SelectError::Full(_)) if may_wait && fallback.pool.queue().is_some() => return queue(x, fallbacks),
            Err(_) => {}
        }
    }
    Next::None
}

/// Takes a further attempt for a request that the server has not processed: first of all on the same server, on a connection
/// of its own, or (`elsewhere`) only where no other server can take it.
pub fn next_unprocessed(x: &mut Exchange, elsewhere: bool) -> Next {
    if !elsewhere && same_server(x) {
        return Next::Taken;
    }
    x.attempts.rule_out();
    let Some(upstream) = x.attempts.upstream.clone() else { return Next::None };
    if x.attempts.made < upstream.attempts
        && let Ok(lease) = upstream.pool.lease(&ask(x, std::time::Instant::now()))
    {
        return taken(x, lease, 0);
    }
    if elsewhere && same_server(x) { Next::Taken } else { next_server(x, None, true) }
}

/// Takes a further attempt on the present server, if the attempts and the budget allow it.
fn same_server(x: &mut Exchange) -> bool {
    let Some(upstream) = &x.attempts.upstream else { return false };
    let left = x.attempts.lease.is_some() && x.attempts.made < upstream.attempts;
    if !left || !upstream.pool.allows_another(upstream.retry_percent, std::time::Instant::now()) {
        return false;
    }
    x.attempts.made += 1;
    x.record.attempts += 1;
    x.attempts.same_server = true;
    true
}

/// The attempt under way gives its server back; the next one has another, of the fallback that so many lead to.
fn taken(x: &mut Exchange, next: Lease, fallbacks: usize) -> Next {
    x.attempts.lease = None;
    x.attempts.next = Some(next);
    x.attempts.takeovers = fallbacks;
    Next::Taken
}

/// The next attempt waits for a server of the fallback that so many lead to.
fn queue(x: &mut Exchange, fallbacks: usize) -> Next {
    x.attempts.takeovers = fallbacks;
    Next::Queue
}

/// Takes another address of a server of the YAML, which costs no attempt and nothing of the budget.
pub fn next_address(x: &mut Exchange, server_index: Option<usize>) -> bool {
    let (Some(upstream), Some(_)) = (&x.attempts.upstream, server_index) else { return false };
    let ask = SelectParams { server_index, budget: None, ..ask(x, std::time::Instant::now()) };
    let Ok(lease) = upstream.pool.lease(&ask) else { return false };
    x.attempts.made = x.attempts.made.saturating_sub(1);
    taken(x, lease, 0);
    true
}

/// The first server of an upstream, or of its fallback where it has none.
async fn first(session: &mut Session, x: &mut Exchange, client_closed: ClientClosed) -> Result<Lease> {
    loop {
        let Some(upstream) = x.attempts.upstream.clone() else {
            return Error::e_explain(ErrorType::InternalError, "no upstream was chosen");
        };
        let mut found = upstream.pool.lease(&ask(x, std::time::Instant::now()));
        if let (Err(refusal @ SelectError::Full(_)), Some(_)) = (&found, upstream.pool.queue()) {
            found = wait(session, x, client_closed, &upstream.pool, *refusal).await?;
        }
        let refusal = match found {
            Ok(lease) => return Ok(lease),
            Err(_) if failover::enter(x).await? => continue,
            Err(refusal) => refusal,
        };
        let failure = match refusal {
            SelectError::NoServer(_) if upstream.pool.is_unresolved() => Failure::Unresolved,
            SelectError::NoServer(_) | SelectError::BudgetExhausted => Failure::NoServer,
            SelectError::Full(_) => Failure::Full(StatusCode::SERVICE_UNAVAILABLE),
            SelectError::QueueFull | SelectError::QueueTimeout => {
                Failure::Full(upstream.pool.queue().map(|queue| queue.status).unwrap_or_default().code())
            }
        };
        if let SelectError::NoServer(Some(earliest)) | SelectError::Full(Some(earliest)) = refusal {
            x.attempts.earliest = Some(earliest.into());
        }
        // of an attempt that was made, its own failure says more
        x.failure.get_or_insert(failure);
        return Error::e_explain(ErrorType::ConnectProxyFailure, "no server is left");
    }
}

/// Waits for a server, as long as the client does and the exchange may take; an error if either is over.
async fn wait(
    session: &mut Session,
    x: &mut Exchange,
    client_closed: ClientClosed,
    pool: &Pool,
    refusal: SelectError,
) -> Result<std::result::Result<Lease, SelectError>> {
    let patience = x.attempts.end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
    // a call that goes on without its client has nobody to look after
    let has_client = x.delivery.is_none();
    let ask = ask(x, std::time::Instant::now());
    tokio::select! {
        found = pool.wait(&ask, refusal) => Ok(found),
        () = tokio::time::sleep(patience) => {
            x.failure = Some(Failure::TotalTimeout);
            Error::e_explain(ErrorType::ConnectProxyFailure, "the exchange may take no longer")
        }
        error = client_leaves(session, client_closed), if has_client => {
            x.failure = Some(Failure::ClientGone);
            Err(error.into_down())
        }
    }
}

fn ask(x: &Exchange, now: std::time::Instant) -> SelectParams<'_> {
    SelectParams {
        now,
        tried: &x.attempts.tried,
        tokens: x.attempts.tokens,
        key: x.attempts.keys.get(x.attempts.taken_over).copied().flatten(),
        server_index: None,
        budget: x.attempts.upstream.as_ref().filter(|_| !x.attempts.tried.is_empty()).map(|up| up.retry_percent),
    }
}

/// Waits until the client is gone. Reads nothing that belongs to its request.
async fn client_leaves(session: &mut Session, client_closed: ClientClosed) -> Box<Error> {
    let body_is_read = session.downstream_session.is_body_done();
    let error = match &mut *session.downstream_session {
        ServerSession::H2(h2) => h2.idle().await.err(),
        downstream if body_is_read => downstream.read_body_or_idle(true).await.err(),
        downstream => {
            match downstream.as_http1() {
                Some(session) => client_closed(session.stream()).await,
                None => std::future::pending().await,
            }
            None
        }
    };
    error.unwrap_or_else(|| Error::explain(ErrorType::ConnectionClosed, "the client left while it waited"))
}

//! A call that must not end with its client: it goes on to its end (`on_client_disconnect: drain`), or until nobody else wants it (a
//! plugin's [`DetachUntil`]). On HTTP/1.1 the connection hides that the client has left. A call of HTTP/2 runs on a task of its own, as a
//! subrequest, and this request only passes its answer on.

use std::cell::Cell;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Uri, Version};
use log::debug;
use pingora_core::protocols::http::HttpTask;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::subrequest::{BodyMode, Ctx};
use pingora_proxy::{PreparedSubrequest, Session};
use plugin_api::DetachUntil;
use tokio::task::JoinHandle;

use crate::exchange::deadlines::LINGER;
use crate::exchange::delivery::Delivery;
use crate::exchange::presence::Presence;

use super::connection::Outliving;
use super::ctx::Exchange;
use super::head;
use super::relay::{Broken, relay};
use super::timer::{Timer, with_deadlines};

/// A subrequest has its head from the start.
const HEAD: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// The exchange that the subrequest of this task carries on. Pingora makes the context of a subrequest on the subrequest's
    /// own task, so it is found there with its type, which the context that Pingora hands over has lost.
    static HANDOFF: Cell<Option<Box<Exchange>>>;
}

/// Whether the exchange must go on if its client leaves, and can, because its body has been read.
pub fn is_wanted(ctx: &Exchange) -> bool {
    let drains = || ctx.route.as_ref().is_some_and(|route| route.drains());
    ctx.body.is_some() && (ctx.detach_until.is_some() || drains())
}

/// Lets an exchange go on where it is if its client leaves. `false` if its connection cannot do without the client.
#[must_use]
pub fn outlive_client(session: &Session, ctx: &mut Exchange) -> bool {
    let Some(connection) = head::connection(session) else { return false };
    let drains = ctx.route.as_ref().is_some_and(|route| route.drains());
    let (unwanted, shared) = ctx.detach_until.take().map(DetachUntil::into_futures).unzip();
    let unwanted = unwanted.filter(|_| !drains).unwrap_or_else(|| Box::pin(pending()));
    let shared = shared.unwrap_or_else(|| Box::pin(pending()));
    let presence = Arc::new(Presence::default());
    ctx.presence = Some(presence.clone());
    connection.outlive(Box::new(Outliving::new(presence, unwanted, shared)));
    true
}

/// An exchange is over. If it could go on without its client, its connection cannot any more.
pub fn over(session: &Session, ctx: &Exchange) {
    if ctx.presence.is_some()
        && let Some(connection) = head::connection(session)
    {
        connection.call_over();
    }
}

/// The exchange that the subrequest of this task carries on; `None` if this task has none.
#[must_use]
pub fn take_handoff() -> Option<Box<Exchange>> {
    let mut ctx = HANDOFF.try_with(Cell::take).ok().flatten()?;
    if let Some(timer) = Timer::current() {
        timer.request_came();
        if let Some(attempts) = &ctx.attempts {
            timer.ends_at(attempts.deadline());
        }
        ctx.timer = timer;
    }
    Some(ctx)
}

/// Runs a subrequest that carries an exchange on. `None` if its timer ended it.
pub fn carry_on(
    exchange: Box<Exchange>,
    timer: &Arc<Timer>,
    subrequest: PreparedSubrequest,
) -> impl Future<Output = Option<()>> + Send + use<> {
    HANDOFF.scope(Cell::new(Some(exchange)), with_deadlines(timer.clone(), subrequest.run()))
}

/// Goes on with an exchange that has been admitted by the request it came with.
///
/// # Errors
/// That its body cannot be set up, which would be a fault of the gateway.
pub async fn resume(session: &mut Session, ctx: &mut Exchange, head: RequestHeader) -> Result<()> {
    // the state in which Pingora asks for the body on every attempt: see `body`
    let empty = ctx.body.as_ref().is_none_or(|body| body.bytes.is_empty());
    let now = session.req_header_mut();
    *now = head;
    now.remove_header(&TRANSFER_ENCODING);
    now.insert_header(CONTENT_LENGTH, if empty { "0" } else { "1" })?;
    ctx.flags.transfer_encoding = false;
    if !empty {
        session.enable_retry_buffering();
        while session.read_request_body().await?.is_some() {}
    }
    Ok(())
}

/// Lets a subrequest on a task of its own carry the exchange on, and passes its answer to the client as long as there is one.
///
/// # Errors
/// That the client left, or that the answer broke: its connection must break too.
pub async fn spawn_detached(session: &mut Session, ctx: &mut Box<Exchange>) -> Result<()> {
    let Some(spawner) = session.subrequest_spawner.take() else {
        return Error::e_explain(ErrorType::InternalError, "no subrequest can be made");
    };
    let empty = ctx.body.as_ref().is_none_or(|body| body.bytes.is_empty());
    let body_mode = if empty { BodyMode::NoBody } else { BodyMode::ExpectBody };
    let drains = ctx.route.as_ref().is_some_and(|route| route.drains());
    let (over, shared) = ctx.detach_until.take().map(DetachUntil::into_futures).unzip();
    let delivery = Delivery::new();
    ctx.delivery = Some(delivery.clone());
    let head = head_of_http_1(session.req_header())?;
    ctx.handed_over = Some(Box::new(head));
    let stand_in = Exchange::stand_in(ctx.snapshot.clone());
    let exchange = std::mem::replace(ctx, stand_in);
    let context = Ctx::builder().body_mode(body_mode).build();
    // it begins as a request that any parser takes, and gets the real head when it resumes the exchange: one of HTTP/2 may
    // hold what HTTP/1.1 cannot say
    let real = match session.req_header().version {
        Version::HTTP_2 => Some(std::mem::replace(session.req_header_mut(), placeholder()?)),
        _ => None,
    };
    let (subrequest, mut handle) = spawner.create_subrequest(session.as_downstream(), context);
    if let Some(real) = real {
        *session.req_header_mut() = real;
    }
    if body_mode == BodyMode::ExpectBody {
        let one_byte = HttpTask::Body(Some(Bytes::from_static(b"x")), true);
        let sent = handle.tx.try_send(one_byte);
        sent.map_err(|_| Error::explain(ErrorType::InternalError, "a subrequest takes no body"))?;
    }
    let timer = Timer::new(HEAD, HEAD);
    let call = tokio::spawn(carry_on(exchange, &timer, subrequest));

    let shared = shared.unwrap_or_else(|| Box::pin(pending()));
    match relay(session, &mut handle, &delivery, &timer, shared).await {
        Ok(()) => Ok(()),
        Err(Broken::Client(error)) => {
            debug!(error:%; "client left; its call goes on without it");
            handle.drain_tasks();
            if !delivery.has_left() {
                // the client has its answer; the server gets time to end it, so that its connection can be used again
                tokio::spawn(end_when_unwanted(call, tokio::time::sleep(LINGER)));
            } else if let Some(over) = over.filter(|_| !drains) {
                tokio::spawn(end_when_unwanted(call, over));
            }
            Err(error.into_down())
        }
        Err(Broken::Answer) => Err(Error::explain(ErrorType::ConnectionClosed, "the answer broke off").into_up()),
    }
}

/// The head of the request in HTTP/1.1.
fn head_of_http_1(head: &RequestHeader) -> Result<RequestHeader> {
    let mut head = head.clone();
    if head.version == Version::HTTP_2 {
        head.set_version(Version::HTTP_11);
        if let Some(authority) = head.uri.authority() {
            let authority = authority.as_str().to_owned();
            head.insert_header(HOST, authority)?;
        }
        if let Some(path) = head.uri.path_and_query() {
            head.set_uri(Uri::from(path.clone()));
        }
    }
    Ok(head)
}

fn placeholder() -> Result<RequestHeader> {
    let mut head = RequestHeader::build("POST", b"/", Some(1))?;
    head.insert_header(HOST, "placeholder")?;
    Ok(head)
}

/// Ends a call once it is unwanted, unless it is over before.
async fn end_when_unwanted(mut call: JoinHandle<Option<()>>, unwanted: impl Future<Output = ()>) {
    tokio::select! {
        _ = &mut call => {}
        () = unwanted => call.abort(),
    }
}

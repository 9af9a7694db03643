//! A call that must not end with its client: it runs on a task of its own, as a subrequest, and this request only passes
//! its answer on. It goes on to its end (`on_client_gone: drain`), or until nobody else wants it (a plugin's [`Outlive`]).

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use log::debug;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::subrequest::server::SubrequestHandle;
use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::Session;
use pingora_proxy::subrequest::{BodyMode, Ctx};
use plugin_api::Outlive;
use tokio::task::JoinHandle;

use crate::routes::OnClientGone;

use super::exchange::Exchange;
use super::failure::Failure;
use super::watch::{Watch, guarded};

/// A subrequest has its head from the start.
const HEAD: Duration = Duration::from_secs(10);

/// The exchange on its way to the subrequest that carries it on.
struct HandedOver(Option<Box<Exchange>>);

/// What an answer may be ahead of a slow client, in bytes. Only then does the client make the call wait, or is let go where
/// that holds up others.
const AHEAD: usize = 8 << 20;

/// Whether the exchange is one that a client's leaving must not end. Its body has been read.
pub fn wanted(x: &Exchange) -> bool {
    let drains = || x.route.as_ref().is_some_and(|route| route.on_client_gone == OnClientGone::Drain);
    x.body.is_some() && (x.outlive.is_some() || drains())
}

/// Takes over an exchange that was handed to this subrequest; `false` if this is none.
///
/// # Errors
/// That its body cannot be set up, which would be a fault of the gateway.
pub async fn adopt(session: &mut Session, x: &mut Box<Exchange>) -> Result<bool> {
    let Some(context) = session.subrequest_ctx.as_mut().and_then(|context| context.user_ctx_mut()) else {
        return Ok(false);
    };
    let Some(exchange) = context.downcast_mut::<HandedOver>().and_then(|handed| handed.0.take()) else {
        return Ok(false);
    };
    let watch = x.watch.clone();
    std::mem::replace(x, exchange).forget();
    if let Some(end) = x.attempts.end {
        watch.ends_at(end);
    }
    x.watch = watch;
    if x.body.as_ref().is_some_and(|body| !body.bytes.is_empty()) {
        // the state in which Pingora asks for the body on every attempt: see `body`
        let head = session.req_header_mut();
        head.remove_header(&TRANSFER_ENCODING);
        head.insert_header(CONTENT_LENGTH, "1")?;
        x.present.transfer_encoding = false;
        session.enable_retry_buffering();
        while session.read_request_body().await?.is_some() {}
    }
    Ok(true)
}

/// Lets a subrequest carry the exchange on, and passes its answer to the client as long as there is one.
///
/// # Errors
/// That the client left, or that the answer broke: its connection must break too.
pub async fn carry(session: &mut Session, x: &mut Box<Exchange>) -> Result<()> {
    let Some(spawner) = session.subrequest_spawner.take() else {
        return Error::e_explain(ErrorType::InternalError, "no subrequest can be made");
    };
    let empty = x.body.as_ref().is_none_or(|body| body.bytes.is_empty());
    let body_mode = if empty { BodyMode::NoBody } else { BodyMode::ExpectBody };
    let drains = x.route.as_ref().is_some_and(|route| route.on_client_gone == OnClientGone::Drain);
    let (over, shared) = x.outlive.take().map(Outlive::into_futures).unzip();
    let client_left = Arc::new(AtomicBool::new(false));
    x.client_left = Some(client_left.clone());
    let spent = Exchange::spent(x.snapshot.clone());
    let handed = HandedOver(Some(std::mem::replace(x, spent)));
    let context = Ctx::builder().body_mode(body_mode).user_ctx(Box::new(handed)).build();
    let (subrequest, mut handle) =
        with_head_of_http_1(session, |session| Ok(spawner.create_subrequest(session.as_downstream(), context)))?;
    if body_mode == BodyMode::ExpectBody {
        let one_byte = HttpTask::Body(Some(Bytes::from_static(b"x")), true);
        let sent = handle.tx.try_send(one_byte);
        sent.map_err(|_| Error::explain(ErrorType::InternalError, "a subrequest takes no body"))?;
    }
    let watch = Watch::new(HEAD, HEAD);
    let call = tokio::spawn(guarded(watch.clone(), subrequest.run()));

    let shared = shared.unwrap_or_else(|| Box::pin(pending()));
    let passed = pass(session, &mut handle, &watch, shared).await;
    if let Err(Broken::Client(error)) = passed {
        client_left.store(true, Ordering::Relaxed);
        debug!(error:%; "client left; its call is read to the end");
        handle.drain_tasks();
        if let Some(over) = over.filter(|_| !drains) {
            tokio::spawn(end_when_unwanted(call, over));
        }
        x.failure = Some(Failure::ClientGone);
        return Err(error.into_down());
    }
    passed.map_err(|_| {
        x.failure = Some(Failure::BrokenAnswer);
        Error::explain(ErrorType::ConnectionClosed, "the answer broke off").into_up()
    })
}

/// Runs what needs the head of the request in HTTP/1.1, as which a subrequest reads it.
fn with_head_of_http_1<T>(session: &mut Session, run: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
    if session.req_header().version != Version::HTTP_2 {
        return run(session);
    }
    let head = session.req_header().clone();
    let authority = head.uri.authority().map(|authority| authority.as_str().to_owned());
    let now = session.req_header_mut();
    now.set_version(Version::HTTP_11);
    if let Some(authority) = authority {
        now.insert_header(HOST, authority)?;
    }
    let result = run(session);
    *session.req_header_mut() = head;
    result
}

enum Broken {
    Client(Box<Error>),
    Answer,
}

/// Ends a call that nobody wants any more; one that is over before that is left alone.
async fn end_when_unwanted(mut call: JoinHandle<Option<()>>, unwanted: impl Future<Output = ()>) {
    tokio::select! {
        _ = &mut call => {}
        () = unwanted => call.abort(),
    }
}

/// Passes the answer on as it comes. What a slow client has not taken waits here, so that the call need not; where it is too
/// much, and others wait for the answer, the client is taken for gone.
async fn pass(
    session: &mut Session,
    handle: &mut SubrequestHandle,
    call: &Watch,
    mut shared: impl Future<Output = ()> + Unpin,
) -> Result<(), Broken> {
    let mut waiting = Vec::new();
    let mut open = true;
    loop {
        if waiting.is_empty() && open {
            let task = tokio::select! {
                task = handle.rx.recv() => task,
                gone = session.downstream_session.read_body_or_idle(true) => {
                    let error =
                        gone.err().unwrap_or_else(|| Error::explain(ErrorType::ConnectionClosed, "unexpected bytes"));
                    return Err(Broken::Client(error));
                }
            };
            waiting.extend(task);
        }
        let mut tasks = std::mem::take(&mut waiting);
        let failed = tasks.iter().position(|task| matches!(task, HttpTask::Failed(_)));
        tasks.truncate(failed.unwrap_or(tasks.len()));
        if tasks.is_empty() {
            return Err(Broken::Answer);
        }
        let mut ahead = 0;
        let mut writing = pin!(session.write_response_tasks(tasks));
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut writing => break ended.map_err(Broken::Client)?,
                task = handle.rx.recv(), if open && ahead < AHEAD => {
                    open = task.is_some();
                    ahead += task.as_ref().map_or(0, size);
                    waiting.extend(task);
                    if ahead >= AHEAD {
                        call.client_stalls();
                    }
                }
                () = &mut shared, if ahead >= AHEAD => {
                    let error = Error::explain(ErrorType::WriteTimedout, "too slow for an answer that others wait for");
                    return Err(Broken::Client(error));
                }
            }
        };
        if ahead >= AHEAD {
            call.client_takes();
        }
        if ended {
            return Ok(());
        }
        if failed.is_some() {
            return Err(Broken::Answer);
        }
    }
}

fn size(task: &HttpTask) -> usize {
    let bytes = match task {
        HttpTask::Body(Some(bytes), _) | HttpTask::UpgradedBody(Some(bytes), _) => bytes.len(),
        _ => 0,
    };
    size_of::<HttpTask>() + bytes
}

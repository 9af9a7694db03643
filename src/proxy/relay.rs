//! Passes the answer of a call that runs on its own to the call's client, as it comes. Makes no record.

use std::pin::pin;

use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::subrequest::server::SubrequestHandle;
use pingora_error::{Error, ErrorType};
use pingora_proxy::Session;
use plugin_api::BODIES;

use super::delivery::{Delivery, Relaying};
use super::reply;
use super::watch::Watch;

/// What an answer may be ahead of a slow client, in bytes, while the budget for bodies allows it. Only then does the client
/// make the call wait, or is let go where that holds up others.
const AHEAD: usize = 8 << 20;
/// In what steps it is charged, so that small pieces cost nothing.
const CHARGE_STEP: usize = 64 << 10;

/// Why an answer did not come to its end.
pub enum Broken {
    /// The client left.
    Client(Box<Error>),
    /// The call broke it off.
    Answer,
}

/// Passes the answer on as it comes. What a slow client has not taken waits here, so that the call need not; where it is too
/// much, and others wait for the answer (`shared`), the client is taken for gone.
pub async fn relay(
    session: &mut Session,
    handle: &mut SubrequestHandle,
    delivery: &Delivery,
    call: &Watch,
    shared: impl Future<Output = ()> + Unpin,
) -> Result<(), Broken> {
    let relaying = Relaying::of(delivery);
    let mut passed = pass(session, handle, delivery, call, shared).await;
    match &passed {
        Ok(()) => delivery.note(session),
        Err(Broken::Client(error)) => delivery.client_left(session, error),
        Err(Broken::Answer) => {
            delivery.note(session);
            if delivery.is_complete() && reply::end(session).await.is_ok() {
                passed = Ok(());
            }
        }
    }
    relaying.over();
    passed
}

async fn pass(
    session: &mut Session,
    handle: &mut SubrequestHandle,
    delivery: &Delivery,
    call: &Watch,
    mut shared: impl Future<Output = ()> + Unpin,
) -> Result<(), Broken> {
    let mut call_over = pin!(delivery.call_over());
    let (mut waiting, mut held) = (Vec::new(), BODIES.charge());
    let mut open = true;
    loop {
        if waiting.is_empty() && open {
            let task = tokio::select! {
                biased; // one that has left gets no more, and what the call has produced goes before its end
                gone = session.downstream_session.read_body_or_idle(true) => {
                    let error =
                        gone.err().unwrap_or_else(|| Error::explain(ErrorType::ConnectionClosed, "unexpected bytes"));
                    return Err(Broken::Client(error));
                }
                task = handle.rx.recv() => task,
                () = &mut call_over => None,
            };
            waiting.extend(task);
        }
        let mut tasks = std::mem::take(&mut waiting);
        let failed = tasks.iter().position(|task| matches!(task, HttpTask::Failed(_)));
        tasks.truncate(failed.unwrap_or(tasks.len()));
        if tasks.is_empty() {
            return Err(Broken::Answer);
        }
        // what is being written stays charged until it is
        let _writing = std::mem::replace(&mut held, BODIES.charge());
        let (mut ahead, mut full) = (0, false);
        let ended = {
            let mut writing = pin!(session.write_response_tasks(tasks));
            loop {
                tokio::select! {
                    biased;
                    ended = &mut writing => break ended.map_err(Broken::Client)?,
                    task = handle.rx.recv(), if open && !full => {
                        open = task.is_some();
                        ahead += task.as_ref().map_or(0, size);
                        waiting.extend(task);
                        full = ahead >= AHEAD || held.cover(ahead, CHARGE_STEP).is_err();
                        if full {
                            call.client_stalls();
                        }
                    }
                    () = &mut shared, if full => {
                        let words = "too slow for an answer that others wait for";
                        return Err(Broken::Client(Error::explain(ErrorType::WriteTimedout, words)));
                    }
                }
            }
        };
        delivery.note(session);
        if full {
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

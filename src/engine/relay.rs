//! Passes the answer of a detached call to the call's client, as it comes. Makes no record.

use std::pin::pin;

use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::subrequest::server::SubrequestHandle;
use pingora_error::{Error, ErrorType};
use pingora_proxy::Session;
use plugin_api::{BODIES, Charge};

use crate::exchange::delivery::{Delivery, Relaying};

use super::delivery::{client_left, report_written};
use super::reply;
use super::timer::Timer;

/// Read-ahead limit for a slow client, in bytes, while the budget for bodies allows it. Beyond it the call waits; where others
/// wait for the answer too, the client is disconnected.
const AHEAD: usize = 8 << 20;
/// The part of it that needs no charge, because a connection or a stream takes as much anyway. A client that keeps up stays
/// within it, and so is never disconnected because others have spent the budget.
const FREE_AHEAD: usize = 64 << 10;
/// The step in which it is charged, in bytes, so that small pieces cost nothing.
const CHARGE_STEP: usize = 64 << 10;

/// Why an answer did not come to its end.
pub enum Broken {
    /// The client left.
    Client(Box<Error>),
    /// The call broke it off.
    Answer,
}

/// Passes the answer on as it comes. Bytes that a slow client has not accepted wait here, so that the call need not wait. Beyond the
/// limit the client is disconnected if others wait for the answer (`shared`).
pub async fn relay(
    session: &mut Session,
    handle: &mut SubrequestHandle,
    delivery: &Delivery,
    call: &Timer,
    shared: impl Future<Output = ()> + Unpin,
) -> Result<(), Broken> {
    let relaying = Relaying::of(delivery);
    let mut passed = pass(session, handle, delivery, call, shared).await;
    match &passed {
        Ok(()) => report_written(delivery, session),
        Err(Broken::Client(error)) => client_left(delivery, session, error),
        Err(Broken::Answer) => {
            report_written(delivery, session);
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
    call: &Timer,
    mut shared: impl Future<Output = ()> + Unpin,
) -> Result<(), Broken> {
    let mut call_over = pin!(delivery.call_over());
    let (mut waiting, mut held) = (Vec::new(), BODIES.charge());
    let mut open = true;
    loop {
        if waiting.is_empty() && open {
            let task = tokio::select! {
                biased; // a client that has left gets no more, and the call's pieces go before its end
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
        // pieces stay charged until they are written
        let _writing = std::mem::replace(&mut held, BODIES.charge());
        let (mut ahead, mut stalled) = (0, None);
        let ended = {
            let mut writing = pin!(session.write_response_tasks(tasks));
            loop {
                tokio::select! {
                    biased;
                    ended = &mut writing => break ended.map_err(Broken::Client)?,
                    task = handle.rx.recv(), if open && stalled.is_none() => {
                        open = task.is_some();
                        ahead += task.as_ref().map_or(0, size);
                        waiting.extend(task);
                        stalled = is_too_far_ahead(ahead, &mut held).then(|| Stalled::new(call));
                    }
                    () = &mut shared, if stalled.is_some() => {
                        let words = "too slow for an answer that others wait for";
                        return Err(Broken::Client(Error::explain(ErrorType::WriteTimedout, words)));
                    }
                }
            }
        };
        report_written(delivery, session);
        if ended {
            return Ok(());
        }
        if failed.is_some() {
            return Err(Broken::Answer);
        }
    }
}

/// Whether no more may be read ahead of the client; charges what may.
pub fn is_too_far_ahead(ahead: usize, held: &mut Charge) -> bool {
    ahead >= AHEAD || held.cover(ahead.saturating_sub(FREE_AHEAD), CHARGE_STEP).is_err()
}

/// The time in which a call waits for its client, so that its server is not waited for. However that ends, the server's time
/// runs again: the call may go on without the client.
struct Stalled<'a>(&'a Timer);

impl<'a> Stalled<'a> {
    fn new(call: &'a Timer) -> Self {
        call.client_stalls();
        Self(call)
    }
}

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        self.0.client_takes();
    }
}

fn size(task: &HttpTask) -> usize {
    let bytes = match task {
        HttpTask::Body(Some(bytes), _) | HttpTask::UpgradedBody(Some(bytes), _) => bytes.len(),
        _ => 0,
    };
    size_of::<HttpTask>() + bytes
}

#[cfg(test)]
mod tests {
    use plugin_api::Budget;

    use super::*;

    #[test]
    fn a_client_that_keeps_up_is_not_too_far_behind_though_the_budget_is_spent() {
        let spent = |limit| {
            let budget: &'static Budget = Box::leak(Box::new(Budget::new()));
            budget.set_limit(limit);
            budget.charge()
        };
        assert!(!is_too_far_ahead(FREE_AHEAD, &mut spent(0)));
        assert!(is_too_far_ahead(FREE_AHEAD + 1, &mut spent(0)));
        assert!(!is_too_far_ahead(AHEAD - 1, &mut spent(2 * AHEAD)));
        assert!(is_too_far_ahead(AHEAD, &mut spent(2 * AHEAD)));
    }
}

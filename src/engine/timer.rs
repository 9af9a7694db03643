//! The deadlines of an exchange on tokio's clock: the head of the request, its body, the first byte of the response, its pauses
//! and the client's, the whole. One timer serves the exchanges of an HTTP/1.1 connection in turn; an HTTP/2 stream has its own.

use std::os::fd::RawFd;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use nix::sys::socket::{Shutdown, shutdown};
use tokio::task::coop;
use tokio::time::{Instant, Sleep};

use crate::exchange::deadlines::{Action, AttemptLimits, ClientBytes, Deadlines, Expired};

use super::clock;

tokio::task_local! {
    static TIMER: Arc<Timer>;
}

/// Keeps the deadlines of one exchange.
#[derive(Debug)]
pub struct Timer {
    deadlines: Mutex<Deadlines>,
    /// Whether the next deadline may have come nearer since the timer was last set.
    may_be_nearer: AtomicBool,
    /// Whether the connection of its task has been refused.
    is_refused: AtomicBool,
}

impl Timer {
    /// A timer for an exchange whose request is yet to come: its first byte within `limit`, then its head within
    /// `head`.
    #[must_use]
    pub fn new(limit: Duration, head: Duration) -> Arc<Self> {
        Arc::new(Self {
            deadlines: Mutex::new(Deadlines::new(limit, head, clock::recent())),
            may_be_nearer: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
        })
    }

    /// A request is awaited on the connection of the present task: its first byte within `limit`, then its head within `head`.
    pub fn current_awaits_request(limit: Duration, head: Duration) {
        // a task without a timer serves no connection
        let _ = TIMER.try_with(|timer| timer.lock_and_mark().awaits_request(limit, head, clock::recent()));
    }

    /// The timer of the present task's exchange.
    #[must_use]
    pub fn current() -> Option<Arc<Self>> {
        TIMER.try_with(Arc::clone).ok()
    }

    /// Bytes came from the client of the current task. If a request is awaited, they are its first. Returns the part that they belong to.
    pub fn client_sent() -> ClientBytes {
        // a task without a timer reads before the first request, as TLS does
        TIMER.try_with(|timer| timer.lock_and_mark().client_sent(clock::recent)).unwrap_or(ClientBytes::Other)
    }

    /// Whether the present task has no exchange yet: the head of its request is to come, in part or as a whole.
    pub fn awaits_head() -> bool {
        TIMER.try_with(|timer| timer.lock().awaits_head()).unwrap_or(false)
    }

    /// Whether the rest of a head is awaited from the client of the present task.
    pub fn awaits_rest_of_head() -> bool {
        TIMER.try_with(|timer| timer.lock().awaits_rest_of_head()).unwrap_or(false)
    }

    /// Notes that the connection of the present task is refused.
    pub fn mark_refused() {
        let _ = TIMER.try_with(|timer| timer.is_refused.store(true, Ordering::Relaxed));
    }

    /// Whether the connection of its task has been refused.
    pub fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    /// The client of the current task has left. `true` if its answer is complete: then the exchange goes on for `LINGER`, so that the
    /// answer can end.
    pub fn client_left() -> bool {
        TIMER.try_with(|timer| timer.lock_and_mark().client_left(clock::recent)).unwrap_or(false)
    }

    /// The request's head is there.
    pub fn request_came(&self) {
        self.lock_and_mark().request(clock::recent());
    }

    /// The exchange must be over at this time.
    pub fn ends_at(&self, end: Instant) {
        self.lock_and_mark().ends_at(end);
    }

    /// An attempt goes upstream on a connection that no other request uses, so that it can be closed under the attempt.
    pub fn awaits_response(&self, limits: AttemptLimits, upstream: RawFd) {
        self.lock_and_mark().attempt(limits, upstream, clock::recent());
    }

    /// A piece of the request's body goes upstream, the last one perhaps: the same bytes, by which the timer sees whether
    /// the connection to the server has taken them.
    #[must_use]
    pub fn sends(self: &Arc<Self>, bytes: Bytes, is_last: bool) -> Bytes {
        match self.lock_and_mark().piece(bytes.len(), is_last, clock::recent()) {
            Some(attempt) => Bytes::from_owner(Piece { bytes, attempt, timer: self.clone() }),
            None => bytes,
        }
    }

    /// The attempt is over, or is timed by Pingora.
    pub fn awaits_nothing(&self) {
        self.request_came();
    }

    /// The answer has begun and may pause for so long.
    pub fn streams(&self, idle: Duration) {
        self.lock_and_mark().streams(idle, clock::recent());
    }

    /// The connection was upgraded: it lives as long as it is used, whatever the whole may take.
    pub fn upgraded(&self, limit: Duration) {
        self.lock_and_mark().upgraded(limit, clock::recent());
    }

    /// The answer on its way to the client is complete, although its end has not come.
    pub fn answer_is_complete(&self) {
        self.lock_and_mark().answer_is_complete();
    }

    /// Bytes passed. No deadline comes nearer by that.
    pub fn progress(&self) {
        self.lock().progress(clock::recent());
    }

    /// Sets how long the client may accept no bytes although there are some for it.
    pub fn client_may_stall(&self, stall_timeout: Duration) {
        self.lock_and_mark().client_may_stall(stall_timeout);
    }

    /// The client accepts no bytes any more. Returns how long that may last. No other deadline runs meanwhile.
    pub fn client_stalls(&self) -> Duration {
        self.lock_and_mark().client_stalls(clock::recent())
    }

    /// The client accepts bytes again. The time for the answer starts anew.
    pub fn client_takes(&self) {
        self.lock_and_mark().client_takes(clock::recent());
    }

    /// The exchange is over.
    pub fn over(&self) {
        self.lock_and_mark().over();
    }

    /// The deadline that passed, if one did.
    #[must_use]
    pub fn expired(&self) -> Option<Expired> {
        self.lock().expired()
    }

    /// The deadlines, of which one may come nearer.
    fn lock_and_mark(&self) -> MutexGuard<'_, Deadlines> {
        let deadlines = self.lock();
        self.may_be_nearer.store(true, Ordering::Relaxed);
        deadlines
    }

    /// The deadlines, of which none is to come nearer.
    fn lock(&self) -> MutexGuard<'_, Deadlines> {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next deadline, if it may have come nearer since this was asked last.
    fn nearer(&self) -> Option<Instant> {
        if !self.may_be_nearer.load(Ordering::Relaxed) {
            return None;
        }
        // what changes while it is looked at sets this again: both are done under the lock
        let deadlines = self.lock();
        self.may_be_nearer.store(false, Ordering::Relaxed);
        deadlines.next()
    }
}

/// A piece of a request's body. Its writer drops it once the connection has taken it.
struct Piece {
    bytes: Bytes,
    attempt: u32,
    timer: Arc<Timer>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.timer.lock_and_mark().taken(self.attempt, clock::recent);
    }
}

/// How far ahead a timer is set that has nothing to time.
const FAR: Duration = Duration::from_secs(3600);

/// Runs an exchange under a timer. `None` if the timer ended it: then it was dropped, and has given back all that it held.
///
/// The events of a stream wake it often. Such a turn reads one flag of the timer and whether its sleep is over, and no more.
pub async fn with_deadlines<T>(timer: Arc<Timer>, exchange: impl Future<Output = T>) -> Option<T> {
    let mut exchange = pin!(TIMER.scope(timer.clone(), exchange));
    let mut armed = timer.lock().next().unwrap_or_else(|| Instant::now() + FAR);
    let mut sleep = pin!(tokio::time::sleep_until(armed));
    // whom the sleep wakes, once it has been polled
    let mut registered: Option<Waker> = None;
    std::future::poll_fn(|cx| {
        let _running = clock::Running::begin();
        if let Poll::Ready(result) = exchange.as_mut().poll(cx) {
            return Poll::Ready(Some(result));
        }
        // a timer that rings too early is set again then; only an earlier deadline is worth setting it now
        if let Some(next) = timer.nearer().filter(|next| *next < armed) {
            armed = next;
            sleep.as_mut().reset(armed);
            registered = None;
        }
        if registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        registered = None;
        while poll_sleep(sleep.as_mut(), cx).is_ready() {
            let now = clock::now();
            let (action, next) = {
                let mut deadlines = timer.lock();
                (deadlines.on_tick(now), deadlines.next())
            };
            match action {
                Action::Wait => {}
                Action::Break => return Poll::Ready(None),
                Action::Close(upstream) => {
                    // the attempt, which is not running now, still owns the connection: the number is its own
                    let _ = shutdown(upstream, Shutdown::Both);
                }
            }
            armed = next.unwrap_or(now + FAR);
            sleep.as_mut().reset(armed);
        }
        registered = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}

/// Polls a sleep also where the task has used up tokio's budget, which would leave it unset: nobody would be woken.
fn poll_sleep(sleep: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    pin!(coop::unconstrained(sleep)).poll(cx)
}

#[cfg(test)]
mod tests;

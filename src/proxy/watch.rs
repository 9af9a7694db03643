//! The deadlines of an exchange that Pingora does not keep: the head of the request, the first byte, the pauses of the
//! answer and of whoever reads it, the whole. One watch serves the exchanges of an HTTP/1.1 connection in turn; an h2
//! stream has its own.

use std::os::fd::RawFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};
use tokio::time::Instant;

tokio::task_local! {
    static WATCH: Arc<Watch>;
}

/// Watches over one exchange.
#[derive(Debug)]
pub struct Watch(Mutex<State>);

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When the phase last made progress.
    since: Instant,
    /// When the whole exchange must be over.
    end: Option<Instant>,
    /// How long the client may take nothing.
    patience: Duration,
    /// Since when it has taken nothing, while something is there for it.
    stalled: Option<Instant>,
    /// The answer on its way to the client is complete, although its end has not come.
    complete: bool,
    verdict: Option<Expired>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The first byte of a request is awaited; its head may take `head` then.
    Idle { limit: Duration, head: Duration },
    /// The rest of its head is awaited.
    RequestHead(Duration),
    /// The request is read or sent; others keep the time.
    Request,
    /// The answer's head is awaited on an HTTP/1.1 connection, which can be closed under the attempt.
    FirstByte { limit: Duration, upstream: RawFd },
    /// The answer is passing.
    Streaming(Duration),
    /// Nothing is timed any more.
    Over,
}

/// What bytes from a client belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientBytes {
    /// The head of a request, which begins with them.
    HeadBegins,
    /// The rest of a head.
    Head,
    /// A body, or a connection that is not watched as a whole.
    Other,
}

/// A deadline that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// The request, or the rest of its head, did not come in time.
    RequestHead,
    /// No answer began in time.
    FirstByte,
    /// The answer paused too long.
    Idle,
    /// The client took none of it for too long.
    Stalled,
    /// The exchange took too long as a whole.
    Total,
}

/// What is to be done when a deadline has passed.
enum Sentence {
    /// Nothing yet: look again at this time.
    Wait(Instant),
    /// End the exchange as it stands: the client's connection (or stream) breaks.
    Break,
    /// End the attempt: Pingora sees its connection close and asks what to do.
    Close(RawFd),
}

impl Watch {
    /// A watch over an exchange whose request is yet to come: its first byte within `limit`, then its head within
    /// `head`.
    #[must_use]
    pub fn new(limit: Duration, head: Duration) -> Arc<Self> {
        let phase = Phase::Idle { limit, head };
        let since = Instant::now();
        Arc::new(Self(Mutex::new(State {
            phase,
            since,
            end: None,
            patience: IDLE_LOOK,
            stalled: None,
            complete: false,
            verdict: None,
        })))
    }

    /// The next request of the same connection is awaited.
    pub fn awaits_request(&self, limit: Duration, head: Duration) {
        self.state().end = None;
        self.enter(Phase::Idle { limit, head });
    }

    /// The watch over the exchange of the present task.
    #[must_use]
    pub fn current() -> Option<Arc<Self>> {
        WATCH.try_with(Arc::clone).ok()
    }

    /// Bytes came from the client of the present task: the first of a request, if one is awaited. Tells what they are.
    pub fn client_sent() -> ClientBytes {
        let sent = WATCH.try_with(|watch| {
            let mut state = watch.state();
            match state.phase {
                Phase::Idle { head, .. } => {
                    state.phase = Phase::RequestHead(head);
                    state.since = Instant::now();
                    ClientBytes::HeadBegins
                }
                Phase::RequestHead(_) => ClientBytes::Head,
                _ => ClientBytes::Other,
            }
        });
        // a task without a watch is one that reads before the first request, as TLS does
        sent.unwrap_or(ClientBytes::Other)
    }

    /// Whether the rest of a head is awaited from the client of the present task.
    pub fn awaits_rest_of_head() -> bool {
        WATCH.try_with(|watch| matches!(watch.state().phase, Phase::RequestHead(_))).unwrap_or(false)
    }

    /// The client of the present task has left. Whether nobody need know yet: its answer is complete, and may take `LINGER`
    /// longer to come to its end.
    pub fn client_left() -> bool {
        let lingers = |watch: &Arc<Self>| {
            let mut state = watch.state();
            if state.complete {
                let latest = Instant::now() + LINGER;
                state.end = Some(state.end.map_or(latest, |end| end.min(latest)));
            }
            state.complete
        };
        WATCH.try_with(lingers).unwrap_or(false)
    }

    /// The request's head is there.
    pub fn request_came(&self) {
        self.enter(Phase::Request);
    }

    /// The exchange must be over at this time.
    pub fn ends_at(&self, end: Instant) {
        self.state().end = Some(end);
    }

    /// An attempt was sent on this HTTP/1.1 connection and its answer must begin within the limit.
    pub fn awaits_first_byte(&self, limit: Duration, upstream: RawFd) {
        self.enter(Phase::FirstByte { limit, upstream });
    }

    /// The attempt is over, or is timed by Pingora.
    pub fn awaits_nothing(&self) {
        self.enter(Phase::Request);
    }

    /// The answer has begun and may pause for so long.
    pub fn streams(&self, idle: Duration) {
        self.enter(Phase::Streaming(idle));
    }

    /// The connection was upgraded: it lives as long as it is used, whatever the whole may take.
    pub fn upgraded(&self, idle: Duration) {
        self.state().end = None;
        self.enter(Phase::Streaming(idle));
    }

    /// The answer on its way to the client is complete, although its end has not come.
    pub fn answer_is_complete(&self) {
        self.state().complete = true;
    }

    /// Bytes passed.
    pub fn progress(&self) {
        self.state().since = Instant::now();
    }

    /// How long the client may take nothing of what is there for it.
    pub fn client_may_stall(&self, patience: Duration) {
        self.state().patience = patience;
    }

    /// The client takes nothing any more; tells how long that may last. Meanwhile nobody else is waited for.
    pub fn client_stalls(&self) -> Duration {
        let mut state = self.state();
        state.stalled.get_or_insert_with(Instant::now);
        state.patience
    }

    /// The client takes bytes again, and from now on the answer is waited for.
    pub fn client_takes(&self) {
        let mut state = self.state();
        state.stalled = None;
        if let Phase::Streaming(_) = state.phase {
            state.since = Instant::now();
        }
    }

    /// The exchange is over.
    pub fn over(&self) {
        let mut state = self.state();
        state.end = None;
        state.complete = false;
        state.phase = Phase::Over;
    }

    /// The deadline that passed, if one did.
    #[must_use]
    pub fn expired(&self) -> Option<Expired> {
        self.state().verdict
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        state.since = Instant::now();
        state.complete = false;
        state.verdict = None;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, now: Instant) -> Sentence {
        let mut state = self.state();
        let phase = state.due();
        let phase_due = phase.map(|(due, _)| due);
        let due = match (phase_due, state.end) {
            (Some(phase), Some(end)) => phase.min(end),
            (Some(due), None) | (None, Some(due)) => due,
            (None, None) => now + IDLE_LOOK,
        };
        if due > now || state.verdict.is_some() && matches!(state.phase, Phase::FirstByte { .. }) {
            return Sentence::Wait(due.max(now + GRACE));
        }
        let expired = phase.filter(|(due, _)| *due <= now).map_or(Expired::Total, |(_, expired)| expired);
        state.verdict = Some(expired);
        match state.phase {
            Phase::FirstByte { upstream, .. } => Sentence::Close(upstream),
            // an error answer may be on its way; Pingora's own limits are set to end there too
            Phase::Request if expired != Expired::Stalled => Sentence::Wait(now + GRACE),
            _ => Sentence::Break,
        }
    }

    fn due(&self) -> Instant {
        let state = self.state();
        let due = state.due().map_or(state.since + IDLE_LOOK, |(due, _)| due);
        state.end.map_or(due, |end| due.min(end))
    }
}

impl State {
    /// When the phase will have taken too long, and what has passed then; `None` while others keep the time.
    fn due(&self) -> Option<(Instant, Expired)> {
        // the connection, which keeps this time too, tells first
        let stalled = self.stalled.map(|since| (since + self.patience + GRACE, Expired::Stalled));
        match self.phase {
            Phase::Idle { limit, .. } | Phase::RequestHead(limit) => Some((self.since + limit, Expired::RequestHead)),
            Phase::FirstByte { limit, .. } => Some((self.since + limit, Expired::FirstByte)),
            // what the upstream has sent may be waiting behind what the client does not take
            Phase::Streaming(limit) => stalled.or(Some((self.since + limit, Expired::Idle))),
            Phase::Request | Phase::Over => stalled,
        }
    }
}

/// How often a watch looks that has nothing to time.
const IDLE_LOOK: Duration = Duration::from_secs(3600);
/// How long an exchange may go on whose client has left with a complete answer (its `[DONE]`), so that the server can end
/// the answer and keep its connection.
pub const LINGER: Duration = Duration::from_secs(1);
/// How long an exchange may take to act on what it was told.
const GRACE: Duration = Duration::from_millis(100);

/// Runs an exchange under a watch; `None` if the watch ended it. Whatever it held is given back by being dropped.
pub async fn guarded<T>(watch: Arc<Watch>, exchange: impl Future<Output = T>) -> Option<T> {
    let mut exchange = pin!(WATCH.scope(watch.clone(), exchange));
    let mut armed = watch.due();
    let mut timer = pin!(tokio::time::sleep_until(armed));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(result) = exchange.as_mut().poll(cx) {
            return Poll::Ready(Some(result));
        }
        // a timer that rings too early is set again then; only an earlier deadline is worth setting it now
        let due = watch.due();
        if due < armed {
            armed = due;
            timer.as_mut().reset(armed);
        }
        while timer.as_mut().poll(cx).is_ready() {
            match watch.judge(Instant::now()) {
                Sentence::Break => return Poll::Ready(None),
                Sentence::Wait(until) => armed = until,
                Sentence::Close(upstream) => {
                    // the attempt, which is not running now, still owns the connection: the number is its own
                    let _ = shutdown(upstream, Shutdown::Both);
                    armed = Instant::now() + GRACE;
                }
            }
            timer.as_mut().reset(armed);
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests;

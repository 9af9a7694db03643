//! The deadlines of one exchange, as a pure state machine: events and their times go in, and what is due comes out. It reads no clock,
//! sets no timer and touches no connection.

mod upload;

use std::os::fd::RawFd;
use std::time::Duration;

use tokio::time::Instant;

pub use upload::AttemptLimits;

use upload::{Awaited, Upload};

/// How long an exchange goes on after its client has left with a complete response (its `[DONE]`), so that the server can end the
/// response and keep its connection.
pub const LINGER: Duration = Duration::from_secs(1);
/// How much later than the connection itself the exchange ends for a stalled client.
pub const GRACE: Duration = Duration::from_millis(100);
/// How long an attempt may take to end after its connection was shut down; then the client's connection breaks. Only an overloaded
/// worker needs more than an instant.
const CLOSING: Duration = Duration::from_secs(10);

/// The deadlines of one exchange.
#[derive(Debug)]
pub struct Deadlines {
    phase: Phase,
    /// When the phase last made progress.
    since: Instant,
    /// When the whole exchange must be over.
    end: Option<Instant>,
    /// The body of the present attempt on its way upstream; `None` where Pingora keeps its time.
    upload: Option<Upload>,
    /// The number of the attempt, by which the pieces of earlier attempts are told apart.
    attempt: u32,
    /// How long the client may accept no bytes.
    stall_timeout: Duration,
    /// Since when it has accepted no bytes, although there are some for it.
    stalled: Option<Instant>,
    /// Whether the response has said that it is complete (`message_stop`), before its end.
    complete: bool,
    /// When the last tick was.
    ticked: Instant,
    expired: Option<Expired>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The first byte of a request is awaited; its head may take `head` then.
    Idle { limit: Duration, head: Duration },
    /// The rest of its head is awaited.
    RequestHead(Duration),
    /// The request is read, answered here, or on its way to a server. Its reader or Pingora keeps the time.
    Request,
    /// The request goes upstream on a connection of its own, and the head of the response is awaited.
    Attempt { first_byte: Duration, upstream: RawFd },
    /// The connection of the attempt was shut down; the attempt ends by that.
    Closing,
    /// The response is passing.
    Streaming(Duration),
    /// The connection was upgraded; bytes pass in both directions.
    Upgraded(Duration),
    /// Nothing is timed any more.
    Over,
}

/// The part of a request that bytes from a client belong to.
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
    /// The client paused too long within the body of its request.
    RequestBody,
    /// The server accepted none of the request for too long.
    Send,
    /// No response began in time.
    FirstByte,
    /// The response paused too long.
    Idle,
    /// The client accepted none of it for too long.
    Stalled,
    /// The upgraded connection was not used for too long.
    Upgraded,
    /// The exchange took too long as a whole.
    Total,
}

/// The action at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing yet.
    Wait,
    /// End the attempt: Pingora sees its connection close and asks what to do.
    Close(RawFd),
    /// End the exchange as it stands: the client's connection (or stream) breaks.
    Break,
}

impl Deadlines {
    /// The deadlines of an exchange whose request is yet to come: its first byte within `limit`, then its head within `head`.
    pub fn new(limit: Duration, head: Duration, now: Instant) -> Self {
        Self {
            phase: Phase::Idle { limit, head },
            since: now,
            end: None,
            upload: None,
            attempt: 0,
            stall_timeout: Duration::from_secs(3600),
            stalled: None,
            complete: false,
            ticked: now,
            expired: None,
        }
    }

    /// The next request of the same connection is awaited.
    pub fn awaits_request(&mut self, limit: Duration, head: Duration, now: Instant) {
        self.end = None;
        self.enter(Phase::Idle { limit, head }, now);
    }

    /// Bytes came from the client. If a request is awaited, they are its first. Returns the part that they belong to.
    pub fn client_sent(&mut self, now: impl FnOnce() -> Instant) -> ClientBytes {
        match self.phase {
            Phase::Idle { head, .. } => {
                self.enter(Phase::RequestHead(head), now());
                ClientBytes::HeadBegins
            }
            Phase::RequestHead(_) => ClientBytes::Head,
            _ => ClientBytes::Other,
        }
    }

    /// Whether a head is awaited, or the rest of one.
    pub fn awaits_head(&self) -> bool {
        matches!(self.phase, Phase::Idle { .. } | Phase::RequestHead(_))
    }

    /// Whether the rest of a head is awaited.
    pub fn awaits_rest_of_head(&self) -> bool {
        matches!(self.phase, Phase::RequestHead(_))
    }

    /// The client has left. `true` if its response is complete: then the exchange goes on for `LINGER`, so that the response can end.
    pub fn client_left(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.complete {
            let latest = now() + LINGER;
            self.end = Some(self.end.map_or(latest, |end| end.min(latest)));
        }
        self.complete
    }

    /// The response on its way to the client is complete, although its end has not come.
    pub fn answer_is_complete(&mut self) {
        self.complete = true;
    }

    /// The head of the request is there, or the attempt that was made is over.
    pub fn request(&mut self, now: Instant) {
        self.enter(Phase::Request, now);
    }

    /// The exchange must be over at this time.
    pub fn ends_at(&mut self, end: Instant) {
        self.end = Some(end);
    }

    /// A request goes upstream on a connection that no other request uses.
    pub fn attempt(&mut self, limits: AttemptLimits, upstream: RawFd, now: Instant) {
        self.enter(Phase::Attempt { first_byte: limits.first_byte, upstream }, now);
        self.upload = Some(Upload::new(limits));
    }

    /// A piece of the body goes upstream. Returns the number of the attempt if it waits until the connection has taken the piece.
    pub fn piece(&mut self, size: usize, is_last: bool, now: Instant) -> Option<u32> {
        self.since = now;
        self.upload.as_mut()?.piece(size, is_last).then_some(self.attempt)
    }

    /// The connection to the server has taken a piece of this attempt.
    pub fn taken(&mut self, attempt: u32, now: impl FnOnce() -> Instant) {
        if let Some(upload) = self.upload.as_mut().filter(|_| attempt == self.attempt) {
            upload.taken();
            self.since = now();
        }
    }

    /// The response has begun and may pause for so long. The rest of the request may still be on its way.
    pub fn streams(&mut self, idle: Duration, now: Instant) {
        let upload = self.upload.map(|upload| upload.beside_response(idle));
        let attempt = self.attempt;
        self.enter(Phase::Streaming(idle), now);
        (self.upload, self.attempt) = (upload, attempt);
    }

    /// The connection was upgraded. It lives as long as it is used; the limit on the whole exchange does not hold for it.
    pub fn upgraded(&mut self, limit: Duration, now: Instant) {
        self.end = None;
        self.enter(Phase::Upgraded(limit), now);
    }

    /// Bytes passed.
    pub fn progress(&mut self, now: Instant) {
        self.since = now;
    }

    /// Sets how long the client may accept no bytes although there are some for it.
    pub fn client_may_stall(&mut self, stall_timeout: Duration) {
        self.stall_timeout = stall_timeout;
    }

    /// The client accepts no bytes any more. Returns how long that may last. No other deadline runs meanwhile.
    pub fn client_stalls(&mut self, now: Instant) -> Duration {
        self.stalled.get_or_insert(now);
        self.stall_timeout
    }

    /// The client accepts bytes again. The time for the response starts anew.
    pub fn client_takes(&mut self, now: Instant) {
        self.stalled = None;
        if let Phase::Streaming(_) | Phase::Upgraded(_) = self.phase {
            self.since = now;
        }
    }

    /// The exchange is over.
    pub fn over(&mut self) {
        self.end = None;
        self.upload = None;
        self.complete = false;
        self.phase = Phase::Over;
    }

    /// The deadline that passed, if one did.
    pub fn expired(&self) -> Option<Expired> {
        self.expired
    }

    /// The latest time of the next tick; `None` where nothing is timed. Right after a tick it is later than that tick.
    pub fn next(&self) -> Option<Instant> {
        let (due, _) = self.due()?;
        // pieces are taken on another task, which wakes no timer: no deadline that follows is due before this
        let early = self.upload.filter(|upload| upload.awaited() != Awaited::Response && self.stalled.is_none());
        let early = early.filter(|_| matches!(self.phase, Phase::Attempt { .. } | Phase::Streaming(_)));
        Some(early.map_or(due, |upload| due.min(self.since.max(self.ticked) + upload.shortest)))
    }

    /// Says what is due. Each deadline is due once.
    pub fn on_tick(&mut self, now: Instant) -> Action {
        self.ticked = now;
        let Some((_, expired)) = self.due().filter(|(due, _)| *due <= now) else { return Action::Wait };
        if let Phase::Attempt { upstream, .. } = self.phase
            && expired != Expired::Stalled
        {
            self.enter(Phase::Closing, now);
            self.expired = Some(expired);
            return Action::Close(upstream);
        }
        // for the rest of a complete response only the client was waited for, whatever else is due now
        let by_client = self.stalled.take().is_some() && self.complete;
        let expired = if by_client { Expired::Stalled } else { expired };
        // an attempt that outlives the close of its connection keeps the deadline that closed it
        self.expired = self.expired.or(Some(expired));
        self.over();
        Action::Break
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
        self.upload = None;
        self.complete = false;
        self.attempt = self.attempt.wrapping_add(1);
        self.expired = None;
    }

    fn due(&self) -> Option<(Instant, Expired)> {
        let whole = self.end.map(|end| (end, Expired::Total));
        // the connection keeps this time too, and acts first
        let stalled = self.stalled.map(|since| (since + self.stall_timeout + GRACE, Expired::Stalled));
        let due = |limit, expired| Some((self.since + limit, expired));
        let awaited = self.upload.map_or(Awaited::Response, Upload::awaited);
        let client = self.upload.map(|upload| upload.client).unwrap_or_default();
        let server = self.upload.map(|upload| upload.server).unwrap_or_default();
        let (phase, whole) = match self.phase {
            Phase::Idle { limit, .. } | Phase::RequestHead(limit) => (due(limit, Expired::RequestHead), None),
            // an attempt that begins later finds that the whole is over
            Phase::Request | Phase::Over => (stalled, None),
            Phase::Attempt { first_byte, .. } => {
                let attempt = match awaited {
                    Awaited::Client => due(client, Expired::RequestBody),
                    Awaited::Server => due(server, Expired::Send),
                    Awaited::Response => due(first_byte, Expired::FirstByte),
                };
                (stalled.or(attempt), whole)
            }
            Phase::Closing => (due(CLOSING, Expired::Total), None),
            // the server's bytes may wait behind those that the client does not accept
            Phase::Streaming(idle) => {
                let streaming = match awaited {
                    Awaited::Client => due(client, Expired::RequestBody),
                    Awaited::Server | Awaited::Response => due(idle, Expired::Idle),
                };
                (stalled.or(streaming), whole)
            }
            Phase::Upgraded(limit) => (stalled.or(due(limit, Expired::Upgraded)), None),
        };
        match (phase, whole) {
            (Some(phase), Some(whole)) => Some(if whole.0 < phase.0 { whole } else { phase }),
            (phase, whole) => phase.or(whole),
        }
    }
}

#[cfg(test)]
mod properties;

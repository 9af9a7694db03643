//! The deadlines of one exchange, as a pure state machine: it is told what happens and when, and answers what is due.
//! It reads no clock, sets no timer and touches no connection.

use std::os::fd::RawFd;
use std::time::Duration;

use tokio::time::Instant;

/// How long an exchange may go on whose client has left with a complete answer (its `[DONE]`), so that the server can end
/// the answer and keep its connection.
pub const LINGER: Duration = Duration::from_secs(1);
/// How long an exchange may take to act on what it was told.
pub const GRACE: Duration = Duration::from_millis(100);
/// How long an attempt may take to end after its connection was shut down. Only an overloaded worker needs more than an
/// instant, and what comes then is harsher: the client's connection breaks.
const CLOSING: Duration = Duration::from_secs(10);
/// What a connection that has taken all before it takes at once, in bytes.
const FITS: usize = 16 * 1024;
/// The shortest time between two ticks that find nothing due.
const SHORTEST: Duration = Duration::from_millis(1);

/// The deadlines of one exchange.
#[derive(Debug)]
pub struct Deadlines {
    phase: Phase,
    /// When the phase last made progress.
    since: Instant,
    /// When the whole exchange must be over.
    end: Option<Instant>,
    /// How the body of the present attempt is getting on; `None` where nobody here keeps its time.
    upload: Option<Upload>,
    /// Counts the attempts, so that a piece of an earlier one is not taken for one of the present.
    attempt: u32,
    /// How long the client may take nothing.
    stall_timeout: Duration,
    /// Since when it has taken nothing, while something is there for it.
    stalled: Option<Instant>,
    /// The response on its way to the client is complete, although its end has not come.
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
    /// The request is read, answered here, or on its way to a server; others keep the time.
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

/// The body of a request on its way upstream.
#[derive(Clone, Copy, Debug)]
struct Upload {
    /// How long the client may pause.
    client: Duration,
    /// How long the server may take nothing.
    server: Duration,
    /// The shortest limit of the attempt.
    shortest: Duration,
    /// Pieces that the connection to the server has not taken yet.
    untaken: u32,
    /// Whether the last piece has come from the client.
    complete: bool,
}

/// Whom an attempt waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The client sends no more of its request.
    Client,
    /// The server takes no more of it.
    Server,
    /// The server has all of it, and answers.
    Response,
}

/// The limits of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct AttemptLimits {
    /// From the end of the request to the head of the response.
    pub first_byte: Duration,
    /// How long the client may pause within its request.
    pub client: Duration,
    /// How long the server may take nothing of it.
    pub server: Duration,
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
    /// The client paused too long within the body of its request.
    RequestBody,
    /// The server took nothing of the request for too long.
    Send,
    /// No response began in time.
    FirstByte,
    /// The response paused too long.
    Idle,
    /// The client took none of it for too long.
    Stalled,
    /// The upgraded connection was not used for too long.
    Upgraded,
    /// The exchange took too long as a whole.
    Total,
}

/// What is to be done at a tick.
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
    /// Of an exchange whose request is yet to come: its first byte within `limit`, then its head within `head`.
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

    /// Bytes came from the client: the first of a request, if one is awaited. Tells what they are.
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

    /// Whether the rest of a head is awaited.
    pub fn awaits_rest_of_head(&self) -> bool {
        matches!(self.phase, Phase::RequestHead(_))
    }

    /// The client has left. Whether nobody need know yet: its response is complete, and may take `LINGER` longer to come to
    /// its end.
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
        let AttemptLimits { first_byte, client, server } = limits;
        self.enter(Phase::Attempt { first_byte, upstream }, now);
        let shortest = first_byte.min(client).min(server).max(SHORTEST);
        self.upload = Some(Upload { client, server, shortest, untaken: 0, complete: false });
    }

    /// A piece of the body goes upstream, the last one perhaps. Gives the number of the attempt that waits until the
    /// piece is taken, if one does.
    pub fn piece(&mut self, size: usize, is_last: bool, now: Instant) -> Option<u32> {
        self.since = now;
        let upload = self.upload.as_mut()?;
        upload.complete |= is_last;
        let fits = is_last && upload.untaken == 0 && size <= FITS;
        if size == 0 || fits {
            return None;
        }
        upload.untaken += 1;
        Some(self.attempt)
    }

    /// The connection to the server has taken a piece of this attempt.
    pub fn taken(&mut self, attempt: u32, now: impl FnOnce() -> Instant) {
        if let Some(upload) = self.upload.as_mut().filter(|_| attempt == self.attempt) {
            upload.untaken = upload.untaken.saturating_sub(1);
            self.since = now();
        }
    }

    /// The response has begun and may pause for so long. The rest of the request may still be on its way.
    pub fn streams(&mut self, idle: Duration, now: Instant) {
        let upload = self.upload.map(|upload| Upload { shortest: upload.shortest.min(idle).max(SHORTEST), ..upload });
        let attempt = self.attempt;
        self.enter(Phase::Streaming(idle), now);
        (self.upload, self.attempt) = (upload, attempt);
    }

    /// The connection was upgraded: it lives as long as it is used, whatever the whole may take.
    pub fn upgraded(&mut self, limit: Duration, now: Instant) {
        self.end = None;
        self.enter(Phase::Upgraded(limit), now);
    }

    /// Bytes passed.
    pub fn progress(&mut self, now: Instant) {
        self.since = now;
    }

    /// How long the client may take nothing of what is there for it.
    pub fn client_may_stall(&mut self, stall_timeout: Duration) {
        self.stall_timeout = stall_timeout;
    }

    /// The client takes nothing any more; gives how long that may last. Meanwhile nobody else is waited for.
    pub fn client_stalls(&mut self, now: Instant) -> Duration {
        self.stalled.get_or_insert(now);
        self.stall_timeout
    }

    /// The client takes bytes again, and from now on the response is waited for.
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

    /// When the next tick is due at the latest; `None` where nothing is timed. After a tick that is later than the tick.
    pub fn next(&self) -> Option<Instant> {
        let (due, _) = self.due()?;
        // pieces are taken on another task, which wakes nobody: what is awaited then is due no sooner than this
        let early = self.upload.filter(|upload| upload.awaited() != Awaited::Response && self.stalled.is_none());
        let early = early.filter(|_| matches!(self.phase, Phase::Attempt { .. } | Phase::Streaming(_)));
        Some(early.map_or(due, |upload| due.min(self.since.max(self.ticked) + upload.shortest)))
    }

    /// What is to be done now. A deadline is acted on once: it is not due again.
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
        // of a complete response only the client was waited for, whatever else is due at the same time
        let by_client = self.stalled.take().is_some() && self.complete;
        let expired = if by_client { Expired::Stalled } else { expired };
        // an attempt that does not end by the closing of its connection failed by what closed it
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
        // the connection, which keeps this time too, tells first
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
            // what the server has sent may be waiting behind what the client does not take
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

impl Upload {
    fn awaited(self) -> Awaited {
        match self {
            Self { untaken: 1.., .. } => Awaited::Server,
            Self { complete: false, .. } => Awaited::Client,
            Self { complete: true, .. } => Awaited::Response,
        }
    }
}

#[cfg(test)]
mod properties;

//! One request and its response: everything remembered between the hooks, and the one place where it ends.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::HOST;
use http::uri::Authority;
use http::{Method, StatusCode};
use log::error;
use pingora_proxy::Session;
use plugin_api::{Dialect, End, Endpoint, HeaderEdits, Outcome, Outlive, Uuid};
use tokio::time::Instant;

use crate::balance::FaultKind;
use crate::chain::Seats;
use crate::dialect::StreamUsageFilter;
use crate::metrics::InFlight;
use crate::routes::{InvalidPath, host_of, normalize};

use super::attempts::Attempts;
use super::failure::Failure;
use super::head::Present;
use super::reading::Reading;
use super::snapshot::{Route, Snapshot};
use super::watch::{Expired, Watch};

/// One exchange. Whatever ends it, dropping it gives back what it took and records it exactly once.
pub struct Exchange {
    /// The configuration it began with.
    pub snapshot: Arc<Snapshot>,
    /// Its deadlines.
    pub watch: Arc<Watch>,
    /// When its head had been read.
    pub began: Instant,
    /// What is known of it.
    pub outcome: Outcome,
    /// Its host as metrics name it.
    pub domain: Arc<str>,
    /// The headers of the request that matter here.
    pub present: Present,
    // the path in its normal form, where it came in another; see `path()`
    normal_path: Option<Box<str>>,
    /// Its route, once one was found.
    pub route: Option<Arc<Route>>,
    /// Its plugins.
    pub seats: Seats,
    /// Changes that plugins want made to the request's headers.
    pub request_edits: HeaderEdits,
    /// The body to send, if it was read here.
    pub body: Option<ReadBody>,
    /// The attempts upstream.
    pub attempts: Attempts,
    /// Whether a plugin asked for usage that the client does not get.
    pub adds_stream_usage: bool,
    /// What takes it out of the answer.
    pub stream_usage: Option<Box<StreamUsageFilter>>,
    /// What reads the answer as it passes.
    pub reading: Reading,
    /// Who else waits for its answer than its own client.
    pub outlive: Option<Outlive>,
    /// What went wrong last.
    pub failure: Option<Failure>,
    /// Whether the client has left an exchange that goes on without it.
    pub client_left: Option<Arc<AtomicBool>>,
    passing: Passing,
    _in_flight: InFlight,
    recorded: bool,
}

/// How much of the answer is on its way to the client.
#[derive(Default)]
struct Passing {
    /// How long its body says it is.
    length: Option<u64>,
    /// How much of that has come.
    bytes: u64,
    /// The plugins were told how it will end.
    ending: bool,
}

/// A body that was read here in full.
pub struct ReadBody {
    /// The bytes to send.
    pub bytes: Bytes,
    /// Whether a plugin changed it, so that it goes out without its content-encoding.
    pub edited: bool,
}

impl Exchange {
    /// An exchange whose request has not been looked at yet.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>) -> Box<Self> {
        let watch = Watch::current().unwrap_or_else(|| Watch::new(Duration::ZERO, Duration::ZERO));
        watch.request_came();
        Box::new(Self {
            watch,
            began: Instant::now(),
            outcome: Outcome::begun(Uuid::now_v7(), SystemTime::now()),
            domain: snapshot.router.other().clone(),
            present: Present::default(),
            normal_path: None,
            route: None,
            seats: Seats::default(),
            request_edits: HeaderEdits::default(),
            body: None,
            attempts: Attempts::default(),
            adds_stream_usage: false,
            stream_usage: None,
            reading: Reading::Nothing,
            outlive: None,
            failure: None,
            client_left: None,
            passing: Passing::default(),
            _in_flight: snapshot.metrics.request_in_flight(),
            recorded: false,
            snapshot,
        })
    }

    /// What stays behind when an exchange is carried on elsewhere: it is not recorded.
    #[must_use]
    pub fn spent(snapshot: Arc<Snapshot>) -> Box<Self> {
        let mut exchange = Self::new(snapshot);
        exchange.recorded = true;
        exchange
    }

    /// Drops an exchange in whose place another has come: it is not recorded.
    pub fn forget(mut self: Box<Self>) {
        self.recorded = true;
    }

    /// Notes what the head of the request says.
    pub fn note_request(&mut self, session: &Session) {
        let head = session.req_header();
        let path = head.uri.path();
        self.present = Present::of(&head.headers);
        self.outcome.method = head.method.clone();
        path.clone_into(&mut self.outcome.path);
        let authority = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = authority.or_else(|| head.uri.authority().map(Authority::as_str));
        host_of(authority.unwrap_or_default()).clone_into(&mut self.outcome.host);
        self.outcome.client = session.client_addr().and_then(|addr| addr.as_inet()).map(|addr| addr.ip());
    }

    /// Brings the path into the form in which everything here looks at it.
    ///
    /// # Errors
    /// That it has none.
    pub fn normalize_path(&mut self) -> Result<(), InvalidPath> {
        if let Cow::Owned(normal) = normalize(&self.outcome.path)? {
            self.normal_path = Some(normal.into());
        }
        Ok(())
    }

    /// The path by which the request is matched, whatever its spelling. [`Outcome::path`] stays as it came.
    #[must_use]
    pub fn path(&self) -> &str {
        self.normal_path.as_deref().unwrap_or(&self.outcome.path)
    }

    /// Notes the endpoint, if it is a call to a model. Only those who ask pay for it: plugins and the access log.
    pub fn note_endpoint(&mut self) {
        if self.outcome.method == Method::POST {
            self.outcome.endpoint = Endpoint::of(self.path());
        }
    }

    /// The dialect in which the caller expects an error.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match Endpoint::of(self.path()) {
            Some(endpoint) => endpoint.dialect(),
            None if self.present.anthropic_version => Dialect::Anthropic,
            None => Dialect::OpenAi,
        }
    }

    /// Whether anybody wants to know what its answer says.
    #[must_use]
    pub fn answer_is_wanted(&self) -> bool {
        self.snapshot.access_log.reads_usage() || self.route.as_ref().is_some_and(|route| route.chain.needs().answer)
    }

    /// Whether the request can be sent once more: its body was read here, or Pingora has kept all that was sent of it.
    #[must_use]
    pub fn replayable(&self, session: &Session) -> bool {
        self.body.is_some() || !session.retry_buffer_truncated()
    }

    /// Notes the head that is about to go to the client, and how long its body says it is; 0 where there is none.
    pub fn passing_head(&mut self, session: &Session, length: Option<u64>) {
        (self.passing.length, self.passing.bytes) = (length, 0);
        if length == Some(0) {
            self.tell_ending(session);
        }
    }

    /// Notes bytes that are about to go to the client, and whether they are the last.
    pub fn passing(&mut self, session: &Session, bytes: u64, last: bool) {
        self.passing.bytes += bytes;
        // the end of a body of known length may be told only after its last byte
        if last || self.passing.length == Some(self.passing.bytes) {
            self.tell_ending(session);
        }
    }

    /// Tells the plugins how it will end, if the client gets what is about to be sent: whoever keeps a record has it before the client
    /// has its answer.
    fn tell_ending(&mut self, session: &Session) {
        if self.seats.is_empty() || self.recorded || std::mem::replace(&mut self.passing.ending, true) {
            return;
        }
        // all of the answer has been read, whether or not its end has been seen
        self.reading.end(&mut self.outcome);
        let (end, error) = (self.outcome.end, self.outcome.error);
        if self.body.is_none() {
            self.outcome.request_bytes = session.body_bytes_read() as u64;
        }
        self.outcome.response_bytes = self.passing.bytes;
        self.judge(false);
        self.outcome.total = self.began.elapsed();
        self.seats.ending(&self.outcome);
        (self.outcome.end, self.outcome.error) = (end, error);
    }

    /// Notes what is known when the client has all it gets, and records the exchange.
    pub fn finish(&mut self, session: &Session, broken: bool) {
        self.watch.over();
        if self.recorded {
            return;
        }
        self.attempts.lease = None;
        self.outcome.status = written(session);
        if self.body.is_none() {
            self.outcome.request_bytes = session.body_bytes_read() as u64;
        }
        self.outcome.response_bytes = session.body_bytes_sent() as u64;
        self.judge(broken);
        self.record();
    }

    /// Says how it ended, by what went wrong and whether the answer is `broken`.
    fn judge(&mut self, broken: bool) {
        if let Some(failure) = self.failure.as_ref().filter(|_| broken || self.outcome.end == End::Aborted) {
            self.outcome.end = failure.end();
            self.outcome.error = Some(failure.word());
        } else if self.outcome.end == End::Aborted && !broken {
            self.outcome.end = End::Completed;
        }
        if self.client_left.as_ref().is_some_and(|left| left.load(Ordering::Relaxed)) {
            self.outcome.end = End::ClientGone;
            self.outcome.error = Some(Failure::ClientGone.word());
        }
    }

    fn record(&mut self) {
        if std::mem::replace(&mut self.recorded, true) {
            return;
        }
        self.outcome.total = self.began.elapsed();
        self.reading.conclude(&mut self.outcome);
        self.seats.log(&self.outcome);
        if self.snapshot.access_log.is_on() {
            self.note_endpoint();
            self.snapshot.access_log.record(&self.outcome);
        }
        self.snapshot.metrics.request_finished(&self.domain, &self.outcome);
    }
}

impl Drop for Exchange {
    /// The end of an exchange that nobody saw end: a deadline, a forced stop, a panic.
    fn drop(&mut self) {
        if self.recorded {
            return;
        }
        if matches!(self.watch.expired(), Some(Expired::Idle)) {
            self.attempts.blame(FaultKind::Timeout.into());
        }
        self.attempts.lease = None;
        if let Some(expired) = self.watch.expired() {
            let failure = match expired {
                Expired::Idle => Failure::IdleTimeout,
                Expired::Stalled => Failure::ClientGone,
                Expired::FirstByte => Failure::FirstByteTimeout,
                Expired::RequestHead | Expired::Total => Failure::TotalTimeout,
            };
            self.outcome.end = failure.end();
            self.outcome.error = Some(failure.word());
            failure.tell(&self.outcome);
        } else if self.client_left.as_ref().is_some_and(|left| left.load(Ordering::Relaxed)) {
            // it went on without its client, until nobody wanted it any more
            self.outcome.end = End::ClientGone;
            self.outcome.error = Some(Failure::ClientGone.word());
        } else {
            self.outcome.end = End::Aborted;
            self.outcome.error = Some("aborted");
            error!(id:% = self.outcome.id, path = self.outcome.path; "exchange cut short by a stop or a fault");
        }
        self.record();
    }
}

/// The status that was sent, if a final one was.
#[must_use]
pub fn written(session: &Session) -> Option<StatusCode> {
    session.response_written().map(|head| head.status).filter(|status| !status.is_informational())
}

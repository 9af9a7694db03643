//! One request and its response: everything remembered between the hooks, and the one place where it ends.

use std::borrow::Cow;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode};
use log::error;
use pingora_error::{Error, ErrorType};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use plugin_api::{
    AnswerState, Charge, Dialect, Endpoint, HeaderEdits, LONGEST_HOST, LONGEST_PATH, LogLimit, Outcome, Outlive,
    Record, Uuid, shortened,
};
use tokio::time::Instant;

use crate::chain::Instances;
use crate::dialect::{FormModel, StreamUsageFilter};
use crate::exchange::attempts::Attempts;
use crate::exchange::deadlines::Expired;
use crate::exchange::failure::Failure;
use crate::exchange::response_observer::Reading;
use crate::memory::HEADS;
use crate::metrics::InFlight;
use crate::routes::{InvalidPath, host_of, normalize};

use super::delivery::Delivery;
use super::head::Present;
use super::snapshot::{Route, Snapshot};
use super::timer::Watch;
use super::upstream::Carriage;

/// What is written of exchanges that nobody saw end.
static CUT: LogLimit = LogLimit::new();

/// One exchange. Whatever ends it, dropping it gives back what it took and records it exactly once.
pub struct Exchange {
    /// The configuration it began with.
    pub snapshot: Arc<Snapshot>,
    /// Its deadlines.
    pub watch: Arc<Watch>,
    /// When its head had been read.
    pub began: Instant,
    /// What is known of it.
    pub record: Record,
    /// Its host as metrics name it.
    pub domain: Arc<str>,
    /// The headers of the request that matter here.
    pub present: Present,
    // the path in its normal form, where it came in another or is too long for the record; see `path()`
    normal_path: Option<Box<str>>,
    /// Its route, once one was found.
    pub route: Option<Arc<Route>>,
    /// Its plugins.
    pub seats: Instances,
    /// Changes that plugins want made to the request's headers.
    pub request_edits: HeaderEdits,
    /// The body to send, if it was read here.
    pub body: Option<ReadBody>,
    /// What is kept of one that streams, charged for as long as it may be.
    pub stream_charge: Option<Charge>,
    /// What its head takes.
    pub head_charge: Charge,
    /// The attempts upstream, once its route was found.
    pub attempts: Option<Attempts>,
    /// How its body was encoded, where that may matter for a fallback.
    pub sent_headers: HeaderMap,
    /// The connection of the present attempt.
    pub connection: RawFd,
    /// How the present attempt uses it.
    pub carriage: Carriage,
    /// Whether a plugin asked for usage that the client does not get.
    pub adds_stream_usage: bool,
    /// What takes it out of the answer.
    pub stream_usage: Option<Box<StreamUsageFilter>>,
    /// What finds the model in a form as it passes.
    pub form: Option<Box<FormModel>>,
    /// What reads the answer as it passes.
    pub reading: Reading,
    /// Who else waits for its answer than its own client.
    pub outlive: Option<Outlive>,
    /// What went wrong last.
    pub failure: Option<Failure>,
    /// What the client has got, where the exchange runs on its own and another request relays its answer.
    pub delivery: Option<Arc<Delivery>>,
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
    /// How much of that had been written to the client when the last of it came.
    written: u64,
    /// When the answer said that it is complete, if it has.
    complete: Option<Complete>,
    /// The plugins were told how it will end.
    ending: bool,
}

/// An answer is complete, whatever comes behind it.
#[derive(Clone, Copy)]
struct Complete {
    /// With so many bytes of its body.
    bytes: u64,
    /// So long after the request's head.
    after: Duration,
}

/// What a piece of an answer's body is to the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// More will come.
    Some,
    /// The answer says that it is complete with it (`message_stop`, `[DONE]`): the client may leave, whenever its end comes.
    Complete,
    /// The last.
    Last,
}

/// A body that was read here in full.
pub struct ReadBody {
    /// The bytes to send; none any more once they can no longer be sent again.
    pub bytes: Bytes,
    /// Whether a plugin changed it, so that it goes out without its content-encoding.
    pub edited: bool,
    /// Whether the present attempt has been given them.
    sent: bool,
    /// Whether there will be no other attempt.
    last: bool,
}

impl ReadBody {
    /// A body that has not been sent yet.
    #[must_use]
    pub fn new(bytes: Bytes, edited: bool) -> Self {
        Self { bytes, edited, sent: false, last: false }
    }

    /// An attempt begins.
    pub fn attempt(&mut self) {
        self.sent = false;
    }

    /// The bytes for the present attempt.
    pub fn send(&mut self) -> Bytes {
        self.sent = true;
        if self.last { std::mem::take(&mut self.bytes) } else { self.bytes.clone() }
    }

    /// The answer to the present attempt goes to the client: nobody needs the bytes again, and they need not stay in memory
    /// for as long as the answer takes.
    pub fn answered(&mut self) {
        self.last = true;
        if self.sent {
            self.bytes = Bytes::new();
        }
    }
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
            record: Record::begun(Uuid::now_v7(), SystemTime::now()),
            domain: snapshot.router.other().clone(),
            present: Present::default(),
            normal_path: None,
            route: None,
            seats: Instances::default(),
            request_edits: HeaderEdits::default(),
            body: None,
            stream_charge: None,
            head_charge: HEADS.charge(),
            attempts: None,
            sent_headers: HeaderMap::new(),
            connection: -1,
            carriage: Carriage::default(),
            adds_stream_usage: false,
            stream_usage: None,
            form: None,
            reading: Reading::Nothing,
            outlive: None,
            failure: None,
            delivery: None,
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
        self.record.method = head.method.clone();
        self.record.path = shortened(path, LONGEST_PATH).into_owned();
        // what is matched is never cut
        self.normal_path = (path.len() > LONGEST_PATH).then(|| path.into());
        let authority = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = authority.or_else(|| head.uri.authority().map(Authority::as_str));
        self.record.host = shortened(host_of(authority.unwrap_or_default()), LONGEST_HOST).into_owned();
        self.record.context.client = session.client_addr().and_then(|addr| addr.as_inet()).map(|addr| addr.ip());
    }

    /// Brings the path into the form in which everything here looks at it.
    ///
    /// # Errors
    /// That it has none.
    pub fn normalize_path(&mut self) -> Result<(), InvalidPath> {
        if let Cow::Owned(normal) = normalize(self.path())? {
            self.normal_path = Some(normal.into());
        }
        Ok(())
    }

    /// The path by which the request is matched, whatever its spelling. [`Record::path`] stays as it came, but bounded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.normal_path.as_deref().unwrap_or(&self.record.path)
    }

    /// Notes the endpoint, if it is a call to a model. Only those who ask pay for it: plugins and the access log.
    pub fn note_endpoint(&mut self) {
        if self.record.method == Method::POST {
            self.record.endpoint = Endpoint::of(self.path());
        }
    }

    /// Notes bytes of the request's body that pass unread, in which a form may name the model.
    pub fn note_form(&mut self, bytes: &[u8]) {
        let Some(form) = &mut self.form else { return };
        form.feed(bytes);
        if let Some(model) = form.model() {
            self.record.model = Some(model.to_owned());
            self.form = None;
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

    /// Nothing more is asked of its server.
    pub fn release_server(&mut self) {
        if let Some(attempts) = &mut self.attempts {
            attempts.release();
        }
    }

    /// Notes the head that is about to go to the client, and how long its body says it is; 0 where there is none.
    pub fn passing_head(&mut self, session: &Session, length: Option<u64>) {
        (self.passing.length, self.passing.bytes) = (length, 0);
        if length == Some(0) {
            self.tell_ending(session);
        }
    }

    /// Notes bytes that are about to go to the client, and what they are to the whole.
    pub fn passing(&mut self, session: &Session, bytes: u64, part: Part) {
        self.passing.written = session.body_bytes_sent() as u64;
        self.passing.bytes += bytes;
        if part == Part::Complete && self.passing.complete.is_none() {
            let bytes = self.passing.bytes;
            self.passing.complete = Some(Complete { bytes, after: self.began.elapsed() });
            match &self.delivery {
                Some(delivery) => delivery.completes_with(bytes),
                None => self.watch.answer_is_complete(),
            }
        }
        // the end of a body of known length may be told only after its last byte
        if part != Part::Some || self.passing.length == Some(self.passing.bytes) {
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
        self.reading.end(&mut self.record);
        let (end, error) = (self.record.outcome, self.record.error);
        if self.body.is_none() {
            self.record.request_bytes = session.body_bytes_read() as u64;
        }
        self.record.response_bytes = match &self.delivery {
            Some(delivery) if delivery.has_left() => delivery.bytes(),
            _ => self.passing.bytes,
        };
        self.judge(false);
        self.judge_answer();
        self.record.total = self.began.elapsed();
        self.seats.before_last_byte(&self.record);
        (self.record.outcome, self.record.error) = (end, error);
    }

    /// Whether the client has all of the answer, so that nothing that fails now, by this error, takes it away: the answer
    /// has said that it is complete, or is as long as it said.
    #[must_use]
    pub fn is_delivered(&self, session: &Session, error: &Error) -> bool {
        let complete = || self.passing.complete.is_some_and(|at| at.bytes <= session.body_bytes_sent() as u64);
        has_whole_body(session, error) || complete() && !may_be_unflushed(session, error)
    }

    /// Whether another exchange has taken over its request, and answers it.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.recorded
    }

    /// Waits until nothing more goes to the client, where the exchange runs on its own: only then is it known what the
    /// client has got.
    pub async fn settle(&mut self) {
        if let Some(delivery) = self.delivery.clone() {
            // the server has done its part, and whoever relays the answer keeps the time
            self.release_server();
            self.watch.over();
            delivery.settled().await;
        }
    }

    /// Notes what is known when the client has all it gets, and records the exchange.
    pub fn finish(&mut self, session: &Session, broken: bool) {
        self.watch.over();
        if self.recorded {
            return;
        }
        self.release_server();
        if self.body.is_none() {
            self.record.request_bytes = session.body_bytes_read() as u64;
        }
        (self.record.status, self.record.response_bytes) = match &self.delivery {
            Some(delivery) => (delivery.status(), delivery.bytes()),
            None => (written(session), session.body_bytes_sent() as u64),
        };
        // what failed once the answer had been delivered is no failure
        self.judge(broken && self.failure.is_some());
        self.record();
    }

    /// Says how it ended, by what went wrong and whether the answer is `broken`.
    fn judge(&mut self, broken: bool) {
        if let Some(failure) = self.failure.as_ref().filter(|_| broken || self.record.outcome == Outcome::Aborted) {
            self.record.outcome = failure.outcome();
            self.record.error = Some(failure.word());
        } else if self.record.outcome == Outcome::Aborted && !broken {
            self.record.outcome = Outcome::Completed;
        }
        if self.delivery.as_ref().is_some_and(|delivery| delivery.has_left()) {
            self.record.outcome = Outcome::ClientGone;
            self.record.error = Some(Failure::ClientGone.word());
        }
    }

    /// An answer that says that it failed is none, though its status says that all is well.
    fn judge_answer(&mut self) {
        let failed = self.record.answer.as_ref().is_some_and(|answer| answer.state == AnswerState::Failed);
        let is_well = self.record.status.is_some_and(|status| status.is_success());
        if failed && is_well && self.record.outcome == Outcome::Completed {
            self.record.outcome = Outcome::UpstreamFailed;
        }
    }

    fn record(&mut self) {
        if std::mem::replace(&mut self.recorded, true) {
            return;
        }
        let delivered = matches!(self.record.outcome, Outcome::Completed | Outcome::Cached);
        let complete = self.passing.complete.filter(|_| delivered);
        self.record.total = complete.map_or_else(|| self.began.elapsed(), |complete| complete.after);
        self.reading.conclude(&mut self.record);
        self.judge_answer();
        self.seats.on_complete(&self.record);
        if self.snapshot.access_log.is_on() {
            self.note_endpoint();
            self.snapshot.access_log.record(&self.record);
        }
        self.snapshot.metrics.request_finished(&self.domain, &self.snapshot.models, &self.record);
    }

    /// Says how an exchange ended that nobody saw end, and what its client has got.
    fn judge_unseen(&mut self) {
        let expired = self.watch.expired();
        let (bytes, left) = match &self.delivery {
            Some(delivery) => {
                self.record.status = delivery.status();
                (delivery.bytes(), delivery.has_left())
            }
            // what came last may not have been taken by one who took nothing
            None if expired == Some(Expired::Stalled) => (self.passing.written, false),
            None => (self.passing.bytes, false),
        };
        self.record.response_bytes = bytes;
        if !left && self.passing.complete.is_some_and(|complete| complete.bytes <= bytes) {
            self.failure = None;
            self.judge(false);
            return;
        }
        let failure = match expired {
            // it went on without its client, until nobody wanted it any more
            _ if left => Failure::ClientGone,
            Some(Expired::Idle) => Failure::IdleTimeout,
            Some(Expired::Stalled | Expired::RequestBody) => Failure::ClientGone,
            Some(Expired::Send) => Failure::SendTimeout,
            Some(Expired::FirstByte) => Failure::FirstByteTimeout,
            Some(Expired::Upgraded) => Failure::UpgradedTimeout,
            Some(Expired::RequestHead | Expired::Total) => Failure::TotalTimeout,
            None => {
                self.record.outcome = Outcome::Aborted;
                self.record.error = Some("aborted");
                if let Some(suppressed) = CUT.pass(()) {
                    let (id, path) = (self.record.context.id, &*self.record.path);
                    error!(id:%, path, suppressed; "exchange cut short by a stop or a fault");
                }
                return;
            }
        };
        if let (Some(class), Some(attempts)) = (failure.class(), &mut self.attempts) {
            attempts.blame(class.into(), Instant::now());
        }
        self.record.outcome = failure.outcome();
        self.record.error = Some(failure.word());
        failure.log(&self.record);
    }
}

impl Drop for Exchange {
    /// The end of an exchange that nobody saw end: a deadline, a forced stop, a panic.
    fn drop(&mut self) {
        if self.recorded {
            return;
        }
        self.judge_unseen();
        self.release_server();
        self.record();
    }
}

/// The status that was sent, if a final one was.
#[must_use]
pub fn written(session: &Session) -> Option<StatusCode> {
    let is_final = |status: &StatusCode| !status.is_informational() || *status == StatusCode::SWITCHING_PROTOCOLS;
    session.response_written().map(|head| head.status).filter(is_final)
}

/// How long an answer's body is, where its head says so (RFC 9112 §6.3).
#[must_use]
pub fn body_length(session: &Session, head: &ResponseHeader) -> Option<u64> {
    let without = session.req_header().method == Method::HEAD
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = || head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    if without { Some(0) } else { length() }
}

/// Whether the client has as much of a body as was announced, although its connection failed by this error.
#[must_use]
pub fn has_whole_body(session: &Session, error: &Error) -> bool {
    let head = session.response_written().filter(|head| !head.status.is_informational());
    let length = head.and_then(|head| body_length(session, head));
    length == Some(session.body_bytes_sent() as u64) && !may_be_unflushed(session, error)
}

/// Whether an error tells that a body of known length, which counts as sent once it is in a buffer, may not have left it.
fn may_be_unflushed(session: &Session, error: &Error) -> bool {
    let writing = matches!(error.etype(), ErrorType::WriteError | ErrorType::WriteTimedout);
    writing && session.response_written().is_some_and(|head| head.headers.contains_key(CONTENT_LENGTH))
}

//! The end of an exchange. The bytes that pass to the client are reported to its [`Ending`](crate::exchange::ending::Ending), and its
//! verdict goes to the plugins, the access log and the metrics, exactly once.

use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};
use pingora_error::{Error, ErrorType};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use plugin_api::{AnswerState, Variables};
use tokio::time::Instant;

use crate::access_log::Entry;
use crate::chain::Instances;
use crate::exchange::ending::{Part, Piece, Relayed, Sent, Verdict};
use crate::exchange::response_observer::add_discarded;

use super::ctx::Exchange;
use super::route::server_name;
use super::snapshot::Snapshot;
use super::view::path_of;

impl Exchange {
    /// Nothing more is asked of its server.
    pub fn release_server(&mut self) {
        if let Some(attempts) = &mut self.attempts {
            attempts.release();
        }
    }

    /// Reports a head that is about to go to the client, and the length of its body by that head; 0 if it has none.
    pub fn head_passes(&mut self, session: &Session, length: Option<u64>) {
        self.note_written(session);
        if self.ending.head(length) {
            self.predict(session);
        }
    }

    /// Reports bytes that are about to go to the client, and which part of the whole they are.
    pub fn piece_passes(&mut self, session: &Session, bytes: u64, part: Part) {
        self.note_written(session);
        let piece = Piece { bytes, written: session.body_bytes_sent() as u64, part };
        let is_first = part == Part::Complete && self.ending.complete_at().is_none();
        let is_last = self.ending.piece(piece, || self.began.elapsed());
        if is_first && let Some(bytes) = self.ending.complete_at() {
            match &self.delivery {
                Some(delivery) => delivery.completes_with(bytes),
                None => self.timer.answer_is_complete(),
            }
        }
        if is_last {
            self.predict(session);
        }
    }

    /// Tells how much has been written to a client without which the exchange goes on.
    fn note_written(&self, session: &Session) {
        if let Some(presence) = &self.presence {
            presence.set_written(written(session), session.body_bytes_sent() as u64);
        }
    }

    /// Calls `before_last_byte` with the record of an exchange whose client gets all that is about to be sent. A plugin that persists the
    /// record has it before the client has its answer.
    fn predict(&mut self, session: &Session) {
        if let Some(presence) = &self.presence {
            presence.end();
        }
        if self.plugins.is_empty() {
            return;
        }
        // all of the answer has been read, whether or not its end has been seen
        self.observer.finish(&mut self.record);
        add_discarded(&mut self.record);
        if self.body.is_none() {
            self.record.request_bytes = session.body_bytes_read() as u64;
        }
        let before = (self.record.outcome, self.record.error);
        let verdict = self.ending.predict(self.failure, self.relayed());
        self.apply(verdict);
        self.record.total = self.began.elapsed();
        let metrics = &self.snapshot.metrics;
        self.plugins.before_last_byte(&self.record, |plugin| metrics.plugin_panicked(plugin));
        (self.record.outcome, self.record.error) = before;
    }

    /// Whether the client has all of the answer, so that nothing that fails now, by this error, takes it away.
    #[must_use]
    pub fn is_delivered(&self, session: &Session, error: &Error) -> bool {
        self.ending.is_delivered(sent(session, error))
    }

    /// For a detached call: waits until nothing more goes to the client. Only then is it known how much the client has received.
    pub async fn settle(&mut self) {
        if let Some(delivery) = self.delivery.clone() {
            // the server is done, and the request that relays the answer keeps the time
            self.release_server();
            self.timer.over();
            delivery.settled().await;
        }
    }

    /// Records the exchange, once the client has all it gets.
    pub fn finish(&mut self, session: &Session, broken: bool) {
        self.timer.over();
        if self.ending.is_over() {
            return;
        }
        self.release_server();
        if let Some(socket) = &self.websocket {
            socket.conclude(self.failure);
        }
        if self.body.is_none() {
            self.record.request_bytes = session.body_bytes_read() as u64;
        }
        let sent = Relayed { bytes: session.body_bytes_sent() as u64, left: false };
        self.note_written(session);
        self.record.status = self.relayed_status().unwrap_or_else(|| written(session));
        let client = self.relayed().unwrap_or(sent);
        self.capture_response(session);
        if let Some(verdict) = self.ending.end(self.failure, broken, client) {
            self.write_record(verdict);
        }
    }

    /// Copies what the access log needs of the head that was sent.
    fn capture_response(&mut self, session: &Session) {
        let Some(head) = session.response_written() else { return };
        let Some(mut captured) = self.captured.take() else { return };
        let response = Variables { response: Some((head.status, &head.headers)), ..self.variables(session) };
        self.snapshot.access_log.capture_response(&mut captured, &response);
        self.captured = Some(captured);
    }

    /// Records an exchange that is dropped before its end.
    fn cut(&mut self) {
        let expired = self.timer.expired();
        if let Some(status) = self.relayed_status() {
            self.record.status = status;
        }
        let Some(verdict) = self.ending.cut(expired, self.relayed()) else { return };
        if let Some(socket) = &self.websocket {
            socket.conclude(verdict.failure);
        }
        if let Some(failure) = verdict.failure {
            if let (Some(class), Some(attempts)) = (failure.class(), &mut self.attempts) {
                attempts.blame(class.into(), Instant::now());
            }
            failure.log(&self.record, None);
        }
        self.release_server();
        self.write_record(verdict);
    }

    /// Writes a verdict into the record.
    fn apply(&mut self, verdict: Verdict) {
        let says_it_failed = self.record.answer.as_ref().is_some_and(|answer| answer.state == AnswerState::Failed);
        let is_well = self.record.is_success();
        let verdict = verdict.of_response(says_it_failed && is_well);
        self.record.outcome = verdict.outcome;
        if let Some(failure) = verdict.failure {
            self.record.error = Some(failure.word());
        }
        self.record.response_bytes = verdict.response_bytes;
    }

    fn write_record(&mut self, verdict: Verdict) {
        if let Some(request) = &self.plugin_request {
            if let Some(failure) = verdict.failure {
                request.failed(failure, None, self);
            }
            return;
        }
        self.record.total = verdict.took.unwrap_or_else(|| self.began.elapsed());
        self.observer.conclude(&mut self.record);
        add_discarded(&mut self.record);
        self.apply(verdict);
        if let Some(failure) = self.websocket.as_ref().and_then(|socket| socket.closed_by()) {
            self.record.error = Some(failure.word());
        }
        // metrics and the access log name it
        self.find_endpoint();
        let logged = self.route.as_ref().is_none_or(|route| route.access_log);
        let path = path_of(self.sent_target.as_deref(), self.normal_path.as_deref(), &self.record.path);
        let (domain, server_name, captured) =
            (&*self.domain, server_name(self.route.as_deref()), self.captured.as_deref());
        let entry = Entry { record: &self.record, domain, server_name, path, captured };
        publish(&self.snapshot, &mut self.plugins, entry, logged);
    }

    /// How much the client has received of a detached call, or of one that goes on without it.
    fn relayed(&self) -> Option<Relayed> {
        match &self.delivery {
            Some(delivery) => Some(delivery.relayed()),
            None if self.plugin_request.as_ref().is_some_and(|request| request.is_abandoned()) => {
                Some(Relayed { bytes: 0, left: true })
            }
            None => self.presence.as_ref()?.received(self.ending.complete_at()),
        }
    }

    /// The status that the client of such a call has received.
    fn relayed_status(&self) -> Option<Option<StatusCode>> {
        match &self.delivery {
            Some(delivery) => Some(delivery.status()),
            None => self.presence.as_ref()?.status(),
        }
    }
}

impl Drop for Exchange {
    /// The end of an exchange that did not end regularly: a deadline, a forced stop, a panic.
    fn drop(&mut self) {
        if !self.ending.is_over() {
            self.cut();
        }
    }
}

/// Gives the record of an exchange that is over to its plugins, to the metrics and, where it is `logged`, to the access log.
pub fn publish(snapshot: &Snapshot, plugins: &mut Instances, entry: Entry<'_>, logged: bool) {
    let metrics = &snapshot.metrics;
    plugins.on_complete(entry.record, |plugin| metrics.plugin_panicked(plugin));
    if logged {
        snapshot.access_log.record(entry);
    }
    metrics.request_finished(entry.domain, &snapshot.models, entry.record);
}

/// The status that was sent, if a final one was.
#[must_use]
pub fn written(session: &Session) -> Option<StatusCode> {
    let is_final = |status: &StatusCode| !status.is_informational() || *status == StatusCode::SWITCHING_PROTOCOLS;
    session.response_written().map(|head| head.status).filter(is_final)
}

/// The length of an answer's body, if its head gives it (RFC 9112 §6.3).
#[must_use]
pub fn body_length(session: &Session, head: &ResponseHeader) -> Option<u64> {
    let without = session.req_header().method == Method::HEAD
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = || head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    if without { Some(0) } else { length() }
}

/// How much was sent to a client when its connection, or its server's, failed by this error.
#[must_use]
pub fn sent(session: &Session, error: &Error) -> Sent {
    let head = session.response_written().filter(|head| !head.status.is_informational());
    let writing = matches!(error.etype(), ErrorType::WriteError | ErrorType::WriteTimedout);
    Sent {
        bytes: session.body_bytes_sent() as u64,
        length: head.and_then(|head| body_length(session, head)),
        // a body of known length counts as sent once it is in a buffer
        may_be_unflushed: writing && head.is_some_and(|head| head.headers.contains_key(CONTENT_LENGTH)),
    }
}

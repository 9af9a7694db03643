//! One call on a WebSocket: an exchange of its own, with a chain and a record like that of a request. Knows no frames. How it passes
//! the plugins is in `admission`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;
use plugin_api::{Answer, AnswerState, Chunk, Outcome, Record, Trace, Transport, Uuid, shortened_answer};
use protocols::{AnswerEvents, ServerEvent};
use tokio::time::Instant;

use crate::access_log::{Captured, Entry};
use crate::chain::Instances;
use crate::engine::recording::publish;
use crate::exchange::failure::Failure;
use crate::metrics::InFlight;

use super::call_config::CallConfig;
use super::handshake::Handshake;

/// A call. However it ends, it is recorded exactly once, at the latest when it is dropped.
pub struct MessageCall {
    pub(super) handshake: Arc<Handshake>,
    pub(super) config: CallConfig,
    /// Whether it is the first one after the handshake.
    pub(super) is_first: bool,
    began: Instant,
    pub(super) record: Record,
    /// What the access log needs of the handshake's head.
    captured: Option<Box<Captured>>,
    pub(super) plugins: Instances,
    events: Option<AnswerEvents>,
    /// An error that may be about it, read like an event of its answer.
    doubt: Option<AnswerEvents>,
    /// The id of its answer, once that has begun.
    pub answer_id: Option<String>,
    /// The id that the client gave its message.
    pub event_id: Option<String>,
    stage: Stage,
    _in_flight: InFlight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The plugins have the record of a call whose client gets all that is about to be sent.
    Predicted,
    /// It is recorded.
    Over,
}

impl MessageCall {
    /// A call that begins now.
    #[must_use]
    pub fn begin(handshake: Arc<Handshake>, config: CallConfig) -> Box<Self> {
        let CallConfig { snapshot, route, .. } = &config;
        let mut record = Record::begun(Uuid::now_v7(), SystemTime::now());
        record.transport = Transport::WebSocket;
        record.method = handshake.in_force.method.clone();
        record.path.clone_from(&handshake.path);
        record.host.clone_from(&handshake.in_force.host);
        record.endpoint = Some(handshake.endpoint);
        record.model.clone_from(&handshake.model);
        record.streaming = Some(true);
        record.upstream.clone_from(&handshake.upstream);
        (record.context.client, record.context.peer_is_trusted) = handshake.client;
        record.context.set_connection(handshake.in_force.connection.clone());
        record.context.trace = handshake.trace.as_ref().map(Trace::of_message).map(Box::new);
        let plugins = route.chain.instances();
        if !plugins.is_empty() {
            record.context.route = Some(route.name.clone());
            snapshot.attribution.of_head(&handshake.in_force.headers, &mut record.context);
        }
        let reads = snapshot.reads_answers(route);
        Box::new(Self {
            began: Instant::now(),
            events: reads.then(|| AnswerEvents::new(handshake.endpoint)),
            doubt: None,
            answer_id: None,
            event_id: None,
            stage: Stage::Open,
            _in_flight: snapshot.metrics.request_in_flight(),
            is_first: !handshake.called.swap(true, Ordering::Relaxed),
            captured: handshake.captured(snapshot, &record.context, &route.server_name),
            record,
            plugins,
            config,
            handshake,
        })
    }

    /// Bytes of an event about its answer pass to the client.
    pub fn pass(&mut self, bytes: &Bytes) {
        self.record.response_bytes += bytes.len() as u64;
        if self.plugins.is_empty() {
            return;
        }
        let mut chunk = Chunk { context: &self.record.context, bytes, last: false, complete: false };
        if let Err(plugin) = self.plugins.on_chunk(&mut chunk) {
            self.config.snapshot.metrics.plugin_panicked(plugin);
        }
    }

    /// Its answer begins with this event.
    pub fn begins(&mut self, event: &ServerEvent<'_>) {
        self.answer_id = Some(event.answer_id().unwrap_or_default());
        self.doubt = None;
        self.read(event);
    }

    /// Whether its answer has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.answer_id.is_some()
    }

    /// An error may be about it. It is over if its answer does not begin or, where it has, does not go on to its end.
    pub fn doubt(&mut self, error: AnswerEvents) {
        self.doubt = Some(error);
    }

    /// Whether an error may be about it.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.doubt.is_some()
    }

    /// The error that may have been about it, which was not.
    pub fn take_doubt(&mut self) -> Option<AnswerEvents> {
        self.doubt.take()
    }

    /// The error that may be about it is.
    pub fn give_up(&mut self) {
        let error = self.doubt.take();
        // what has come of an answer is worth more than the error that ended it
        if let Some(error) = error.filter(|_| !self.has_begun()) {
            self.adopt(error);
        }
        self.fail_upstream();
    }

    /// Whether the server has said that it failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.record.outcome == Outcome::UpstreamFailed
    }

    /// An event about its answer has been read.
    pub fn read(&mut self, event: &ServerEvent<'_>) {
        if self.record.status.is_none() {
            self.record.status = Some(StatusCode::OK);
            self.record.first_byte = Some(self.began.elapsed());
        }
        let Some(events) = &mut self.events else { return };
        events.read(event);
        if events.has_content() && self.record.first_token.is_none() {
            self.record.first_token = Some(self.began.elapsed());
        }
    }

    /// The last event of its answer is about to pass: the plugins get the record as it is if the client receives that.
    pub fn complete(&mut self) {
        self.take_answer();
        if self.record.outcome != Outcome::Refused {
            let says_it_failed = self.record.answer.as_ref().is_some_and(|answer| answer.state == AnswerState::Failed);
            self.record.outcome = if says_it_failed { Outcome::UpstreamFailed } else { Outcome::Completed };
        }
        self.predict();
    }

    /// The server says that it does not answer the call.
    pub fn reject(&mut self, event: &ServerEvent<'_>) {
        self.read(event);
        self.fail_upstream();
    }

    fn fail_upstream(&mut self) {
        self.take_answer();
        self.record.outcome = Outcome::UpstreamFailed;
        self.predict();
    }

    /// The client has all that it gets.
    pub fn delivered(mut self: Box<Self>) {
        self.publish();
    }

    /// The connection is over before the client had all of the answer.
    pub fn interrupt(mut self: Box<Self>, failure: Failure) {
        self.record.outcome = failure.outcome();
        self.record.error = Some(failure.word());
        self.publish();
    }

    /// Gives the plugins the record as it is if the client receives what is about to be sent.
    pub(super) fn predict(&mut self) {
        if self.stage != Stage::Open {
            return;
        }
        self.stage = Stage::Predicted;
        self.record.total = self.began.elapsed();
        let metrics = &self.config.snapshot.metrics;
        self.plugins.before_last_byte(&self.record, |plugin| metrics.plugin_panicked(plugin));
    }

    fn publish(&mut self) {
        if std::mem::replace(&mut self.stage, Stage::Over) == Stage::Open {
            self.record.total = self.began.elapsed();
        }
        self.take_answer();
        let (domain, path) = (&*self.config.domain, &*self.handshake.sent_path);
        let (server_name, captured) = (&*self.config.route.server_name, self.captured.as_deref());
        let entry = Entry { record: &self.record, domain, server_name, path, captured };
        publish(&self.config.snapshot, &mut self.plugins, entry, self.config.route.access_log);
    }

    fn take_answer(&mut self) {
        let answer = self.events.take().map(|events| shortened_answer(events.into_answer()));
        // of a call that was refused nothing has come
        let said =
            |answer: &Answer| answer.state != AnswerState::Partial || answer.usage.is_some() || answer.id.is_some();
        self.record.answer = answer.filter(said).map(Box::new).or(self.record.answer.take());
    }

    /// Takes over the events of its answer that came before the call was admitted.
    pub fn adopt(&mut self, events: AnswerEvents) {
        if self.events.is_some() {
            self.record.status = Some(StatusCode::OK);
            self.events = Some(events);
        }
    }
}

impl Drop for MessageCall {
    /// The end of a call that did not end regularly: a forced stop, a panic.
    fn drop(&mut self) {
        if self.stage == Stage::Over {
            return;
        }
        if let (Stage::Open, Some(failure)) = (self.stage, self.handshake.over.get()) {
            self.record.outcome = failure.outcome();
            self.record.error = Some(failure.word());
        }
        self.publish();
    }
}

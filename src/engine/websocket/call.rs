//! One call on a WebSocket: an exchange of its own, with a chain and a record like that of a request. Knows no frames.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;
use plugin_api::{
    Answer, AnswerState, BODIES, Call, CallFacts, Chunk, ErrorKind, HeaderEdits, ModelCall, Outcome, Record, Reply,
    Request, RouteModels, Transport, Uuid, shortened_answer,
};
use protocols::{AnswerEvents, CallMessage, EventError, ParsedBody, ServerEvent, error_event};
use tokio::time::Instant;

use crate::chain::{EarlyExit, Instances};
use crate::engine::recording::publish;
use crate::exchange::failure::Failure;
use crate::exchange::model_routes::ModelRoutes;
use crate::metrics::InFlight;

use super::handshake::Handshake;
use super::models;

/// A call. However it ends, it is recorded exactly once, at the latest when it is dropped.
pub struct MessageCall {
    handshake: Arc<Handshake>,
    began: Instant,
    record: Record,
    plugins: Instances,
    events: Option<AnswerEvents>,
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

/// What became of a message that asks for an answer.
pub enum Admission {
    /// It goes upstream; the text of the message, if it was changed.
    Admitted(Option<Vec<u8>>),
    /// It does not. The client gets this event.
    Refused(String),
}

impl MessageCall {
    /// A call that begins now.
    #[must_use]
    pub fn begin(handshake: Arc<Handshake>) -> Box<Self> {
        let snapshot = &handshake.snapshot;
        let mut record = Record::begun(Uuid::now_v7(), SystemTime::now());
        record.transport = Transport::WebSocket;
        record.method = handshake.method.clone();
        record.path.clone_from(&handshake.path);
        record.host.clone_from(&handshake.host);
        record.endpoint = Some(handshake.endpoint);
        record.model.clone_from(&handshake.model);
        record.streaming = Some(true);
        record.upstream.clone_from(&handshake.upstream);
        record.context.client = handshake.client;
        let plugins = handshake.route.chain.instances();
        if !plugins.is_empty() {
            record.context.route = Some(handshake.route.name.clone());
            snapshot.attribution.of_head(&handshake.headers, &mut record.context);
        }
        let reads = snapshot.access_log.reads_usage() || handshake.route.chain.needs().answer;
        Box::new(Self {
            began: Instant::now(),
            events: reads.then(|| AnswerEvents::new(handshake.endpoint)),
            answer_id: None,
            event_id: None,
            stage: Stage::Open,
            _in_flight: snapshot.metrics.request_in_flight(),
            record,
            plugins,
            handshake,
        })
    }

    /// Shows the plugins a message of the client.
    pub async fn admit(&mut self, mut read: CallMessage, message: &Bytes) -> Admission {
        let endpoint = self.handshake.endpoint;
        self.event_id = read.event_id.take();
        self.record.request_bytes = message.len() as u64;
        let parsed = std::mem::replace(&mut read.parsed, ParsedBody::NotACall);
        let mut body =
            ModelCall::new(endpoint, read.call(message), None, parsed).hashed(std::mem::take(&mut read.hashes));
        if let Some(models) = &self.handshake.route.models {
            body = body.on_route(models.models().clone());
        }
        match self.run(&mut body).await {
            Ok(()) => {
                self.sent();
                let edited = body.is_edited();
                Admission::Admitted(edited.then(|| read.with_call(endpoint, message, &body.into_body())))
            }
            Err(reply) => Admission::Refused(self.refuse(&reply)),
        }
    }

    /// Shows the plugins a call that no message of the client has asked for: the server has begun it. Its message is empty.
    pub async fn admit_begun(&mut self) -> Admission {
        let facts =
            CallFacts { model: self.handshake.model.clone(), stream: true, members_at: 1, ..CallFacts::default() };
        let empty = Bytes::from_static(b"{}");
        let mut body = ModelCall::new(self.handshake.endpoint, empty, None, ParsedBody::Calls(vec![facts]));
        let ran = self.run(&mut body).await;
        // whatever the plugins say, the server has it
        self.sent();
        match ran {
            Ok(()) => Admission::Admitted(None),
            Err(reply) => Admission::Refused(self.refuse(&reply)),
        }
    }

    /// Refuses the call for a reason of the gateway's own; the event for the client.
    pub fn fail(&mut self, failure: Failure, message: &str) -> String {
        let reply = self.error(failure, message);
        self.refuse(&reply)
    }

    /// The reply that a request would get for a reason of the gateway's own.
    fn error(&mut self, failure: Failure, message: &str) -> Reply {
        self.record.error = Some(failure.word());
        failure.log(&self.record);
        let kind = failure.error().unwrap_or(ErrorKind::Internal);
        Reply::error(self.handshake.endpoint.protocol, kind, message, self.record.context.id)
    }

    /// Shows the call to the plugins, and gives it the name of its model upstream.
    async fn run(&mut self, body: &mut ModelCall) -> Result<(), Box<Reply>> {
        self.show(body).await?;
        match models::rename(&self.handshake, body) {
            Ok(renamed) => self.record.upstream_model = renamed,
            Err(why) => return Err(Box::new(self.error(Failure::UnroutableModel, &why))),
        }
        Ok(())
    }

    /// Shows the plugins the call.
    async fn show(&mut self, body: &mut ModelCall) -> Result<(), Box<Reply>> {
        let Self { handshake, record, plugins, .. } = self;
        if let Some(call) = body.call() {
            record.model.clone_from(&call.model);
            record.system_blocks = Some(call.system_blocks);
            record.asks_quota = call.asks_quota;
            if !plugins.is_empty() {
                handshake.snapshot.attribution.of_call(&handshake.headers, call, &mut record.context);
            }
        }
        record.body_read = true;
        record.conversation = body.conversation();
        if plugins.is_empty() {
            return Ok(());
        }
        // the memory that reading took, held until the call goes upstream
        let mut made = BODIES.charge();
        if let Err(shortage) = made.cover(body.made_bytes(), 1) {
            let failure = Failure::BodyMemory(shortage);
            return Err(Box::new(self.error(failure, failure.message())));
        }
        let none = RouteModels::default();
        let mut request = Request {
            context: &mut record.context,
            method: &handshake.method,
            uri: &handshake.uri,
            headers: &handshake.headers,
            host: &record.host,
            upstream: handshake.upstream.as_deref().unwrap_or_default(),
            models: handshake.route.models.as_ref().map_or(&none, ModelRoutes::models),
            endpoint: Some(handshake.endpoint),
            protocol: handshake.endpoint.protocol,
            reads_messages: true,
            edits: HeaderEdits::default(),
        };
        let mut ran = plugins.on_request(&mut request).await;
        if ran.is_ok() {
            ran = plugins.on_call(&mut Call { context: &mut record.context, body }).await;
        }
        ran.map_err(|exit| self.ended(exit))
    }

    /// The reply with which a plugin has ended the call.
    fn ended(&mut self, exit: EarlyExit) -> Box<Reply> {
        let (protocol, id) = (self.handshake.endpoint.protocol, self.record.context.id);
        match exit {
            EarlyExit::Answer(reply) if !reply.status.is_success() => reply,
            EarlyExit::Answer(_) => {
                let message = "A plugin answered this call in a way that no message can carry";
                Box::new(Reply::error(protocol, ErrorKind::Internal, message, id))
            }
            EarlyExit::Refuse { plugin, refusal } => {
                (self.record.plugin, self.record.reason) = (Some(plugin), Some(refusal.reason()));
                Box::new(refusal.into_reply(protocol, id))
            }
            EarlyExit::Panic(plugin) => {
                self.handshake.snapshot.metrics.plugin_panicked(plugin);
                self.record.plugin = Some(plugin);
                self.record.error = Some(Failure::PluginPanic.word());
                Box::new(Reply::error(protocol, ErrorKind::Internal, Failure::PluginPanic.message(), id))
            }
        }
    }

    fn sent(&mut self) {
        self.record.server.clone_from(&self.handshake.server);
        self.record.attempts = 1;
    }

    /// Records the call as refused, before its client hears of it. Returns the event for the client.
    fn refuse(&mut self, reply: &Reply) -> String {
        let record = &mut self.record;
        record.status = Some(reply.status);
        record.outcome = Outcome::Refused;
        record.error_type =
            reply.error_type.or_else(|| Some(self.handshake.endpoint.protocol.error_type(reply.status)));
        let id = record.context.id.to_string();
        let body = reply.body.whole().map_or(&[][..], |body| body);
        let (status, headers) = (reply.status, &reply.headers);
        let refusal = EventError { status, headers, body, event_id: self.event_id.as_deref(), request_id: &id };
        let event = error_event(self.handshake.endpoint, &refusal);
        record.response_bytes = event.len() as u64;
        if self.record.attempts == 0 {
            self.predict();
        }
        event
    }

    /// Bytes of an event about its answer pass to the client.
    pub fn pass(&mut self, bytes: &Bytes) {
        self.record.response_bytes += bytes.len() as u64;
        if self.plugins.is_empty() {
            return;
        }
        let mut chunk = Chunk { context: &self.record.context, bytes, last: false, complete: false };
        if let Err(plugin) = self.plugins.on_chunk(&mut chunk) {
            self.handshake.snapshot.metrics.plugin_panicked(plugin);
        }
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

    fn predict(&mut self) {
        if self.stage != Stage::Open {
            return;
        }
        self.stage = Stage::Predicted;
        self.record.total = self.began.elapsed();
        let metrics = &self.handshake.snapshot.metrics;
        self.plugins.before_last_byte(&self.record, |plugin| metrics.plugin_panicked(plugin));
    }

    fn publish(&mut self) {
        if std::mem::replace(&mut self.stage, Stage::Over) == Stage::Open {
            self.record.total = self.began.elapsed();
        }
        self.take_answer();
        publish(&self.handshake.snapshot, &self.handshake.domain, &mut self.plugins, &self.record);
    }

    fn take_answer(&mut self) {
        let answer = self.events.take().map(|events| shortened_answer(events.into_answer()));
        // of a call that was refused nothing has come
        let said =
            |answer: &Answer| answer.state != AnswerState::Partial || answer.usage.is_some() || answer.id.is_some();
        self.record.answer = answer.filter(said).or(self.record.answer.take());
    }

    /// Whether the answers on its connection come one by one, in the order of the calls.
    #[must_use]
    pub fn is_sequential(&self) -> bool {
        self.handshake.endpoint.websocket.is_some_and(|schema| !schema.server_begins)
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

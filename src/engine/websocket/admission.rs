//! How a call on a WebSocket passes the plugins, and the event by which its client learns that it was refused.

use bytes::Bytes;
use http::Version;
use plugin_api::{
    BODIES, Call, CallFacts, Charge, ErrorKind, HeaderEdits, ModelCall, Outcome, Reply, Request, RequestHead,
};
use protocols::{CallMessage, EventError, ParsedBody, error_event};

use crate::chain::EarlyExit;
use crate::exchange::failure::Failure;

use super::super::model_route;
use super::call::MessageCall;
use super::models;

/// What became of a message that asks for an answer.
pub enum Admission {
    /// It goes upstream; the text of the message, if it was changed.
    Admitted(Option<Vec<u8>>),
    /// It does not. The client gets this event.
    Refused(String),
}

impl MessageCall {
    /// Shows the plugins a message of the client. `refused` says why the gateway takes no call on this connection.
    pub async fn admit(&mut self, mut read: CallMessage, message: &Bytes, refused: Option<Failure>) -> Admission {
        let endpoint = self.handshake.endpoint;
        self.event_id = read.event_id.take();
        self.record.request_bytes = message.len() as u64;
        let parsed = std::mem::replace(&mut read.parsed, ParsedBody::NotACall);
        let body = ModelCall::new(endpoint, read.call(message), None, parsed).hashed(std::mem::take(&mut read.hashes));
        // the memory that reading and edits take, held until the text is there that goes upstream
        let mut made = BODIES.charge();
        let ran = match self.run(body, &mut made, refused).await {
            Ok(body) if body.is_edited() => {
                self.charge(&mut made, 2 * body.made_bytes() + message.len()).map(|()| body)
            }
            ran => ran,
        };
        match ran {
            Ok(body) => {
                self.sent();
                let edited = body.is_edited();
                Admission::Admitted(edited.then(|| read.with_call(endpoint, message, &body.into_body())))
            }
            Err(reply) => Admission::Refused(self.refuse(&reply)),
        }
    }

    /// Shows the plugins a call that no message of the client has asked for: the server has begun it. Its message is empty.
    pub async fn admit_begun(&mut self, refused: Option<Failure>) -> Admission {
        let facts = CallFacts { model: self.record.model.clone(), stream: true, members_at: 1, ..CallFacts::default() };
        let empty = Bytes::from_static(b"{}");
        let body = ModelCall::new(self.handshake.endpoint, empty, None, ParsedBody::Calls(vec![facts]));
        let ran = self.run(body, &mut BODIES.charge(), refused).await;
        // whatever the plugins say, the server has it
        self.sent();
        match ran {
            Ok(_) => Admission::Admitted(None),
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
        failure.log(&self.record, None);
        let kind = failure.error().unwrap_or(ErrorKind::Internal);
        Reply::error(self.handshake.endpoint.protocol, kind, message, self.record.context.id)
    }

    /// Shows the call to the plugins, and gives it the name of its model upstream: the call that goes there.
    async fn run(
        &mut self,
        mut body: ModelCall,
        made: &mut Charge,
        refused: Option<Failure>,
    ) -> Result<ModelCall, Box<Reply>> {
        if let Some(models) = self.config.route.models() {
            body = body.on_route(models.models().clone());
        }
        if let Some(failure) = refused {
            return Err(Box::new(self.error(failure, failure.message())));
        }
        body.is_first_on_websocket = self.is_first;
        self.show(&mut body, made).await?;
        match models::rename(&self.handshake, &self.config.route, &mut body) {
            Ok(renamed) => {
                let by_plugin = || model_route::renamed(&body, self.record.model.as_deref());
                self.record.upstream_model = renamed.or_else(by_plugin);
            }
            Err(why) => return Err(Box::new(self.error(Failure::UnroutableModel, &why))),
        }
        Ok(body)
    }

    /// Charges memory that the call takes beside its message.
    fn charge(&mut self, made: &mut Charge, bytes: usize) -> Result<(), Box<Reply>> {
        made.cover(bytes, 1).map_err(|shortage| {
            let failure = Failure::BodyMemory(shortage);
            Box::new(self.error(failure, failure.message()))
        })
    }

    /// Shows the plugins the call.
    async fn show(&mut self, body: &mut ModelCall, made: &mut Charge) -> Result<(), Box<Reply>> {
        let Self { handshake, config, record, plugins, .. } = self;
        if let Some(call) = body.call() {
            record.model.clone_from(&call.model);
            record.system_blocks = Some(call.system_blocks);
            record.asks_quota = call.asks_quota;
            if !plugins.is_empty() {
                config.snapshot.attribution.of_call(&handshake.in_force.headers, call, &mut record.context);
            }
        }
        record.body_read = true;
        record.conversation = body.conversation();
        if plugins.is_empty() {
            return Ok(());
        }
        self.charge(made, body.made_bytes())?;
        let Self { handshake, config, record, plugins, .. } = self;
        let mut request = Request {
            context: &mut record.context,
            head: RequestHead {
                method: &handshake.in_force.method,
                target: &handshake.target,
                path: &handshake.sent_path,
                version: Version::HTTP_11,
                host: &record.host,
                server_name: &config.route.server_name,
                headers: &handshake.in_force.headers,
            },
            uri: &handshake.uri,
            upstream: handshake.upstream.as_deref().unwrap_or_default(),
            models: &config.route.names,
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
                self.config.snapshot.metrics.plugin_panicked(plugin);
                self.record.plugin = Some(plugin);
                self.record.error = Some(Failure::PluginPanic.word());
                Box::new(Reply::error(protocol, ErrorKind::Internal, Failure::PluginPanic.message(), id))
            }
        }
    }

    fn sent(&mut self) {
        self.record.server.clone_from(&self.handshake.server);
        self.record.upstream_addrs.clone_from(&self.handshake.upstream_addrs);
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
}

//! A message of the client's that is read, and shown to the plugins where it asks for an answer.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use plugin_api::{Hashing, run_blocking};
use protocols::{CallMessage, ClientMessage};
use tokio::time::timeout;

use crate::engine::call_body::most_in_line;
use crate::exchange::failure::Failure;

use super::admission::Admission;
use super::call::MessageCall;
use super::call_config::CallConfig;
use super::handshake::Handshake;
use super::message::WholeMessage;

/// A message that is yet to be read.
pub struct UnreadMessage {
    handshake: Arc<Handshake>,
    config: CallConfig,
    /// Why the gateway takes no call on this connection.
    refused: Option<Failure>,
    message: WholeMessage,
}

/// A call that the plugins have seen.
pub struct Decided {
    /// Its message.
    pub message: WholeMessage,
    /// The call.
    pub call: Box<MessageCall>,
    /// What they say.
    pub admission: Admission,
}

/// What a message is.
pub enum Read {
    /// It asks for no answer.
    Other(WholeMessage),
    /// It asks for one: what the plugins will say.
    Call(BoxFuture<'static, Decided>),
    /// It is read on a blocking thread: what it is, once that is known, which is one of the others.
    Offloaded(BoxFuture<'static, Read>),
}

impl UnreadMessage {
    /// A message on the connection of this handshake, whose calls pass this configuration, or are `refused`.
    #[must_use]
    pub fn new(handshake: Arc<Handshake>, config: CallConfig, refused: Option<Failure>, message: WholeMessage) -> Self {
        Self { handshake, config, refused, message }
    }

    /// Reads it, at once if it is small.
    #[must_use]
    pub fn read(self) -> Read {
        let hashing = self.config.route.chain.needs().hashing();
        if self.message.payload.len() > most_in_line(self.handshake.endpoint, hashing) {
            let read = async move {
                let read = self.read_on_blocking_thread(hashing).await;
                self.sort(read)
            };
            return Read::Offloaded(read.boxed());
        }
        let read = read(&self.handshake, hashing, &self.message.payload);
        self.sort(Ok(read))
    }

    /// What the message is, once it has been read, or why that cannot be known. Then it may be a call.
    fn sort(self, read: Result<ClientMessage, Failure>) -> Read {
        match read {
            Ok(ClientMessage::Other) => Read::Other(self.message),
            Ok(ClientMessage::Call(call)) => Read::Call(self.decide(Ok(call)).boxed()),
            Err(failure) => Read::Call(self.decide(Err(failure)).boxed()),
        }
    }

    /// Reads it on a blocking thread, so that other connections of this worker go on.
    async fn read_on_blocking_thread(&self, hashing: Hashing) -> Result<ClientMessage, Failure> {
        let (handshake, payload) = (self.handshake.clone(), self.message.payload.clone());
        let limit = self.config.snapshot.limits.body_timeout;
        match timeout(limit, run_blocking(move || read(&handshake, hashing, &payload))).await {
            Ok(Some(read)) => Ok(read),
            Ok(None) => Err(Failure::Internal),
            Err(_) => Err(Failure::Busy),
        }
    }

    async fn decide(self, read: Result<Box<CallMessage>, Failure>) -> Decided {
        let Self { handshake, config, refused, message } = self;
        let mut call = MessageCall::begin(handshake, config);
        let admission = match read {
            Ok(read) => call.admit(*read, &message.payload, refused).await,
            Err(failure) => Admission::Refused(call.fail(failure, failure.message())),
        };
        Decided { message, call, admission }
    }
}

fn read(handshake: &Handshake, hashing: Hashing, payload: &[u8]) -> ClientMessage {
    ClientMessage::read(handshake.endpoint, payload, handshake.model.as_deref(), hashing)
}

//! A message of the client's that is read, and shown to the plugins where it asks for an answer.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use plugin_api::{Hashing, run_blocking};
use protocols::ClientMessage;
use tokio::time::timeout;

use crate::engine::call_body::most_in_line;
use crate::exchange::failure::Failure;

use super::admission::Admission;
use super::call::MessageCall;
use super::call_config::CallConfig;
use super::handshake::Handshake;
use super::message::Whole;

/// A message that is yet to be read.
pub struct Unread {
    handshake: Arc<Handshake>,
    config: CallConfig,
    /// Why the gateway takes no call on this connection.
    refused: Option<Failure>,
    message: Whole,
}

/// A message that the plugins have seen, if it is for them.
pub struct Judged {
    /// The message.
    pub message: Whole,
    /// Its call, and what the plugins say.
    pub call: Option<(Box<MessageCall>, Admission)>,
}

/// What became of a message at once.
pub enum Read {
    /// It asks for no answer.
    Other(Whole),
    /// It asks for one: what the plugins will say.
    Call(BoxFuture<'static, Judged>),
    /// It is still read.
    Aside(BoxFuture<'static, Judged>),
}

impl Unread {
    /// A message on the connection of this handshake, whose calls pass this configuration, or are `refused`.
    #[must_use]
    pub fn new(handshake: Arc<Handshake>, config: CallConfig, refused: Option<Failure>, message: Whole) -> Self {
        Self { handshake, config, refused, message }
    }

    /// Reads it, at once if it is small.
    #[must_use]
    pub fn read(self) -> Read {
        let needed = self.config.route.chain.needs().hashing();
        let hashing = if self.handshake.endpoint.has_turns { needed } else { Hashing::Nothing };
        if self.message.payload.len() > most_in_line(hashing) {
            let judged = async move {
                let read = self.read_aside(hashing).await;
                self.judge(read).await
            };
            return Read::Aside(judged.boxed());
        }
        match read(&self.handshake, hashing, &self.message.payload) {
            ClientMessage::Other => Read::Other(self.message),
            call @ ClientMessage::Call(_) => Read::Call(self.judge(Ok(call)).boxed()),
        }
    }

    /// Reads it on a blocking thread, so that other connections of this worker go on.
    async fn read_aside(&self, hashing: Hashing) -> Result<ClientMessage, Failure> {
        let (handshake, payload) = (self.handshake.clone(), self.message.payload.clone());
        let limit = self.config.snapshot.limits.body_timeout;
        match timeout(limit, run_blocking(move || read(&handshake, hashing, &payload))).await {
            Ok(Some(read)) => Ok(read),
            Ok(None) => Err(Failure::Internal),
            Err(_) => Err(Failure::Busy),
        }
    }

    async fn judge(self, read: Result<ClientMessage, Failure>) -> Judged {
        let Self { handshake, config, refused, message } = self;
        let call = match read {
            Ok(ClientMessage::Other) => None,
            Ok(ClientMessage::Call(read)) => {
                let mut call = MessageCall::begin(handshake, config);
                let admission = call.admit(*read, &message.payload, refused).await;
                Some((call, admission))
            }
            Err(failure) => {
                let mut call = MessageCall::begin(handshake, config);
                let event = call.fail(failure, failure.message());
                Some((call, Admission::Refused(event)))
            }
        };
        Judged { message, call }
    }
}

fn read(handshake: &Handshake, hashing: Hashing, payload: &[u8]) -> ClientMessage {
    ClientMessage::read(handshake.endpoint, payload, handshake.model.as_deref(), hashing)
}

//! An answer that the server has begun by itself, as it does when it hears that somebody has stopped speaking. It passes the plugins
//! like one that was asked for, while its events go on.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocols::{AnswerEvents, EventKind, ServerEvent};

use super::admission::Admission;
use super::call::MessageCall;
use super::call_config::CallConfig;
use super::handshake::Handshake;
use crate::exchange::failure::Failure;

/// A call that the plugins have not admitted yet.
pub struct BegunCall {
    id: Option<String>,
    admission: BoxFuture<'static, (Box<MessageCall>, Admission)>,
    /// What has come of its answer meanwhile.
    events: Option<AnswerEvents>,
    messages: Vec<Bytes>,
    has_ended: bool,
}

/// A call that the plugins have seen.
pub struct Seen {
    /// The call.
    pub call: Box<MessageCall>,
    /// What they say.
    pub admission: Admission,
    /// Whether its answer has ended.
    pub has_ended: bool,
}

impl BegunCall {
    /// The call of an answer that begins with this event, whose message is given. `refused` says why the gateway takes no call here.
    #[must_use]
    pub fn new(
        handshake: &Arc<Handshake>,
        config: CallConfig,
        refused: Option<Failure>,
        event: &ServerEvent<'_>,
        message: Vec<Bytes>,
    ) -> Self {
        let mut events = AnswerEvents::new(handshake.endpoint);
        events.read(event);
        let id = event.answer_id();
        let mut call = MessageCall::begin(handshake.clone(), config);
        call.answer_id = Some(id.clone().unwrap_or_default());
        // the address of some connections names none
        call.record.model = call.record.model.take().or_else(|| event.model());
        let admission = async move {
            let admission = call.admit_begun(refused).await;
            (call, admission)
        };
        Self { id, admission: admission.boxed(), events: Some(events), messages: message, has_ended: false }
    }

    /// Whether an event ends this answer.
    #[must_use]
    pub fn is_ended_by(&self, event: &ServerEvent<'_>) -> bool {
        event.kind() == EventKind::Ended && event.answer_id() == self.id && !self.has_ended
    }

    /// The answer has ended with this event, whose message is given.
    pub fn end(&mut self, event: &ServerEvent<'_>, message: Vec<Bytes>) {
        if let Some(events) = &mut self.events {
            events.read(event);
        }
        self.messages.extend(message);
        self.has_ended = true;
    }

    /// Waits for the plugins.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Seen> {
        let (mut call, admission) = ready!(self.admission.as_mut().poll(cx));
        self.messages.drain(..).for_each(|bytes| call.pass(&bytes));
        if let Some(events) = self.events.take() {
            call.adopt(events);
        }
        Poll::Ready(Seen { call, admission, has_ended: self.has_ended })
    }
}

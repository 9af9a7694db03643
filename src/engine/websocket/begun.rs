//! An answer that the server has begun by itself, as it does when it hears that somebody has stopped speaking. It passes the plugins
//! like one that was asked for, while its events go on.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocols::{AnswerEvents, EventKind, ServerEvent};

use super::call::{Admission, MessageCall};
use super::handshake::Handshake;

/// A call that the plugins have not admitted yet.
pub struct BegunCall {
    id: Option<String>,
    admission: BoxFuture<'static, (Box<MessageCall>, Admission)>,
    /// What has come of its answer meanwhile.
    events: Option<AnswerEvents>,
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
    /// The call of an answer that begins with this event.
    #[must_use]
    pub fn new(handshake: &Arc<Handshake>, event: &ServerEvent<'_>) -> Self {
        let mut events = AnswerEvents::new(handshake.endpoint);
        events.read(event);
        let id = event.answer_id();
        let mut call = MessageCall::begin(handshake.clone());
        call.answer_id = Some(id.clone().unwrap_or_default());
        let admission = async move {
            let admission = call.admit_begun().await;
            (call, admission)
        };
        Self { id, admission: admission.boxed(), events: Some(events), has_ended: false }
    }

    /// An event has been read; whether it is about this answer.
    pub fn note(&mut self, event: &ServerEvent<'_>) -> bool {
        let is_own = event.kind() == EventKind::Ended && event.answer_id() == self.id && !self.has_ended;
        if is_own {
            if let Some(events) = &mut self.events {
                events.read(event);
            }
            self.has_ended = true;
        }
        is_own
    }

    /// Waits for the plugins.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Seen> {
        let (mut call, admission) = ready!(self.admission.as_mut().poll(cx));
        if let Some(events) = self.events.take() {
            call.adopt(events);
        }
        Poll::Ready(Seen { call, admission, has_ended: self.has_ended })
    }
}

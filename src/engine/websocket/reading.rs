//! A WebSocket whose messages are read: those of the client pass the plugins, those of the server tell what the calls cost.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use log::debug;
use plugin_api::BODIES;
use protocols::ServerMessages;
use serde_json::json;
use websocket::CloseCode;

use crate::exchange::failure::Failure;

use super::admission::Admission;
use super::begun::{BegunCall, Seen};
use super::call::MessageCall;
use super::call_config::CallConfig;
use super::calls::Calls;
use super::closure::{BROKEN, Closure, random_mask};
use super::deciding::{Decided, Read, UnreadMessage};
use super::handshake::Handshake;
use super::inbound::{Inbound, Intake, Step};
use super::message::{HoldError, WholeMessage};
use super::outbound::{Observer, Outbound};
use super::pausable_deadline::PausableDeadline;

/// The most bytes of the gateway's own that a client may leave unread. Its messages wait beyond that.
const MOST_UNREAD: usize = 64 << 10;

/// The state of both sides' messages.
pub struct Reading {
    handshake: Arc<Handshake>,
    /// What the last call has passed, or the message that is coming in is held to.
    config: CallConfig,
    /// The client's side.
    pub inbound: Inbound,
    messages: ServerMessages,
    calls: Calls,
    /// When the message that is coming in must be whole. Paused while the client is not waited for.
    whole_by: PausableDeadline,
    /// The message that is read on a blocking thread.
    offloaded: Option<BoxFuture<'static, Read>>,
    /// The message that the plugins look at.
    decision: Option<BoxFuture<'static, Decided>>,
    begun: Vec<BegunCall>,
}

/// What the next bytes of the client lead to.
pub enum Next {
    /// Bytes must come.
    Read,
    /// Something else must happen first.
    Wait,
    /// Something has changed.
    Go,
    /// The connection must be closed.
    Close(Closure),
}

impl Reading {
    /// A connection whose messages are about to come, and the configuration of its handshake.
    #[must_use]
    pub fn new(handshake: Handshake, config: CallConfig) -> Self {
        let endpoint = handshake.endpoint;
        Self {
            inbound: Inbound::new(config.route.max_read, &BODIES),
            config,
            messages: ServerMessages::new(endpoint),
            calls: Calls::new(endpoint),
            whole_by: PausableDeadline::default(),
            offloaded: None,
            decision: None,
            begun: Vec::new(),
            handshake: Arc::new(handshake),
        }
    }

    /// Whether no call is open.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.calls.is_idle() && !self.holds_message() && self.begun.is_empty()
    }

    /// Whether a message has come in that has not gone on.
    fn holds_message(&self) -> bool {
        self.offloaded.is_some() || self.decision.is_some()
    }

    /// The client has all that has passed to it.
    pub fn delivered(&mut self) {
        self.calls.delivered();
    }

    /// The connection is over.
    pub fn conclude(&mut self, failure: Failure, lost: bool) {
        let _ = self.handshake.over.set(failure);
        self.calls.interrupt(failure, lost);
        (self.offloaded, self.decision) = (None, None);
        self.begun.clear();
    }

    /// Goes on with what the client has sent.
    pub fn step(&mut self, outbound: &mut Outbound, cx: &mut Context<'_>) -> Next {
        if self.calls.poll_doubtful(cx)
            || self.poll_begun(outbound, cx)
            || self.poll_offloaded(cx)
            || self.poll_decision(outbound, cx)
        {
            return Next::Go;
        }
        let is_full = || self.calls.is_full() || outbound.pending() >= MOST_UNREAD;
        let intake = match self.holds_message() {
            true => Intake::NoClose,
            false if is_full() => Intake::NoMessage,
            false => Intake::Open,
        };
        match self.inbound.step(intake) {
            Step::Wanting => Next::Read,
            Step::Waiting => Next::Wait,
            Step::Whole(message) => {
                self.whole_by.clear();
                self.read_message(message);
                Next::Go
            }
            Step::Broken(error) => {
                debug!(error:%; "a client broke the WebSocket protocol");
                Next::Close(BROKEN)
            }
            Step::HoldError(HoldError::TooLarge) => {
                let max = self.config.route.max_read;
                let words = format!("The message is larger than {max} bytes");
                let reason = "the message is too large";
                self.refuse_message(outbound, CloseCode::TooBig, reason, Failure::BodyTooLarge, &words)
            }
            Step::HoldError(HoldError::NoRoom(shortage)) => {
                let failure = Failure::BodyMemory(shortage);
                let reason = "there is no memory for the message";
                self.refuse_message(outbound, CloseCode::TryAgainLater, reason, failure, failure.message())
            }
        }
    }

    /// Bytes have come from the client.
    pub fn came(&mut self, bytes: &[u8]) {
        self.whole_by.pause();
        if !self.inbound.is_within_message() {
            // a message that begins now may be as large as the configuration in force says; whether a route takes it, is asked once it is
            // whole
            let _ = self.handshake.in_force.refresh(&mut self.config);
            self.inbound.max = self.config.route.max_read;
        }
        self.inbound.came(bytes);
    }

    /// The client has sent no more for now: whether it has taken too long for the message that is coming in.
    pub fn wait(&mut self, outbound: &mut Outbound, cx: &mut Context<'_>) -> Next {
        if !self.inbound.is_within_message() {
            return Next::Wait;
        }
        let timeout = self.config.snapshot.limits.body_timeout;
        if self.whole_by.poll(timeout, cx).is_pending() {
            return Next::Wait;
        }
        let failure = Failure::BodyTimeout;
        let reason = "the message takes too long";
        self.refuse_message(outbound, CloseCode::PolicyViolation, reason, failure, failure.message())
    }

    /// Refuses a message that has not been read, which ends the connection.
    fn refuse_message(
        &mut self,
        outbound: &mut Outbound,
        code: CloseCode,
        reason: &'static str,
        failure: Failure,
        words: &str,
    ) -> Next {
        let mut call = MessageCall::begin(self.handshake.clone(), self.config.clone());
        outbound.send_text(&call.fail(failure, words));
        self.calls.ending(call);
        Next::Close(Closure { code, reason, failure })
    }

    fn read_message(&mut self, message: WholeMessage) {
        let refused = self.handshake.in_force.refresh(&mut self.config).err();
        let unread = UnreadMessage::new(self.handshake.clone(), self.config.clone(), refused, message);
        self.sort(unread.read());
    }

    fn sort(&mut self, read: Read) {
        match read {
            // nearly every message: no plugin has to see it
            Read::Other(message) => self.inbound.send(message, None),
            Read::Offloaded(read) => self.offloaded = Some(read),
            Read::Call(decision) => {
                self.calls.give_up_waiting();
                self.decision = Some(decision);
            }
        }
    }

    /// Whether it is known what the message is that is read on a blocking thread.
    fn poll_offloaded(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(offloaded) = &mut self.offloaded else { return false };
        let Poll::Ready(read) = offloaded.as_mut().poll(cx) else { return false };
        self.offloaded = None;
        self.sort(read);
        true
    }

    /// Whether the plugins have decided on the client's message.
    fn poll_decision(&mut self, outbound: &mut Outbound, cx: &mut Context<'_>) -> bool {
        let Some(decision) = &mut self.decision else { return false };
        let Poll::Ready(Decided { message, call, admission }) = decision.as_mut().poll(cx) else { return false };
        self.decision = None;
        match admission {
            Admission::Admitted(edited) => {
                self.inbound.send(message, edited.as_deref());
                self.calls.open(call);
            }
            Admission::Refused(event) => {
                outbound.send_text(&event);
                self.calls.ending(call);
            }
        }
        true
    }

    /// Whether the plugins have decided on an answer that the server has begun.
    fn poll_begun(&mut self, outbound: &mut Outbound, cx: &mut Context<'_>) -> bool {
        let mut decided = Vec::new();
        self.begun.retain_mut(|begun| match begun.poll(cx) {
            Poll::Ready(seen) => {
                decided.push(seen);
                false
            }
            Poll::Pending => true,
        });
        let has_changed = !decided.is_empty();
        decided.into_iter().for_each(|seen| self.seen(seen, outbound));
        has_changed
    }

    fn seen(&mut self, seen: Seen, outbound: &mut Outbound) {
        let Seen { mut call, admission, has_ended } = seen;
        if let Admission::Refused(event) = admission {
            outbound.send_text(&event);
            if !has_ended {
                let cancel = json!({ "type": "response.cancel", "response_id": call.answer_id });
                self.inbound.send_own(random_mask(), cancel.to_string().as_bytes());
            }
        }
        if has_ended {
            call.complete();
            self.calls.ending(call);
        } else {
            self.calls.open(call);
        }
    }

    /// Bytes of the server are about to pass.
    pub fn pass(&mut self, bytes: Bytes, outbound: &mut Outbound) -> Result<Bytes, (Bytes, websocket::ProtocolError)> {
        // what has passed before has been written
        self.delivered();
        let passed = outbound.pass(bytes, self);
        // plugins that need not wait have decided before any more of the answer passes
        self.poll_begun(outbound, &mut Context::from_waker(Waker::noop()));
        passed
    }
}

impl Observer for Reading {
    fn payload(&mut self, bytes: Bytes) {
        self.messages.feed(&bytes);
        self.calls.pass(bytes);
    }

    fn end(&mut self) {
        let Self { messages, calls, begun, handshake, config, .. } = self;
        messages.end(|event| {
            if let Some(ended) = begun.iter_mut().find(|call| call.is_ended_by(event)) {
                ended.end(event, calls.take_message());
            } else if !calls.note(event) {
                let refused = handshake.in_force.refresh(config).err();
                begun.push(BegunCall::new(handshake, config.clone(), refused, event, calls.take_message()));
            }
        });
    }
}

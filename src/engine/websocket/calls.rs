//! The calls of one connection that are open, and which of them an event of the server is about.

use std::collections::VecDeque;

use bytes::Bytes;
use protocols::{EventKind, ServerEvent};

use crate::exchange::failure::Failure;

use super::call::MessageCall;

/// The most calls of one connection that are open. Further messages wait until one has ended.
pub const MOST: usize = 64;

/// The calls of one connection.
#[derive(Default)]
pub struct Calls {
    /// Those whose answers have not ended, the oldest first.
    open: VecDeque<Box<MessageCall>>,
    /// Those whose last bytes are on their way.
    #[expect(clippy::vec_box, reason = "a call moves from list to list as it is")]
    ending: Vec<Box<MessageCall>>,
}

impl Calls {
    /// A call goes upstream.
    pub fn open(&mut self, call: Box<MessageCall>) {
        self.open.push_back(call);
    }

    /// A call has ended; its last bytes are on their way.
    pub fn ending(&mut self, call: Box<MessageCall>) {
        self.ending.push(call);
    }

    /// How many answers have not ended.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// Bytes of an event pass to the client.
    pub fn pass(&mut self, bytes: &Bytes) {
        if let Some(call) = self.open.front_mut() {
            call.pass(bytes);
        }
    }

    /// An event has been read. `false` if it begins an answer that no message has asked for.
    pub fn note(&mut self, event: &ServerEvent<'_>) -> bool {
        match event.kind() {
            EventKind::Created => {
                let id = event.answer_id();
                match self.open.iter_mut().find(|call| call.answer_id.is_none()) {
                    Some(call) => {
                        call.answer_id = Some(id.unwrap_or_default());
                        call.read(event);
                    }
                    None => return false,
                }
            }
            EventKind::Ended => {
                if let Some(place) = self.place_of(event.answer_id().as_deref())
                    && let Some(mut call) = self.open.remove(place)
                {
                    call.read(event);
                    call.complete();
                    self.ending.push(call);
                }
            }
            EventKind::Error => {
                if let Some(place) = self.place_of_failed(event)
                    && let Some(mut call) = self.open.remove(place)
                {
                    call.reject(event);
                    self.ending.push(call);
                }
            }
            EventKind::Content => {
                if let Some(call) = self.open.front_mut() {
                    call.read(event);
                }
            }
            EventKind::Other => {}
        }
        true
    }

    /// The client has all that has passed.
    pub fn delivered(&mut self) {
        self.ending.drain(..).for_each(MessageCall::delivered);
    }

    /// The connection is over. `lost` says that the client has not got what is on its way.
    pub fn interrupt(&mut self, failure: Failure, lost: bool) {
        for call in self.ending.drain(..) {
            if lost { call.interrupt(failure) } else { call.delivered() }
        }
        self.open.drain(..).for_each(|call| call.interrupt(failure));
    }

    /// The call whose answer has this id; else the oldest whose answer has none yet, else the oldest.
    fn place_of(&self, id: Option<&str>) -> Option<usize> {
        let named = self.open.iter().position(|call| id.is_some() && call.answer_id.as_deref() == id);
        let unnamed = || self.open.iter().position(|call| call.answer_id.as_deref().is_none_or(str::is_empty));
        named.or_else(unnamed)
    }

    /// The call that the server does not answer: the one whose message the error names. An error that names none is about the
    /// oldest that has no answer yet and no name either; where messages are answered one by one, about the oldest.
    fn place_of_failed(&self, event: &ServerEvent<'_>) -> Option<usize> {
        let failed = event.failed_message();
        if let Some(failed) = failed {
            return self.open.iter().position(|call| call.event_id.as_deref() == Some(&*failed));
        }
        let waits = |call: &MessageCall| call.answer_id.is_none() && call.event_id.is_none();
        self.open.iter().position(|call| waits(call)).or(if self.is_sequential() {
            self.open.front().map(|_| 0)
        } else {
            None
        })
    }

    fn is_sequential(&self) -> bool {
        self.open.front().is_some_and(|call| call.is_sequential())
    }
}

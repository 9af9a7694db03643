//! The calls of one connection that are open, and which of them a message of the server is about.

use std::collections::VecDeque;

use bytes::Bytes;
use plugin_api::Endpoint;
use protocols::{EventKind, ServerEvent};

use crate::exchange::failure::Failure;

use super::call::MessageCall;

/// The most calls of one connection that are open. Further messages wait until one has ended.
pub const MOST: usize = 64;
/// How much of a message is held until it is known which call it is about. A longer one counts for the oldest answer.
const MOST_HELD: usize = 256 << 10;

/// The calls of one connection.
pub struct Calls {
    /// Those whose answers have not ended, the oldest first.
    open: VecDeque<Box<MessageCall>>,
    /// Those whose last bytes are on their way.
    #[expect(clippy::vec_box, reason = "a call moves from list to list as it is")]
    ending: Vec<Box<MessageCall>>,
    /// Whether calls are answered one by one, in their order.
    is_sequential: bool,
    /// What has come of the message that passes, where the calls are not answered one by one.
    message: Vec<Bytes>,
    held: usize,
    /// The id of the answer that ended last.
    ended: Option<String>,
}

impl Calls {
    /// The calls of a connection to this endpoint, of which there are none yet.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            open: VecDeque::new(),
            ending: Vec::new(),
            is_sequential: endpoint.websocket.is_some_and(|schema| !schema.server_begins),
            message: Vec::new(),
            held: 0,
            ended: None,
        }
    }

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

    /// Whether no answer is to come, as far as is known.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open.iter().all(|call| call.is_doubtful())
    }

    /// Bytes of a message pass to the client.
    pub fn pass(&mut self, bytes: Bytes) {
        self.held += bytes.len();
        let oldest = if self.is_sequential { Some(0) } else { self.answering().filter(|_| self.held > MOST_HELD) };
        match oldest.and_then(|place| self.open.get_mut(place)) {
            Some(call) => self.message.drain(..).chain([bytes]).for_each(|bytes| call.pass(&bytes)),
            None if self.is_sequential || self.held > MOST_HELD => {}
            None => self.message.push(bytes),
        }
    }

    /// What is held of the message that has passed, for a call that is not open here.
    pub fn take_message(&mut self) -> Vec<Bytes> {
        self.held = 0;
        std::mem::take(&mut self.message)
    }

    /// The message that has passed has been read. `false` if it begins an answer that no open call waits for.
    pub fn note(&mut self, event: &ServerEvent<'_>) -> bool {
        let kind = event.kind();
        let place = match kind {
            EventKind::Created => self.waiting(),
            EventKind::Ended => self.place_of_ended(event.answer_id()),
            EventKind::Error => self.place_of_failed(event),
            EventKind::Content | EventKind::Other => self.answering(),
        };
        if kind == EventKind::Created && place.is_none() {
            return false;
        }
        if let Some(call) = place.and_then(|place| self.open.get_mut(place)) {
            self.message.drain(..).for_each(|bytes| call.pass(&bytes));
            match kind {
                EventKind::Created => call.begins(event),
                EventKind::Ended => {
                    call.read(event);
                    call.complete();
                }
                EventKind::Error => call.reject(event),
                EventKind::Content => call.read(event),
                EventKind::Other => {}
            }
        }
        if let (EventKind::Ended | EventKind::Error, Some(place)) = (kind, place)
            && let Some(call) = self.open.remove(place)
        {
            self.ended.clone_from(&call.answer_id);
            self.ending.push(call);
        }
        self.message.clear();
        self.held = 0;
        true
    }

    /// Gives up the calls that may have failed, because the client makes another: it has taken them for failed.
    pub fn give_up_doubtful(&mut self) {
        while let Some(place) = self.open.iter().position(|call| call.is_doubtful())
            && let Some(mut call) = self.open.remove(place)
        {
            call.give_up();
            self.ending.push(call);
        }
    }

    /// The client has all that has passed.
    pub fn delivered(&mut self) {
        self.ending.drain(..).for_each(MessageCall::delivered);
    }

    /// The connection is over. `lost` says that the client has not got what is on its way.
    pub fn interrupt(&mut self, failure: Failure, lost: bool) {
        self.give_up_doubtful();
        for call in self.ending.drain(..) {
            if lost { call.interrupt(failure) } else { call.delivered() }
        }
        self.open.drain(..).for_each(|call| call.interrupt(failure));
    }

    /// The oldest call whose answer has not begun.
    fn waiting(&self) -> Option<usize> {
        self.open.iter().position(|call| call.answer_id.is_none())
    }

    /// The oldest call whose answer has begun. Where several come at once, their pieces are not told apart; what they cost is, since
    /// it stands in their last events.
    fn answering(&self) -> Option<usize> {
        self.open.iter().position(|call| call.answer_id.is_some())
    }

    /// The call whose answer has ended: the one with this id. Where there is none, it is the oldest whose answer has begun without an
    /// id, or, of calls that are answered one by one, the oldest that waits, unless the same answer has ended before.
    fn place_of_ended(&self, id: Option<String>) -> Option<usize> {
        let first_waits = || self.waiting().filter(|place| self.is_sequential && *place == 0);
        let Some(id) = id else { return self.answering().or_else(first_waits) };
        let place = |wanted: &str| self.open.iter().position(|call| call.answer_id.as_deref() == Some(wanted));
        let is_repeated = self.ended.as_deref() == Some(&*id);
        place(&id).or_else(|| if is_repeated { None } else { place("").or_else(first_waits) })
    }

    /// The call that an error ends. Where calls are answered one by one, that is the oldest. Elsewhere it is the one whose message the
    /// error names. An error that names none may be about any message of the client's: the oldest call that waits, and whose message
    /// has no name either, becomes doubtful.
    fn place_of_failed(&mut self, event: &ServerEvent<'_>) -> Option<usize> {
        if self.is_sequential {
            return (!self.open.is_empty()).then_some(0);
        }
        if let Some(failed) = event.failed_message() {
            return self.open.iter().position(|call| call.event_id.as_deref() == Some(&*failed));
        }
        let may_be_meant =
            |call: &&mut Box<MessageCall>| call.answer_id.is_none() && call.event_id.is_none() && !call.is_doubtful();
        if let Some(call) = self.open.iter_mut().find(may_be_meant) {
            call.doubt(event);
        }
        None
    }
}

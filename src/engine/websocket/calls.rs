//! The calls of one connection that are open, and which of them a message of the server is about.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use plugin_api::Endpoint;
use protocols::{AnswerEvents, EventKind, ServerEvent};
use tokio::time::{Sleep, sleep};

use crate::exchange::failure::Failure;

use super::call::MessageCall;

/// The most calls of one connection that are open. Further messages wait until one has ended.
const MOST: usize = 64;
/// How long a doubtful call waits for its answer to begin.
const DOUBT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a message is held until it is known which call it is about. A longer one counts for the oldest answer.
const MOST_HELD: usize = 256 << 10;

/// The calls of one connection.
pub struct Calls {
    endpoint: Endpoint,
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
    /// When the doubtful calls have waited long enough.
    doubt_ends: Option<Pin<Box<Sleep>>>,
}

impl Calls {
    /// The calls of a connection to this endpoint, of which there are none yet.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            open: VecDeque::new(),
            ending: Vec::new(),
            is_sequential: endpoint.websocket.is_some_and(|schema| !schema.server_begins),
            message: Vec::new(),
            held: 0,
            ended: None,
            doubt_ends: None,
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

    /// Whether no further call may be open. Doubtful ones do not count: those that wait are given up for the next.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.open.len() >= MOST && self.open.iter().filter(|call| !call.is_doubtful()).count() >= MOST
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
            EventKind::Created => {
                self.give_up_begun();
                self.waiting()
            }
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
            && let Some(mut call) = self.open.remove(place)
        {
            self.ended.clone_from(&call.answer_id);
            if let Some(error) = call.take_doubt().filter(|_| !call.has_failed()) {
                // it was about another message: perhaps the next call's
                self.doubt(error, |call| !call.has_begun());
            }
            self.ending.push(call);
        }
        self.message.clear();
        self.held = 0;
        true
    }

    /// Gives up the calls that may have failed before their answers began, because the client makes another: it has taken them for
    /// failed. An answer that has begun is none of the client's to end.
    pub fn give_up_waiting(&mut self) {
        self.give_up(|call| !call.has_begun());
    }

    /// Gives up the calls whose answers should have begun by now, if an error was not about them; whether there were any.
    pub fn poll_doubtful(&mut self, cx: &mut Context<'_>) -> bool {
        let waits = self.open.iter().any(|call| call.is_doubtful() && !call.has_begun());
        // where calls are answered one by one, the server has not come to them before the answer has ended that goes on
        if !waits || self.is_sequential && self.answering().is_some() {
            self.doubt_ends = None;
            return false;
        }
        let ends = self.doubt_ends.get_or_insert_with(|| Box::pin(sleep(DOUBT_TIMEOUT)));
        let is_over = ends.as_mut().poll(cx).is_ready();
        if is_over {
            self.doubt_ends = None;
            self.give_up_waiting();
        }
        is_over
    }

    /// Gives up the answers that may have failed, because the server goes on with another.
    fn give_up_begun(&mut self) {
        self.give_up(MessageCall::has_begun);
    }

    /// Gives up those of the doubtful calls.
    fn give_up(&mut self, which: impl Fn(&MessageCall) -> bool) {
        while let Some(place) = self.open.iter().position(|call| call.is_doubtful() && which(call))
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
        self.give_up(|_| true);
        for call in self.ending.drain(..) {
            if lost { call.interrupt(failure) } else { call.delivered() }
        }
        self.open.drain(..).for_each(|call| call.interrupt(failure));
    }

    /// The oldest call whose answer has not begun.
    fn waiting(&self) -> Option<usize> {
        self.open.iter().position(|call| !call.has_begun())
    }

    /// The oldest call whose answer has begun. Where several come at once, their pieces are not told apart; what they cost is, since
    /// it stands in their last events.
    fn answering(&self) -> Option<usize> {
        self.open.iter().position(|call| call.has_begun())
    }

    /// The call whose answer has ended: the one with this id. Where there is none, it is the oldest whose answer has begun without an
    /// id, or, of calls that are answered one by one, the oldest that waits, unless the same answer has ended before.
    fn place_of_ended(&mut self, id: Option<String>) -> Option<usize> {
        let Some(id) = id else { return self.answering().or_else(|| self.first_waiting()) };
        let place = |wanted: &str| self.open.iter().position(|call| call.answer_id.as_deref() == Some(wanted));
        let is_repeated = self.ended.as_deref() == Some(&*id);
        if let Some(place) = place(&id).or_else(|| place("").filter(|_| !is_repeated)) {
            return Some(place);
        }
        if is_repeated {
            return None;
        }
        self.give_up_begun();
        self.first_waiting()
    }

    /// The oldest call of all, if its answer has not begun and calls are answered one by one.
    fn first_waiting(&self) -> Option<usize> {
        self.waiting().filter(|place| self.is_sequential && *place == 0)
    }

    /// The call that an error ends: one whose answer has not begun, and which the error names or, where calls are answered one by one,
    /// which the server has come to. Any other error may be about a message that asks for no answer. It makes the oldest call doubtful
    /// that it may be about, so that no message that the server refuses ends the account of an answer that goes on. Where answers come
    /// several at once, each has an end of its own, however it fails.
    fn place_of_failed(&mut self, event: &ServerEvent<'_>) -> Option<usize> {
        let first = self.first_waiting();
        if first.is_some() {
            return first;
        }
        let named = if self.is_sequential { None } else { event.failed_message() };
        if named.is_some() {
            return self.open.iter().position(|call| !call.has_begun() && call.event_id == named);
        }
        let mut error = AnswerEvents::new(self.endpoint);
        error.read(event);
        let is_sequential = self.is_sequential;
        self.doubt(error, |call| is_sequential || !call.has_begun() && call.event_id.is_none());
        None
    }

    /// Makes the oldest call doubtful of those that an error may be about, and that are not yet.
    fn doubt(&mut self, error: AnswerEvents, may_be_meant: impl Fn(&MessageCall) -> bool) {
        if let Some(call) = self.open.iter_mut().find(|call| !call.is_doubtful() && may_be_meant(call)) {
            call.doubt(error);
            self.doubt_ends = None;
        }
    }
}

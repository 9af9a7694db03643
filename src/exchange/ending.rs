//! How an exchange ends, as one small state machine. The bytes of the response and the cause of the end go in, and one verdict for the
//! record comes out. It writes nothing and calls no one.

use std::time::Duration;

use plugin_api::Outcome;

use super::deadlines::Expired;
use super::failure::Failure;

/// How far an exchange has come to its end.
#[derive(Debug, Default)]
pub struct Ending {
    stage: Stage,
    /// How an exchange that is answered here ends if the client gets the answer.
    answered_here: Option<Outcome>,
    /// How long the response's body says it is.
    length: Option<u64>,
    /// How much of that has come.
    passed: u64,
    /// How much of that had been written to the client when the last of it came.
    written: u64,
    /// When the response said that it is complete, if it has.
    complete: Option<Complete>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The plugins have the record of an exchange whose client gets all that is about to be sent.
    Predicted,
    /// The record is made, or is another's to make.
    Over,
}

/// A response is complete, whatever comes behind it.
#[derive(Clone, Copy, Debug)]
struct Complete {
    /// With so many bytes of its body.
    bytes: u64,
    /// So long after the request's head.
    after: Duration,
}

/// Which part of a response's body a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// More will come.
    Some,
    /// The response says that it is complete with it (`message_stop`, `[DONE]`): the client may leave, whenever its end comes.
    Complete,
    /// The last.
    Last,
}

/// A piece of the body that is about to go to the client.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Its bytes.
    pub bytes: u64,
    /// The bytes of the body that have been written before it.
    pub written: u64,
    /// Which part of the whole it is.
    pub part: Part,
}

/// How much was sent to a client when its connection, or its server's, failed.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Bytes of the body.
    pub bytes: u64,
    /// How long the body was said to be; `None` where that was not said, or no head was sent.
    pub length: Option<u64>,
    /// Whether the last of them may still be in a buffer.
    pub may_be_unflushed: bool,
}

/// How much the client of a detached call has received, by the request that relays the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Bytes of the body.
    pub bytes: u64,
    /// Whether the client left before it had a complete response.
    pub left: bool,
}

/// The end of an exchange, for its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How the exchange ended.
    pub outcome: Outcome,
    /// By which failure; `None` where it had none.
    pub failure: Option<Failure>,
    /// Bytes of the body that the client has.
    pub response_bytes: u64,
    /// How long it took, where that is not until now: to the event with which the response was complete.
    pub took: Option<Duration>,
}

impl Verdict {
    /// A response that says that it failed is a failure of the upstream, though its status says that all is well.
    #[must_use]
    pub fn of_response(self, says_it_failed: bool) -> Self {
        let failed = says_it_failed && self.outcome == Outcome::Completed;
        if failed { Self { outcome: Outcome::UpstreamFailed, ..self } } else { self }
    }
}

impl Ending {
    /// An answer made here goes to the client; if the client gets it, the exchange ends like this.
    pub fn answered_here(&mut self, outcome: Outcome) {
        self.answered_here = Some(outcome);
    }

    /// A head is about to go to the client, before a body of this length, if that is known; 0 where there is none. Whether the end
    /// is to be predicted now.
    #[must_use]
    pub fn head(&mut self, length: Option<u64>) -> bool {
        (self.length, self.passed, self.written) = (length, 0, 0);
        self.stage == Stage::Open && length == Some(0)
    }

    /// A piece of the body is about to go to the client. Whether the end is to be predicted now; `after` says how long the exchange
    /// has lasted.
    #[must_use]
    pub fn piece(&mut self, piece: Piece, after: impl FnOnce() -> Duration) -> bool {
        self.written = piece.written;
        self.passed += piece.bytes;
        if piece.part == Part::Complete && self.complete.is_none() {
            self.complete = Some(Complete { bytes: self.passed, after: after() });
        }
        // Pingora may report the end of a body of known length only after its last byte
        let last = piece.part != Part::Some || self.length == Some(self.passed);
        self.stage == Stage::Open && last
    }

    /// The bytes of the body with which the response is complete, once it has said so.
    #[must_use]
    pub fn complete_at(&self) -> Option<u64> {
        self.complete.map(|complete| complete.bytes)
    }

    /// The verdict if the client gets all that is about to be sent.
    pub fn predict(&mut self, failure: Option<Failure>, relayed: Option<Relayed>) -> Verdict {
        if self.stage == Stage::Open {
            self.stage = Stage::Predicted;
        }
        let left = relayed.filter(|relayed| relayed.left);
        self.verdict(failure, false, left.is_some(), left.map_or(self.passed, |relayed| relayed.bytes))
    }

    /// Whether the client has all of the response, so that nothing that fails now takes it away: the response has said that it is
    /// complete, or is as long as it said.
    #[must_use]
    pub fn is_delivered(&self, sent: Sent) -> bool {
        let complete = self.complete.is_some_and(|complete| complete.bytes <= sent.bytes);
        !sent.may_be_unflushed && (complete || sent.length == Some(sent.bytes))
    }

    /// Nothing more goes to the client, which has so many bytes of the body. With `broken` the failure goes before what an answer
    /// made here says. `None` if the exchange has ended before.
    #[must_use]
    pub fn end(&mut self, failure: Option<Failure>, broken: bool, client: Relayed) -> Option<Verdict> {
        self.close().then(|| self.verdict(failure, broken, client.left, client.bytes))
    }

    /// The exchange is dropped before its end: by a deadline that passed, a stop, or a panic. `None` if it has ended before.
    #[must_use]
    pub fn cut(&mut self, expired: Option<Expired>, relayed: Option<Relayed>) -> Option<Verdict> {
        if !self.close() {
            return None;
        }
        let client = relayed.unwrap_or_else(|| {
            // a stalled client may not have accepted the last piece
            let bytes = if expired == Some(Expired::Stalled) { self.written } else { self.passed };
            Relayed { bytes, left: false }
        });
        if !client.left && self.complete.is_some_and(|complete| complete.bytes <= client.bytes) {
            return Some(self.verdict(None, false, false, client.bytes));
        }
        let failure = match expired {
            // a detached call without its client, ended when it was unwanted
            _ if client.left => Failure::ClientGone,
            Some(Expired::Idle) => Failure::IdleTimeout,
            Some(Expired::Stalled | Expired::RequestBody) => Failure::ClientGone,
            Some(Expired::Send) => Failure::SendTimeout,
            Some(Expired::FirstByte) => Failure::FirstByteTimeout,
            Some(Expired::Upgraded) => Failure::UpgradedTimeout,
            Some(Expired::RequestHead | Expired::Total) => Failure::TotalTimeout,
            None => Failure::Aborted,
        };
        let outcome = failure.outcome();
        Some(Verdict { outcome, failure: Some(failure), response_bytes: client.bytes, took: None })
    }

    /// Another exchange carries this one on, and makes the record.
    pub fn hand_off(&mut self) {
        self.stage = Stage::Over;
    }

    /// Whether the record is made, or is another's to make.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Whether it was open until now.
    fn close(&mut self) -> bool {
        std::mem::replace(&mut self.stage, Stage::Over) != Stage::Over
    }

    fn verdict(&self, failure: Option<Failure>, broken: bool, left: bool, response_bytes: u64) -> Verdict {
        let (outcome, failure) = match (failure, self.answered_here) {
            _ if left => (Outcome::ClientGone, Some(Failure::ClientGone)),
            (Some(failure), here) if broken || here.is_none() => (failure.outcome(), Some(failure)),
            (_, here) => (here.unwrap_or(Outcome::Completed), None),
        };
        let delivered = matches!(outcome, Outcome::Completed | Outcome::Cached);
        let took = self.complete.filter(|_| delivered).map(|complete| complete.after);
        Verdict { outcome, failure, response_bytes, took }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

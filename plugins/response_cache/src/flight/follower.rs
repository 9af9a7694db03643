//! A follower: reads the answer to an identical call in flight at its own pace.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::{Ended, Flight};
use crate::entry::Entry;
use crate::stored_head::StoredHead;

/// The largest piece that a follower gets at once, in bytes.
pub(super) const AT_ONCE: usize = 64 << 10;

/// A reader of a flight's answer. Dropping it leaves the flight.
#[derive(Debug)]
pub(crate) struct Follower {
    flight: Arc<Flight>,
    changed: watch::Receiver<()>,
    /// The offset of the next byte.
    next: usize,
}

/// What a follower gets first.
#[derive(Debug)]
pub(crate) enum First {
    /// The head of the answer; the body follows as it arrives.
    Head(Arc<StoredHead>),
    /// A stored answer.
    Found(Arc<Entry>),
    /// The leader left before the call was sent; another call must lead.
    Again,
    /// The call failed; each follower makes its own call.
    Alone,
}

/// What a follower finds when it looks for more.
enum More {
    Bytes(Bytes),
    End,
    Broken,
    NotYet,
}

/// An answer broke off, or this follower fell too far behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Broken,
    Behind,
}

impl Follower {
    /// A follower that the flight has counted already.
    pub(super) fn new(flight: Arc<Flight>, changed: watch::Receiver<()>) -> Self {
        Self { flight, changed, next: 0 }
    }

    /// The flight that it follows.
    pub(crate) fn flight(&self) -> Arc<Flight> {
        self.flight.clone()
    }

    /// Waits for the head.
    pub(crate) async fn first(&mut self) -> First {
        loop {
            {
                let state = self.flight.state();
                if let Some(head) = &state.head {
                    return First::Head(head.clone());
                }
                match &state.end {
                    Some(Ended::Found(entry)) => return First::Found(entry.clone()),
                    Some(Ended::Left) => return First::Again,
                    Some(Ended::Failed | Ended::Broken | Ended::Whole) => return First::Alone,
                    None => {}
                }
            }
            if self.changed.changed().await.is_err() {
                return First::Alone;
            }
        }
    }

    /// Waits for more of the body; `None` at its clean end.
    pub(crate) async fn more(&mut self) -> Option<Result<Bytes, Cut>> {
        loop {
            match self.look() {
                More::Bytes(bytes) => return Some(Ok(bytes)),
                More::End => return None,
                More::Broken => return Some(Err(Cut::Broken)),
                More::NotYet => {}
            }
            if self.next < self.flight.state().body.gone() {
                return Some(Err(Cut::Behind));
            }
            if self.changed.changed().await.is_err() {
                return Some(Err(Cut::Broken));
            }
        }
    }

    fn look(&mut self) -> More {
        let state = self.flight.state();
        // all buffered bytes go out at once
        let Some(bytes) = state.copy(self.next, AT_ONCE) else { return More::NotYet };
        if bytes.is_empty() {
            return match &state.end {
                None => More::NotYet,
                Some(Ended::Whole) => More::End,
                Some(_) => More::Broken,
            };
        }
        self.next += bytes.len();
        More::Bytes(bytes)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.flight.change(|state| state.followers -= 1);
    }
}

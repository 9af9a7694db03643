//! One who waits for the answer to somebody else's call, and gets all of it at its own pace.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::{Ended, Flight};
use crate::entry::Entry;
use crate::stored_head::StoredHead;

/// The most that is put together for a follower at once.
const AT_ONCE: usize = 64 << 10;

/// One who waits for the answer to somebody else's call. Dropped when it leaves.
#[derive(Debug)]
pub(crate) struct Follower {
    flight: Arc<Flight>,
    changed: watch::Receiver<()>,
    /// The number of the byte that comes next.
    next: usize,
}

/// What a follower gets first.
#[derive(Debug)]
pub(crate) enum First {
    /// The head of the answer; the rest comes as it comes.
    Head(Arc<StoredHead>),
    /// An answer that is kept.
    Found(Arc<Entry>),
    /// Nothing was asked: somebody else must.
    Again,
    /// The call failed; each may try for itself.
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
    /// One whom the flight has counted.
    pub(super) fn new(flight: Arc<Flight>, changed: watch::Receiver<()>) -> Self {
        Self { flight, changed, next: 0 }
    }

    /// The call whose answer it shares.
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
        // what has gathered goes out at once
        let Some(bytes) = state.body.copy(self.next, AT_ONCE) else { return More::NotYet };
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

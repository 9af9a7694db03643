//! A call on its way and all who wait for its answer: the leader, whose call it is, brings it piece by piece, and every
//! follower gets all of it at its own pace. Knows nothing of how calls are told apart.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::entry::Entry;
use crate::replayed::Head;

/// How far a follower may lag behind an answer that is not kept as a whole, in bytes.
const LAG: usize = 1 << 20;
/// The most that is put together for a follower at once.
const AT_ONCE: usize = 64 << 10;

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Flight {
    state: Mutex<State>,
    /// Told whenever something has changed.
    changed: watch::Sender<()>,
    max_entry: usize,
    held: Arc<Held>,
}

/// What all flights of a process hold in memory, and may hold at most; beyond, answers pass without being kept.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: AtomicUsize,
}

impl Held {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct State {
    head: Option<Arc<Head>>,
    /// The pieces that are still there, and how many came before them.
    pieces: VecDeque<Bytes>,
    dropped: usize,
    bytes: usize,
    /// Whether all pieces are still there.
    whole: bool,
    end: Option<Ended>,
    followers: usize,
    /// Whether the leader's client has left, and nobody else was there.
    given_up: bool,
}

/// How a flight ended.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// The answer is there in full.
    Whole,
    /// It broke off behind its head.
    Broken,
    /// The leader left before anything had been asked.
    Left,
    /// No answer came at all.
    Failed,
    /// The answer was found elsewhere.
    Found(Arc<Entry>),
}

/// What a follower gets first.
#[derive(Debug)]
pub(crate) enum First {
    /// The head of the answer; the rest comes as it comes.
    Head(Arc<Head>),
    /// An answer that is kept.
    Found(Arc<Entry>),
    /// Nothing was asked: somebody else must.
    Again,
    /// The call failed; each may try for itself.
    Alone,
}

impl Flight {
    pub(crate) fn new(max_entry: usize, held: Arc<Held>) -> Arc<Self> {
        let state = State { whole: true, ..State::default() };
        Arc::new(Self { state: Mutex::new(state), changed: watch::Sender::new(()), max_entry, held })
    }

    /// One more who waits for the answer; `None` if it is too late to have all of it.
    pub(crate) fn follow(self: &Arc<Self>) -> Option<Follower> {
        let mut state = self.state();
        if !state.whole || state.given_up || state.end.as_ref().is_some_and(|end| !matches!(end, Ended::Whole)) {
            return None;
        }
        state.followers += 1;
        Some(Follower { changed: self.changed.subscribe(), flight: self.clone(), next: 0 })
    }

    /// The answer begins.
    pub(crate) fn begin(&self, head: Head) {
        self.change(|state| state.head = Some(Arc::new(head)));
    }

    /// A piece of the answer, of which a copy is kept: the piece itself may hold a far larger buffer. Whether the answer
    /// so far is kept as a whole.
    pub(crate) fn push(&self, piece: &[u8], budget: usize) -> bool {
        let mut state = self.state();
        if !state.whole && state.followers == 0 {
            self.release(&mut state, 0);
            return false;
        }
        if piece.is_empty() {
            return state.whole;
        }
        if state.bytes + piece.len() > self.max_entry || self.held.bytes() + piece.len() > budget {
            state.whole = false;
        }
        if state.whole || state.followers > 0 {
            state.pieces.push_back(Bytes::copy_from_slice(piece));
            state.bytes += piece.len();
            self.held.bytes.fetch_add(piece.len(), Ordering::Relaxed);
        }
        if !state.whole {
            let most = if state.followers == 0 { 0 } else { LAG.max(piece.len()) };
            self.release(&mut state, most);
        }
        let (whole, followed) = (state.whole, state.followers > 0);
        drop(state);
        if followed {
            self.changed.send_replace(());
        }
        whole
    }

    /// The flight has ended; only the first end counts.
    pub(crate) fn end(&self, end: Ended) {
        self.change(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// The whole body, in a buffer of just its size; `None` if it is not kept as a whole.
    pub(crate) fn body(&self) -> Option<Bytes> {
        let state = self.state();
        if !state.whole || !matches!(state.end, Some(Ended::Whole)) {
            return None;
        }
        let mut body = Vec::with_capacity(state.bytes);
        state.pieces.iter().for_each(|piece| body.extend_from_slice(piece));
        Some(body.into())
    }

    /// Returns once nobody waits for the answer; then nobody can begin to.
    pub(crate) async fn unwanted(&self) {
        let mut changed = self.changed.subscribe();
        loop {
            {
                let mut state = self.state();
                if state.followers == 0 {
                    state.given_up = true;
                    return;
                }
            }
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Returns once the flight has ended.
    pub(crate) async fn ended(&self) {
        let mut changed = self.changed.subscribe();
        while self.state().end.is_none() && changed.changed().await.is_ok() {}
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.state().head.is_some()
    }

    /// Lets the oldest pieces go until no more than this is left.
    fn release(&self, state: &mut State, most: usize) {
        while state.bytes > most
            && let Some(piece) = state.pieces.pop_front()
        {
            state.dropped += 1;
            state.bytes -= piece.len();
            self.held.bytes.fetch_sub(piece.len(), Ordering::Relaxed);
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let bytes = self.state.get_mut().unwrap_or_else(PoisonError::into_inner).bytes;
        self.held.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// One who waits for the answer to somebody else's call. Dropped when it leaves.
#[derive(Debug)]
pub(crate) struct Follower {
    flight: Arc<Flight>,
    changed: watch::Receiver<()>,
    /// The number of the piece that comes next.
    next: usize,
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
            if self.next < self.flight.state().dropped {
                return Some(Err(Cut::Behind));
            }
            if self.changed.changed().await.is_err() {
                return Some(Err(Cut::Broken));
            }
        }
    }

    fn look(&mut self) -> More {
        let state = self.flight.state();
        let Some(from) = self.next.checked_sub(state.dropped) else { return More::NotYet };
        let mut pieces = state.pieces.range(from.min(state.pieces.len())..);
        let Some(first) = pieces.next() else {
            return match &state.end {
                None => More::NotYet,
                Some(Ended::Whole) => More::End,
                Some(_) => More::Broken,
            };
        };
        // what has gathered goes out at once
        let mut length = first.len();
        let more: Vec<&Bytes> = pieces
            .take_while(|piece| {
                length += piece.len();
                length <= AT_ONCE
            })
            .collect();
        self.next += 1 + more.len();
        if more.is_empty() {
            return More::Bytes(first.clone());
        }
        let mut all = Vec::with_capacity(first.len() + more.iter().map(|piece| piece.len()).sum::<usize>());
        all.extend_from_slice(first);
        more.iter().for_each(|piece| all.extend_from_slice(piece));
        More::Bytes(all.into())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.flight.change(|state| state.followers -= 1);
    }
}

#[cfg(test)]
mod tests;

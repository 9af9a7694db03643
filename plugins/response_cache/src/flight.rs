//! A call in flight: its leader pushes the answer piece by piece, and every follower reads all of it at its own pace. Knows
//! nothing of keys.

mod follower;
mod rope;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use plugin_api::Answer;
use tokio::sync::watch;

use crate::entry::Entry;
use crate::stored_head::StoredHead;

use rope::Rope;

pub(crate) use follower::{Cut, First, Follower};

/// How far a follower may lag behind an answer that is not buffered as a whole, in bytes of memory.
const LAG: usize = 1 << 20;
/// The same while all flights together are at their memory limit.
const SHORT_LAG: usize = 64 << 10;

/// A call in flight.
#[derive(Debug)]
pub(crate) struct Flight {
    state: Mutex<State>,
    /// Notified of every change, once anybody waits for one. Most calls nobody follows.
    changed: OnceLock<watch::Sender<()>>,
    max_entry: usize,
    held: Arc<HeldBytes>,
}

/// The bytes that all flights of the process hold in memory.
#[derive(Debug, Default)]
pub(crate) struct HeldBytes {
    bytes: AtomicUsize,
}

impl HeldBytes {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A flight holds so many bytes that held so many before.
    fn change(&self, before: usize, after: usize) {
        if after > before {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else if before > after {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    head: Option<Arc<StoredHead>>,
    /// The bytes that are buffered.
    body: Rope,
    /// All bytes of an answer that was complete with its first piece; `body` has none then.
    single: Bytes,
    /// Whether these are all bytes since the beginning.
    whole: bool,
    end: Option<Ended>,
    /// The facts of the complete answer, if there are followers.
    answer: Option<Box<Answer>>,
    followers: usize,
    /// Whether the leader's client left while there were no followers.
    given_up: bool,
}

/// How a flight ended.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// The answer is complete.
    Whole,
    /// The answer broke off after its head.
    Broken,
    /// The leader left before the call was sent.
    Left,
    /// There is no answer.
    Failed,
    /// The answer was found in a cache.
    Found(Arc<Entry>),
}

impl State {
    /// Whether the answer can be had from its beginning, and is or may become complete.
    fn can_be_followed(&self) -> bool {
        self.whole && !self.given_up && self.end.as_ref().is_none_or(|end| matches!(end, Ended::Whole))
    }

    /// At most so many bytes from this offset on; `None` if they are not buffered any more.
    fn copy(&self, from: usize, most: usize) -> Option<Bytes> {
        if self.single.is_empty() {
            return self.body.copy(from, most);
        }
        let behind = self.single.len().min(from.saturating_add(most));
        (from <= behind).then(|| self.single.slice(from..behind))
    }
}

impl Flight {
    pub(crate) fn new(max_entry: usize, held: Arc<HeldBytes>) -> Arc<Self> {
        let state = State { whole: true, ..State::default() };
        Arc::new(Self { state: Mutex::new(state), changed: OnceLock::new(), max_entry, held })
    }

    /// Adds a follower; `None` if the beginning of the answer is gone, or the flight has ended without a complete answer.
    pub(crate) fn follow(self: &Arc<Self>) -> Option<Follower> {
        let mut state = self.state();
        if !state.can_be_followed() {
            return None;
        }
        state.followers += 1;
        drop(state);
        // the leader may wait for its first follower
        self.notify();
        Some(Follower::new(self.clone(), self.subscribe()))
    }

    /// Whether [`follow`](Self::follow) would add a follower.
    pub(crate) fn can_be_followed(&self) -> bool {
        self.state().can_be_followed()
    }

    /// The answer begins.
    pub(crate) fn begin(&self, head: Arc<StoredHead>) {
        self.change(|state| state.head = Some(head));
    }

    /// Adds a copy of a piece of the answer; the piece itself may keep a far larger buffer alive. Returns whether the answer so
    /// far is buffered as a whole.
    pub(crate) fn push(&self, piece: &[u8], budget: usize) -> bool {
        let mut state = self.state();
        self.add(&mut state, piece, budget);
        let (whole, followed) = (state.whole, state.followers > 0);
        drop(state);
        if followed {
            self.notify();
        }
        whole
    }

    /// The answer is complete with these last bytes, and these are its facts. Unless it is to be stored, its bytes are for followers alone.
    /// Returns whether it is buffered as a whole.
    pub(crate) fn complete(&self, last: &[u8], answer: Option<&Answer>, is_stored: bool, budget: usize) -> bool {
        let mut state = self.state();
        if state.followers > 0 {
            state.answer = answer.cloned().map(Box::new);
        }
        if !is_stored && state.followers == 0 {
            state.whole = false;
        }
        let is_single = state.whole && state.body.is_new() && !last.is_empty();
        if is_single && last.len() <= self.max_entry && self.held.bytes() + last.len() <= budget {
            state.single = Bytes::copy_from_slice(last);
            self.held.change(0, last.len());
        } else {
            self.add(&mut state, last, budget);
        }
        state.end.get_or_insert(Ended::Whole);
        let whole = state.whole;
        drop(state);
        self.notify();
        whole
    }

    fn add(&self, state: &mut State, piece: &[u8], budget: usize) {
        if !state.whole && state.followers == 0 {
            return self.release(state, 0);
        }
        if piece.is_empty() {
            return;
        }
        let growth = state.body.growth(piece.len());
        if state.body.length() + piece.len() > self.max_entry || self.held.bytes() + growth > budget {
            state.whole = false;
        }
        if state.whole || state.followers > 0 {
            let before = state.body.held();
            state.body.push(piece);
            self.held.change(before, state.body.held());
        }
        if !state.whole {
            let lag = if self.held.bytes() > budget { SHORT_LAG } else { LAG };
            let most = if state.followers == 0 { 0 } else { lag.max(growth) };
            self.release(state, most);
        }
    }

    /// Sets the facts of the answer, before its last bytes are pushed. Its bytes may lack some: usage that the client did not request is taken out.
    pub(crate) fn report(&self, answer: &Answer) {
        let mut state = self.state();
        if state.followers > 0 {
            state.answer = Some(Box::new(answer.clone()));
        }
    }

    /// The facts that the leader reported.
    pub(crate) fn reported(&self) -> Option<Answer> {
        self.state().answer.as_deref().cloned()
    }

    /// The flight has ended; only the first end counts.
    pub(crate) fn end(&self, end: Ended) {
        self.change(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// The complete body, in a buffer of its exact size; `None` if it is not buffered as a whole.
    pub(crate) fn body(&self) -> Option<Bytes> {
        let state = self.state();
        if !state.whole || !matches!(state.end, Some(Ended::Whole)) {
            return None;
        }
        state.copy(0, usize::MAX)
    }

    /// Returns once there are no followers. From then on nobody can join.
    pub(crate) async fn unwanted(&self) {
        let mut changed = self.subscribe();
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

    /// Returns once there is a follower.
    pub(crate) async fn followed(&self) {
        let mut changed = self.subscribe();
        while self.state().followers == 0 && changed.changed().await.is_ok() {}
    }

    /// Returns once the flight has ended.
    pub(crate) async fn ended(&self) {
        let mut changed = self.subscribe();
        while self.state().end.is_none() && changed.changed().await.is_ok() {}
    }

    /// The leader leaves. If the flight has not ended, nothing more comes of it.
    pub(crate) fn leave(&self) {
        self.change(|state| {
            let end = if state.head.is_some() { Ended::Broken } else { Ended::Left };
            state.end.get_or_insert(end);
        });
    }

    /// Drops the oldest bytes until at most this much memory is held.
    fn release(&self, state: &mut State, most: usize) {
        let before = state.body.held();
        state.body.shrink(most);
        self.held.change(before, state.body.held());
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.notify();
    }

    /// Wakes those that wait for a change, where there are any. Who subscribes later looks at the state behind that.
    fn notify(&self) {
        if let Some(changed) = self.changed.get().filter(|changed| changed.receiver_count() > 0) {
            changed.send_replace(());
        }
    }

    fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.get_or_init(|| watch::Sender::new(())).subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.held.change(state.body.held() + state.single.len(), 0);
    }
}

#[cfg(test)]
mod tests;

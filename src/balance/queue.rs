//! Requests that wait for a server of an upstream, in order of arrival. Knows when a waiter should look for a server, and selects none.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The waiters, the first in front.
#[derive(Debug, Default)]
pub(super) struct Queue {
    // spares the lock while the queue is empty; sequentially consistent with the counts in flight, so that a new waiter sees
    // capacity that became free before, or is woken
    length: AtomicUsize,
    waiting: Mutex<VecDeque<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    turn: Arc<Notify>,
    /// Waiters of the same kind can use the same servers. `None`: a kind of its own.
    kind: Option<usize>,
}

/// A place in the queue, left on drop.
#[derive(Debug)]
pub(super) struct Place<'a> {
    queue: &'a Queue,
    turn: Arc<Notify>,
}

impl Queue {
    /// The number of waiters.
    pub fn len(&self) -> usize {
        self.length.load(Ordering::SeqCst)
    }

    /// Joins at the end; `None` if this many wait already.
    pub fn join(&self, size: usize, kind: Option<usize>) -> Option<Place<'_>> {
        let mut waiting = self.waiting();
        if waiting.len() >= size {
            return None;
        }
        let is_new = kind.is_none() || waiting.iter().all(|other| other.kind != kind);
        let turn = Arc::new(Notify::new());
        waiting.push_back(Waiting { turn: turn.clone(), kind });
        self.length.store(waiting.len(), Ordering::SeqCst);
        // capacity that became free since the first one looked may be of use to this kind only
        if let (true, Some(first)) = (is_new, waiting.front()) {
            first.turn.notify_one();
        }
        Some(Place { queue: self, turn })
    }

    /// Wakes the first waiter: there may be capacity.
    pub fn wake(&self) {
        if self.len() == 0 {
            return;
        }
        if let Some(first) = self.waiting().front() {
            first.turn.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Waits until there may be capacity.
    pub async fn turn(&self) {
        self.turn.notified().await;
    }

    /// This waiter found nothing: wakes the next one of another kind.
    pub fn pass(&self) {
        let waiting = self.queue.waiting();
        let mut from_here = waiting.iter().skip_while(|other| !Arc::ptr_eq(&other.turn, &self.turn));
        let Some(own) = from_here.next() else { return };
        if let Some(next) = from_here.find(|other| other.kind.is_none() || other.kind != own.kind) {
            next.turn.notify_one();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting();
        let Some(at) = waiting.iter().position(|other| Arc::ptr_eq(&other.turn, &self.turn)) else { return };
        waiting.remove(at);
        self.queue.length.store(waiting.len(), Ordering::SeqCst);
        // more capacity may have become free meanwhile, or this waiter has not used what woke it
        if let Some(next) = waiting.get(at) {
            next.turn.notify_one();
        }
    }
}

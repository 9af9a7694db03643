//! Requests that wait for a server of an upstream, first come, first served. Knows when to look again, not at what.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Those who wait, the first in front.
#[derive(Debug, Default)]
pub(super) struct Queue {
    // so that nobody takes the lock while nobody waits; in one order with the counts in flight, so that whoever joins sees
    // what became free before, or is woken
    length: AtomicUsize,
    waiting: Mutex<VecDeque<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    turn: Arc<Notify>,
    /// Who has the same as another finds what that one finds. None: nobody else does.
    kind: Option<usize>,
}

/// A place in a queue, left by being dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    queue: &'a Queue,
    turn: Arc<Notify>,
}

impl Queue {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.length.load(Ordering::SeqCst)
    }

    /// The place behind all others; none if so many wait already.
    pub fn join(&self, size: usize, kind: Option<usize>) -> Option<Place<'_>> {
        let mut waiting = self.waiting();
        if waiting.len() >= size {
            return None;
        }
        let is_new = kind.is_none() || waiting.iter().all(|other| other.kind != kind);
        let turn = Arc::new(Notify::new());
        waiting.push_back(Waiting { turn: turn.clone(), kind });
        self.length.store(waiting.len(), Ordering::SeqCst);
        // what became free since it last looked woke nobody who could take it
        if let (true, Some(first)) = (is_new, waiting.front()) {
            first.turn.notify_one();
        }
        Some(Place { queue: self, turn })
    }

    /// Something has become free: the first may look.
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
    /// Waits until it is worth a look.
    pub async fn turn(&self) {
        self.turn.notified().await;
    }

    /// It has looked and found nothing: the next behind it may look who can find something else.
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
        // more than one may have become free meanwhile, or what woke this one is still there
        if let Some(next) = waiting.get(at) {
            next.turn.notify_one();
        }
    }
}

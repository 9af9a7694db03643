//! Requests that wait for a server of an upstream, first come, first served. Knows when to look again, not at what.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Those who wait, the first in front.
#[derive(Debug, Default)]
pub(super) struct Queue {
    // so that nobody takes the lock while nobody waits; in one order with the counts in flight, so that whoever joins sees
    // what became free before, or is woken
    length: AtomicUsize,
    waiting: Mutex<VecDeque<Arc<Notify>>>,
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
    pub fn join(&self, size: usize) -> Option<Place<'_>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= size {
            return None;
        }
        let turn = Arc::new(Notify::new());
        if waiting.is_empty() {
            // what became free since it last looked woke nobody
            turn.notify_one();
        }
        waiting.push_back(turn.clone());
        self.length.store(waiting.len(), Ordering::SeqCst);
        Some(Place { queue: self, turn })
    }

    /// Something has become free: the first may look.
    pub fn wake(&self) {
        if self.len() == 0 {
            return;
        }
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = waiting.front() {
            first.notify_one();
        }
    }
}

impl Place<'_> {
    /// Waits until it is worth a look. Only the first in the queue is ever told.
    pub async fn turn(&self) {
        self.turn.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let was_first = waiting.front().is_some_and(|first| Arc::ptr_eq(first, &self.turn));
        waiting.retain(|other| !Arc::ptr_eq(other, &self.turn));
        self.queue.length.store(waiting.len(), Ordering::SeqCst);
        // more than one may have become free meanwhile, or what woke this one is still there
        if was_first && let Some(next) = waiting.front() {
            next.notify_one();
        }
    }
}

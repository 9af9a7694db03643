//! Purges that have not reached Redis yet. They outlive connections and configurations, but not the process.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::purges::Purge;

/// How many purges wait one by one. With more, they become one purge of everything.
const MAX_PENDING: usize = 64;

/// Purges that have not reached a Redis yet.
#[derive(Debug, Default)]
pub(crate) struct PendingPurges(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(u64, Purge)>,
    last: u64,
}

impl PendingPurges {
    /// Adds a purge.
    pub(crate) fn add(&self, purge: Purge) {
        let mut state = self.state();
        state.last += 1;
        let purge = if state.waiting.len() < MAX_PENDING {
            purge
        } else {
            state.waiting.clear();
            Purge::default()
        };
        let number = state.last;
        state.waiting.push_back((number, purge));
    }

    /// The purge to publish next, and its number.
    pub(super) fn next(&self) -> Option<(u64, Purge)> {
        self.state().waiting.front().cloned()
    }

    /// The purge with this number has reached Redis.
    pub(super) fn published(&self, number: u64) {
        self.state().waiting.retain(|(own, _)| *own != number);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state().waiting.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_are_one_that_takes_everything() {
        let pending = PendingPurges::default();
        let one = |number: usize| Purge { tenant: Some(number.to_string()), model: None };
        (0..MAX_PENDING).for_each(|number| pending.add(one(number)));
        let (first, purge) = pending.next().unwrap();
        assert_eq!(purge, one(0));
        pending.add(one(MAX_PENDING));
        let (all, purge) = pending.next().unwrap();
        assert_eq!(purge, Purge::default());
        // the purge being published is not one of those that wait
        pending.published(first);
        assert_eq!(pending.next().unwrap().0, all);
        pending.published(all);
        assert!(pending.next().is_none());
    }
}

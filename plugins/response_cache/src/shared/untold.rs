//! Purges that a Redis has yet to be told of. They outlive every connection, and every configuration.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::purges::Purge;

/// How many purges wait one by one. Beyond, they are one that takes everything.
const MOST: usize = 64;

/// Purges that a Redis has yet to be told of.
#[derive(Debug, Default)]
pub(crate) struct Untold(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(u64, Purge)>,
    last: u64,
}

impl Untold {
    /// One more is to be told.
    pub(crate) fn add(&self, purge: Purge) {
        let mut state = self.state();
        state.last += 1;
        let purge = if state.waiting.len() < MOST {
            purge
        } else {
            state.waiting.clear();
            Purge::default()
        };
        let number = state.last;
        state.waiting.push_back((number, purge));
    }

    /// The one to be told next, and its number.
    pub(super) fn next(&self) -> Option<(u64, Purge)> {
        self.state().waiting.front().cloned()
    }

    /// The one with this number has been told.
    pub(super) fn told(&self, number: u64) {
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
        let untold = Untold::default();
        let one = |number: usize| Purge { tenant: Some(number.to_string()), model: None };
        (0..MOST).for_each(|number| untold.add(one(number)));
        let (first, purge) = untold.next().unwrap();
        assert_eq!(purge, one(0));
        untold.add(one(MOST));
        let (all, purge) = untold.next().unwrap();
        assert_eq!(purge, Purge::default());
        // the one that was under way is none of those that wait
        untold.told(first);
        assert_eq!(untold.next().unwrap().0, all);
        untold.told(all);
        assert!(untold.next().is_none());
    }
}

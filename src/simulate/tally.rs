//! Counts of the calls a simulator took, for tests that ask what reached an upstream and what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use super::batches::BatchStats;

/// The counts of one simulator.
#[derive(Debug, Default)]
pub(super) struct Tally {
    calls: AtomicU64,
    in_flight: AtomicU64,
    completed: AtomicU64,
    broken_off: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct Counts {
    /// Calls that came.
    calls: u64,
    /// Calls that are not answered yet, or whose answer is under way.
    in_flight: u64,
    /// Calls whose answer was handed out to its last byte, refusals among them.
    completed: u64,
    /// Calls whose answer ended early: the client left, or the break was on purpose.
    broken_off: u64,
    batches: BatchStats,
}

impl Tally {
    /// Counts a call and returns its number, from 0.
    pub(super) fn begin(self: &Arc<Self>) -> (u64, InFlight) {
        self.in_flight.fetch_add(1, Relaxed);
        (self.calls.fetch_add(1, Relaxed), InFlight { tally: self.clone(), completed: false })
    }

    /// The counts now.
    pub(super) fn counts(&self, batches: BatchStats) -> Counts {
        Counts {
            calls: self.calls.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            completed: self.completed.load(Relaxed),
            broken_off: self.broken_off.load(Relaxed),
            batches,
        }
    }
}

/// A call that is in flight until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    tally: Arc<Tally>,
    completed: bool,
}

impl InFlight {
    /// The last byte of its answer was handed out.
    pub(super) fn complete(mut self) {
        self.completed = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let end = if self.completed { &self.tally.completed } else { &self.tally.broken_off };
        end.fetch_add(1, Relaxed);
        self.tally.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::batches::Batches;
    use super::*;

    #[test]
    fn a_call_is_in_flight_until_it_is_completed_or_dropped() {
        let tally = Arc::new(Tally::default());
        let (first, one) = tally.begin();
        let (second, two) = tally.begin();
        assert_eq!((first, second), (0, 1));
        let counts = || tally.counts(Batches::default().stats());
        let batches = || Batches::default().stats();
        assert_eq!(counts(), Counts { calls: 2, in_flight: 2, completed: 0, broken_off: 0, batches: batches() });
        one.complete();
        drop(two);
        assert_eq!(counts(), Counts { calls: 2, in_flight: 0, completed: 1, broken_off: 1, batches: batches() });
    }
}

//! The retry budget of an upstream: retries may be a share of its recent requests, so that failures cause no retry storm.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How long a request counts towards the budget, in seconds.
const WINDOW: u64 = 10;
/// Retries per second that are always allowed, so that an upstream with little traffic has a budget at all.
const RESERVE: u64 = 10;

/// Counts the requests and retries of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<Seconds>);

#[derive(Debug, Default)]
struct Seconds {
    /// The current second, counted from `began`.
    now: u64,
    began: Option<Instant>,
    slots: [Slot; WINDOW as usize],
    /// Retries refused since the start.
    refused: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u64,
    retries: u64,
}

impl Budget {
    /// Counts a request.
    pub fn request(&self, now: Instant) {
        self.at(now, |seconds| seconds.slot().requests += 1);
    }

    /// Takes one retry out of a budget of this many percent; `false` if it is exhausted.
    pub fn retry(&self, percent: u64, now: Instant) -> bool {
        self.at(now, |seconds| {
            let sum = |of: fn(&Slot) -> u64| seconds.slots.iter().map(of).sum::<u64>();
            let (requests, retries) = (sum(|slot| slot.requests), sum(|slot| slot.retries));
            let allowed = requests * percent / 100 + RESERVE * WINDOW;
            // 0 % allows none, not even the reserve
            let may = percent > 0 && retries < allowed;
            if may {
                seconds.slot().retries += 1;
            } else {
                seconds.refused += 1;
            }
            may
        })
    }

    /// The number of refused retries.
    pub fn refused(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refused
    }

    /// Gives back a retry that was not made.
    pub fn not_made(&self, now: Instant) {
        self.at(now, |seconds| {
            let slot = seconds.slot();
            slot.retries = slot.retries.saturating_sub(1);
        });
    }

    fn at<T>(&self, now: Instant, work: impl FnOnce(&mut Seconds) -> T) -> T {
        let mut seconds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seconds.roll(now);
        work(&mut seconds)
    }
}

impl Seconds {
    fn roll(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        let now = now.saturating_duration_since(began).as_secs();
        // the time of another thread may be slightly older; it then counts in the current second
        for second in (self.now + 1..=now).rev().take(self.slots.len()) {
            self.slots[(second % WINDOW) as usize] = Slot::default();
        }
        self.now = self.now.max(now);
    }

    fn slot(&mut self) -> &mut Slot {
        &mut self.slots[(self.now % WINDOW) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn retries(budget: &Budget, percent: u64, now: Instant) -> usize {
        (0..10_000).take_while(|_| budget.retry(percent, now)).count()
    }

    #[test]
    fn retries_are_a_share_of_the_requests_of_the_last_seconds_and_a_reserve() {
        let (budget, start) = (Budget::default(), Instant::now());
        (0..1000).for_each(|_| budget.request(start));
        assert_eq!(retries(&budget, 20, start), 200 + 100);
        let later = start + Duration::from_secs(5);
        (0..100).for_each(|_| budget.request(later));
        assert_eq!(retries(&budget, 20, later), 20);
        let much_later = start + Duration::from_secs(11);
        assert_eq!(
            retries(&budget, 20, much_later),
            100,
            "of what is long past nothing counts, of the last 20 the 20 more do"
        );
        assert_eq!(retries(&budget, 20, start + Duration::from_secs(1000)), 100);
    }

    #[test]
    fn a_retry_that_is_not_made_costs_nothing() {
        let (budget, start) = (Budget::default(), Instant::now());
        assert_eq!(retries(&budget, 20, start), 100);
        budget.not_made(start);
        assert_eq!(retries(&budget, 20, start), 1);
    }

    #[test]
    fn no_share_is_no_retry() {
        let (budget, start) = (Budget::default(), Instant::now());
        budget.request(start);
        assert_eq!((retries(&budget, 0, start), budget.refused()), (0, 1));
    }
}

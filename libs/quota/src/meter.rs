//! What one subject has used of one limit, and what is held for calls in progress. Integers under a short lock; no clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::lease::Lease;
use crate::limit::{Limit, Now, SECOND};

/// Counts what one subject uses of one limit. The limit is not a part of it: a changed limit applies to what was counted before.
#[derive(Debug)]
pub struct Meter {
    /// The order in which several are locked.
    pub(crate) id: u64,
    /// What is held of all meters of its limit.
    held_of_limit: Option<Arc<AtomicU64>>,
    state: Mutex<State>,
}

/// Where a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What an untouched limit allows.
    pub limit: u64,
    /// What may still be reserved now.
    pub remaining: u64,
    /// Nanoseconds until all of it may be reserved, if no more is used.
    pub reset_nanos: u64,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// What was used and has not drained, or was used in this window. More than the limit allows is a debt.
    pub(crate) used: u64,
    /// What is held for calls in progress; of a window, for those that began in it.
    pub(crate) held: u64,
    /// What has drained in all.
    pub(crate) drained: u64,
    /// Of a bucket: when it was last brought up to date, in nanoseconds.
    at: u64,
    /// Of a bucket: what has drained beyond whole units, in parts of a period.
    carry: u64,
    /// Of a window: its first second, and the first behind it.
    pub(crate) window: Option<(i64, i64)>,
    /// Of a limit that is shared: what this gateway may use of it.
    pub(crate) lease: Option<Box<Lease>>,
}

impl Default for Meter {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), held_of_limit: None, state: Mutex::default() }
    }
}

impl Meter {
    /// The same meter, as one of a limit of which all that is held is counted here, too.
    #[must_use]
    pub(crate) fn counted_in(self, held_of_limit: Arc<AtomicU64>) -> Self {
        Self { held_of_limit: Some(held_of_limit), ..self }
    }

    /// Of its limit, so much more is held.
    pub(crate) fn count_held(&self, amount: u64) {
        if let Some(held) = &self.held_of_limit {
            held.fetch_add(amount, Ordering::Relaxed);
        }
    }

    /// Of its limit, so much less is held.
    pub(crate) fn count_released(&self, amount: u64) {
        if let Some(held) = &self.held_of_limit {
            held.fetch_sub(amount, Ordering::Relaxed);
        }
    }

    /// A number that no other meter of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where it stands.
    #[must_use]
    pub fn standing(&self, limit: &Limit, now: Now) -> Standing {
        let mut state = self.lock();
        state.advance(limit, now);
        state.standing(limit, now)
    }

    /// What was used and has not drained, or was used in this window.
    #[must_use]
    pub fn used(&self, limit: &Limit, now: Now) -> u64 {
        let mut state = self.lock();
        state.advance(limit, now);
        state.used
    }

    /// Replaces what was used of the window that begins at this second, by what is known from elsewhere. Nothing changes where that
    /// window is over.
    pub fn set_used(&self, used: u64, window: i64, limit: &Limit, now: Now) {
        let mut state = self.lock();
        state.advance(limit, now);
        state.set_used(used, window);
    }

    /// Adds what was used earlier in the window that ends at this second. Nothing changes where that window is over.
    pub fn add_used(&self, amount: u64, until: i64, limit: &Limit, now: Now) {
        let mut state = self.lock();
        state.advance(limit, now);
        if state.window.is_some_and(|(_, end)| end == until) {
            state.used = state.used.saturating_add(amount);
        }
    }

    /// What is held for calls in progress.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.lock().held
    }

    /// Whether nothing would be lost with it: it is as one that was never used.
    #[must_use]
    pub fn is_idle(&self, limit: &Limit, now: Now) -> bool {
        let mut state = self.lock();
        state.advance(limit, now);
        state.is_lease_idle()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One that is up to date.
    pub(crate) fn of(used: u64, held: u64, window: Option<(i64, i64)>) -> Self {
        Self { used, held, window, ..Self::default() }
    }

    /// Brings it up to a time. One that lies before the last changes nothing.
    pub(crate) fn advance(&mut self, limit: &Limit, now: Now) {
        if self.lease.is_some() {
            return self.advance_lease(limit, now);
        }
        match *limit {
            Limit::Rate { amount, period, .. } => {
                let elapsed = now.nanos.saturating_sub(self.at);
                self.at = self.at.max(now.nanos);
                let parts = u128::from(elapsed) * u128::from(amount) + u128::from(self.carry.min(period - 1));
                // whether all has drained shows without a division
                if parts >= u128::from(self.used) * u128::from(period) {
                    self.drained = self.drained.saturating_add(self.used);
                    (self.used, self.carry) = (0, 0);
                } else {
                    // less than what was used
                    let drained = (parts / u128::from(period)) as u64;
                    self.drained = self.drained.saturating_add(drained);
                    self.used -= drained;
                    self.carry = (parts - u128::from(drained) * u128::from(period)) as u64;
                }
            }
            Limit::Window { unit, calendar, .. } => {
                if self.window.is_none_or(|(_, end)| now.unix >= end) {
                    self.window = Some(calendar.window(unit, now.unix));
                    (self.used, self.held) = (0, 0);
                }
            }
            Limit::Concurrent { .. } => {}
        }
    }

    /// Replaces what was used of the window that begins at this second. To be asked once it is up to date.
    pub(crate) fn set_used(&mut self, used: u64, window: i64) {
        if self.window.is_some_and(|(first, _)| first == window) {
            self.used = used;
        }
    }

    /// How long a claim has to wait, in nanoseconds; 0 if not at all. To be asked once it is up to date.
    pub(crate) fn wait(&self, limit: &Limit, amount: u64, now: Now) -> u64 {
        if let Some(lease) = &self.lease {
            return self.wait_for_lease(lease, limit, amount, now);
        }
        let capacity = limit.capacity();
        let taken = self.used.saturating_add(self.held).saturating_add(amount.min(capacity));
        let Some(excess) = taken.checked_sub(capacity).filter(|excess| *excess > 0) else { return 0 };
        match *limit {
            Limit::Rate { amount, period, .. } => {
                // what is held does not drain; when it comes back is not known
                let drains = time_to_drain(excess.min(self.used), self.carry, amount, period);
                if excess > self.used { drains.max(SECOND) } else { drains.max(1) }
            }
            Limit::Window { .. } => {
                // where calls in progress hold what is needed, they may give it back
                if self.used.saturating_add(amount.min(capacity)) <= capacity { SECOND } else { self.rest(now) }
            }
            Limit::Concurrent { .. } => SECOND,
        }
    }

    /// Whether the present window is the one that began as this one did.
    pub(crate) fn is_in(&self, window: Option<(i64, i64)>) -> bool {
        self.window.map(|(first, _)| first) == window.map(|(first, _)| first)
    }

    /// Nanoseconds until the window ends; at least a second.
    pub(crate) fn rest(&self, now: Now) -> u64 {
        let seconds = self.window.map_or(0, |(_, end)| end.saturating_sub(now.unix));
        u64::try_from(seconds).unwrap_or_default().max(1).saturating_mul(SECOND)
    }

    pub(crate) fn standing(&self, limit: &Limit, now: Now) -> Standing {
        let capacity = limit.capacity();
        let remaining = capacity.saturating_sub(self.used.saturating_add(self.held));
        let reset_nanos = match *limit {
            Limit::Rate { amount, period, .. } => time_to_drain(self.used, self.carry, amount, period),
            Limit::Window { .. } => self.rest(now),
            Limit::Concurrent { .. } => 0,
        };
        Standing { limit: capacity, remaining, reset_nanos }
    }
}

/// Nanoseconds until so much has drained.
fn time_to_drain(units: u64, carry: u64, amount: u64, period: u64) -> u64 {
    let parts = (u128::from(units) * u128::from(period)).saturating_sub(u128::from(carry));
    u64::try_from(parts.div_ceil(u128::from(amount))).unwrap_or(u64::MAX)
}

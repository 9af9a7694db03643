//! How much is taken of a lease lately, by which the next is measured.

use crate::limit::SECOND;

/// What is older than so much counts half.
const HALVED_AFTER: u64 = 2 * SECOND;
/// A flow of so many calls is one that goes on.
const STEADY: u64 = 4;
/// So many calls of such a flow are drawn at once, so that slow ones ask seldom, too.
const CALLS: u64 = 128;

/// What was taken lately.
#[derive(Debug, Default)]
pub(super) struct Flow {
    amount: u64,
    calls: u64,
    since: u64,
    last: u64,
    /// The most that was held at a time since the last report.
    pub(super) peak: u64,
}

impl Flow {
    pub(super) fn take(&mut self, amount: u64, held: u64, now: u64) {
        if self.calls == 0 {
            self.since = now;
        }
        (self.amount, self.calls) = (self.amount.saturating_add(amount), self.calls + 1);
        self.last = self.last.max(now);
        self.peak = self.peak.max(held);
    }

    /// Nanoseconds since something was taken.
    pub(super) fn idle(&self, now: u64) -> u64 {
        now.saturating_sub(self.last)
    }

    /// What to draw in advance: as much as a second took, or as some calls take.
    pub(super) fn advance(&mut self, now: u64) -> u64 {
        let elapsed = now.saturating_sub(self.since);
        let second = u128::from(self.amount) * u128::from(SECOND) / u128::from(elapsed.max(SECOND / 4));
        let second = u64::try_from(second).unwrap_or(u64::MAX);
        let calls = self.amount.checked_div(self.calls).unwrap_or(0);
        let calls = calls.saturating_mul(if self.calls < STEADY { self.calls } else { CALLS });
        if elapsed > HALVED_AFTER {
            (self.amount, self.calls) = (self.amount / 2, self.calls / 2);
            self.since = now - elapsed / 2;
        }
        second.max(calls)
    }
}

//! What one account is by one ledger and run: what the database has of it, and the records that are still to come there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use plugin_api::LedgerId;

use super::{Asked, Change, Stored};

/// So many records of an account that are not stored are kept one by one, and so many while the process has many of them. Of more,
/// the oldest are taken for one that is stored when the last of them is: until then they may count twice, and never not at all.
pub(super) const MOST_WAITING: usize = 16_384;
const FEWEST_WAITING: usize = 64;
/// The process has many of them from here on: 8 MiB.
const MANY: usize = 1 << 18;
/// How many the process has.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// What is known by one ledger, in picodollars.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) ledger: LedgerId,
    /// What the database had of this run when it was asked last.
    pub(super) base: i64,
    /// What has been stored since, and what is lost.
    pub(super) stored: i64,
    /// Of records of earlier runs that are not stored.
    old: i64,
    /// Of records of this run that are not stored, in the order of their places.
    pub(super) waiting: VecDeque<Waiting>,
    /// Their sum.
    waiting_sum: i64,
    /// Up to this place, records are taken for one.
    merged: u64,
    /// Up to these places, records are stored, and are in what the database had.
    stored_to: u64,
    answered_to: u64,
    /// Of all requests of this run.
    pub(super) own: i64,
    /// What the database had of this run before it was counted here, once that is known.
    own_before: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    place: u64,
    picos: i64,
    /// The part of it that [`Part::own`] has.
    own: i64,
}

impl Part {
    pub(super) fn new(ledger: LedgerId) -> Self {
        let waiting = VecDeque::new();
        Self {
            ledger,
            base: 0,
            stored: 0,
            old: 0,
            waiting,
            waiting_sum: 0,
            merged: 0,
            stored_to: 0,
            answered_to: 0,
            own: 0,
            own_before: Some(0),
        }
    }

    pub(super) fn total(&self) -> i64 {
        self.base.saturating_add(self.stored).saturating_add(self.old).saturating_add(self.waiting_sum)
    }

    pub(super) fn add(&mut self, Change { place, is_old, is_request, picos, .. }: Change) {
        if is_old {
            self.old = self.old.saturating_add(picos);
            return;
        }
        let own = if is_request { picos } else { 0 };
        self.own = self.own.saturating_add(own);
        // a record of another thread may come after those behind it, and when it is stored already
        if place <= self.stored_to {
            if place == 0 || place > self.answered_to {
                self.stored = self.stored.saturating_add(picos);
            }
            return;
        }
        let at = self.waiting.partition_point(|waiting| waiting.place <= place);
        self.waiting.insert(at, Waiting { place, picos, own });
        self.waiting_sum = self.waiting_sum.saturating_add(picos);
        let all = WAITING.fetch_add(1, Ordering::Relaxed);
        let most = if all < MANY { MOST_WAITING } else { FEWEST_WAITING };
        while self.waiting.len() > most {
            self.merge_oldest();
        }
    }

    fn merge_oldest(&mut self) {
        let Some(oldest) = self.waiting.pop_front() else { return };
        WAITING.fetch_sub(1, Ordering::Relaxed);
        if let Some(next) = self.waiting.front_mut() {
            (next.picos, next.own) = (next.picos.saturating_add(oldest.picos), next.own.saturating_add(oldest.own));
            self.merged = next.place;
        }
    }

    /// All records up to this place are stored, and with them those of earlier runs.
    pub(super) fn store(&mut self, place: u64) {
        self.stored_to = self.stored_to.max(place);
        let behind = self.waiting.partition_point(|waiting| waiting.place <= place);
        let stored = self.waiting.drain(..behind).fold(0, |sum: i64, waiting| sum.saturating_add(waiting.picos));
        WAITING.fetch_sub(behind, Ordering::Relaxed);
        self.waiting_sum = self.waiting_sum.saturating_sub(stored);
        self.stored = self.stored.saturating_add(stored).saturating_add(std::mem::take(&mut self.old));
    }

    /// Takes over what the database has, and tells how far it is from what was counted.
    pub(super) fn answered(&mut self, asked: Asked, stored: Stored) -> i64 {
        if asked.is_first {
            self.own_before = None;
        }
        self.store(asked.place);
        self.answered_to = self.answered_to.max(asked.place);
        (self.base, self.stored) = (stored.own, 0);
        let waiting = self.waiting.iter().fold(0, |sum: i64, waiting| sum.saturating_add(waiting.own));
        let counted = self.own.saturating_sub(waiting);
        if asked.place < self.merged {
            // which of them the database has cannot be told
            return 0;
        }
        let off = stored.own.saturating_sub(counted);
        off.saturating_sub(*self.own_before.get_or_insert(off))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        WAITING.fetch_sub(self.waiting.len(), Ordering::Relaxed);
    }
}

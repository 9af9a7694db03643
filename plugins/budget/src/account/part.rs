//! What one account is by one ledger and run: what the database has of it, and the records that are still to come there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use plugin_api::LedgerId;

use super::{Asked, Change, Place, Stored};

/// So many records of an account that are not stored are kept one by one, and so many while the process has many of them. Of more,
/// neighbours are taken for one, which is stored when the last of them is: until then they may count twice, and never not at all.
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
    /// Of records that are not stored, in the order of their places.
    pub(super) waiting: VecDeque<Waiting>,
    /// Their sum.
    waiting_sum: i64,
    /// Up to these places, records are stored, and are in what the database had.
    stored_to: Place,
    answered_to: Place,
    /// Of all requests of this run.
    pub(super) own: i64,
    /// What the database had of this run before it was counted here, once that is known, and up to which place the answer went that
    /// told it.
    own_before: Option<i64>,
    own_before_to: Place,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// The first record's place, and the last one's.
    first: Place,
    place: Place,
    picos: i64,
    /// The part of it that [`Part::own`] has.
    own: i64,
}

impl Part {
    pub(super) fn new(ledger: LedgerId) -> Self {
        let (waiting, none) = (VecDeque::new(), Place::Old(0));
        Self {
            ledger,
            base: 0,
            stored: 0,
            waiting,
            waiting_sum: 0,
            stored_to: none,
            answered_to: none,
            own: 0,
            own_before: Some(0),
            own_before_to: none,
        }
    }

    pub(super) fn total(&self) -> i64 {
        self.base.saturating_add(self.stored).saturating_add(self.waiting_sum)
    }

    pub(super) fn add(&mut self, Change { place, is_request, picos, .. }: Change) {
        let own = if is_request && place >= Place::Own(0) { picos } else { 0 };
        self.own = self.own.saturating_add(own);
        // a record of another thread may come after those behind it, and when it is stored already
        let is_lost = place == Place::Own(0);
        if !is_lost && place <= self.own_before_to {
            // the answer had it already, so it was taken for one of before
            self.own_before = self.own_before.map(|before| before.saturating_sub(own));
        }
        if is_lost || place <= self.stored_to {
            if is_lost || place > self.answered_to {
                self.stored = self.stored.saturating_add(picos);
            }
            return;
        }
        let at = self.waiting.partition_point(|waiting| waiting.place <= place);
        self.waiting.insert(at, Waiting { first: place, place, picos, own });
        self.waiting_sum = self.waiting_sum.saturating_add(picos);
        let all = WAITING.fetch_add(1, Ordering::Relaxed);
        let most = if all < MANY { MOST_WAITING } else { FEWEST_WAITING };
        while self.waiting.len() > most {
            self.merge();
        }
    }

    /// Takes each two neighbours for one.
    fn merge(&mut self) {
        let before = self.waiting.len();
        let mut merged = VecDeque::with_capacity(before.div_ceil(2));
        while let Some(one) = self.waiting.pop_front() {
            let next = self.waiting.pop_front();
            merged.push_back(next.map_or(one, |next| Waiting {
                first: one.first.min(next.first),
                place: next.place,
                picos: one.picos.saturating_add(next.picos),
                own: one.own.saturating_add(next.own),
            }));
        }
        WAITING.fetch_sub(before - merged.len(), Ordering::Relaxed);
        self.waiting = merged;
    }

    /// The amount of merged records of which some are stored; which ones is not known.
    pub(super) fn partly_stored(&self) -> i64 {
        let begun = self.waiting.iter().take_while(|waiting| waiting.first <= self.stored_to);
        begun.fold(0, |sum, waiting| sum.saturating_add(waiting.picos))
    }

    /// All records up to this place are stored. Returns the amount of those that are no requests of this run: results of batches, and
    /// records of earlier runs.
    pub(super) fn store(&mut self, place: Place) -> i64 {
        self.stored_to = self.stored_to.max(place);
        let behind = self.waiting.partition_point(|waiting| waiting.place <= place);
        let (all, own) = self.waiting.drain(..behind).fold((0, 0), |(all, own): (i64, i64), waiting| {
            (all.saturating_add(waiting.picos), own.saturating_add(waiting.own))
        });
        WAITING.fetch_sub(behind, Ordering::Relaxed);
        self.waiting_sum = self.waiting_sum.saturating_sub(all);
        self.stored = self.stored.saturating_add(own);
        all.saturating_sub(own)
    }

    /// Takes over what the database has, and tells how far it is from what was counted.
    pub(super) fn answered(&mut self, asked: Asked, stored: Stored) -> i64 {
        if asked.is_first {
            self.own_before = None;
        }
        let place = Place::Own(asked.place);
        // the answer has these, too
        let _ = self.store(place);
        self.answered_to = self.answered_to.max(place);
        (self.base, self.stored) = (stored.own, 0);
        let waiting = self.waiting.iter().fold(0, |sum: i64, waiting| sum.saturating_add(waiting.own));
        let counted = self.own.saturating_sub(waiting);
        if self.waiting.iter().any(|waiting| waiting.first <= place) {
            // which of them the database has cannot be told
            return 0;
        }
        let off = stored.own.saturating_sub(counted);
        let before = *self.own_before.get_or_insert_with(|| {
            self.own_before_to = place;
            off
        });
        off.saturating_sub(before)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        WAITING.fetch_sub(self.waiting.len(), Ordering::Relaxed);
    }
}

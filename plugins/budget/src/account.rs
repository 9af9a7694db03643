//! What one spender has spent of one budget in its present span of time: what the database has, and what is still to come there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plugin_api::LedgerId;
use quota::{Limit, Meter, Now, Unit};

use crate::amounts::Share;
use crate::budget::Texts;

/// So many records of an account that are not stored are kept one by one, and so many while the process has many of them. Of more,
/// the oldest are taken for one that is stored when the last of them is: until then they may count twice, and never not at all.
const MOST_WAITING: usize = 16_384;
const FEWEST_WAITING: usize = 64;
/// The process has many of them from here on: 8 MiB.
const MANY: usize = 1 << 18;
/// How many the process has.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// The account of one spender.
#[derive(Debug)]
pub(crate) struct Account {
    /// The texts that tell the spender apart.
    pub(crate) texts: Texts,
    /// What is used and held, for those who reserve.
    pub(crate) meter: Arc<Meter>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// The first second of the span of time, and the first behind it.
    window: (i64, i64),
    /// What each ledger has; usually there is one.
    parts: Vec<Part>,
    /// The highest share that an alert was raised for.
    alerted: Option<Share>,
}

/// What is known by one ledger, in picodollars.
#[derive(Debug)]
struct Part {
    ledger: LedgerId,
    /// What the database had when it was asked last, or the checkpoint.
    base: i64,
    /// What has been stored since, and what is lost.
    stored: i64,
    /// Of records of earlier runs that are not stored.
    old: i64,
    /// Of records of this run that are not stored, in the order of their places.
    waiting: VecDeque<Waiting>,
    /// Their sum.
    waiting_sum: i64,
    /// Up to this place, records are taken for one.
    merged: u64,
    /// Of all requests of this run.
    own: i64,
    /// What the database had of this run before it was counted here, once that is known.
    own_before: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    place: u64,
    picos: i64,
    /// The part of it that [`Part::own`] has.
    own: i64,
}

/// A record, as it concerns one account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) ledger: LedgerId,
    /// Its place among the records of this run; 0 for one that is lost.
    pub(crate) place: u64,
    pub(crate) is_old: bool,
    /// Whether it is a request, and no result of a batch, which the database has once, however often it comes.
    pub(crate) is_request: bool,
    pub(crate) began: i64,
    pub(crate) picos: i64,
}

/// What the database has of one account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stored {
    pub(crate) all: i64,
    /// Of the requests of this run.
    pub(crate) own: i64,
}

/// When and how the database was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) ledger: LedgerId,
    /// The first second of the span of time that it was asked for.
    pub(crate) since: i64,
    /// The answer has all records of this run up to this place.
    pub(crate) place: u64,
    /// It is the first answer: what the database has of this run and was not counted here is no drift.
    pub(crate) is_first: bool,
}

impl Account {
    pub(crate) fn new(texts: Texts) -> Self {
        Self { texts, meter: Arc::default(), book: Mutex::default() }
    }

    /// Counts a record. Returns the highest of these shares that is reached with it and was not before.
    pub(crate) fn spend(&self, change: Change, limit: &Limit, alerts: &[Share], now: Now) -> Option<Raised> {
        let mut book = self.book();
        if !book.is_at(change.began, limit) {
            return None;
        }
        book.part(change.ledger).add(change);
        self.show(&mut book, limit, alerts, now)
    }

    /// Takes over what a checkpoint says.
    pub(crate) fn restore(
        &self,
        ledger: LedgerId,
        since: i64,
        picos: i64,
        limit: &Limit,
        alerts: &[Share],
        now: Now,
    ) -> Option<Raised> {
        let mut book = self.book();
        if !book.is_at(now.unix, limit) || book.window.0 != since {
            return None;
        }
        book.part(ledger).base = picos;
        self.show(&mut book, limit, alerts, now)
    }

    /// Takes over what the database has. Returns how far it is from what was counted of this run, in picodollars, and the alert
    /// that is due with it.
    pub(crate) fn answered(
        &self,
        asked: Asked,
        stored: Stored,
        limit: &Limit,
        alerts: &[Share],
        now: Now,
    ) -> (i64, Option<Raised>) {
        let mut book = self.book();
        if !book.is_at(now.unix, limit) || book.window.0 != asked.since {
            return (0, None);
        }
        let drift = book.part(asked.ledger).answered(asked, stored);
        (drift, self.show(&mut book, limit, alerts, now))
    }

    /// What will be stored of a ledger once all records up to this place are.
    pub(crate) fn stored(&self, ledger: LedgerId, place: u64, limit: &Limit, now: Now) -> i64 {
        let mut book = self.book();
        if !book.is_at(now.unix, limit) {
            return 0;
        }
        let part = book.part(ledger);
        part.store(place);
        part.base.saturating_add(part.stored)
    }

    /// Whether nothing is lost with it.
    pub(crate) fn is_idle(&self, limit: &Limit, now: Now) -> bool {
        let book = self.book();
        let is_empty = book.parts.iter().all(|part| part.waiting.is_empty() && part.total() == 0 && part.own == 0);
        is_empty && self.meter.is_idle(limit, now)
    }

    /// Brings the meter to what the book says.
    fn show(&self, book: &mut Book, limit: &Limit, alerts: &[Share], now: Now) -> Option<Raised> {
        let spent = book.parts.iter().fold(0, |sum: i64, part| sum.saturating_add(part.total()));
        self.meter.set_used(u64::try_from(spent).unwrap_or(0), book.window.0, limit, now);
        let reached = alerts.iter().copied().filter(|share| share.is_reached(spent, limit.capacity())).max();
        let share = reached.filter(|share| Some(*share) > book.alerted)?;
        book.alerted = Some(share);
        Some(Raised { share, spent: u64::try_from(spent).unwrap_or(0), window: book.window })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An alert that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raised {
    /// The highest share that is reached.
    pub(crate) share: Share,
    /// In picodollars.
    pub(crate) spent: u64,
    /// The first second of the span of time, and the first behind it.
    pub(crate) window: (i64, i64),
}

impl Book {
    /// Whether a moment lies in the present span of time, which a later moment makes the past.
    fn is_at(&mut self, moment: i64, limit: &Limit) -> bool {
        let Limit::Window { unit, calendar, .. } = limit else { return false };
        if moment >= self.window.1 {
            *self = Self { window: calendar.window(*unit, moment), ..Self::default() };
        }
        moment >= self.window.0
    }

    fn part(&mut self, ledger: LedgerId) -> &mut Part {
        let at = self.parts.iter().position(|part| part.ledger == ledger).unwrap_or_else(|| {
            self.parts.push(Part::new(ledger));
            self.parts.len() - 1
        });
        &mut self.parts[at]
    }
}

impl Part {
    fn new(ledger: LedgerId) -> Self {
        let waiting = VecDeque::new();
        Self { ledger, base: 0, stored: 0, old: 0, waiting, waiting_sum: 0, merged: 0, own: 0, own_before: Some(0) }
    }

    fn total(&self) -> i64 {
        self.base.saturating_add(self.stored).saturating_add(self.old).saturating_add(self.waiting_sum)
    }

    fn add(&mut self, Change { place, is_old, is_request, picos, .. }: Change) {
        if is_old {
            self.old = self.old.saturating_add(picos);
            return;
        }
        let own = if is_request { picos } else { 0 };
        self.own = self.own.saturating_add(own);
        if place == 0 {
            self.stored = self.stored.saturating_add(picos);
            return;
        }
        // records of other threads may come a little later than those behind them
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
    fn store(&mut self, place: u64) {
        let behind = self.waiting.partition_point(|waiting| waiting.place <= place);
        let stored = self.waiting.drain(..behind).fold(0, |sum: i64, waiting| sum.saturating_add(waiting.picos));
        WAITING.fetch_sub(behind, Ordering::Relaxed);
        self.waiting_sum = self.waiting_sum.saturating_sub(stored);
        self.stored = self.stored.saturating_add(stored).saturating_add(std::mem::take(&mut self.old));
    }

    /// Takes over what the database has, and tells how far it is from what was counted.
    fn answered(&mut self, asked: Asked, stored: Stored) -> i64 {
        if asked.is_first {
            self.own_before = None;
        }
        self.store(asked.place);
        (self.base, self.stored) = (stored.all, 0);
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

/// A limit of so many picodollars by this span of time.
pub(crate) fn limit(amount: u64, unit: Unit, calendar: quota::Calendar) -> Limit {
    Limit::Window { amount, unit, calendar }
}

#[cfg(test)]
mod tests {
    use plugin_api::Spending;
    use quota::Calendar;

    use super::*;

    const LIMIT: Limit = Limit::Window { amount: 100, unit: Unit::Day, calendar: Calendar::UTC };
    const DAY: i64 = 86_400;

    fn now(unix: i64) -> Now {
        Now { nanos: 0, unix }
    }

    fn ledger() -> LedgerId {
        Spending::default().feed().ledger()
    }

    fn change(place: u64, picos: i64) -> Change {
        Change { ledger: ledger(), place, is_old: false, is_request: true, began: 10, picos }
    }

    fn spend(account: &Account, change: Change) {
        account.spend(change, &LIMIT, &[], now(20));
    }

    fn used(account: &Account) -> u64 {
        account.meter.used(&LIMIT, now(20))
    }

    fn asked(place: u64) -> Asked {
        Asked { ledger: ledger(), since: 0, place, is_first: false }
    }

    fn answered(account: &Account, place: u64, all: i64, own: i64) -> i64 {
        account.answered(asked(place), Stored { all, own }, &LIMIT, &[], now(20)).0
    }

    #[test]
    fn what_the_database_has_counts_once_with_what_is_still_to_come_there() {
        let account = Account::new(Vec::new());
        spend(&account, Change { is_old: true, ..change(0, 7) });
        for place in 1..=4 {
            spend(&account, change(place, 10));
        }
        assert_eq!(used(&account), 47);
        // two records and those of the run before are stored, beside 100 of another gateway
        assert_eq!(answered(&account, 2, 127, 20), 0);
        assert_eq!(used(&account), 147);
        // nothing came from elsewhere since: asked again it is the same
        assert_eq!(answered(&account, 4, 147, 40), 0);
        assert_eq!(used(&account), 147);
        // a correction lowers it
        spend(&account, change(5, -4));
        assert_eq!(used(&account), 143);
        // a row that is missing in the database is drift
        assert_eq!(answered(&account, 5, 133, 26), -10);
        assert_eq!(used(&account), 133);
    }

    #[test]
    fn records_whose_places_come_late_are_counted_once() {
        let account = Account::new(Vec::new());
        // the second is stored and read before the first is counted here
        spend(&account, change(2, 10));
        answered(&account, 2, 20, 20);
        assert_eq!(used(&account), 20);
        spend(&account, change(1, 10));
        assert_eq!(used(&account), 30, "for the moment it counts twice");
        answered(&account, 3, 20, 20);
        assert_eq!(used(&account), 20);
    }

    #[test]
    fn a_long_outage_takes_no_more_memory_than_a_short_one_and_loses_nothing() {
        let account = Account::new(Vec::new());
        let all = MOST_WAITING as i64 * 2;
        for place in 1..=all {
            spend(&account, change(place as u64, 1));
        }
        assert_eq!(used(&account) as i64, all);
        assert!(account.book().parts[0].waiting.len() <= MOST_WAITING);
        // in the midst of them some count twice, and that is no drift
        assert_eq!(answered(&account, 10, 10, 10), 0);
        assert_eq!(used(&account) as i64, all + 10);
        assert_eq!(account.stored(ledger(), all as u64, &LIMIT, now(20)), all + 10);
        assert_eq!(answered(&account, all as u64, all, all), 0);
        assert_eq!(used(&account) as i64, all);
    }

    #[test]
    fn a_call_counts_for_the_day_on_which_it_began() {
        let account = Account::new(Vec::new());
        spend(&account, change(1, 10));
        let today = Change { began: DAY, ..change(2, 5) };
        account.spend(today, &LIMIT, &[], now(DAY));
        assert_eq!(account.meter.used(&LIMIT, now(DAY)), 5);
        // one of yesterday ends, and an answer about yesterday comes
        account.spend(change(3, 10), &LIMIT, &[], now(DAY));
        account.answered(asked(3), Stored { all: 20, own: 20 }, &LIMIT, &[], now(DAY));
        assert_eq!(account.meter.used(&LIMIT, now(DAY)), 5);
    }

    #[test]
    fn each_share_is_reported_once_in_a_span_of_time_and_the_highest_for_all() {
        let account = Account::new(Vec::new());
        let shares: Vec<Share> = ["50%", "80%", "100%"].map(|text| Share::try_from(text.to_owned()).unwrap()).into();
        let spend =
            |place, picos, began, at| account.spend(Change { began, ..change(place, picos) }, &LIMIT, &shares, now(at));
        assert_eq!(spend(1, 49, 10, 20), None);
        let raised = spend(2, 1, 10, 20).unwrap();
        assert_eq!((raised.share, raised.spent, raised.window), (shares[0], 50, (0, DAY)));
        assert_eq!(spend(3, 1, 10, 20), None);
        assert_eq!(spend(4, 60, 10, 20).unwrap().share, shares[2]);
        assert_eq!(spend(5, 60, 10, 20), None);
        assert_eq!(spend(6, 50, DAY, DAY).unwrap().share, shares[0]);
    }

    #[test]
    fn what_was_counted_before_the_first_answer_is_no_drift() {
        let account = Account::new(Vec::new());
        spend(&account, change(8, 10));
        let first = Asked { is_first: true, ..asked(8) };
        assert_eq!(account.answered(first, Stored { all: 90, own: 80 }, &LIMIT, &[], now(20)).0, 0);
        spend(&account, change(9, 10));
        assert_eq!(answered(&account, 9, 100, 90), 0);
    }
}

//! What one spender has spent of one budget in its present span of time: what the database has, and what is still to come there.

mod part;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plugin_api::{DatabaseId, LedgerId};
use quota::{Limit, Meter, Now, Reservation, Unit};

use crate::amounts::Share;
use crate::budget::Texts;

use part::Part;

/// The account of one spender.
#[derive(Debug)]
pub(crate) struct Account {
    /// The number of its budget.
    budget: u64,
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
    /// What each ledger recorded in this run; usually there is one.
    parts: Vec<Part>,
    /// What else each database has, or had by the checkpoint.
    rest: Vec<(DatabaseId, i64)>,
    /// The highest share that an alert was raised for.
    alerted: Option<Share>,
}

/// The place of a record among all that its ledger stores: those of earlier runs come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The how many-th it is of those of earlier runs that waited when this one began.
    Old(u64),
    /// The how many-th it is of this run; 0 for one that is lost.
    Own(u64),
}

/// A record, as it concerns one account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) ledger: LedgerId,
    pub(crate) place: Place,
    /// Whether it is a request of this run, and no result of a batch, which the database has once, however often it comes.
    pub(crate) is_request: bool,
    pub(crate) began: i64,
    pub(crate) picos: i64,
}

/// What the database has of one account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stored {
    /// Of the requests of this run.
    pub(crate) own: i64,
    /// Of no ledger of this process in this run, and of results of batches.
    pub(crate) rest: i64,
}

/// How far a ledger's records are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredUpTo<'a> {
    pub(crate) ledger: LedgerId,
    pub(crate) place: Place,
    pub(crate) database: DatabaseId,
    /// All ledgers of this database.
    pub(crate) beside: &'a [LedgerId],
}

/// When and how the database was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) ledger: LedgerId,
    pub(crate) database: DatabaseId,
    /// The first second of the span of time that it was asked for.
    pub(crate) since: i64,
    /// The answer has all records of this run up to this place.
    pub(crate) place: u64,
    /// It is the first answer: what the database has of this run and was not counted here is no drift.
    pub(crate) is_first: bool,
}

impl Account {
    /// The account of the budget of this number and the spender with these texts.
    pub(crate) fn new(budget: u64, texts: Texts) -> Self {
        Self { budget, texts, meter: Arc::default(), book: Mutex::default() }
    }

    /// Whether it is the one of the budget of this number and the spender with these texts.
    pub(crate) fn is_of<'a>(&self, budget: u64, texts: impl Iterator<Item = Option<&'a str>>) -> bool {
        self.budget == budget && self.texts.iter().zip(texts).all(|(own, text)| own.as_deref() == text)
    }

    /// Counts a record, and gives back what was reserved for it at the same moment: a call in between would find room that there is not.
    /// Returns the highest of these shares that is reached with it and was not before.
    pub(crate) fn spend(
        &self,
        change: Change,
        reserved: Option<Reservation>,
        limit: &Limit,
        alerts: &[Share],
        now: Now,
    ) -> Option<Raised> {
        let mut book = self.book();
        if !book.is_at(change.began, limit) {
            return None;
        }
        book.part(change.ledger).add(change);
        let spent = book.spent();
        match reserved {
            Some(reserved) => reserved.settle_as(as_used(spent), book.window.0, now),
            None => self.meter.set_used(as_used(spent), book.window.0, limit, now),
        }
        book.raise(spent, limit, alerts)
    }

    /// Takes over what a checkpoint says.
    pub(crate) fn restore(
        &self,
        database: DatabaseId,
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
        let rest = book.rest(database);
        // two journals of one database have the same
        *rest = picos.max(*rest);
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
        *book.rest(asked.database) = stored.rest;
        (drift, self.show(&mut book, limit, alerts, now))
    }

    /// A ledger writes to another database from now on. Until that one answers, it counts as having what the former one had, to which no
    /// other ledger writes.
    pub(crate) fn moved(&self, from: DatabaseId, to: DatabaseId) {
        let mut book = self.book();
        let Some(at) = book.rest.iter().position(|(of, _)| *of == from) else { return };
        let (_, had) = book.rest.swap_remove(at);
        let rest = book.rest(to);
        *rest = had.max(*rest);
    }

    /// What a ledger reported of earlier runs up to this place is in its checkpoint.
    pub(crate) fn mark_saved(&self, ledger: LedgerId, place: Place, limit: &Limit, now: Now) {
        let mut book = self.book();
        // the checkpoint has it
        let _ = book.part(ledger).store(place);
        self.show(&mut book, limit, &[], now);
    }

    /// What a database has once records are stored up to this point.
    pub(crate) fn stored(&self, point: StoredUpTo<'_>, limit: &Limit, now: Now) -> i64 {
        let mut book = self.book();
        if !book.is_at(now.unix, limit) {
            return 0;
        }
        let beside_own = book.part(point.ledger).store(point.place);
        let rest = book.rest(point.database);
        *rest = rest.saturating_add(beside_own);
        let parts = book.parts.iter().filter(|part| point.beside.contains(&part.ledger));
        let own = parts.fold(0, |sum: i64, part| {
            let stored = part.base.saturating_add(part.stored);
            sum.saturating_add(stored).saturating_add(part.partly_stored())
        });
        own.saturating_add(*book.rest(point.database))
    }

    /// Whether nothing is lost with it.
    pub(crate) fn is_idle(&self, limit: &Limit, now: Now) -> bool {
        let book = self.book();
        let is_empty = book.parts.iter().all(|part| part.waiting.is_empty() && part.total() == 0 && part.own == 0);
        is_empty && book.rest.iter().all(|(_, rest)| *rest == 0) && self.meter.is_idle(limit, now)
    }

    /// Brings the meter to what the book says.
    fn show(&self, book: &mut Book, limit: &Limit, alerts: &[Share], now: Now) -> Option<Raised> {
        let spent = book.spent();
        self.meter.set_used(as_used(spent), book.window.0, limit, now);
        book.raise(spent, limit, alerts)
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

    /// What is spent in all, in picodollars.
    fn spent(&self) -> i64 {
        let amounts = self.parts.iter().map(Part::total).chain(self.rest.iter().map(|(_, rest)| *rest));
        amounts.fold(0, i64::saturating_add)
    }

    /// The highest of these shares, if so much reaches it and it was not reached before.
    fn raise(&mut self, spent: i64, limit: &Limit, alerts: &[Share]) -> Option<Raised> {
        let reached = alerts.iter().copied().filter(|share| share.is_reached(spent, limit.capacity())).max();
        let share = reached.filter(|share| Some(*share) > self.alerted)?;
        self.alerted = Some(share);
        Some(Raised { share, spent: as_used(spent), window: self.window })
    }

    fn rest(&mut self, database: DatabaseId) -> &mut i64 {
        let at = self.rest.iter().position(|(of, _)| *of == database).unwrap_or_else(|| {
            self.rest.push((database, 0));
            self.rest.len() - 1
        });
        &mut self.rest[at].1
    }

    fn part(&mut self, ledger: LedgerId) -> &mut Part {
        let at = self.parts.iter().position(|part| part.ledger == ledger).unwrap_or_else(|| {
            self.parts.push(Part::new(ledger));
            self.parts.len() - 1
        });
        &mut self.parts[at]
    }
}

/// What a meter shows of that; nothing where corrections have lowered it below 0.
fn as_used(spent: i64) -> u64 {
    u64::try_from(spent).unwrap_or(0)
}

/// A limit of so many picodollars by this span of time.
pub(crate) fn limit(amount: u64, unit: Unit, calendar: quota::Calendar) -> Limit {
    Limit::Window { amount, unit, calendar }
}

#[cfg(test)]
mod tests;

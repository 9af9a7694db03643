//! What a ledger tells the readers of its spending by. Knows no reader.

use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::{
    DatabaseId, JournalIn, LedgerId, OpenLedger, Readers, SpendingQuery, SpendingReader, Spent, StoredCounts, StoredSum,
};

/// What a ledger tells its readers by.
#[derive(Clone)]
pub struct SpendingFeed {
    ledger: LedgerId,
    readers: Arc<Readers>,
}

impl SpendingFeed {
    pub(super) fn new(ledger: LedgerId, readers: Arc<Readers>) -> Self {
        Self { ledger, readers }
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// Whether anything reads it.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.readers.any.load(Ordering::Acquire)
    }

    /// The ledger begins.
    pub fn opened(&self, folder: &Path, instance: Uuid, database: DatabaseId) {
        let _turn = self.readers.turn();
        let (runs, folder, journal) = (vec![instance], folder.to_owned(), JournalIn::Folder);
        let open = OpenLedger { ledger: self.ledger, runs, folder, database, journal };
        self.readers.ledgers.lock().unwrap_or_else(PoisonError::into_inner).push(open.clone());
        self.each(|reader| reader.opened(&open, true));
    }

    /// The ledger goes on in another journal, before it has a record of that run.
    pub fn goes_on(&self, run: Uuid, journal: JournalIn) {
        let _turn = self.readers.turn();
        let mut ledgers = self.readers.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = ledgers.iter_mut().find(|open| open.ledger == self.ledger) {
            open.runs.push(run);
            open.journal = journal;
        }
        drop(ledgers);
        self.each(|reader| reader.goes_on(self.ledger, run, journal));
    }

    /// The runs of this ledger in this process.
    #[must_use]
    pub fn own_runs(&self) -> Vec<Uuid> {
        self.runs_of(|open| open.ledger == self.ledger)
    }

    /// The runs of all ledgers of this process.
    #[must_use]
    pub fn all_runs(&self) -> Vec<Uuid> {
        self.runs_of(|_| true)
    }

    fn runs_of(&self, is_wanted: impl Fn(&OpenLedger) -> bool) -> Vec<Uuid> {
        let ledgers = self.readers.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        ledgers.iter().filter(|open| is_wanted(open)).flat_map(|open| open.runs.clone()).collect()
    }

    /// A record is kept.
    pub fn spent(&self, spent: &Spent<'_>) {
        if self.is_read() {
            self.readers.each_at_once(|reader| reader.spent(spent));
        }
    }

    /// All records of earlier runs that are not stored yet have been reported.
    pub fn caught_up(&self) {
        let _turn = self.readers.turn();
        self.each(|reader| reader.caught_up(self.ledger));
    }

    /// These records are stored, and all of this run up to this place.
    pub fn stored(&self, place: Option<u64>, records: &[StoredCounts<'_>]) {
        let _turn = self.readers.turn();
        self.each(|reader| reader.stored(self.ledger, place, records));
    }

    /// Nothing is being stored now.
    pub fn idle(&self) {
        self.each(|reader| reader.idle(self.ledger));
    }

    /// What is to be asked of the store now, each query once.
    #[must_use]
    pub fn queries(&self) -> Vec<SpendingQuery> {
        let mut all = Vec::new();
        self.each(|reader| {
            for query in reader.queries() {
                if !all.contains(&query) {
                    all.push(query);
                }
            }
        });
        all
    }

    /// How often to ask it: as often as the most eager reader wants; `None` where there is none.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        let mut least: Option<Duration> = None;
        self.each(|reader| {
            least = [least, reader.interval()].into_iter().flatten().min();
        });
        least
    }

    /// The answer to a query, with all records of this run up to this place.
    pub fn answered(&self, database: DatabaseId, query: &SpendingQuery, sums: &[StoredSum], place: u64) {
        self.each(|reader| reader.answered(self.ledger, database, query, sums, place));
    }

    fn each(&self, call: impl FnMut(&dyn SpendingReader)) {
        if self.is_read() {
            self.readers.each(call);
        }
    }
}

impl fmt::Debug for SpendingFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpendingFeed").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

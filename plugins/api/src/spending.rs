//! What calls cost and count, from the plugin that records every call to those that limit them: each record at the moment it is
//! kept and once it is stored, and sums of what is stored. Counts nothing itself, and knows no database.

mod feed;
mod prices;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use ::prices::{Cost, Prices};
use uuid::Uuid;

use crate::WindowCount;

pub use feed::SpendingFeed;
use prices::PriceTables;

/// What calls cost, for those that limit it.
#[derive(Debug, Default)]
pub struct Spending {
    readers: Arc<Readers>,
    ledgers: AtomicU32,
    tables: PriceTables,
}

/// Tells the ledgers of a process apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LedgerId(u32);

/// A record that a ledger has kept, as far as it concerns who spent what. A record that corrects an earlier one says what changes.
#[derive(Clone, Copy, Debug)]
pub struct Spent<'a> {
    /// The request's id.
    pub id: Uuid,
    /// Its number among all records.
    pub number: RecordNumber,
    /// The ledger.
    pub ledger: LedgerId,
    /// Its place among the records of this ledger and run: see [`SpendingReader::stored`]. 0 for a record that was kept before this
    /// run began, and for one that is lost.
    pub place: u64,
    /// Whether it is one of a run that ended.
    pub is_old: bool,
    /// Whether another process made it, which drains after this one took over from it: no limit of this process has counted it.
    pub is_adopted: bool,
    /// When the request began, in seconds since 1970, UTC.
    pub began: i64,
    /// Who spent it, and on what.
    pub spender: Spender<'a>,
    /// What it cost, in picodollars; negative where a correction lowers it.
    pub picos: i64,
    /// 1 for an answer whose price is not known, else 0; -1 where a correction knows it.
    pub unpriced: i64,
    /// What it adds to limits by day or month.
    pub counts: &'a [WindowCount],
}

/// Tells a request's record apart from all others of all runs: the run, its number in that run, and its revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordNumber {
    /// The run of the gateway that made it.
    pub instance: Uuid,
    /// Its number in that run; 0 for one that has none.
    pub sequence: i64,
    /// 0, or 1 for a correction.
    pub revision: i16,
}

/// A record that is stored, as far as limits by day or month concern it.
#[derive(Clone, Copy, Debug)]
pub struct StoredCounts<'a> {
    /// Which record it is.
    pub number: RecordNumber,
    /// What it adds.
    pub counts: &'a [WindowCount],
}

/// Tells the databases apart that ledgers write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DatabaseId(u64);

/// Who spends, and on what, by the texts in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spender<'a> {
    /// The tenant.
    pub tenant: Option<&'a str>,
    /// The name of the API key.
    pub key: Option<&'a str>,
    /// The user.
    pub user: Option<&'a str>,
    /// The model asked for; of a batch's result, the one that answered.
    pub model: Option<&'a str>,
}

/// By what spending is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SpentBy {
    /// The tenant.
    Tenant,
    /// The name of the API key.
    Key,
    /// The user.
    User,
    /// The model.
    Model,
}

/// A question about what is stored: what was spent by requests that began in a span of time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpendingQuery {
    /// By what it is told apart. Empty: all together.
    pub by: Vec<SpentBy>,
    /// The first second of the span, since 1970, UTC.
    pub since: i64,
    /// The first second behind it.
    pub until: i64,
}

/// A part of the answer: what one spender spent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredSum {
    /// The spender, in the order of [`SpendingQuery::by`].
    pub spender: Vec<Option<String>>,
    /// What this ledger recorded in this run, without results of batches.
    pub own: Sum,
    /// What no ledger of this process recorded in this run: that of other gateways and of earlier runs, and all results of batches.
    pub rest: Sum,
}

/// An amount, and the answers of which it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// What is known.
    pub cost: Cost,
    /// How many answers have no known price.
    pub unpriced: u64,
}

/// A plugin that limits what is spent or counted.
pub trait SpendingReader: fmt::Debug + Send + Sync {
    /// There is a ledger. Where it `begins`, it has no record of this run yet, and records of earlier runs that are not stored yet
    /// follow by [`spent`](Self::spent).
    fn opened(&self, ledger: &OpenLedger, begins: bool);

    /// A record is kept. Called in line with a request: be quick, never block.
    fn spent(&self, spent: &Spent<'_>);

    /// All records of earlier runs that are not stored yet have been reported.
    fn caught_up(&self, _: LedgerId) {}

    /// The ledger goes on in another journal, whose records are of this run. Its own is the one that it began with, in the folder of its
    /// files: while another process takes over, and for good where it did, that one has the folder.
    fn goes_on(&self, _: LedgerId, _run: Uuid, _journal: JournalIn) {}

    /// These records are stored, and all records of this run up to this place; `None` while records of earlier runs may wait. Called
    /// before the ledger forgets that they were not stored: after a kill in between they are stored again, and reported as such.
    fn stored(&self, ledger: LedgerId, place: Option<u64>, records: &[StoredCounts<'_>]);

    /// Nothing is being stored now: what the disk did not take when it was is to be written again. Called every now and then.
    fn idle(&self, _: LedgerId) {}

    /// What is to be asked of the store now.
    fn queries(&self) -> Vec<SpendingQuery> {
        Vec::new()
    }

    /// How often to ask it; `None` for a reader that has no questions.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// The answer. It has all records of this run up to this place, all of earlier runs, and none behind it.
    fn answered(&self, _: LedgerId, _: DatabaseId, _: &SpendingQuery, _: &[StoredSum], _place: u64) {}
}

/// A ledger of this process.
#[derive(Clone, Debug)]
pub struct OpenLedger {
    /// Which one it is.
    pub ledger: LedgerId,
    /// The runs of it in this process, the present one last.
    pub runs: Vec<Uuid>,
    /// The folder of its files.
    pub folder: PathBuf,
    /// The database that it writes to at first.
    pub database: DatabaseId,
    /// Where it keeps its records.
    pub journal: JournalIn,
}

/// Where a ledger keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalIn {
    /// In the folder of its files.
    Folder,
    /// Elsewhere: another process has that folder, or may have it.
    Draining,
}

#[derive(Debug, Default)]
struct Readers {
    any: AtomicBool,
    list: RwLock<Arc<[Weak<dyn SpendingReader>]>>,
    /// The ledgers there are.
    ledgers: Mutex<Vec<OpenLedger>>,
    /// Held while a reader gets to know the ledgers, and while a ledger tells what is stored: none of that is missed, or told twice.
    /// Requests never wait for it.
    turn: Mutex<()>,
}

impl Spending {
    /// Adds a reader, for as long as it exists; one that is there already is not added again.
    pub fn subscribe(&self, reader: Weak<dyn SpendingReader>) {
        let _turn = self.readers.turn();
        let list = self.readers.list();
        if list.iter().any(|known| known.ptr_eq(&reader)) {
            return;
        }
        // what is stored from here on waits for its turn
        self.readers.any.store(true, Ordering::Release);
        if let Some(reader) = reader.upgrade() {
            let ledgers = self.readers.ledgers.lock().unwrap_or_else(PoisonError::into_inner).clone();
            ledgers.iter().for_each(|ledger| reader.opened(ledger, false));
        }
        let known = list.iter().filter(|known| known.strong_count() > 0).cloned();
        *self.readers.list.write().unwrap_or_else(PoisonError::into_inner) = known.chain([reader]).collect();
    }

    /// What another ledger tells its readers by.
    #[must_use]
    pub fn feed(&self) -> SpendingFeed {
        let ledger = LedgerId(self.ledgers.fetch_add(1, Ordering::Relaxed));
        SpendingFeed::new(ledger, self.readers.clone())
    }

    /// A price table that a ledger computes costs by: an equal one that is in use, or else this one.
    pub fn use_prices(&self, table: Prices) -> Arc<Prices> {
        self.tables.intern(table)
    }

    /// The highest of each of these costs by any of the price tables in use: usually there is one. `None` where one of them does not
    /// know one, or there is none.
    pub fn highest<const N: usize>(&self, costs: impl Fn(&Prices) -> Option<[Cost; N]>) -> Option<[Cost; N]> {
        self.tables.highest(costs)
    }

    /// The name under which a model has a price, by the first table that has one: the same for all spellings of its name.
    #[must_use]
    pub fn priced_name(&self, model: &str) -> Option<String> {
        self.tables.name(model)
    }
}

impl DatabaseId {
    /// The database at this address, of which nothing is kept.
    #[must_use]
    pub fn of(address: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl<'a> Spender<'a> {
    /// The text of a part.
    #[must_use]
    pub fn get(&self, by: SpentBy) -> Option<&'a str> {
        match by {
            SpentBy::Tenant => self.tenant,
            SpentBy::Key => self.key,
            SpentBy::User => self.user,
            SpentBy::Model => self.model,
        }
    }
}

impl Readers {
    /// Calls all readers, without the lock: some write files.
    fn each(&self, mut call: impl FnMut(&dyn SpendingReader)) {
        self.list().iter().filter_map(Weak::upgrade).for_each(|reader| call(&*reader));
    }

    /// Calls all readers, under the lock: none of them may take long, or subscribe.
    fn each_at_once(&self, mut call: impl FnMut(&dyn SpendingReader)) {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.iter().filter_map(Weak::upgrade).for_each(|reader| call(&*reader));
    }

    fn list(&self) -> Arc<[Weak<dyn SpendingReader>]> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

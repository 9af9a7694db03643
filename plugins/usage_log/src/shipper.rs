//! Moves records from the journal to the database, on a thread of its own. Whatever the database does, requests do not notice:
//! the rows wait in the journal.

mod aside;
mod chores;
mod isolate;
mod orders;
mod patience;
mod progress;

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::conversation::Conversations;
use crate::journal::{Batch, Reader};
use crate::store::PATIENCE;
use crate::{Record, Store, StoreSettings, Written};

use aside::Aside;
use isolate::isolate;
use orders::within;
use patience::Patience;

pub(crate) use orders::Orders;
pub(crate) use progress::Progress;

/// The most records of a batch, and about how many bytes of the journal.
const ROWS: usize = 2000;
const BYTES: usize = 8 << 20;
/// How long a row may wait for others to come with it.
const LINGER: Duration = Duration::from_millis(100);
/// How long the database may take: to connect, beyond its own limit; to bring its schema up to date, which may rewrite tables, and
/// would begin again if it were given up; to take a batch; to find turns. A frozen one never says that it does not answer.
const CONNECT: Duration = Duration::from_secs(5);
const MIGRATE: Duration = PATIENCE;
const WRITE: Duration = Duration::from_secs(30);
const LOOK_UP: Duration = Duration::from_secs(10);
/// How often a trouble that goes on is told of again.
const REMIND: Duration = Duration::from_secs(60);

/// The shipper.
pub(crate) struct Shipper {
    reader: Reader,
    orders: watch::Receiver<Orders>,
    progress: Arc<Progress>,
    conversations: Conversations,
    aside: Aside,
    connected: Option<(Store, StoreSettings)>,
    patience: Patience,
    /// Since when the database takes nothing, and when that was last told.
    trouble: Option<(Instant, Instant)>,
}

/// What a round came to.
enum Round {
    /// There was nothing to ship.
    Empty,
    /// A batch is in the database; whether there may be more at once.
    Shipped { more: bool },
}

/// Why a round failed: in a word for the metrics, and in full.
struct Trouble(&'static str, String);

impl Shipper {
    pub(crate) fn new(reader: Reader, orders: watch::Receiver<Orders>) -> Self {
        let aside = Aside::new(reader.journal());
        let progress = Arc::new(Progress::new());
        let (conversations, patience) = (Conversations::default(), Patience::default());
        Self { reader, orders, progress, conversations, aside, connected: None, patience, trouble: None }
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Ships until it is told to end, or nobody is left to tell it, and everything is shipped or the time is up.
    pub(crate) async fn run(mut self) {
        let syncing = tokio::spawn(chores::sync(self.reader.journal().clone(), self.orders.clone()));
        let maintaining = tokio::spawn(chores::maintain(self.reader.journal().figures().clone(), self.orders.clone()));
        let rows = self.reader.count_old();
        if rows > 0 {
            info!(rows; "the ledger's journal holds rows of an earlier run; they go to the database first");
        }
        loop {
            match self.round().await {
                Ok(Round::Empty) => {
                    self.progress.note();
                    if self.is_ending() {
                        break;
                    }
                    self.rest().await;
                }
                Ok(Round::Shipped { more }) => {
                    self.recovered();
                    if !more {
                        self.linger().await;
                    }
                }
                Err(trouble) => {
                    self.failed(&trouble);
                    if self.time_is_up() {
                        break;
                    }
                    self.back_off().await;
                }
            }
        }
        // they hold connections of their own
        maintaining.abort();
        syncing.abort();
        if let Some((store, _)) = self.connected.take() {
            // what is committed is safe whether or not it says goodbye
            let _ = timeout(CONNECT, store.close()).await;
        }
    }

    /// Ships one batch.
    async fn round(&mut self) -> Result<Round, Trouble> {
        let batch = self.reader.next_batch(ROWS, BYTES).map_err(|error| Trouble("journal", error.to_string()))?;
        let Some(mut batch) = batch else { return Ok(Round::Empty) };
        let more = batch.records.len() >= ROWS / 2;
        self.connect().await?;
        self.link(&mut batch).await?;
        self.write(&batch).await?;
        if let Err(error) = self.reader.done(&batch) {
            warn!(error:%; "the ledger cannot note how far its journal was read; a restart reads some of it again");
        }
        self.progress.note();
        Ok(Round::Shipped { more })
    }

    /// Connects, unless it is connected to the database that is wanted.
    async fn connect(&mut self) -> Result<(), Trouble> {
        let wanted = self.orders.borrow().settings.clone();
        if self.connected.as_ref().is_some_and(|(_, settings)| *settings == wanted) {
            return Ok(());
        }
        self.connected = None;
        let limit = wanted.pool.connect_timeout.get() + CONNECT;
        let mut store =
            within(&mut self.orders, limit, Store::connect(&wanted, self.reader.journal().figures().store())).await?;
        within(&mut self.orders, MIGRATE, store.migrate()).await?;
        info!(database:% = wanted.database; "the ledger is connected to its database");
        self.connected = Some((store, wanted));
        Ok(())
    }

    /// Gives the batch's turns their conversations.
    async fn link(&mut self, batch: &mut Batch) -> Result<(), Trouble> {
        let unknown = self.conversations.unknown(&batch.records);
        if !unknown.is_empty()
            && let Some((store, _)) = &mut self.connected
        {
            let found = within(&mut self.orders, LOOK_UP, store.conversations(&unknown)).await;
            let found = found.inspect_err(|_| self.connected = None)?;
            self.conversations.learn(&unknown, &found);
        }
        self.conversations.link(&mut batch.records);
        Ok(())
    }

    /// Has the batch in the database, but for records that it will never take: those are put aside.
    async fn write(&mut self, batch: &Batch) -> Result<(), Trouble> {
        let Some((store, settings)) = &mut self.connected else {
            return Err(Trouble("unavailable", "not connected".into()));
        };
        let slow = settings.slow_query;
        let began = Instant::now();
        let orders = &mut self.orders;
        let written = isolate(&batch.records, async |records: &[Record]| {
            match within(orders, WRITE, store.write(records)).await {
                Ok(written) => Ok(Ok(written)),
                Err(Trouble("rejected", why)) => Ok(Err(why)),
                Err(trouble) => Err(trouble),
            }
        })
        .await;
        let (Written { new, known }, rejected) = written.inspect_err(|_| self.connected = None)?;
        let took = began.elapsed();
        if took > slow {
            let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            warn!(milliseconds, rows = batch.records.len(); "the database was slow to take a batch of the ledger");
        }
        let figures = self.reader.journal().figures();
        figures.written(new, known, took);
        for (at, why) in rejected {
            figures.store_failed("rejected");
            self.aside.put(&batch.records[at], &why);
        }
        Ok(())
    }

    /// Waits for something to ship, and a little for more.
    async fn rest(&mut self) {
        let journal = self.reader.journal().clone();
        tokio::select! {
            () = journal.appended() => {}
            _ = self.orders.changed() => {}
        }
        self.progress.note();
        self.linger().await;
    }

    async fn linger(&mut self) {
        if self.reader.journal().waiting() >= ROWS as u64 || self.is_ending() {
            return;
        }
        tokio::select! {
            () = sleep(LINGER) => {}
            _ = self.orders.changed() => {}
        }
    }

    async fn back_off(&mut self) {
        let pause = self.patience.next();
        // new orders may name a database that answers
        tokio::select! {
            () = sleep(pause) => {}
            _ = self.orders.changed() => {}
        }
    }

    fn failed(&mut self, Trouble(kind, why): &Trouble) {
        self.reader.journal().figures().store_failed(kind);
        let now = Instant::now();
        let (since, told) = self.trouble.unwrap_or((now, now));
        if self.trouble.is_none() || now - told >= REMIND {
            let (waiting, seconds) = (self.reader.journal().waiting(), (now - since).as_secs());
            warn!(kind, why:%, waiting, seconds; "the ledger's database takes no rows; they wait in the journal");
            self.trouble = Some((since, now));
        }
    }

    fn recovered(&mut self) {
        self.patience.reset();
        if let Some((since, _)) = self.trouble.take() {
            info!(seconds = since.elapsed().as_secs(); "the ledger's database takes rows again");
        }
    }

    fn is_ending(&self) -> bool {
        self.orders.borrow().end.is_some() || self.is_abandoned()
    }

    fn time_is_up(&self) -> bool {
        self.orders.borrow().end.is_some_and(|end| end <= Instant::now()) || self.is_abandoned()
    }

    /// Whether nobody is left to give orders, not even to end.
    fn is_abandoned(&self) -> bool {
        self.orders.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests;

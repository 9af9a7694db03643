//! Moves records from the journal to the database, on a thread of its own. Whatever the database does, requests do not notice:
//! the rows wait in the journal.

mod backoff;
mod config;
mod connection;
mod isolate;
mod last_read;
mod maintenance;
mod outage;
mod progress;
mod quarantine;
mod query_spending;
mod waiting;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};
use plugin_api::{LogLimit, SpendingFeed};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::conversation::Conversations;
use crate::ledger_journal::{Batch, Reader};
use crate::metrics::LedgerMetrics;
use crate::store::PATIENT_TIMEOUT;
use crate::{Record, Store, StoreSettings, Written, spending};

use config::within;
use isolate::Isolated;
use query_spending::Querying;
use write::written;

pub(crate) use backoff::Backoff;
pub(crate) use config::ShipperConfig;
pub(crate) use last_read::LastRead;
pub(crate) use maintenance::{SYNC, is_sync_due, sync};
pub(crate) use outage::Outage;
pub(crate) use progress::Progress;

/// The most records of a batch, and about how many bytes of the journal.
const ROWS: usize = 2000;
const BYTES: usize = 8 << 20;
/// How long the database may take: to connect, beyond its own limit; to bring its schema up to date, which may rewrite tables, and
/// would begin again if it were given up; to take a batch; to find turns. A frozen one never says that it does not answer.
const CONNECT: Duration = Duration::from_secs(5);
const MIGRATE: Duration = PATIENT_TIMEOUT;
const WRITE: Duration = Duration::from_secs(60);
const LOOK_UP: Duration = Duration::from_secs(10);

/// The shipper.
pub(crate) struct Shipper {
    reader: Reader,
    metrics: Arc<LedgerMetrics>,
    shipping: watch::Receiver<ShipperConfig>,
    progress: Arc<Progress>,
    last_read: Arc<LastRead>,
    /// How many rows the last batch had; none after a pause.
    last_rows: usize,
    conversations: Conversations,
    connected: Option<(Store, StoreSettings)>,
    /// A record that the database took, and how often in a row it has refused all of a batch since.
    taken: Option<Record>,
    refusals: usize,
    backoff: Backoff,
    outage: Outage,
    feed: SpendingFeed,
    querying: Querying,
    places: Places,
}

/// Where the places of this journal's records lie among those of all journals that this process had.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Places {
    /// Records of this process in the journals before: places count on from there.
    pub(crate) before: u64,
    /// So many records come first here that were in another one of these journals: until they are stored, no place says what is.
    pub(crate) moved: u64,
}

impl Places {
    /// Up to which place all records are stored, with so many of this journal's run.
    fn of(self, stored: Option<u64>) -> Option<u64> {
        stored.filter(|stored| *stored >= self.moved).map(|stored| self.before + stored)
    }
}

/// What a round came to.
enum Round {
    /// There was nothing to ship.
    Empty,
    /// A batch is in the database, or there would have been no place to ship one to; whether there may be more at once.
    Shipped { more: bool },
}

/// Why a round failed: in a word for the metrics, and in full.
struct ShipError(&'static str, String);

impl Shipper {
    pub(crate) fn new(
        reader: Reader,
        metrics: Arc<LedgerMetrics>,
        shipping: watch::Receiver<ShipperConfig>,
        feed: SpendingFeed,
        (progress, last_read): (Arc<Progress>, Arc<LastRead>),
        places: Places,
    ) -> Self {
        let (conversations, backoff) = (Conversations::default(), Backoff::default());
        Self {
            reader,
            metrics,
            shipping,
            progress,
            last_read,
            last_rows: 0,
            conversations,
            connected: None,
            taken: None,
            refusals: 0,
            backoff,
            outage: Outage::default(),
            feed,
            querying: Querying::default(),
            places,
        }
    }

    /// Ships until it is asked to end, or its configuration is gone, and everything is shipped or the time is up.
    pub(crate) async fn run(mut self) {
        let syncing = tokio::spawn(maintenance::keep_synced(self.reader.journal().clone(), self.shipping.clone()));
        let maintaining = tokio::spawn(maintenance::maintain(self.metrics.clone(), self.shipping.clone()));
        let rows = self.reader.count_old();
        if rows > 0 {
            info!(rows; "the ledger's journal holds rows of an earlier run; they go to the database first");
        }
        loop {
            let round = self.round().await;
            if round.is_ok() {
                // between two batches: what is stored of this run is known exactly
                self.query_spending().await;
            }
            if !matches!(round, Ok(Round::Shipped { .. })) {
                self.feed.idle();
            }
            match round {
                Ok(Round::Empty) => {
                    self.progress.note();
                    // at the end there may be nothing to ship, and no database either
                    if self.is_connected() {
                        self.recovered();
                    }
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
                Err(error) => {
                    self.failed(&error);
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
    async fn round(&mut self) -> Result<Round, ShipError> {
        let batch = self.reader.next_batch(ROWS, BYTES).map_err(|error| ShipError("journal", error.to_string()))?;
        let Some(mut batch) = batch else {
            if self.is_connected() || self.is_ending() {
                return Ok(Round::Empty);
            }
            self.connect_ahead().await?;
            // something may have come meanwhile
            return Ok(Round::Shipped { more: true });
        };
        let more = batch.is_full || batch.records.len() >= ROWS / 2;
        self.connect().await?;
        self.link(&mut batch).await?;
        self.write(&batch).await?;
        self.last_rows = batch.records.len();
        let place = self.places.of(self.reader.stored_with(&batch));
        spending::report_stored(&self.feed, &batch.records, place);
        if let Err(error) = self.reader.done(&batch) {
            static UNNOTED: LogLimit = LogLimit::new();
            if let Some(suppressed) = UNNOTED.pass(()) {
                warn!(error:%, suppressed; "the ledger cannot note how far its journal was read; a restart reads some of it again");
            }
        }
        self.progress.note();
        Ok(Round::Shipped { more })
    }

    /// Gives the batch's turns their conversations.
    async fn link(&mut self, batch: &mut Batch) -> Result<(), ShipError> {
        let unknown = self.conversations.unknown(&batch.records);
        if !unknown.is_empty()
            && let Some((store, _)) = &mut self.connected
        {
            let found = within(&mut self.shipping, LOOK_UP, store.conversations(&unknown)).await;
            let found = found.inspect_err(|_| self.connected = None)?;
            self.conversations.learn(&unknown, &found);
        }
        self.conversations.link(&mut batch.records);
        Ok(())
    }

    /// Writes the batch to the database. Records that it refuses while it takes others are quarantined. If it takes none, all of them wait.
    async fn write(&mut self, batch: &Batch) -> Result<(), ShipError> {
        let Some((store, settings)) = &mut self.connected else {
            return Err(ShipError("unavailable", "not connected".into()));
        };
        let (slow, records, began) = (settings.slow_query, batch.records.as_slice(), Instant::now());
        let isolated = written(&mut self.shipping, store, records, self.taken.as_ref(), self.refusals).await;
        let (Written { new, known }, rejected) = match isolated.inspect_err(|_| self.connected = None)? {
            Isolated::Written(written, rejected) => (written, rejected),
            Isolated::Refused(why) => {
                (self.connected, self.refusals) = (None, self.refusals + 1);
                return Err(ShipError("rejected", why));
            }
        };
        self.refusals = 0;
        let is_rejected = |at: &usize| rejected.iter().any(|(rejected, _)| rejected == at);
        if let Some(at) = (0..records.len()).rev().find(|at| !is_rejected(at)) {
            let mut taken = records[at].clone();
            taken.leave_out_bodies();
            self.taken = Some(taken);
        }
        let took = began.elapsed();
        if took > slow {
            static SLOW: LogLimit = LogLimit::new();
            if let Some(suppressed) = SLOW.pass(()) {
                let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                warn!(milliseconds, rows = records.len(), suppressed; "the database was slow to take a batch of the ledger");
            }
        }
        self.metrics.written(new, known, took);
        for (at, why) in rejected {
            self.metrics.store_failed("rejected");
            quarantine::put(&self.metrics, self.reader.journal().folder(), &records[at], &why);
        }
        Ok(())
    }

    fn failed(&mut self, ShipError(kind, why): &ShipError) {
        if self.time_is_up() {
            // it was not the database
            return;
        }
        self.metrics.store_failed(kind);
        let waiting = self.reader.journal().waiting();
        if waiting == 0 {
            // nothing is held up by it
            self.progress.note();
        }
        if let Some(seconds) = self.outage.goes_on(Instant::now()) {
            let database = self.shipping.borrow().settings.database.clone();
            warn!(database:%, kind, why:%, waiting, seconds; "the ledger's database takes no rows; they wait in the journal");
        }
    }

    fn recovered(&mut self) {
        self.backoff.reset();
        if let Some(seconds) = self.outage.end(Instant::now()) {
            info!(seconds; "the ledger's database takes rows again");
        }
    }

    fn is_ending(&self) -> bool {
        self.shipping.borrow().end.is_some() || self.is_abandoned()
    }

    fn time_is_up(&self) -> bool {
        self.shipping.borrow().end.is_some_and(|end| end <= Instant::now()) || self.is_abandoned()
    }

    /// Whether the sender of the configuration is gone.
    fn is_abandoned(&self) -> bool {
        self.shipping.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests;

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
use plugin_api::LogLimit;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::conversation::Conversations;
use crate::ledger_journal::{Batch, Reader};
use crate::metrics::Figures;
use crate::store::PATIENCE;
use crate::{Record, Store, StoreSettings, Written};

use isolate::{Isolated, SAMPLES, isolate, one_by_one};
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
const WRITE: Duration = Duration::from_secs(60);
const LOOK_UP: Duration = Duration::from_secs(10);
/// How often a trouble that goes on is told of again.
const REMIND: Duration = Duration::from_secs(60);

/// The shipper.
pub(crate) struct Shipper {
    reader: Reader,
    figures: Arc<Figures>,
    orders: watch::Receiver<Orders>,
    progress: Arc<Progress>,
    conversations: Conversations,
    connected: Option<(Store, StoreSettings)>,
    /// A record that the database took, and how often in a row it has refused all of a batch since.
    taken: Option<Record>,
    refusals: usize,
    patience: Patience,
    /// Since when the database takes nothing, and when that was last told.
    trouble: Option<(Instant, Instant)>,
}

/// What a round came to.
enum Round {
    /// There was nothing to ship.
    Empty,
    /// A batch is in the database, or there would have been no place to ship one to; whether there may be more at once.
    Shipped { more: bool },
}

/// Why a round failed: in a word for the metrics, and in full.
struct Trouble(&'static str, String);

impl Shipper {
    pub(crate) fn new(reader: Reader, figures: Arc<Figures>, orders: watch::Receiver<Orders>) -> Self {
        let progress = Arc::new(Progress::new());
        let (conversations, patience) = (Conversations::default(), Patience::default());
        Self {
            reader,
            figures,
            orders,
            progress,
            conversations,
            connected: None,
            taken: None,
            refusals: 0,
            patience,
            trouble: None,
        }
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Ships until it is told to end, or nobody is left to tell it, and everything is shipped or the time is up.
    pub(crate) async fn run(mut self) {
        let syncing = tokio::spawn(chores::sync(self.reader.journal().clone(), self.orders.clone()));
        let maintaining = tokio::spawn(chores::maintain(self.figures.clone(), self.orders.clone()));
        let rows = self.reader.count_old();
        if rows > 0 {
            info!(rows; "the ledger's journal holds rows of an earlier run; they go to the database first");
        }
        loop {
            match self.round().await {
                Ok(Round::Empty) => {
                    self.progress.note();
                    self.recovered();
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
        let Some(mut batch) = batch else {
            if self.is_connected() || self.is_ending() {
                return Ok(Round::Empty);
            }
            self.connect_ahead().await?;
            // something may have come meanwhile
            return Ok(Round::Shipped { more: true });
        };
        let more = batch.records.len() >= ROWS / 2;
        self.connect().await?;
        self.link(&mut batch).await?;
        self.write(&batch).await?;
        if let Err(error) = self.reader.done(&batch) {
            static UNNOTED: LogLimit = LogLimit::new();
            if let Some(suppressed) = UNNOTED.pass(()) {
                warn!(error:%, suppressed; "the ledger cannot note how far its journal was read; a restart reads some of it again");
            }
        }
        self.progress.note();
        Ok(Round::Shipped { more })
    }

    /// Connects where nothing waits: a database that is wrong or down is told of before there is a row. The end is not held up for it.
    async fn connect_ahead(&mut self) -> Result<(), Trouble> {
        let mut orders = self.orders.clone();
        let ending = async move {
            let _ = orders.wait_for(|orders| orders.end.is_some()).await;
        };
        tokio::select! {
            biased;
            () = ending => Ok(()),
            connected = self.connect() => connected,
        }
    }

    /// Connects, unless it is connected to the database that is wanted.
    async fn connect(&mut self) -> Result<(), Trouble> {
        if self.is_connected() {
            return Ok(());
        }
        let wanted = self.orders.borrow().settings.clone();
        self.connected = None;
        let limit = wanted.pool.connect_timeout.get() + CONNECT;
        let mut store = within(&mut self.orders, limit, Store::connect(&wanted, self.figures.store())).await?;
        within(&mut self.orders, MIGRATE, store.migrate()).await?;
        // one that takes no rows is connected to again and again
        static CONNECTED: LogLimit<String> = LogLimit::new();
        if let Some(suppressed) = CONNECTED.pass(wanted.database.to_string()) {
            info!(database:% = wanted.database, suppressed; "the ledger is connected to its database");
        }
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

    /// Has the batch in the database, but for records that it refuses while it takes others: those are put aside. Where it takes none,
    /// all of them wait.
    async fn write(&mut self, batch: &Batch) -> Result<(), Trouble> {
        let Some((store, settings)) = &mut self.connected else {
            return Err(Trouble("unavailable", "not connected".into()));
        };
        let (slow, records, began) = (settings.slow_query, batch.records.as_slice(), Instant::now());
        let isolated = written(&mut self.orders, store, records, self.taken.as_ref(), self.refusals).await;
        let (Written { new, known }, rejected) = match isolated.inspect_err(|_| self.connected = None)? {
            Isolated::Written(written, rejected) => (written, rejected),
            Isolated::Refused(why) => {
                (self.connected, self.refusals) = (None, self.refusals + 1);
                return Err(Trouble("rejected", why));
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
        self.figures.written(new, known, took);
        for (at, why) in rejected {
            self.figures.store_failed("rejected");
            aside::put(&self.figures, self.reader.journal().folder(), &records[at], &why);
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
        self.figures.store_failed(kind);
        let (now, waiting) = (Instant::now(), self.reader.journal().waiting());
        if waiting == 0 {
            // nothing is held up by it
            self.progress.note();
        }
        let (since, told) = self.trouble.unwrap_or((now, now));
        if self.trouble.is_none() || now - told >= REMIND {
            let (database, seconds) = (self.orders.borrow().settings.database.clone(), (now - since).as_secs());
            warn!(database:%, kind, why:%, waiting, seconds; "the ledger's database takes no rows; they wait in the journal");
            self.trouble = Some((since, now));
        }
    }

    fn recovered(&mut self) {
        self.patience.reset();
        if let Some((since, _)) = self.trouble.take() {
            info!(seconds = since.elapsed().as_secs(); "the ledger's database takes rows again");
        }
    }

    /// Whether it is connected to the database that is wanted.
    fn is_connected(&self) -> bool {
        self.connected.as_ref().is_some_and(|(_, settings)| *settings == self.orders.borrow().settings)
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

/// Writes records, and finds those that the database refuses while it takes others. Few records that are all refused say nothing of
/// the schema: whether it takes others shows in one that it took before.
async fn written(
    orders: &mut watch::Receiver<Orders>,
    store: &mut Store,
    records: &[Record],
    taken: Option<&Record>,
    attempt: usize,
) -> Result<Isolated, Trouble> {
    let mut write = async |records: &[Record]| told(within(orders, WRITE, store.write(records)).await);
    let isolated = isolate(records, attempt, &mut write).await?;
    let (Isolated::Refused(_), Some(taken)) = (&isolated, taken.filter(|_| records.len() <= SAMPLES)) else {
        return Ok(isolated);
    };
    if told(within(orders, WRITE, store.would_take(taken)).await)?.is_err() {
        return Ok(isolated);
    }
    let write = async |records: &[Record]| told(within(orders, WRITE, store.write(records)).await);
    let (new, rejected) = one_by_one(records, 0..records.len(), write).await?;
    let known = ((records.len() - rejected.len()) as u64).saturating_sub(new);
    Ok(Isolated::Written(Written { new, known }, rejected))
}

/// What the database says for or against records, where it says anything.
fn told<T>(answer: Result<T, Trouble>) -> Result<Result<T, String>, Trouble> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(Trouble("rejected", why)) => Ok(Err(why)),
        Err(trouble) => Err(trouble),
    }
}

#[cfg(test)]
mod tests;

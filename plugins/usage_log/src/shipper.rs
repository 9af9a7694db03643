//! Moves records from the journal to the database, on a thread of its own. Whatever the database does, requests do not notice:
//! the rows wait in the journal.

mod aside;
mod patience;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use log::{error, info, warn};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};

use crate::conversation::Conversations;
use crate::journal::{Batch, Reader};
use crate::{Record, Store, StoreError, StoreSettings, Written};

use aside::Aside;
use patience::Patience;

/// The most records of a batch, and about how many bytes of the journal.
const ROWS: usize = 2000;
const BYTES: usize = 8 << 20;
/// How long a row may wait for others to come with it.
const LINGER: Duration = Duration::from_millis(100);
/// How long the database may take: to connect, beyond its own limit; to bring its schema up to date, which may build indexes; to
/// take a batch; to find turns; to do its housekeeping. A frozen one never says that it does not answer.
const CONNECT: Duration = Duration::from_secs(5);
const MIGRATE: Duration = Duration::from_secs(600);
const WRITE: Duration = Duration::from_secs(30);
const LOOK_UP: Duration = Duration::from_secs(10);
const MAINTAIN: Duration = Duration::from_secs(3600);
/// How often it does that.
const MAINTENANCE: Duration = Duration::from_secs(60);
/// How often the journal is brought to the disk.
const SYNC: Duration = Duration::from_secs(1);
/// How often a trouble that goes on is told of again.
const REMIND: Duration = Duration::from_secs(60);

/// What the shipper is told.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// The database.
    pub(crate) settings: StoreSettings,
    /// Whether the journal is brought to the disk once a second.
    pub(crate) sync: bool,
    /// Until when what waits may be shipped, once the gateway stops.
    pub(crate) end: Option<Instant>,
}

/// What the shipper tells.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    /// When it last had nothing to do or got something done, in milliseconds since it began.
    at: AtomicU64,
}

impl Progress {
    fn new() -> Self {
        Self { began: Instant::now(), at: AtomicU64::new(0) }
    }

    fn note(&self) {
        self.at.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long nothing has got done, at a time.
    pub(crate) fn none_for(&self, now: Instant) -> Duration {
        let at = Duration::from_millis(self.at.load(Ordering::Relaxed));
        now.saturating_duration_since(self.began + at)
    }
}

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

    /// Ships until it is told to end, and everything is shipped or the time is up.
    pub(crate) async fn run(mut self) {
        let syncing = tokio::spawn(sync(self.reader.journal().clone(), self.orders.clone()));
        let maintaining = tokio::spawn(maintain(self.reader.journal().figures().clone(), self.orders.clone()));
        match self.reader.count_old() {
            Ok(0) => {}
            Ok(rows) => {
                self.reader.journal().found_waiting(rows);
                info!(rows; "the ledger's journal holds rows of an earlier run; they go to the database first");
            }
            Err(error) => error!(error:%; "the ledger's journal cannot be read"),
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
        keep_latest(&mut batch.records);
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
            changed = self.orders.changed() => {
                if changed.is_err() {
                    sleep(pause).await;
                }
            }
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
        self.orders.borrow().end.is_some()
    }

    fn time_is_up(&self) -> bool {
        self.orders.borrow().end.is_some_and(|end| end <= Instant::now())
    }
}

/// Waits for the database, but not longer than `limit`, nor than the gateway's end.
async fn within<T>(
    orders: &mut watch::Receiver<Orders>,
    limit: Duration,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Trouble> {
    tokio::select! {
        answer = asked => answer.map_err(|error| match error {
            StoreError::Unavailable(why) => Trouble("unavailable", why),
            StoreError::Rejected(why) => Trouble("rejected", why),
        }),
        () = sleep(limit) => Err(Trouble("timeout", format!("the database has not answered for {} s", limit.as_secs()))),
        () = end(orders) => Err(Trouble("timeout", "the gateway stops, and the database has not answered".into())),
    }
}

/// Waits until the gateway's time is up.
async fn end(orders: &mut watch::Receiver<Orders>) {
    loop {
        let end = orders.borrow_and_update().end;
        match end {
            Some(end) => return sleep_until(end.into()).await,
            None if orders.changed().await.is_err() => return std::future::pending().await,
            None => {}
        }
    }
}

/// Writes records, and finds those that are rejected by halving: what was written, and which were rejected and why.
///
/// # Errors
/// What kept `write` from telling. Nothing is said of the records then; they are all worth another try.
async fn isolate<E>(
    records: &[Record],
    mut write: impl AsyncFnMut(&[Record]) -> Result<Result<Written, String>, E>,
) -> Result<(Written, Vec<(usize, String)>), E> {
    let (mut sum, mut rejected) = (Written::default(), Vec::new());
    let mut parts = vec![(0, records.len())];
    while let Some((from, to)) = parts.pop() {
        match write(&records[from..to]).await? {
            Ok(written) => {
                sum.new += written.new;
                sum.known += written.known;
            }
            Err(why) if to - from <= 1 => rejected.push((from, why)),
            Err(_) => {
                let middle = usize::midpoint(from, to);
                parts.extend([(middle, to), (from, middle)]);
            }
        }
    }
    Ok((sum, rejected))
}

/// Leaves of several records of a request only the latest.
fn keep_latest(records: &mut Vec<Record>) {
    let mut latest: HashMap<_, (i16, usize)> = HashMap::with_capacity(records.len());
    let mut stale = Vec::new();
    for (at, record) in records.iter().enumerate() {
        let Record::Request(row) = record else { continue };
        match latest.entry(row.id) {
            Entry::Vacant(first) => drop(first.insert((row.revision, at))),
            Entry::Occupied(mut known) if known.get().0 < row.revision => {
                stale.push(known.insert((row.revision, at)).1);
            }
            Entry::Occupied(_) => stale.push(at),
        }
    }
    if stale.is_empty() {
        return;
    }
    stale.sort_unstable();
    let mut at = 0;
    records.retain(|_| {
        at += 1;
        stale.binary_search(&(at - 1)).is_err()
    });
}

/// Brings the journal to the disk once a second, while that is wanted.
async fn sync(journal: Arc<crate::journal::Journal>, orders: watch::Receiver<Orders>) {
    let mut synced = journal.appended_bytes();
    loop {
        sleep(SYNC).await;
        let appended = journal.appended_bytes();
        if appended == synced || !orders.borrow().sync {
            continue;
        }
        let syncing = journal.clone();
        match tokio::task::spawn_blocking(move || syncing.sync()).await {
            Ok(Ok(())) => synced = appended,
            Ok(Err(error)) => warn!(error:%; "the ledger's journal cannot be brought to the disk"),
            Err(_) => return,
        }
    }
}

/// Has the database do its housekeeping, on a connection of its own: that may take long, and rows must not wait for it.
async fn maintain(figures: Arc<crate::metrics::Figures>, orders: watch::Receiver<Orders>) {
    loop {
        sleep(MAINTENANCE).await;
        let settings = orders.borrow().settings.clone();
        let housekeeping = async {
            let mut store =
                timeout(settings.pool.connect_timeout.get() + CONNECT, Store::connect(&settings, figures.store()))
                    .await
                    .map_err(|_| StoreError::Unavailable("it does not answer".into()))??;
            let done = store.maintain().await;
            store.close().await;
            done
        };
        let done = timeout(MAINTAIN, housekeeping).await;
        if let Err(error) = done.unwrap_or_else(|_| Err(StoreError::Unavailable("it takes too long".into()))) {
            figures.store_failed("maintenance");
            warn!(error:%; "the ledger's database cannot do its housekeeping");
        }
    }
}

#[cfg(test)]
mod tests;

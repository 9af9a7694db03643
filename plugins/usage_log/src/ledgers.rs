//! The ledgers of a gateway: each a journal and the thread that empties it. They outlive every configuration, so that a reload
//! loses no row and no second. A journal may go to another process while this one still serves: see [`Handover`].

mod handover;
mod shipping_thread;

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use log::{error, info, warn};
use plugin_api::{AdminRoute, Common, Handover, Shared, SpendingFeed};
use private_files::is_open_to_all;
use prometheus::core::Collector;
use tokio::sync::watch;
use uuid::Uuid;

use crate::collector::LedgerCollector;
use crate::consumers::{ConsumerProgress, Consumers, SinkConfig};
use crate::dashboard::{self, ReadFrom, Readers};
use crate::ledger_journal::LedgerJournal;
use crate::metrics::LedgerMetrics;
use crate::shipper::{Places, Progress, Shipper, ShipperConfig};
use crate::{Config, Database, Record, StoreSettings, Sync, export, spending};
use shipping_thread::{IdleThread, Pending, ShippingThread};

/// All ledgers of a gateway.
#[derive(Debug)]
pub struct Ledgers {
    pub(crate) metrics: Arc<LedgerMetrics>,
    /// Those of any configuration, also of one that is being built.
    open: Mutex<Vec<Weak<Ledger>>>,
    /// Those of a configuration that is or was in force.
    pub(crate) active: Arc<Mutex<Vec<Arc<Ledger>>>>,
    /// The shippers that begin once this process serves, as long as it has yet to take over from another.
    receiving: Arc<Mutex<Option<Vec<Pending>>>>,
    /// The dashboard's connections.
    pub(crate) readers: Readers,
}

/// A ledger with the settings of a configuration. They apply once the configuration is in force.
#[derive(Debug)]
pub(crate) struct LedgerHandle {
    ledger: Arc<Ledger>,
    shipping: ShipperConfig,
    max_bytes: u64,
    /// The most that the journal may keep for consumers alone, in bytes.
    consumers_max_bytes: u64,
    common: Arc<Common>,
    /// Where rows go besides the database, by the ledger's own settings.
    exports: Vec<SinkConfig>,
    active: Arc<Mutex<Vec<Arc<Ledger>>>>,
    receiving: Arc<Mutex<Option<Vec<Pending>>>>,
    /// Shows the shipper that this configuration still exists.
    _alive: Arc<()>,
}

/// One of them. One that no configuration names any more ships what it still holds, and then rests.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    journal: Arc<LedgerJournal>,
    metrics: Arc<LedgerMetrics>,
    shipping: watch::Sender<ShipperConfig>,
    progress: Arc<Progress>,
    /// The shipper, before it ships.
    pending: Mutex<Option<Pending>>,
    /// What else reads the journal.
    consumers: Mutex<Consumers>,
    /// Where it reports what its records cost.
    pub(crate) feed: SpendingFeed,
    thread: Mutex<ShippingThread>,
}

impl Default for Ledgers {
    fn default() -> Self {
        Self {
            metrics: Arc::new(LedgerMetrics::new()),
            open: Mutex::default(),
            active: Arc::default(),
            receiving: Arc::default(),
            readers: Readers::default(),
        }
    }
}

impl Shared for Ledgers {
    fn collectors(self: &Arc<Self>) -> Vec<Box<dyn Collector>> {
        vec![Box::new(LedgerCollector::new(self))]
    }

    fn admin_routes(self: &Arc<Self>) -> Vec<AdminRoute> {
        dashboard::routes(self)
    }

    /// Ships what still waits. What waits after that stays in the journal, and the next start ships it.
    fn finish(&self, deadline: Instant) {
        let active = std::mem::take(&mut *lock(&self.active));
        for ledger in &active {
            ledger.shipping.send_modify(|shipping| shipping.end = Some(deadline));
        }
        for ledger in &active {
            lock(&ledger.consumers).finish(deadline);
        }
        for ledger in active {
            let thread = lock(&ledger.thread);
            if thread.draining.is_some() {
                info!(rows = ledger.waiting(); "the process that took over ships what this one still recorded");
                continue;
            }
            // a little longer: it notices the deadline itself
            let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(200);
            let in_time = thread.ended.recv_timeout(left) != Err(RecvTimeoutError::Timeout);
            let waiting = ledger.waiting();
            if in_time && waiting == 0 {
                info!("the ledger has shipped every row");
            } else {
                let journal = ledger.path.display();
                warn!(waiting, journal:%; "rows of the ledger wait in the journal; the next start ships them");
            }
        }
    }

    fn hand_over(&self, step: Handover) -> Result<(), String> {
        match step {
            // this may take a while, and metrics are read meanwhile
            Handover::Give => lock(&self.active).clone().iter().try_for_each(|ledger| ledger.give()),
            Handover::TakeBack => {
                for ledger in lock(&self.active).clone() {
                    if let Err(why) = ledger.take_back() {
                        let journal = ledger.path.display();
                        error!(why, journal:%; "the ledger's journal cannot be had back; its rows wait there for the next start");
                    }
                }
                Ok(())
            }
            Handover::Receive => {
                lock(&self.receiving).get_or_insert_default();
                Ok(())
            }
            Handover::Received => {
                lock(&self.receiving).take().into_iter().flatten().for_each(Pending::begin);
                lock(&self.active).clone().iter().for_each(|ledger| ledger.begin_consumers());
                Ok(())
            }
        }
    }
}

impl Ledgers {
    /// The ledger that a configuration names. One with the same journal is taken on as it is; if its database is another
    /// once the configuration is in force, the rows that wait go there.
    ///
    /// # Errors
    /// That its journal cannot be had. The database is not asked for anything yet.
    pub(crate) fn open(&self, config: &Config, base: &Path, common: &Arc<Common>) -> Result<LedgerHandle, String> {
        let path = config.journal_folder(base);
        let path = std::path::absolute(&path).unwrap_or(path);
        let alive = Arc::new(());
        let shipping = ShipperConfig {
            settings: config.store_settings(base),
            read_from: ReadFrom {
                database: config.read_database(base),
                is_replica: config.read_url.is_some(),
                pool: config.pool,
            },
            sync: config.journal.sync == Sync::Interval,
            end: None,
            alive: Arc::downgrade(&alive),
        };
        let max_bytes = config.journal.max_bytes.get();
        let mut open = lock(&self.open);
        open.retain(|ledger| ledger.strong_count() > 0);
        let ledger = match open.iter().filter_map(Weak::upgrade).find(|ledger| ledger.path == path) {
            Some(ledger) => ledger,
            None => {
                let ledger = Arc::new(Ledger::open(
                    path,
                    shipping.clone(),
                    max_bytes,
                    self.metrics.clone(),
                    common.spending.feed(),
                )?);
                open.push(Arc::downgrade(&ledger));
                ledger
            }
        };
        let (active, receiving) = (self.active.clone(), self.receiving.clone());
        let (consumers_max_bytes, common) = (config.journal.consumers_max_bytes.get(), common.clone());
        let exports = export::sinks(config, base);
        Ok(LedgerHandle {
            ledger,
            shipping,
            max_bytes,
            consumers_max_bytes,
            common,
            exports,
            active,
            receiving,
            _alive: alive,
        })
    }
}

impl Ledgers {
    /// The databases that the ledgers of the configuration in force are read from, each once.
    pub(crate) fn read_from(&self) -> Vec<ReadFrom> {
        let mut all: Vec<ReadFrom> = Vec::new();
        for ledger in &*lock(&self.active) {
            let shipping = ledger.shipping.borrow();
            let is_known = all.iter().any(|known| known.database == shipping.read_from.database);
            if shipping.is_in_force() && !is_known {
                all.push(shipping.read_from.clone());
            }
        }
        all
    }
}

impl LedgerHandle {
    /// The configuration is in force: from now on the ledger is as it wants it. A new one begins to ship.
    pub(crate) fn activate(&self) {
        self.ledger.reconfigure(&self.shipping, self.max_bytes);
        self.ledger.journal.get().set_held_max_bytes(self.consumers_max_bytes);
        lock(&self.ledger.consumers).configure(&self.sinks());
        let Some(pending) = lock(&self.ledger.pending).take() else { return };
        lock(&self.active).push(self.ledger.clone());
        let database = self.shipping.settings.database.id();
        let Ledger { feed, path, journal, .. } = &*self.ledger;
        spending::report_waiting(feed, path, self.ledger.instance(), database);
        let adopted = |record: &Record, place| spending::report_adopted(feed, record, place);
        journal.take_in_kept(adopted);
        journal.take_in(adopted);
        match &mut *lock(&self.receiving) {
            Some(receiving) => receiving.push(pending),
            None => {
                pending.begin();
                self.ledger.begin_consumers();
            }
        }
    }

    /// Where the ledger's rows go besides its database.
    fn sinks(&self) -> Vec<SinkConfig> {
        let otlp = self.common.telemetry.otlp().map(SinkConfig::Otlp);
        otlp.into_iter().chain(self.exports.clone()).collect()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deref for LedgerHandle {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl Ledger {
    /// Opens the journal. Whatever can fail is done here; nothing is shipped yet.
    fn open(
        path: PathBuf,
        shipping: ShipperConfig,
        max_bytes: u64,
        metrics: Arc<LedgerMetrics>,
        feed: SpendingFeed,
    ) -> Result<Self, String> {
        let (journal, reader) = LedgerJournal::open(&path, max_bytes, metrics.clone())?;
        warn_of_open_files(&path, &shipping.settings);
        let (shipping, taken) = watch::channel(shipping);
        let (journal, progress) = (Arc::new(journal), Arc::new(Progress::new()));
        let shipper = Shipper::new(reader, metrics.clone(), taken, feed.clone(), progress.clone(), Places::default());
        let (pending, ended) = IdleThread::start()?.waits_with(shipper, &journal, &feed);
        let thread = Mutex::new(ShippingThread { ended, draining: None });
        let consumers = Mutex::new(Consumers::new(metrics.clone()));
        let pending = Mutex::new(Some(pending));
        Ok(Self { path, journal, metrics, shipping, progress, pending, consumers, feed, thread })
    }

    fn reconfigure(&self, new: &ShipperConfig, max_bytes: u64) {
        self.journal.get().set_max_bytes(max_bytes);
        self.shipping.send_if_modified(|shipping| {
            let changed = shipping.settings != new.settings || shipping.sync != new.sync;
            if shipping.settings.database != new.settings.database {
                let (old, new) = (&shipping.settings.database, &new.settings.database);
                warn!(old:%, new:%; "the ledger has another database now; rows that wait go there");
            }
            *shipping = ShipperConfig { end: shipping.end, ..new.clone() };
            changed
        });
    }

    /// The shipper is at work, and so are the consumers from now on.
    fn begin_consumers(&self) {
        lock(&self.consumers).begin(self.journal.get());
    }

    /// Calls `each` for every consumer at work.
    pub(crate) fn each_consumer(&self, each: impl FnMut(&ConsumerProgress)) {
        lock(&self.consumers).progress().for_each(each);
    }

    /// What the journal keeps on the disk for consumers alone, in bytes.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.journal.get().held_bytes()
    }

    #[cfg(test)]
    pub(crate) fn journal(&self) -> &LedgerJournal {
        &self.journal
    }

    /// Keeps a record, and gives a new row its number. Returns its place among those of this run; see [`LedgerJournal::append`].
    pub(crate) fn keep(&self, record: &mut Record) -> u64 {
        self.journal.append(record)
    }

    /// The same for a record that will be offered again where it is not kept; see [`LedgerJournal::try_append`].
    pub(crate) fn try_keep(&self, record: &mut Record) -> Option<u64> {
        self.journal.try_append(record).ok()
    }

    /// Hands a record over that is kept; see [`LedgerJournal::hand_over`].
    pub(crate) fn hand_over(&self, place: u64, record: Record) {
        self.journal.hand_over(place, record);
    }

    /// Tells this run of this gateway from all others.
    pub(crate) fn instance(&self) -> Uuid {
        self.journal.get().instance()
    }

    /// An answer has no cost, of the model that has a price under this name, or of one that has none at all.
    pub(crate) fn unpriced(&self, name: Option<&str>) {
        self.metrics.unpriced(name);
    }

    /// An answer has a cost; see [`LedgerMetrics::cost`].
    pub(crate) fn cost(&self, tenant: Option<&str>, most_tenants: usize, name: Option<&str>, picos: i64) {
        self.metrics.cost(tenant, most_tenants, name, picos);
    }

    /// Records that wait for the database.
    pub(crate) fn waiting(&self) -> u64 {
        self.journal.get().waiting()
    }

    /// Records of a later release that stay in the journal.
    pub(crate) fn unknown(&self) -> u64 {
        self.journal.get().unknown()
    }

    /// What the journal takes on the disk, in bytes.
    pub(crate) fn journal_bytes(&self) -> u64 {
        self.journal.get().bytes()
    }

    /// What the journal may take on the disk, in bytes.
    pub(crate) fn journal_limit(&self) -> u64 {
        self.journal.get().max_bytes()
    }

    /// How much room its disk has, in bytes; `None` where that is not known.
    pub(crate) fn disk_free(&self) -> Option<u64> {
        self.journal.disk_free()
    }

    /// How long records have waited without any progress.
    pub(crate) fn stuck_for(&self, now: Instant) -> Duration {
        if self.waiting() == 0 { Duration::ZERO } else { self.progress.none_for(now) }
    }
}

/// Tells of a file that everybody on the machine may read: one of an earlier release, or an operator's own choice. It is left so.
fn warn_of_open_files(journal: &Path, settings: &StoreSettings) {
    let mut files: Vec<PathBuf> = [Some(journal), settings.archive.as_deref()]
        .into_iter()
        .flatten()
        .filter(|folder| is_open_to_all(folder))
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .collect();
    if let Database::Sqlite(file) = &settings.database {
        let beside = |end: &str| {
            let mut name = file.clone().into_os_string();
            name.push(end);
            PathBuf::from(name)
        };
        files.extend(["", "-wal", "-shm"].map(beside));
    }
    if let Some(file) = files.iter().find(|file| file.is_file() && is_open_to_all(file)) {
        warn!(file:% = file.display(); "everybody on this machine may read the ledger; take that away from this file and those beside it (chmod o-r)");
    }
}

#[cfg(test)]
mod tests;

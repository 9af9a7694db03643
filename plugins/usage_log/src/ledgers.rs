//! The ledgers of a gateway: each a journal and the thread that empties it. They outlive every configuration, so that a reload
//! loses no row and no second. A journal may go to another process while this one still serves: see [`Handover`].

mod handover;
mod ledger;
mod shipping_thread;

use std::ops::Deref;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use log::{error, info, warn};
use plugin_api::{AdminRoute, Common, Handover, Shared};
use prometheus::core::Collector;

use crate::collector::LedgerCollector;
use crate::consumers::SinkConfig;
use crate::dashboard::{self, ReadFrom, Readers};
use crate::metrics::LedgerMetrics;
use crate::shipper::ShipperConfig;
use crate::{Config, Database, Record, Sync, export, spending};
use shipping_thread::Pending;

pub(crate) use ledger::Ledger;

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

    /// A database is read for the dashboard: while that goes on, its rows are shipped sooner.
    pub(crate) fn note_read(&self, database: &Database) {
        for ledger in &*lock(&self.active) {
            if ledger.shipping.borrow().read_from.database == *database {
                ledger.last_read.note(Instant::now());
            }
        }
    }
}

impl LedgerHandle {
    /// The ledger, which outlives the configuration.
    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// What tells it from other ledgers, in this process and in the next.
    pub(crate) fn name(&self) -> Arc<str> {
        self.ledger.path.to_string_lossy().into()
    }

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

#[cfg(test)]
mod tests;

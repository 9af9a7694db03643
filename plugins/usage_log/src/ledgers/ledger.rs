//! One ledger: a journal, the thread that empties it, and what else reads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use log::warn;
use plugin_api::SpendingFeed;
use private_files::is_open_to_all;
use tokio::sync::watch;
use uuid::Uuid;

use super::lock;
use super::shipping_thread::{IdleThread, Pending, ShippingThread};
use crate::consumers::{ConsumerProgress, Consumers};
use crate::ledger_journal::LedgerJournal;
use crate::metrics::LedgerMetrics;
use crate::shipper::{LastRead, Places, Progress, Shipper, ShipperConfig};
use crate::{Database, Record, StoreSettings};

/// A ledger. One that no configuration names any more ships what it still holds, and then rests.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(super) path: PathBuf,
    pub(super) journal: Arc<LedgerJournal>,
    pub(super) metrics: Arc<LedgerMetrics>,
    pub(super) shipping: watch::Sender<ShipperConfig>,
    pub(super) progress: Arc<Progress>,
    pub(super) last_read: Arc<LastRead>,
    /// The shipper, before it ships.
    pub(super) pending: Mutex<Option<Pending>>,
    /// What else reads the journal.
    pub(super) consumers: Mutex<Consumers>,
    /// Where it reports what its records cost.
    pub(crate) feed: SpendingFeed,
    pub(super) thread: Mutex<ShippingThread>,
}

impl Ledger {
    /// Opens the journal. Whatever can fail is done here; nothing is shipped yet.
    pub(super) fn open(
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
        let last_read = Arc::new(LastRead::new());
        let noted = (progress.clone(), last_read.clone());
        let shipper = Shipper::new(reader, metrics.clone(), taken, feed.clone(), noted, Places::default());
        let (pending, ended) = IdleThread::start()?.waits_with(shipper, &journal, &feed);
        let thread = Mutex::new(ShippingThread { ended, draining: None });
        let consumers = Mutex::new(Consumers::new(metrics.clone()));
        let pending = Mutex::new(Some(pending));
        Ok(Self { path, journal, metrics, shipping, progress, last_read, pending, consumers, feed, thread })
    }

    pub(super) fn reconfigure(&self, new: &ShipperConfig, max_bytes: u64) {
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
    pub(super) fn begin_consumers(&self) {
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

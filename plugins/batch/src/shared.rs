//! What outlives reloads: the stores, each with its thread. A store that no configuration names any more finishes what it holds.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use plugin_api::{Common, Handover};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::driver::Driver;
use crate::figures::Figures;
use crate::follower::Follower;
use crate::ledger::Ledgers;
use crate::link::Upstreams;
use crate::log_file::{Lock, OpenError};
use crate::store::{Store, Terms};

/// How long a store may take to go to another process: submissions that are on their way come first.
const GIVE: Duration = Duration::from_secs(15);

/// The stores of a gateway.
#[derive(Debug)]
pub struct Shared {
    stores: Mutex<Vec<Running>>,
    pub(crate) figures: Arc<Figures>,
}

/// A store and what works on it.
#[derive(Debug)]
struct Running {
    store: Arc<Store>,
    common: Option<Arc<Common>>,
    worker: Worker,
}

#[derive(Debug)]
enum Worker {
    /// No configuration with it has been in force.
    None,
    Driver(Driver),
    /// Another process has the store; clients of this one are told what that one finds out.
    Follower(#[expect(dead_code, reason = "dropping it ends its thread")] Follower),
}

impl Default for Shared {
    fn default() -> Self {
        Self { stores: Mutex::default(), figures: Arc::new(Figures::new()) }
    }
}

impl Shared {
    /// The store of a folder. Its thread begins once a configuration with it is in force.
    pub(crate) fn store(&self, folder: PathBuf, terms: Terms, common: &Arc<Common>) -> Arc<Store> {
        let mut stores = self.lock();
        if let Some(running) = stores.iter().find(|running| running.store.folder == folder) {
            return running.store.clone();
        }
        let store = Store::new(folder, terms, common.clone());
        stores.push(Running { store: store.clone(), common: None, worker: Worker::None });
        store
    }

    /// A configuration with this store is in force.
    pub(crate) fn drive(&self, store: &Arc<Store>, common: &Arc<Common>) {
        let mut stores = self.lock();
        let Some(running) = stores.iter_mut().find(|running| Arc::ptr_eq(&running.store, store)) else { return };
        if matches!(running.worker, Worker::None) {
            running.common = Some(common.clone());
            // at once, so that a process that hands over does not have it back before this one has read it
            let lock = Lock::take(&running.store.folder).ok();
            running.start(&self.figures, lock);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Running>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn start(&mut self, figures: &Arc<Figures>, lock: Option<Lock>) {
        let Some(common) = &self.common else { return };
        let (link, ledgers) = (Arc::new(Upstreams(common.clone())), Ledgers(common.clone()));
        // what follows another process ends first
        self.worker = Worker::None;
        match Driver::start(self.store.clone(), link, ledgers, figures.clone(), lock) {
            Ok(driver) => self.worker = Worker::Driver(driver),
            Err(error) => {
                self.store.closed();
                log::error!(error; "calls that may wait go by `otherwise`");
            }
        }
    }
}

impl plugin_api::Shared for Shared {
    fn collectors(self: &Arc<Self>) -> Vec<Box<dyn Collector>> {
        vec![Box::new(BatchCollector { figures: self.figures.clone(), shared: Arc::downgrade(self) })]
    }

    fn finish(&self, deadline: Instant) {
        for running in &*self.lock() {
            match (&running.worker, &running.common) {
                (Worker::Driver(driver), _) => {
                    driver.end(deadline.saturating_duration_since(Instant::now()));
                }
                // clients that left since its last look
                (Worker::Follower(_), Some(common)) => Ledgers(common.clone()).book_unbooked(&running.store),
                _ => {}
            }
        }
    }

    fn hand_over(&self, step: Handover) -> Result<(), String> {
        for running in &mut *self.lock() {
            match (step, &running.worker) {
                (Handover::Give, Worker::Driver(driver)) => {
                    running.store.gives();
                    if !driver.end(GIVE) {
                        return Err(
                            "the thread of the calls that wait for batches does not end; the disk may hang".into()
                        );
                    }
                    if !running.store.is_saved() {
                        return Err("the disk does not take what is known of calls that wait for batches".into());
                    }
                    let Some(common) = &running.common else { continue };
                    let ledgers = Ledgers(common.clone());
                    running.worker = Worker::Follower(Follower::start(running.store.clone(), ledgers)?);
                }
                (Handover::TakeBack, Worker::Follower(_)) => match Lock::take(&running.store.folder) {
                    Ok(lock) => running.start(&self.figures, Some(lock)),
                    // the new process has it
                    Err(OpenError::InUse) => {}
                    Err(OpenError::Disk(error)) => {
                        log::error!(error:%, folder:% = running.store.folder.display();
                            "the store of calls that wait for batches cannot be had back; the next start answers them");
                    }
                },
                // it could not be given away; its thread may not have ended yet
                (Handover::TakeBack, Worker::Driver(driver)) if driver.is_stopped() => {
                    let lock = Lock::take(&running.store.folder).ok();
                    running.start(&self.figures, lock);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The metrics, with gauges of all stores.
struct BatchCollector {
    figures: Arc<Figures>,
    shared: Weak<Shared>,
}

impl Collector for BatchCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.figures.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(shared) = self.shared.upgrade() else { return Vec::new() };
        let stores: Vec<Arc<Store>> = shared.lock().iter().map(|running| running.store.clone()).collect();
        if stores.is_empty() {
            return Vec::new();
        }
        self.figures.show(&stores);
        self.figures.all().into_iter().flat_map(Collector::collect).collect()
    }
}

//! The thread of a ledger: it ships, and takes in what processes left that gave the journal up. The journal of a process that drains has
//! one that only brings it to the disk.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use plugin_api::SpendingFeed;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::ledger_journal::{Journal, LedgerJournal};
use crate::shipper::{SYNC, Shipper, ShipperConfig, is_sync_due, sync};
use crate::spending;

/// How often to look for what processes left that gave the journal up, and at the disk.
const TAKE_IN: Duration = Duration::from_secs(1);

/// The thread.
#[derive(Debug)]
pub(super) struct ShippingThread {
    /// Disconnected when it has ended.
    pub(super) ended: Receiver<()>,
    /// There is none, since another process has the journal. This one has another, with a thread of its own.
    pub(super) draining: Option<SyncThread>,
}

/// Brings a journal that nothing is shipped from to the disk once a second, while that is wanted, until it is dropped.
#[derive(Debug)]
pub(super) struct SyncThread {
    _stop: Sender<()>,
}

impl SyncThread {
    /// Starts it.
    ///
    /// # Errors
    /// That there is no thread to be had.
    pub(super) fn start(journal: &Arc<Journal>, shipping: watch::Receiver<ShipperConfig>) -> Result<Self, String> {
        let (stop, stopped) = channel();
        // the journal is closed with its ledger, and not when this thread notices
        let journal = Arc::downgrade(journal);
        let sync = move || {
            while stopped.recv_timeout(SYNC) == Err(RecvTimeoutError::Timeout) {
                let Some(journal) = journal.upgrade() else { return };
                if is_sync_due(&journal, &shipping) {
                    sync(&journal);
                }
            }
        };
        let spawned = thread::Builder::new().name("ledger".into()).spawn(sync);
        spawned.map_err(|error| format!("the ledger's thread cannot be started: {error}"))?;
        Ok(Self { _stop: stop })
    }
}

/// A shipper that has yet to begin, and the thread that waits for it.
pub(super) struct Pending {
    work: Work,
    thread: Sender<Work>,
}

/// A thread that waits for a shipper. It ends with this, if it gets none.
pub(super) struct IdleThread {
    thread: Sender<Work>,
    ended: Receiver<()>,
}

struct Work {
    shipper: Shipper,
    journal: Arc<LedgerJournal>,
    feed: SpendingFeed,
}

impl IdleThread {
    /// Starts it.
    ///
    /// # Errors
    /// That there is no thread to be had.
    pub(super) fn start() -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("the ledger's thread cannot be started: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (ending, ended) = channel();
        let (thread, begun) = channel::<Work>();
        let ship = move || {
            // nobody sends it where the configuration is refused, or the journal is not to be had
            let Ok(Work { shipper, journal, feed }) = begun.recv() else { return };
            runtime.block_on(async {
                let taking_in = tokio::spawn(take_in(journal, feed));
                shipper.run().await;
                taking_in.abort();
            });
            // a disk or a database that hangs does not hold up the end
            runtime.shutdown_background();
            drop(ending);
        };
        thread::Builder::new().name("ledger".into()).spawn(ship).map_err(failed)?;
        Ok(Self { thread, ended })
    }

    /// It is the thread of this shipper, which has yet to begin; and what tells its end.
    pub(super) fn waits_with(
        self,
        shipper: Shipper,
        journal: &Arc<LedgerJournal>,
        feed: &SpendingFeed,
    ) -> (Pending, Receiver<()>) {
        let work = Work { shipper, journal: journal.clone(), feed: feed.clone() };
        (Pending { work, thread: self.thread }, self.ended)
    }
}

impl Pending {
    /// Ships from now on.
    pub(super) fn begin(self) {
        // the thread waits for nothing else
        let _ = self.thread.send(self.work);
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

/// Takes in what processes left that gave the journal up, and looks how much room the disk has, as long as the future is polled.
async fn take_in(journal: Arc<LedgerJournal>, feed: SpendingFeed) {
    loop {
        sleep(TAKE_IN).await;
        journal.take_in(|record, place| spending::report_adopted(&feed, record, place));
        journal.measure_disk();
    }
}

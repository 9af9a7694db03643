//! What goes on beside shipping: the journal is brought to the disk, and the database does its housekeeping. Neither holds up a
//! row.

use std::sync::Arc;
use std::time::Duration;

use log::warn;
use plugin_api::LogLimit;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{CONNECT, ShipperConfig};
use crate::ledger_journal::Journal;
use crate::metrics::LedgerMetrics;
use crate::{Clock, Housekeeper, Store, StoreError};

/// How often the database does its housekeeping.
const MAINTENANCE: Duration = Duration::from_secs(60);
/// How often the journal is brought to the disk.
pub(crate) const SYNC: Duration = Duration::from_secs(1);

/// Brings the journal to the disk once a second, while that is wanted.
pub(super) async fn keep_synced(journal: Arc<Journal>, shipping: watch::Receiver<ShipperConfig>) {
    loop {
        sleep(SYNC).await;
        if !is_sync_due(&journal, &shipping) {
            continue;
        }
        let syncing = journal.clone();
        if tokio::task::spawn_blocking(move || sync(&syncing)).await.is_err() {
            return;
        }
    }
}

/// Whether the journal is to be brought to the disk, and is not there.
pub(crate) fn is_sync_due(journal: &Journal, shipping: &watch::Receiver<ShipperConfig>) -> bool {
    shipping.borrow().sync && !journal.is_synced()
}

/// Brings the journal to the disk.
pub(crate) fn sync(journal: &Journal) {
    if let Err(error) = journal.sync() {
        static UNSYNCED: LogLimit = LogLimit::new();
        if let Some(suppressed) = UNSYNCED.pass(()) {
            warn!(error:%, suppressed; "the ledger's journal cannot be brought to the disk");
        }
    }
}

/// Has the database do its housekeeping, on a connection of its own: that may take long, and rows must not wait for it. Each
/// statement has its own limit.
pub(super) async fn maintain(metrics: Arc<LedgerMetrics>, shipping: watch::Receiver<ShipperConfig>) {
    let clock = Clock::start();
    let mut keeper = Housekeeper::new(clock.read());
    loop {
        sleep(MAINTENANCE).await;
        keeper.look(clock.read());
        let Some(settings) = shipping.borrow().housekeeping() else { continue };
        let housekeeping = async {
            let mut store =
                timeout(settings.pool.connect_timeout.get() + CONNECT, Store::connect(&settings, metrics.store()))
                    .await
                    .map_err(|_| StoreError::Unavailable("it does not answer".into()))??;
            let done = store.maintain(&mut keeper).await;
            store.close().await;
            done
        };
        if let Err(error) = housekeeping.await {
            metrics.store_failed("maintenance");
            warn!(error:%; "the ledger's database cannot do its housekeeping");
        }
        keeper.look_after_work(clock.read());
    }
}

//! A ledger whose journal goes to another process while this one still serves, and comes back if nothing came of it.
//!
//! What this process records then goes to a journal of its own, in a folder of the one that it gave up. The other process takes that in
//! when this one has ended: see [`LedgerJournal::take_in`](crate::ledger_journal::LedgerJournal::take_in).

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use journal::OpenError;
use log::warn;
use plugin_api::JournalIn;

use super::shipping_thread::{IdleThread, ShippingThread, SyncThread};
use super::{Ledger, lock};
use crate::ledger_journal::{self, DrainingJournals};
use crate::shipper::{Places, Shipper};
use crate::spending;

/// How long a shipper may take to end. What it waits for of the database it gives up at once.
const SHIPPER_END: Duration = Duration::from_secs(20);

impl Ledger {
    /// Lets another process have the journal. What this one still records goes to a journal of its own, and the other one takes it in once
    /// this process has ended.
    ///
    /// # Errors
    /// The disk does not allow it, or hangs.
    pub(super) fn give(&self) -> Result<(), String> {
        let mut thread = lock(&self.thread);
        if thread.draining.is_some() {
            return Ok(());
        }
        let max_bytes = self.journal.get().max_bytes();
        let folder = DrainingJournals(&self.path).another();
        let (own, _) = ledger_journal::open(&folder, max_bytes, &self.metrics).map_err(|error| error.to_string())?;
        let syncing = SyncThread::start(&own, self.shipping.subscribe())?;
        lock(&self.consumers).pause()?;
        // what it is writing now the other process writes again
        self.shipping.send_modify(|shipping| shipping.end = Some(Instant::now()));
        if thread.ended.recv_timeout(SHIPPER_END) == Err(RecvTimeoutError::Timeout) {
            self.shipping.send_modify(|shipping| shipping.end = None);
            self.begin_consumers();
            return Err("the ledger's thread does not end; the disk may hang".into());
        }
        self.feed.goes_on(own.instance(), JournalIn::Draining);
        let given = self.journal.replace(own);
        thread.draining = Some(syncing);
        given.release().map_err(|error| format!("the ledger's journal cannot be given up: {error}"))
    }

    /// Has the journal back, and ships again, unless another process has it.
    ///
    /// # Errors
    /// The disk does not allow it, or there is no thread to be had. The ledger goes on as before then, without a shipper.
    pub(super) fn take_back(&self) -> Result<(), String> {
        let mut thread = lock(&self.thread);
        if thread.draining.is_none() {
            return Ok(());
        }
        // before anything changes: what can fail comes first
        let idle = IdleThread::start()?;
        let max_bytes = self.journal.get().max_bytes();
        let (journal, reader) = match ledger_journal::open(&self.path, max_bytes, &self.metrics) {
            Err(OpenError::InUse(_)) => return Ok(()),
            opened => opened.map_err(|error| error.to_string())?,
        };
        self.feed.goes_on(journal.instance(), JournalIn::Folder);
        let own = self.journal.replace(journal);
        if let Err(error) = own.release() {
            // the next process takes it in
            warn!(error:%, journal:% = own.folder().display(); "a journal of the ledger cannot be given up; its rows wait there");
        }
        // those of this process were counted when they were kept
        self.journal.take_in(|record, place| spending::report_adopted(&self.feed, record, place));
        let places = Places { before: self.journal.before(), moved: self.journal.get().appended_records() };
        self.shipping.send_modify(|shipping| shipping.end = None);
        let (taken, metrics) = (self.shipping.subscribe(), self.metrics.clone());
        let noted = (self.progress.clone(), self.last_read.clone());
        let shipper = Shipper::new(reader, metrics, taken, self.feed.clone(), noted, places);
        let (pending, ended) = idle.waits_with(shipper, &self.journal, &self.feed);
        pending.begin();
        self.begin_consumers();
        *thread = ShippingThread { ended, draining: None };
        Ok(())
    }
}

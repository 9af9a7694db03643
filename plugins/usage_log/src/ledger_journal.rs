//! The ledger's records in its journal: what is left out where space is short, and how much waits. Knows no database.

mod observer;
mod waiting;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use journal::{AppendError, Journal, Kind, Options};
use log::{error, info, warn};
use plugin_api::LogLimit;

use crate::metrics::LedgerMetrics;
use crate::{Record, encoding};
use observer::Reporter;

pub use waiting::{Waiting, waiting};

pub(crate) type Reader = journal::Reader<Record>;
pub(crate) type Batch = journal::Batch<Record>;

/// The journal of a ledger.
#[derive(Debug)]
pub(crate) struct LedgerJournal {
    journal: Arc<Journal>,
    metrics: Arc<LedgerMetrics>,
    /// Rows are being lost, and that was logged.
    losing: AtomicBool,
    /// Bodies are being left out, and that was logged.
    tight: AtomicBool,
}

impl LedgerJournal {
    /// Opens the journal in a folder, creating it if need be, and its one reader.
    ///
    /// # Errors
    /// Another process has it, or the disk does not allow it.
    pub(crate) fn open(folder: &Path, max_bytes: u64, metrics: Arc<LedgerMetrics>) -> Result<(Self, Reader), String> {
        let observer = Box::new(Reporter::new(metrics.clone()));
        let (journal, reader) = Journal::open(folder, Options { max_bytes }, encoding::decode, observer)
            .map_err(|error| format!("the ledger: {error}"))?;
        let records = journal.unknown();
        if records > 0 {
            let journal = folder.display();
            warn!(records, journal:%; "records of a later release wait in the ledger's journal; a start of that release ships them");
        }
        Ok((Self { journal, metrics, losing: AtomicBool::new(false), tight: AtomicBool::new(false) }, reader))
    }

    /// The journal.
    pub(crate) fn get(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Appends a record, without its bodies where space is short, and gives a new row its number. Once this has returned, the record
    /// outlives the process. A record that cannot be appended is counted, and logged once until others can be again. Returns the
    /// record's place among those of this run; 0 for one that is lost.
    pub(crate) fn append(&self, record: &mut Record) -> u64 {
        let why = match self.try_append(record) {
            Ok(place) => return place,
            Err(why) => why,
        };
        self.refuse(record);
        static LOSING: LogLimit = LogLimit::new();
        if !self.losing.swap(true, Ordering::Relaxed)
            && let Some(suppressed) = LOSING.pass(())
        {
            let journal = self.journal.folder().display();
            error!(why:%, journal:%, suppressed; "the ledger loses rows; tollgate_ledger_lost_total counts them");
        }
        0
    }

    /// The same for a record that is appended again where it cannot be now: it gets no number then, and is not counted yet.
    ///
    /// # Errors
    /// There is no room for it, or the disk does not take it.
    pub(crate) fn try_append(&self, record: &mut Record) -> Result<u64, AppendError> {
        let is_tight = self.journal.bytes() > self.journal.max_bytes() / 4 * 3;
        if is_tight {
            self.leave_out_bodies(record, "it is three quarters full");
        }
        let mut appended = self.write(record);
        if let Err(why) = &appended
            && record.has_bodies()
        {
            self.leave_out_bodies(record, &why.to_string());
            appended = self.write(record);
        }
        let place = appended?;
        if self.losing.load(Ordering::Relaxed) && self.losing.swap(false, Ordering::Relaxed) {
            info!(journal:% = self.journal.folder().display(); "the ledger keeps rows again");
        }
        if !is_tight && self.tight.load(Ordering::Relaxed) && self.tight.swap(false, Ordering::Relaxed) {
            info!(journal:% = self.journal.folder().display(); "the ledger keeps bodies again");
        }
        Ok(place)
    }

    fn write(&self, record: &mut Record) -> Result<u64, AppendError> {
        let (kind, format) = (kind(record), encoding::format(record));
        let appended = self.journal.append_placed(kind, format, |bytes| encoding::encode(record, bytes))?;
        if let (Record::Request(row), Some(number)) = (record, appended.number) {
            row.sequence = i64::try_from(number).unwrap_or(i64::MAX);
        }
        Ok(appended.place)
    }

    fn leave_out_bodies(&self, record: &mut Record, why: &str) {
        if !record.leave_out_bodies() {
            return;
        }
        self.metrics.lost("body", 1);
        static TIGHT: LogLimit = LogLimit::new();
        if !self.tight.swap(true, Ordering::Relaxed)
            && let Some(suppressed) = TIGHT.pass(())
        {
            let journal = self.journal.folder().display();
            error!(why, journal:%, suppressed; "the ledger leaves bodies out; rows are kept");
        }
    }

    /// Counts a record that is not kept. A row has its number nevertheless, by which it is missed.
    fn refuse(&self, record: &mut Record) {
        match (kind(record), record) {
            (Kind::Numbered, Record::Request(row)) => {
                row.sequence = i64::try_from(self.journal.skip_number()).unwrap_or(i64::MAX);
                self.metrics.lost("row", 1);
            }
            (Kind::Amendment, _) => self.metrics.lost_corrections(1),
            _ => self.metrics.lost("row", 1),
        }
    }
}

/// What a record is to the journal: a row without a number is new, and one with a number corrects an earlier one.
fn kind(record: &Record) -> Kind {
    match record {
        Record::Request(row) if row.sequence == 0 => Kind::Numbered,
        Record::Request(_) => Kind::Amendment,
        Record::Batch(_) => Kind::Unnumbered,
    }
}

#[cfg(test)]
mod tests;

//! The ledger's records in its journal: what is left out where space is short, and how much waits. Knows no database.

mod disk_space;
mod draining;
mod observer;
mod waiting;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use journal::{AppendError, Decoded, Kind, OpenError, Options};
use log::{error, info, warn};
use plugin_api::{LogLimit, Uuid};

use crate::metrics::LedgerMetrics;
use crate::{Record, encoding};
use disk_space::DiskSpace;
use observer::Reporter;

pub(crate) use draining::DrainingJournals;
pub use waiting::{Waiting, waiting};

pub(crate) type Journal = journal::Journal<Record>;
pub(crate) type Reader = journal::Reader<Record>;
pub(crate) type Batch = journal::Batch<Record>;

/// The journal of a ledger.
#[derive(Debug)]
pub(crate) struct LedgerJournal {
    /// Locked for writing only while another journal takes the place of the present one: nothing is appended to one that was given up.
    current: RwLock<Current>,
    metrics: Arc<LedgerMetrics>,
    /// Rows are being lost, and that was logged.
    losing: AtomicBool,
    /// Bodies are being left out, and that was logged.
    tight: AtomicBool,
    disk: DiskSpace,
}

/// The journal that is appended to.
#[derive(Debug)]
struct Current {
    journal: Arc<Journal>,
    /// How many records this process appended to others before.
    before: u64,
}

/// Opens the journal in a folder, creating it if need be, and its one reader.
///
/// # Errors
/// Another process has it, or the disk does not allow it.
pub(crate) fn open(
    folder: &Path,
    max_bytes: u64,
    metrics: &Arc<LedgerMetrics>,
) -> Result<(Arc<Journal>, Reader), OpenError> {
    let observer = Box::new(Reporter::new(metrics.clone()));
    Journal::open(folder, Options { max_bytes }, encoding::decode, observer)
}

impl LedgerJournal {
    /// Opens the journal in a folder, creating it if need be, and its one reader.
    ///
    /// # Errors
    /// Another process has it, or the disk does not allow it.
    pub(crate) fn open(folder: &Path, max_bytes: u64, metrics: Arc<LedgerMetrics>) -> Result<(Self, Reader), String> {
        let (journal, reader) = open(folder, max_bytes, &metrics).map_err(|error| format!("the ledger: {error}"))?;
        let records = journal.unknown();
        if records > 0 {
            let journal = folder.display();
            warn!(records, journal:%; "records of a later release wait in the ledger's journal; a start of that release ships them");
        }
        let current = RwLock::new(Current { journal, before: 0 });
        let (losing, tight, disk) = (AtomicBool::new(false), AtomicBool::new(false), DiskSpace::of(folder));
        Ok((Self { current, metrics, losing, tight, disk }, reader))
    }

    /// The journal.
    pub(crate) fn get(&self) -> Arc<Journal> {
        self.read(|current| current.journal.clone())
    }

    /// Looks how much room its disk has. It may take a while where the disk hangs.
    pub(crate) fn measure_disk(&self) {
        self.disk.measure(self.get().folder());
    }

    /// How much room its disk had when it was last looked at, in bytes; `None` where that cannot be known.
    pub(crate) fn disk_free(&self) -> Option<u64> {
        self.disk.free()
    }

    /// How many records this process had appended to other journals when it began with this one.
    pub(crate) fn before(&self) -> u64 {
        self.read(|current| current.before)
    }

    /// Puts another journal in the place of the present one, to which nothing is appended any more then.
    pub(crate) fn replace(&self, journal: Arc<Journal>) -> Arc<Journal> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.before += current.journal.appended_records();
        std::mem::replace(&mut current.journal, journal)
    }

    fn read<T>(&self, read: impl FnOnce(&Current) -> T) -> T {
        read(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Appends a record, without its bodies where space is short, and gives a new row its run and its number. Once this has returned, the record
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
            let journal = self.get();
            error!(why:%, journal:% = journal.folder().display(), suppressed; "the ledger loses rows; tollgate_ledger_lost_total counts them");
        }
        0
    }

    /// The same for a record that is appended again where it cannot be now: it gets no number then, and is not counted yet.
    ///
    /// # Errors
    /// There is no room for it, or the disk does not take it.
    pub(crate) fn try_append(&self, record: &mut Record) -> Result<u64, AppendError> {
        self.read(|current| self.try_append_to(current, record))
    }

    fn try_append_to(&self, current: &Current, record: &mut Record) -> Result<u64, AppendError> {
        let journal = &*current.journal;
        let is_tight = journal.bytes() > journal.max_bytes() / 4 * 3;
        if is_tight {
            self.leave_out_bodies(journal, record, "it is three quarters full");
        }
        let mut appended = write(journal, record);
        if let Err(why) = &appended
            && record.has_bodies()
        {
            self.leave_out_bodies(journal, record, &why.to_string());
            appended = write(journal, record);
        }
        let place = appended?;
        if self.losing.load(Ordering::Relaxed) && self.losing.swap(false, Ordering::Relaxed) {
            info!(journal:% = journal.folder().display(); "the ledger keeps rows again");
        }
        if !is_tight && self.tight.load(Ordering::Relaxed) && self.tight.swap(false, Ordering::Relaxed) {
            info!(journal:% = journal.folder().display(); "the ledger keeps bodies again");
        }
        Ok(current.before + place)
    }

    /// Hands a record to the shipper that is kept at this place, as it was kept, so that it need not be read from the disk.
    pub(crate) fn hand_over(&self, place: u64, record: Record) {
        let amends = match &record {
            Record::Request(row) => u64::try_from(row.sequence).ok(),
            Record::Batch(_) => None,
        };
        self.read(|current| {
            // not where the journal was given up meanwhile
            if let Some(place) = place.checked_sub(current.before) {
                current.journal.hand_over(place, Decoded { record, amends });
            }
        });
    }

    fn leave_out_bodies(&self, journal: &Journal, record: &mut Record, why: &str) {
        if !record.leave_out_bodies() {
            return;
        }
        self.metrics.lost("body", 1);
        static TIGHT: LogLimit = LogLimit::new();
        if !self.tight.swap(true, Ordering::Relaxed)
            && let Some(suppressed) = TIGHT.pass(())
        {
            let journal = journal.folder().display();
            error!(why, journal:%, suppressed; "the ledger leaves bodies out; rows are kept");
        }
    }

    /// Counts a record that is not kept. A row has its number nevertheless, by which it is missed.
    fn refuse(&self, record: &mut Record) {
        match record {
            Record::Request(row) if row.sequence == 0 => {
                let journal = self.get();
                row.instance = journal.instance();
                row.sequence = i64::try_from(journal.skip_number()).unwrap_or(i64::MAX);
                self.metrics.lost("row", 1);
            }
            Record::Request(_) => self.metrics.lost_corrections(1),
            Record::Batch(_) => self.metrics.lost("row", 1),
        }
    }
}

/// Appends a record. A new row is one of the journal's run, and gets its number there.
fn write(journal: &Journal, record: &mut Record) -> Result<u64, AppendError> {
    let kind = kind(record, journal.instance());
    if let (Kind::Numbered, Record::Request(row)) = (kind, &mut *record) {
        row.instance = journal.instance();
    }
    let appended = journal.append_placed(kind, encoding::format(record), |bytes| encoding::encode(record, bytes))?;
    if let (Record::Request(row), Some(number)) = (record, appended.number) {
        row.sequence = i64::try_from(number).unwrap_or(i64::MAX);
    }
    Ok(appended.place)
}

/// What a record is to the journal of a run: a row without a number is new, and one with a number corrects an earlier one, or is of
/// another run.
fn kind(record: &Record, run: Uuid) -> Kind {
    match record {
        Record::Request(row) if row.sequence == 0 => Kind::Numbered,
        Record::Request(row) if row.instance == run => Kind::Amendment,
        Record::Request(_) | Record::Batch(_) => Kind::Unnumbered,
    }
}

#[cfg(test)]
mod tests;

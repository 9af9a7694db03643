//! Where records wait on the local disk until the database has them. To append one takes microseconds and never waits for a
//! disk; once it has returned, the record outlives the process. Knows no database.
//!
//! A folder holds a `lock`, the segments (`0000000000000001.journal`, …), what each run has kept (`0000000000000001.run`), and the
//! `position` up to which they were read. A gateway never appends to a segment of an earlier one: what a crash tore there stays
//! as it is, and is passed over.

mod count;
mod disk;
mod frame;
mod inspect;
mod parting;
mod position;
mod reader;
mod refused;
mod run;
mod seen;
mod segment;
mod unsynced;
mod window;

use std::cell::RefCell;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::{error, info};
use plugin_api::private;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::Record;
use crate::metrics::Figures;
use count::{Count, Kind};
use disk::{Disk, Extent};
use position::{Kept, Position, PositionFile};
use refused::Refused;
use run::{Run, RunFile};
use unsynced::Unsynced;

pub use inspect::{Waiting, waiting};
pub(crate) use reader::{Batch, Reader};

/// A segment ends when it is this large, or takes this part of what the journal may: space is given back by the segment.
const SEGMENT: u64 = 16 << 20;
const PART: u64 = 8;
/// A buffer that a huge record made larger than this is not kept.
const BUFFER: usize = 256 << 10;

thread_local! {
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The journal.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    /// This run, as it began, and where it stands how far it is.
    own: Run,
    run: RunFile,
    /// Those of earlier processes that were not read to their end when this one began.
    old: Vec<Run>,
    max_bytes: AtomicU64,
    disk: Mutex<Disk>,
    /// What `disk` takes, to be read without its lock.
    bytes: AtomicU64,
    waiting: AtomicU64,
    /// Records that wait from before this run, as far as the runs tell.
    left: u64,
    work: Notify,
    figures: Arc<Figures>,
    /// Rows are being lost; the first was told of.
    losing: AtomicBool,
    /// Bodies are being left out.
    tight: AtomicBool,
    _lock: File,
}

impl Journal {
    /// Opens the journal in a folder, creating it if need be, and its one reader.
    ///
    /// # Errors
    /// That another process has it, or the disk does not allow it.
    pub(crate) fn open(folder: &Path, max_bytes: u64, figures: Arc<Figures>) -> Result<(Arc<Self>, Reader), String> {
        let told = |error: io::Error| format!("the ledger's journal cannot be kept in `{}`: {error}", folder.display());
        private::create_dir_all(folder).map_err(told)?;
        let lock =
            private::options().write(true).create(true).truncate(false).open(folder.join("lock")).map_err(told)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let folder = folder.display();
                return Err(format!(
                    "the ledger's journal in `{folder}` is in use by another process; each needs its own"
                ));
            }
            Err(TryLockError::Error(error)) => return Err(told(error)),
        }
        let (kept, at) = PositionFile::open(folder).map_err(told)?;
        let salt = u32::from_le_bytes(random(Uuid::now_v7()));
        let mut old = run::list(folder).map_err(told)?;
        if at.is_none() && old.is_empty() {
            // or whoever comes next could not tell the beginning from a place that was lost
            kept.keep(Kept::default()).map_err(told)?;
        }
        let disk = Disk::open(folder, salt, at.unwrap_or_default().at).map_err(told)?;
        let own = Run { first: disk.current.number, salt, instance: Uuid::now_v7(), end: Count::default() };
        let run = RunFile::create(folder, &own).map_err(told)?;
        old.retain(|run| !at.is_some_and(|at| was_passed(run, at)) || run.remove(folder).is_err());
        let left = old.iter().map(|run| run.end.records().saturating_sub(read_of(run, at).records())).sum();
        let journal = Arc::new(Self {
            folder: folder.to_owned(),
            own,
            run,
            old,
            max_bytes: max_bytes.into(),
            bytes: disk.bytes.into(),
            disk: Mutex::new(disk),
            waiting: AtomicU64::new(left),
            left,
            work: Notify::new(),
            figures,
            losing: AtomicBool::new(false),
            tight: AtomicBool::new(false),
            _lock: lock,
        });
        Ok((journal.clone(), Reader::new(journal, kept, at)))
    }

    /// Appends a record, without its bodies where space is short. One that cannot be kept is counted, and told of once until
    /// others can be again.
    pub(crate) fn keep(&self, record: &mut Record) {
        let tight = self.bytes.load(Ordering::Relaxed) > self.max_bytes.load(Ordering::Relaxed) / 4 * 3;
        if tight {
            self.leave_out_bodies(record, "it is three quarters full");
        }
        let mut kept = self.append(record);
        if let Err(refused) = &kept
            && record.has_bodies()
        {
            self.leave_out_bodies(record, refused.as_str());
            kept = self.append(record);
        }
        match kept {
            Ok(()) => {
                if self.losing.load(Ordering::Relaxed) && self.losing.swap(false, Ordering::Relaxed) {
                    info!(journal:% = self.folder.display(); "the ledger keeps rows again");
                }
                if !tight && self.tight.load(Ordering::Relaxed) && self.tight.swap(false, Ordering::Relaxed) {
                    info!(journal:% = self.folder.display(); "the ledger keeps bodies again");
                }
            }
            Err(refused) => {
                self.refuse(record);
                if !self.losing.swap(true, Ordering::Relaxed) {
                    let why = refused.to_string();
                    error!(why, journal:% = self.folder.display(); "the ledger loses rows; tollgate_ledger_lost_total counts them");
                }
            }
        }
    }

    fn leave_out_bodies(&self, record: &mut Record, why: &str) {
        if !record.leave_out_bodies() {
            return;
        }
        self.figures.lost("body", 1);
        if !self.tight.swap(true, Ordering::Relaxed) {
            error!(why, journal:% = self.folder.display(); "the ledger leaves bodies out; rows are kept");
        }
    }

    /// Counts a record that is not kept. A row has its number nevertheless, by which it is missed.
    fn refuse(&self, record: &mut Record) {
        match (Kind::of(record), record) {
            (Kind::Row, Record::Request(row)) => {
                let mut disk = self.disk();
                disk.count = disk.count.refused();
                self.run.keep(&Run { end: disk.count, ..self.own });
                row.sequence = number(disk.count);
                self.figures.lost("row", 1);
            }
            (Kind::Correction, _) => self.figures.lost_corrections(1),
            _ => self.figures.lost("row", 1),
        }
    }

    /// Appends a record, and gives a new row its number. Once this has returned, it outlives the process.
    fn append(&self, record: &mut Record) -> Result<(), Refused> {
        ENCODED.with_borrow_mut(|buffer| {
            let appended = if frame::encode(record, self.own.salt, buffer) {
                self.write(record, buffer)
            } else {
                Err(Refused::TooLong)
            };
            if buffer.capacity() > BUFFER {
                *buffer = Vec::new();
            }
            appended
        })?;
        self.work.notify_one();
        Ok(())
    }

    fn write(&self, record: &mut Record, frame: &mut [u8]) -> Result<(), Refused> {
        let (length, kind) = (frame.len() as u64, Kind::of(record));
        let mut disk = self.disk();
        let max_bytes = self.max_bytes.load(Ordering::Relaxed);
        let long = SEGMENT.min(max_bytes / PART);
        if disk.is_segment_over(length, long, max_bytes) {
            self.begin(&mut disk, long);
        }
        if disk.bytes + length > max_bytes {
            return Err(Refused::Full);
        }
        frame::place(frame, disk.count);
        let current = &mut disk.current;
        // what a failed attempt leaves is written over by the next one
        current.file.write_all_at(frame, current.end).map_err(Refused::Disk)?;
        // under the lock, or the reader could be done with it before it counts
        self.waiting.fetch_add(1, Ordering::Relaxed);
        current.end += length;
        disk.count = disk.count.after(kind);
        // behind the record: one that a kill keeps from being written is not missed
        self.run.keep(&Run { end: disk.count, ..self.own });
        if let (Kind::Row, Record::Request(row)) = (kind, record) {
            row.sequence = number(disk.count);
        }
        disk.bytes += length;
        self.bytes.store(disk.bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Begins a segment; where that is not possible, the one there is takes what it would have taken.
    fn begin(&self, disk: &mut Disk, long: u64) {
        match disk.begin(&self.folder, self.own.salt) {
            Ok(()) => {
                self.bytes.store(disk.bytes, Ordering::Relaxed);
                // the reader may have waited at the end of the other one, and can let go of it now
                self.work.notify_one();
            }
            Err(error) if disk.go_on(long) => {
                error!(error:%, journal:% = self.folder.display(); "the ledger's journal cannot begin another segment, and goes on with the one it has");
            }
            Err(_) => {}
        }
    }

    /// Waits until something may have been appended.
    pub(crate) async fn appended(&self) {
        self.work.notified().await;
    }

    /// Whether all that was appended is on the disk.
    pub(crate) fn is_synced(&self) -> bool {
        Unsynced::of(&self.disk()).is_none()
    }

    /// Asks the system to bring what was appended to the disk, and waits for it.
    ///
    /// # Errors
    /// What the disk says. The next time asks for the same again.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let Some(unsynced) = Unsynced::of(&self.disk()) else { return Ok(()) };
        unsynced.sync(&self.folder)?;
        self.disk().synced = unsynced.to;
        Ok(())
    }

    /// Records that are not in the database.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Tells this run from all others.
    pub(crate) fn instance(&self) -> Uuid {
        self.own.instance
    }

    /// So many records more wait that were not counted.
    fn add_waiting(&self, records: u64) {
        let _lock = self.disk();
        self.waiting.fetch_add(records, Ordering::Relaxed);
    }

    /// The salt of a segment by its number, where that of its head is lost.
    fn salt_of(&self, number: u64) -> Option<u32> {
        if number >= self.own.first {
            return Some(self.own.salt);
        }
        run::of_segment(&self.old, number).map(|run| run.salt)
    }

    /// What the journal takes on the disk, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Changes the most it may take.
    pub(crate) fn set_max_bytes(&self, bytes: u64) {
        self.max_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its losses are counted.
    pub(crate) fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// The first segment from a number on, or the one that is written to.
    fn first_from(&self, number: u64) -> Extent {
        self.disk().first_from(number)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a run was read to its end, as far as the reader came.
fn was_passed(run: &Run, read: Kept) -> bool {
    let begins = Position { segment: run.first, offset: 0 };
    begins < read.at && run.salt != read.salt
}

/// How much was read of a run that was not passed.
fn read_of(run: &Run, read: Option<Kept>) -> Count {
    read.filter(|read| read.salt == run.salt).map_or_else(Count::default, |read| read.count)
}

/// The number of the row that was counted last.
fn number(count: Count) -> i64 {
    i64::try_from(count.sequence).unwrap_or(i64::MAX)
}

/// Bits that nobody can guess: the last of a `UUIDv7`.
fn random(id: Uuid) -> [u8; 4] {
    let bytes = id.as_bytes();
    [bytes[12], bytes[13], bytes[14], bytes[15]]
}

#[cfg(test)]
mod tests;

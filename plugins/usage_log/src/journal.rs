//! Where records wait on the local disk until the database has them. To append one takes microseconds and never waits for a
//! disk; once it has returned, the record outlives the process. Knows no database.
//!
//! A folder holds a `lock`, the segments (`0000000000000001.journal`, …), and the `position` up to which they were read. A
//! gateway never appends to a segment of an earlier one: what a crash tore there stays as it is, and is passed over.

mod disk;
mod frame;
mod inspect;
mod parting;
mod position;
mod reader;
mod refused;
mod segment;
mod unsynced;
mod window;

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::{error, info};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::Record;
use crate::metrics::Figures;
use disk::{Disk, Extent};
use position::PositionFile;
use refused::Refused;
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
    salt: u32,
    max_bytes: AtomicU64,
    disk: Mutex<Disk>,
    /// What `disk` takes, to be read without its lock.
    bytes: AtomicU64,
    waiting: AtomicU64,
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
        fs::create_dir_all(folder).map_err(told)?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(folder.join("lock")).map_err(told)?;
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
        let disk = Disk::open(folder, salt, at).map_err(told)?;
        let journal = Arc::new(Self {
            folder: folder.to_owned(),
            salt,
            max_bytes: max_bytes.into(),
            bytes: disk.bytes.into(),
            disk: Mutex::new(disk),
            waiting: AtomicU64::new(0),
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
                self.figures.lost("row", 1);
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

    /// Appends a record. Once this has returned, it outlives the process.
    fn append(&self, record: &Record) -> Result<(), Refused> {
        ENCODED.with_borrow_mut(|buffer| {
            let appended =
                if frame::encode(record, self.salt, buffer) { self.write(buffer) } else { Err(Refused::TooLong) };
            if buffer.capacity() > BUFFER {
                *buffer = Vec::new();
            }
            appended
        })?;
        self.work.notify_one();
        Ok(())
    }

    fn write(&self, frame: &[u8]) -> Result<(), Refused> {
        let length = frame.len() as u64;
        let mut disk = self.disk();
        let max_bytes = self.max_bytes.load(Ordering::Relaxed);
        let long = SEGMENT.min(max_bytes / PART);
        if disk.is_segment_over(length, long, max_bytes) {
            self.begin(&mut disk, long);
        }
        if disk.bytes + length > max_bytes {
            return Err(Refused::Full);
        }
        let current = &mut disk.current;
        // what a failed attempt leaves is written over by the next one
        current.file.write_all_at(frame, current.end).map_err(Refused::Disk)?;
        // under the lock, or the reader could be done with it before it counts
        self.waiting.fetch_add(1, Ordering::Relaxed);
        current.end += length;
        current.records += 1;
        disk.bytes += length;
        self.bytes.store(disk.bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Begins a segment; where that is not possible, the one there is takes what it would have taken.
    fn begin(&self, disk: &mut Disk, long: u64) {
        match disk.begin(&self.folder, self.salt) {
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

    /// The first segment of an earlier process whose records are not counted.
    fn first_uncounted(&self) -> Option<u64> {
        self.disk().closed.iter().find(|closed| closed.records.is_none()).map(|closed| closed.number)
    }

    /// So many records of such a segment wait.
    fn count(&self, number: u64, records: u64) {
        let mut disk = self.disk();
        let uncounted = disk.closed.iter_mut().find(|closed| closed.number == number && closed.records.is_none());
        let Some(segment) = uncounted else { return };
        segment.records = Some(records);
        self.waiting.fetch_add(records, Ordering::Relaxed);
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

/// Bits that nobody can guess: the last of a `UUIDv7`.
fn random(id: Uuid) -> [u8; 4] {
    let bytes = id.as_bytes();
    [bytes[12], bytes[13], bytes[14], bytes[15]]
}

#[cfg(test)]
mod tests;

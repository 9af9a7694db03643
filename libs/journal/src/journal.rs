//! The journal as its writers see it: appends, their limit on the disk, and fsync. Reading is the [`Reader`](crate::Reader)'s.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::consumers::Consumers;
use crate::count::{Kind, Place};
use crate::disk::{Disk, Extent};
use crate::error::AppendError;
use crate::event::{Event, Observer};
use crate::frame;
use crate::fsync::Unsynced;
use crate::position::Position;
use crate::run::{Run, RunFile};
use crate::tail::Tail;
use crate::{Decoded, Decoder};

/// A segment ends when it is this long, or takes this part of what the journal may: space is given back by the segment.
pub(crate) const SEGMENT: u64 = 16 << 20;
pub(crate) const PART: u64 = 8;
/// A buffer that a huge record made larger than this is not kept.
const BUFFER: usize = 256 << 10;

thread_local! {
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A record that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its number, where it is [`Kind::Numbered`].
    pub number: Option<u64>,
    /// How many records of this run there are up to this one: 1, 2, 3, …
    pub place: u64,
}

/// A journal that is open, of records that are `T` to its reader. Any number of threads append at once.
#[derive(Debug)]
pub struct Journal<T> {
    pub(crate) folder: PathBuf,
    /// This run, as it began, and its file, which says how far it is.
    pub(crate) own: Run,
    pub(crate) run: RunFile,
    pub(crate) decode: Decoder<T>,
    /// The runs of earlier processes that were not read to their end when this one began.
    pub(crate) old: Vec<Run>,
    /// Those that the reader had passed, and a consumer had not.
    pub(crate) held_runs: Vec<Run>,
    pub(crate) consumers: Mutex<Consumers>,
    /// From this segment on, records come that were passed over before, and then those of this run.
    pub(crate) adopted: u64,
    pub(crate) max_bytes: AtomicU64,
    pub(crate) disk: Mutex<Disk>,
    /// Locked while `disk` is, where both are.
    pub(crate) tail: Mutex<Tail<T>>,
    /// What `disk` takes, to be read without its lock.
    pub(crate) bytes: AtomicU64,
    pub(crate) waiting: AtomicU64,
    /// Records that wait from before this run, as far as the runs tell.
    pub(crate) left: u64,
    pub(crate) unknown: AtomicU64,
    pub(crate) work: Notify,
    /// As many records must wait before the reader is woken.
    pub(crate) wanted: AtomicU64,
    /// A segment has ended since the reader last waited.
    pub(crate) has_segment_ended: AtomicBool,
    pub(crate) observer: Box<dyn Observer>,
    pub(crate) lock: File,
}

impl<T> Journal<T> {
    /// Appends a record in a format, and gives it its number if it is [`Kind::Numbered`]. Once this has returned, the record outlives
    /// the process. `record` appends its bytes to what the buffer holds.
    ///
    /// # Errors
    /// The record was not appended.
    pub fn append(
        &self,
        kind: Kind,
        format: u8,
        record: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Option<u64>, AppendError> {
        self.append_placed(kind, format, record).map(|appended| appended.number)
    }

    /// The same, and tells the record's place among those of this run, which [`Reader::stored`](crate::Reader::stored) counts by.
    ///
    /// # Errors
    /// The record was not appended.
    pub fn append_placed(
        &self,
        kind: Kind,
        format: u8,
        record: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Appended, AppendError> {
        ENCODED.with_borrow_mut(|buffer| {
            let appended = if frame::encode(kind, format, record, self.own.salt, buffer) {
                self.write(kind, buffer)
            } else {
                Err(AppendError::TooLong)
            };
            if buffer.capacity() > BUFFER {
                *buffer = Vec::new();
            }
            appended
        })
    }

    fn write(&self, kind: Kind, frame: &mut [u8]) -> Result<Appended, AppendError> {
        let length = frame.len() as u64;
        let mut disk = self.disk();
        let max_bytes = self.max_bytes.load(Ordering::Relaxed);
        let long = SEGMENT.min(max_bytes / PART);
        if disk.is_segment_over(length, long, max_bytes) {
            self.begin(&mut disk, long);
        }
        if disk.bytes + length > max_bytes {
            return Err(AppendError::Full);
        }
        frame::place(frame, disk.count);
        let place = Place { kind, before: disk.count };
        // what a failed attempt leaves is written over by the next one
        while let Err(error) = disk.current.file.write_all_at(frame, disk.current.end) {
            if error.kind() != io::ErrorKind::StorageFull || !self.cut_held(&mut disk) {
                return Err(AppendError::Disk(error));
            }
        }
        let current = &mut disk.current;
        let from = Position { segment: current.number, offset: current.end };
        current.end += length;
        let end = current.end;
        disk.count = disk.count.after(kind);
        // behind the record: one that a kill keeps from being written is not missed
        self.run.keep(&Run { end: disk.count, ..self.own });
        disk.bytes += length;
        self.bytes.store(disk.bytes, Ordering::Relaxed);
        self.tail().push(from, end, place);
        // under the lock, or the reader could be done with it before it counts
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        let number = (kind == Kind::Numbered).then_some(disk.count.sequence);
        let appended = Appended { number, place: disk.count.records() };
        drop(disk);
        self.wake(waiting);
        Ok(appended)
    }

    /// Hands a record to the reader that was appended at this [place](Appended::place), where the reader has not come to it yet: it
    /// need not be read from the disk and decoded then. It must be what the decoder makes of what was appended. Of one that takes too
    /// much memory, and where the reader is far behind, nothing is kept.
    pub fn hand_over(&self, place: u64, decoded: Decoded<T>) {
        self.tail().fill(place, decoded);
    }

    /// Wakes the reader, if so many records are enough for it. It is woken once.
    fn wake(&self, waiting: u64) {
        if waiting >= self.wanted.load(Ordering::SeqCst) && self.wanted.swap(u64::MAX, Ordering::SeqCst) != u64::MAX {
            self.work.notify_one();
        }
    }

    /// Begins a segment; where that is not possible, the current one takes what it would have taken.
    fn begin(&self, disk: &mut Disk, long: u64) {
        match disk.begin(&self.folder, self.own.salt) {
            Ok(()) => {
                self.bytes.store(disk.bytes, Ordering::Relaxed);
                // the reader may have waited at the end of the other one, and can retire it now
                self.has_segment_ended.store(true, Ordering::SeqCst);
                self.wake(u64::MAX);
            }
            Err(error) if disk.go_on(long) => self.report(&Event::NotBegun { error: &error }),
            Err(_) => {}
        }
    }

    /// Uses a number up for a numbered record that is not appended, so that the record is missed.
    pub fn skip_number(&self) -> u64 {
        let mut disk = self.disk();
        disk.count = disk.count.refused();
        self.run.keep(&Run { end: disk.count, ..self.own });
        disk.count.sequence
    }

    /// How many records were appended in this run, as their [places](Appended::place) count.
    #[must_use]
    pub fn appended_records(&self) -> u64 {
        self.disk().count.records()
    }

    /// Waits until so many records wait, or a segment has ended. It may return before that.
    pub async fn appended(&self, records: u64) {
        self.wanted.store(records, Ordering::SeqCst);
        // a wake-up of a wait that was given up is none
        let is_in_vain = || {
            self.waiting.load(Ordering::SeqCst) < records
                && self.wanted.load(Ordering::SeqCst) == records
                && !self.has_segment_ended.swap(false, Ordering::SeqCst)
        };
        while is_in_vain() {
            self.work.notified().await;
        }
        self.wanted.store(u64::MAX, Ordering::SeqCst);
    }

    /// Whether all that was appended is on the disk.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        Unsynced::of(&self.disk()).is_none()
    }

    /// Asks the system to bring what was appended to the disk, and waits for it. Appends go on meanwhile.
    ///
    /// # Errors
    /// What the disk says. The next call asks for the same again.
    pub fn sync(&self) -> io::Result<()> {
        let Some(unsynced) = Unsynced::of(&self.disk()) else { return Ok(()) };
        unsynced.sync(&self.folder)?;
        self.disk().synced = unsynced.to;
        Ok(())
    }

    /// Records that wait to be read and stored elsewhere.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Records that wait for a release that knows them.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// The id of this run, which no other run has.
    #[must_use]
    pub fn instance(&self) -> Uuid {
        self.own.instance
    }

    /// What the segments take on the disk, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The most they may take, in bytes.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Ordering::Relaxed)
    }

    /// Changes the most they may take.
    pub fn set_max_bytes(&self, bytes: u64) {
        self.max_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Lets another process open the journal, although this one still has it. Before that, the [`Reader`](crate::Reader) must be dropped, and
    /// nothing may be appended any more: what comes later is in nobody's order, and may be lost.
    ///
    /// # Errors
    /// The system's; the journal is still this process's then.
    pub fn release(&self) -> io::Result<()> {
        self.lock.unlock()
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// So many records more wait that were not counted.
    pub(crate) fn add_waiting(&self, records: u64) {
        let _lock = self.disk();
        self.waiting.fetch_add(records, Ordering::Relaxed);
    }

    /// So many records more were passed over.
    pub(crate) fn add_unknown(&self, records: u64) {
        self.unknown.fetch_add(records, Ordering::Relaxed);
    }

    /// The reader has come to a place: if nothing is written behind it, what is appended from now on may be handed over.
    pub(crate) fn begin_tail(&self, at: Position) {
        let disk = self.disk();
        if (Position { segment: disk.current.number, offset: disk.current.end }) == at {
            self.tail().begin();
        }
    }

    /// Whether more may come in a segment.
    pub(crate) fn is_written_to(&self, number: u64) -> bool {
        number >= self.disk().current.number
    }

    /// The first segment from a number on, or the current one.
    pub(crate) fn first_from(&self, number: u64) -> Extent {
        self.disk().first_from(number)
    }

    pub(crate) fn report(&self, event: &Event<'_>) {
        self.observer.on(&self.folder, event);
    }

    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tail(&self) -> MutexGuard<'_, Tail<T>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

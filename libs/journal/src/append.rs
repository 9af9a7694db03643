//! Appends: at once, or pending until what one turn of a thread's loop appends is written together. Gives places, and wakes the reader.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::Ordering;

use crate::count::{Kind, Place};
use crate::disk::Disk;
use crate::error::AppendError;
use crate::event::Event;
use crate::frame;
use crate::journal::{PART, SEGMENT};
use crate::position::Position;
use crate::run::Run;
use crate::{Appended, Decoded, Journal};

/// What is pending is written once it has so many bytes.
const PENDING: usize = 64 << 10;
/// A buffer that a huge record made larger than this is not kept.
const BUFFER: usize = 256 << 10;

thread_local! {
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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
        self.encode(kind, format, record, |frame| self.append_frame(kind, frame, true))
    }

    /// The same for a record that need not outlive the process before [`commit`](Self::commit) has returned: what several requests append
    /// in one turn of their thread's loop is one write then.
    ///
    /// # Errors
    /// The record was not appended.
    pub fn append_pending(
        &self,
        kind: Kind,
        format: u8,
        record: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Appended, AppendError> {
        self.encode(kind, format, record, |frame| self.append_frame(kind, frame, false))
    }

    /// Writes what is pending, of every thread. Once this has returned, it outlives the process.
    ///
    /// # Errors
    /// What the disk says. It is tried again before anything else is appended, and by the next call.
    pub fn commit(&self) -> io::Result<()> {
        if self.is_pending.load(Ordering::Acquire) { self.flush(&mut self.disk()) } else { Ok(()) }
    }

    fn encode(
        &self,
        kind: Kind,
        format: u8,
        record: impl FnOnce(&mut Vec<u8>),
        append: impl FnOnce(&mut Vec<u8>) -> Result<Appended, AppendError>,
    ) -> Result<Appended, AppendError> {
        ENCODED.with_borrow_mut(|buffer| {
            let is_short = frame::encode(kind, format, record, self.own.salt, buffer);
            let appended = if is_short { append(buffer) } else { Err(AppendError::TooLong) };
            if buffer.capacity() > BUFFER {
                *buffer = Vec::new();
            }
            appended
        })
    }

    fn append_frame(&self, kind: Kind, frame: &mut [u8], at_once: bool) -> Result<Appended, AppendError> {
        let length = frame.len() as u64;
        let mut disk = self.disk();
        if at_once || disk.has_failed || disk.current.pending.len() >= PENDING {
            self.flush(&mut disk).map_err(AppendError::Disk)?;
        }
        let max_bytes = self.max_bytes.load(Ordering::Relaxed);
        let long = SEGMENT.min(max_bytes / PART);
        if disk.is_segment_over(length, long, max_bytes) {
            self.flush(&mut disk).map_err(AppendError::Disk)?;
            self.begin(&mut disk, long);
        }
        if disk.bytes + length > max_bytes {
            return Err(AppendError::Full);
        }
        let place = Place { kind, before: disk.count };
        let from = Position { segment: disk.current.number, offset: disk.current.end };
        frame::place(frame, disk.count);
        if at_once {
            disk.current.write(frame).map_err(AppendError::Disk)?;
        } else {
            disk.current.pend(frame);
        }
        disk.count = disk.count.after(kind);
        disk.bytes += length;
        self.bytes.store(disk.bytes, Ordering::Relaxed);
        self.tail().push(from, disk.current.end, place);
        if at_once {
            self.written(&mut disk);
        } else {
            self.is_pending.store(true, Ordering::Release);
        }
        // under the lock, or the reader could be done with it before it counts
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        let number = (kind == Kind::Numbered).then_some(disk.count.sequence);
        let appended = Appended { number, place: disk.count.records() };
        drop(disk);
        self.wake(waiting);
        Ok(appended)
    }

    /// Writes what is pending.
    pub(crate) fn flush(&self, disk: &mut Disk) -> io::Result<()> {
        if !disk.current.pending.is_empty() {
            let flushed = disk.current.flush();
            disk.has_failed = flushed.is_err();
            flushed?;
            self.written(disk);
            self.is_pending.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// All that was appended is written.
    fn written(&self, disk: &mut Disk) {
        disk.committed = disk.count;
        // behind the records: one that a kill keeps from being written is not missed
        self.run.keep(&Run { end: disk.count, ..self.own });
        self.tail().commit();
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
}

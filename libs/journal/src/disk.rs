//! The segments of a journal on the disk: which are there, and which is written to. Knows nothing of records.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::count::Count;
use crate::position::Position;
use crate::segment;
use crate::unknown::Passed;

/// What is on the disk.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The segment that is written to.
    pub(crate) current: Current,
    /// The segments that are not written to any more, in order.
    pub(crate) closed: VecDeque<Closed>,
    /// Those that the reader is done with and a consumer is not, in order, and their bytes.
    pub(crate) held: VecDeque<Held>,
    pub(crate) held_bytes: u64,
    /// The most that these may be.
    pub(crate) held_max_bytes: u64,
    /// The next segment that is created, or tried to be.
    next_number: u64,
    /// How much longer than it should be the current segment is, since the next could not be created.
    overlong: u64,
    /// All that was appended so far.
    pub(crate) count: Count,
    /// The bytes of all of them that the limit applies to.
    pub(crate) bytes: u64,
    /// All before it is on the disk. What an earlier process left may not be.
    pub(crate) synced: Position,
}

#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) number: u64,
    pub(crate) file: Arc<File>,
    pub(crate) end: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub(crate) number: u64,
    pub(crate) end: u64,
    /// Whether the journal's limit applies to it. It does not to records that a downgrade left: they must not displace new ones.
    pub(crate) is_counted: bool,
}

/// A segment that the reader is done with, and a consumer is not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) segment: Closed,
    /// Whether the reader has passed over records of it.
    pub(crate) passed: Option<Passed>,
}

/// A segment as it is at one moment. Two questions may get answers of two moments: a segment may be written on and ended between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) number: u64,
    /// How far it is written.
    pub(crate) written: u64,
    /// What was appended in all, where more may come; if not, `written` is its end.
    pub(crate) grows: Option<Count>,
}

impl Disk {
    /// With the segments that earlier processes left, and a new one to write to.
    pub(crate) fn new(
        folder: &Path,
        held: VecDeque<Held>,
        closed: VecDeque<Closed>,
        number: u64,
        salt: u32,
    ) -> io::Result<Self> {
        let current = Current::create(folder, number, salt)?;
        let bytes = closed.iter().map(Closed::counted).sum::<u64>() + current.end;
        let held_bytes = held.iter().map(|held| held.segment.end).sum();
        let (count, synced, held_max_bytes) = (Count::default(), Position::default(), u64::MAX);
        let next_number = number + 1;
        Ok(Self { current, closed, held, held_bytes, held_max_bytes, next_number, overlong: 0, count, bytes, synced })
    }

    /// The first segment from a number on, or the current one.
    pub(crate) fn first_from(&self, number: u64) -> Extent {
        self.extent(self.closed.iter().find(|closed| closed.number >= number))
    }

    /// The same with those that only consumers have yet to read.
    pub(crate) fn first_held_from(&self, number: u64) -> Extent {
        self.extent(
            self.held.iter().map(|held| &held.segment).chain(&self.closed).find(|closed| closed.number >= number),
        )
    }

    fn extent(&self, closed: Option<&Closed>) -> Extent {
        match closed {
            Some(closed) => Extent { number: closed.number, written: closed.end, grows: None },
            None => {
                let Current { number, end, .. } = self.current;
                Extent { number, written: end, grows: Some(self.count) }
            }
        }
    }

    /// Whether the current segment should end before so much more is appended: it is longer than `long`, or holds what there is no
    /// room for otherwise.
    pub(crate) fn is_segment_over(&self, length: u64, long: u64, max_bytes: u64) -> bool {
        let end = self.current.end;
        end > long && (end > long + self.overlong || self.bytes + length > max_bytes)
    }

    /// The next segment cannot be created: the current one goes on for another eighth, and then it is tried again. Whether that is
    /// news.
    pub(crate) fn go_on(&mut self, long: u64) -> bool {
        let first = self.overlong == 0;
        self.overlong = self.current.end - long.min(self.current.end) + long / 8;
        first
    }

    /// Ends the current segment, and begins the next.
    pub(crate) fn begin(&mut self, folder: &Path, salt: u32) -> io::Result<()> {
        // a number is tried once: what is left of an attempt would be in the way of the next
        let number = self.next_number;
        self.next_number += 1;
        let current = Current::create(folder, number, salt)?;
        self.bytes += current.end;
        self.overlong = 0;
        let Current { number, end, .. } = std::mem::replace(&mut self.current, current);
        self.closed.push_back(Closed { number, end, is_counted: true });
        Ok(())
    }

    /// Whether nothing is written behind a place.
    pub(crate) fn is_end(&self, at: Position) -> bool {
        let read = Position { offset: at.offset.max(segment::HEAD as u64), ..at };
        self.closed.iter().all(|closed| closed.number < at.segment)
            && read >= Position { segment: self.current.number, offset: self.current.end }
    }

    /// A segment is not there any more, or nothing of it waits for the reader.
    pub(crate) fn forget(&mut self, number: u64) -> Option<Closed> {
        let at = self.closed.iter().position(|closed| closed.number == number)?;
        let gone = self.closed.remove(at);
        self.bytes = self.bytes.saturating_sub(gone.as_ref().map_or(0, Closed::counted));
        gone
    }

    /// Only consumers have yet to read a segment.
    pub(crate) fn hold(&mut self, number: u64, passed: Option<Passed>) {
        if let Some(segment) = self.forget(number) {
            self.held_bytes += segment.end;
            self.held.push_back(Held { segment, passed });
        }
    }

    /// The first segment that only consumers have yet to read, if there is one and it is as it should be; it is not counted any more.
    pub(crate) fn take_held(&mut self, is_wanted: impl FnOnce(&Self, &Held) -> bool) -> Option<Held> {
        let first = self.held.front().copied().filter(|held| is_wanted(self, held))?;
        self.held.pop_front();
        self.held_bytes = self.held_bytes.saturating_sub(first.segment.end);
        Some(first)
    }
}

impl Closed {
    /// Its bytes, as far as the limit applies to them.
    fn counted(&self) -> u64 {
        if self.is_counted { self.end } else { 0 }
    }
}

impl Current {
    fn create(folder: &Path, number: u64, salt: u32) -> io::Result<Self> {
        let file = segment::create(folder, number, salt)?;
        Ok(Self { number, file: Arc::new(file), end: segment::HEAD as u64 })
    }
}

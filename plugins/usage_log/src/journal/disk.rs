//! The segments of a journal on the disk: which are there, and which is written to. Knows nothing of records.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::count::Count;
use super::position::Position;
use super::{run, segment};

/// What is on the disk.
#[derive(Debug)]
pub(super) struct Disk {
    /// The segment that is written to.
    pub(super) current: Current,
    /// The segments that are not written to any more, in order.
    pub(super) closed: VecDeque<Closed>,
    /// The next segment that is created, or tried to be.
    next_number: u64,
    /// So much longer than it should be is the one that is written to, since the next could not be created.
    overlong: u64,
    /// All that was kept so far.
    pub(super) count: Count,
    /// What all of them take.
    pub(super) bytes: u64,
    /// All before it is on the disk. What an earlier process left may not be.
    pub(super) synced: Position,
}

#[derive(Debug)]
pub(super) struct Current {
    pub(super) number: u64,
    pub(super) file: Arc<File>,
    pub(super) end: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub(super) number: u64,
    pub(super) end: u64,
}

/// A segment as it is at one moment. Only what was asked for at once belongs together: a segment may be written on and ended
/// between two questions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) number: u64,
    /// How far it is written.
    pub(super) written: u64,
    /// What was kept in all, where more may come; if not, `written` is its end.
    pub(super) grows: Option<Count>,
}

impl Disk {
    /// What earlier processes left, without what was read to its end, and a segment to write to. What waits for a release that
    /// knows its records is read once more.
    pub(super) fn open(folder: &Path, salt: u32, at: Position) -> io::Result<Self> {
        let above = at.segment.max(run::highest(folder)?);
        let (mut closed, mut bytes, mut next_number) = (VecDeque::new(), 0, above + 1);
        for number in segment::list(folder)? {
            next_number = next_number.max(number + 1);
            let path = segment::path(folder, number);
            let end = fs::metadata(&path)?.len();
            if number < at.segment || number == at.segment && end <= at.offset {
                fs::remove_file(&path)?;
                continue;
            }
            bytes += end;
            closed.push_back(Closed { number, end });
        }
        for unread in segment::list_unread(folder)? {
            let path = segment::unread_path(folder, unread);
            if closed.iter().any(|closed| closed.number == unread) {
                fs::remove_file(&path)?;
                continue;
            }
            let end = fs::metadata(&path)?.len();
            fs::rename(&path, segment::path(folder, next_number))?;
            bytes += end;
            closed.push_back(Closed { number: next_number, end });
            next_number += 1;
        }
        let current = Current::create(folder, next_number, salt)?;
        bytes += current.end;
        next_number += 1;
        let (count, synced) = (Count::default(), Position::default());
        Ok(Self { current, closed, next_number, overlong: 0, count, bytes, synced })
    }

    /// The first segment from a number on, or the one that is written to.
    pub(super) fn first_from(&self, number: u64) -> Extent {
        match self.closed.iter().find(|closed| closed.number >= number) {
            Some(closed) => Extent { number: closed.number, written: closed.end, grows: None },
            None => {
                let Current { number, end, .. } = self.current;
                Extent { number, written: end, grows: Some(self.count) }
            }
        }
    }

    /// Whether the segment that is written to should end before so much more is appended: it is longer than `long`, or holds
    /// what there is no room for otherwise.
    pub(super) fn is_segment_over(&self, length: u64, long: u64, max_bytes: u64) -> bool {
        let end = self.current.end;
        end > long && (end > long + self.overlong || self.bytes + length > max_bytes)
    }

    /// What is to be done when the next segment cannot be created: the one there is goes on for another eighth, and then it is tried
    /// again. Whether that is news.
    pub(super) fn go_on(&mut self, long: u64) -> bool {
        let first = self.overlong == 0;
        self.overlong = self.current.end - long.min(self.current.end) + long / 8;
        first
    }

    /// Ends the segment that is written to, and begins the next.
    pub(super) fn begin(&mut self, folder: &Path, salt: u32) -> io::Result<()> {
        // a number is tried once: what is left of an attempt would be in the way of the next
        let number = self.next_number;
        self.next_number += 1;
        let current = Current::create(folder, number, salt)?;
        self.bytes += current.end;
        self.overlong = 0;
        let Current { number, end, .. } = std::mem::replace(&mut self.current, current);
        self.closed.push_back(Closed { number, end });
        Ok(())
    }

    /// Whether nothing is written behind a place.
    pub(super) fn is_end(&self, at: Position) -> bool {
        let read = Position { offset: at.offset.max(segment::HEAD as u64), ..at };
        self.closed.iter().all(|closed| closed.number < at.segment)
            && read >= Position { segment: self.current.number, offset: self.current.end }
    }

    /// A segment is not there any more.
    pub(super) fn forget(&mut self, number: u64) {
        let Some(at) = self.closed.iter().position(|closed| closed.number == number) else { return };
        let gone = self.closed.remove(at).map_or(0, |closed| closed.end);
        self.bytes = self.bytes.saturating_sub(gone);
    }
}

impl Current {
    fn create(folder: &Path, number: u64, salt: u32) -> io::Result<Self> {
        let file = segment::create(folder, number, salt)?;
        Ok(Self { number, file: Arc::new(file), end: segment::HEAD as u64 })
    }
}

//! The segments of a journal on the disk: which are there, and which is written to. Knows nothing of records.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::position::Position;
use super::segment;

/// What is on the disk.
#[derive(Debug)]
pub(super) struct Disk {
    /// The segment that is written to; none where it could not be created.
    pub(super) current: Option<Current>,
    /// The segments that are not written to any more, in order.
    pub(super) closed: VecDeque<Closed>,
    next_number: u64,
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
    /// Whether more may come; if not, `written` is its end.
    pub(super) grows: bool,
}

impl Disk {
    /// What an earlier process left, without what was read to its end, and a segment to write to.
    pub(super) fn open(folder: &Path, salt: u32, at: Position) -> io::Result<Self> {
        let mut disk = Self {
            current: None,
            closed: VecDeque::new(),
            next_number: at.segment + 1,
            bytes: 0,
            synced: Position::default(),
        };
        for number in segment::list(folder)? {
            disk.next_number = disk.next_number.max(number + 1);
            let path = segment::path(folder, number);
            let end = fs::metadata(&path)?.len();
            if number < at.segment || number == at.segment && end <= at.offset {
                fs::remove_file(&path)?;
                continue;
            }
            disk.bytes += end;
            disk.closed.push_back(Closed { number, end });
        }
        disk.begin(folder, salt)?;
        Ok(disk)
    }

    /// The first segment from a number on.
    pub(super) fn first_from(&self, number: u64) -> Option<Extent> {
        let closed = self.closed.iter().find(|closed| closed.number >= number);
        let closed = closed.map(|closed| Extent { number: closed.number, written: closed.end, grows: false });
        closed.or_else(|| {
            let Current { number, end, .. } = *self.current.as_ref()?;
            Some(Extent { number, written: end, grows: true })
        })
    }

    /// Ends the segment that is written to, and begins the next.
    pub(super) fn begin(&mut self, folder: &Path, salt: u32) -> io::Result<()> {
        let number = self.next_number;
        let file = segment::create(folder, number, salt)?;
        self.next_number += 1;
        self.bytes += segment::HEAD as u64;
        let current = Current { number, file: Arc::new(file), end: segment::HEAD as u64 };
        if let Some(Current { number, end, .. }) = self.current.replace(current) {
            self.closed.push_back(Closed { number, end });
        }
        Ok(())
    }
}

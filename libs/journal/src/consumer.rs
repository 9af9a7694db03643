//! Reads the journal beside its reader, from a position of its own: in order, and at least once. Reads the segments alone, so that
//! appends neither wait for it nor hand it anything over.

use std::io;
use std::sync::Arc;

use crate::count::{Count, Place};
use crate::disk::Extent;
use crate::frame::Frame;
use crate::open::read_of;
use crate::position::{Kept, Position, PositionFile};
use crate::read_buffer::{Found, ReadBuffer};
use crate::reader::{ATTEMPTS, is_passing};
use crate::run::Run;
use crate::segment;
use crate::{Decoder, Entry, Journal};

/// A consumer. What was kept for it stays where it is dropped: the next one of its name goes on from there.
#[derive(Debug)]
pub struct Consumer<T> {
    journal: Arc<Journal<T>>,
    name: String,
    decode: Decoder<T>,
    file: PositionFile,
    /// All before it was read, and of it what is [committed](Self::commit).
    at: Kept,
    committed: Position,
    buffer: Option<ReadBuffer>,
    /// Read failures in a row at the place where the consumer is.
    failures: u32,
}

/// What a consumer has read.
#[derive(Debug)]
pub struct Consumed<T> {
    /// The records that were wanted, in order.
    pub records: Vec<T>,
    /// Where they begin.
    pub from: Position,
    /// Where they end.
    pub to: Position,
    /// Records that were not wanted, or that this release does not know.
    pub passed: u64,
    /// Records that the consumer should have read before these, and that are not there any more.
    pub lost: u64,
    /// There may be more.
    pub more: bool,
}

/// The next thing in a segment.
enum Next<T> {
    /// A frame of this length, and its record if it is wanted.
    Frame(usize, Option<T>),
    /// Nothing more in this segment.
    SegmentEnd,
    /// Nothing more so far.
    End,
}

impl<T> Journal<T> {
    /// A consumer of this name, of which there must be no other one at the same time. It goes on where the last one of its name was; a new one
    /// begins where the reader is. The name becomes part of a file's name.
    ///
    /// # Errors
    /// Its position cannot be kept.
    pub fn consumer(self: &Arc<Self>, name: &str, decode: Decoder<T>) -> io::Result<Consumer<T>> {
        let file = PositionFile::open_consumer(&self.folder, name)?;
        let at = self.begin_consumer(name);
        file.keep(at)?;
        let (journal, name) = (self.clone(), name.to_owned());
        Ok(Consumer { journal, name, decode, file, at, committed: at.at, buffer: None, failures: 0 })
    }
}

impl<T> Consumer<T> {
    /// The next records: at most `most` that are wanted, and about so many `bytes` of the journal. Reads on from there when it is called
    /// again, whether or not these are [committed](Self::commit). `is_wanted` is asked before a record is decoded.
    ///
    /// # Errors
    /// The disk cannot be read. Called often enough, it passes over a segment that cannot be.
    pub fn next_batch(
        &mut self,
        most: usize,
        bytes: usize,
        mut is_wanted: impl FnMut(&Entry<'_>) -> bool,
    ) -> io::Result<Consumed<T>> {
        let from = self.at.at;
        let mut batch = Consumed { records: Vec::new(), from, to: from, passed: 0, lost: 0, more: true };
        let mut size = 0;
        while batch.records.len() < most && size < bytes {
            match self.next(&mut batch.lost, &mut is_wanted) {
                Ok(Next::Frame(length, record)) => {
                    self.failures = 0;
                    size += length;
                    batch.passed += u64::from(record.is_none());
                    batch.records.extend(record);
                }
                Ok(Next::End) => {
                    batch.more = false;
                    break;
                }
                Ok(Next::SegmentEnd) => self.at.at = Position { segment: self.at.at.segment + 1, offset: 0 },
                Err(error) if size == 0 && batch.lost == 0 => self.failed(error)?,
                // what came before it comes first
                Err(_) => break,
            }
        }
        batch.to = self.at.at;
        Ok(batch)
    }

    /// All that was read is stored elsewhere: it does not come again, and what no other one needs goes.
    ///
    /// # Errors
    /// The disk does not take note of it: what was read may come again after a restart, and stays for that.
    pub fn commit(&mut self) -> io::Result<()> {
        if self.committed == self.at.at {
            return Ok(());
        }
        self.file.keep(self.at)?;
        self.committed = self.at.at;
        self.journal.consumed(&self.name, self.at);
        Ok(())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &Arc<Journal<T>> {
        &self.journal
    }

    /// What comes next.
    fn next(&mut self, lost: &mut u64, is_wanted: &mut impl FnMut(&Entry<'_>) -> bool) -> io::Result<Next<T>> {
        let Extent { written, grows, .. } = self.enter(lost)?;
        let end = || if grows.is_some() { Next::End } else { Next::SegmentEnd };
        let Some(buffer) = &mut self.buffer else { return Ok(end()) };
        let (is_counted, decode, at) = (!buffer.passed && buffer.salt == self.at.salt, self.decode, &mut self.at);
        let from = at.at.offset;
        let met = buffer.next_frame(from, written, |Found { frame, end, .. }| {
            at.at.offset = end;
            let Frame { length, place, entry } = frame;
            if let Some(place) = place.filter(|_| is_counted) {
                *lost += meet(&mut at.count, place);
            }
            let wanted = entry.filter(|entry| is_wanted(entry));
            Next::Frame(length, wanted.and_then(|entry| decode(&entry)).map(|decoded| decoded.record))
        })?;
        Ok(met.unwrap_or_else(|_| {
            self.at.at.offset = written.max(from);
            end()
        }))
    }

    /// Opens the segment at the place of the consumer, or the first one behind it.
    fn enter(&mut self, lost: &mut u64) -> io::Result<Extent> {
        let extent = self.journal.disk().first_held_from(self.at.at.segment);
        if extent.number != self.at.at.segment {
            self.at.at = Position { segment: extent.number, offset: 0 };
        }
        self.at.at.offset = self.at.at.offset.max(segment::HEAD as u64);
        if self.buffer.as_ref().is_none_or(|buffer| buffer.number != extent.number) {
            let buffer = self.journal.open_segment(extent.number)?;
            if !buffer.passed {
                *lost += self.begin_run(buffer.salt);
            }
            self.buffer = Some(buffer);
        }
        Ok(extent)
    }

    /// A segment of this run comes. Gives how many records of the runs before it are not there any more.
    fn begin_run(&mut self, salt: u32) -> u64 {
        let journal = &*self.journal;
        let known = |salt: u32| journal.runs().chain([&journal.own]).find(|run| run.salt == salt);
        let (last, Some(run)) = (known(self.at.salt), known(salt)) else { return 0 };
        if last.is_some_and(|last| run.first <= last.first) {
            // the same, or one whose segments come late
            return 0;
        }
        let left = |run: &Run| run.end.records().saturating_sub(read_of(run, Some(self.at)).records());
        let is_between = |other: &&Run| last.is_some_and(|last| last.first <= other.first) && other.first < run.first;
        let lost = journal.runs().filter(is_between).map(left).sum();
        (self.at.salt, self.at.count) = (salt, Count::default());
        lost
    }

    /// Reading has failed. If that is for good, what is behind the segment comes next; what is missing then is counted as lost.
    fn failed(&mut self, error: io::Error) -> io::Result<()> {
        self.buffer = None;
        // the reader has put it into quarantine, or it was cut
        let is_gone = error.kind() == io::ErrorKind::NotFound;
        self.failures += u32::from(!is_passing(&error));
        if !is_gone && self.failures < ATTEMPTS {
            return Err(error);
        }
        self.failures = 0;
        if self.journal.is_written_to(self.at.at.segment) {
            return Err(error);
        }
        self.at.at = Position { segment: self.at.at.segment + 1, offset: 0 };
        Ok(())
    }
}

/// Counts a record of a run at its place. Gives how many are missing before it; one that comes late, or once more, counts for nothing.
fn meet(count: &mut Count, Place { kind, before }: Place) -> u64 {
    let missing = before.records().checked_sub(count.records());
    if missing.is_some() {
        *count = before.after(kind);
    }
    missing.unwrap_or(0)
}

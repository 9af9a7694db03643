//! Reads the journal in order, batch by batch, and retires what is stored elsewhere. Reads only what is written whole.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::batch::{Batch, Damage, passed};
use crate::count::Count;
use crate::disk::Extent;
use crate::event::Event;
use crate::open::read_of;
use crate::position::{Kept, Position, PositionFile};
use crate::read_buffer::{Found, NOT_ITS_OWN, ReadBuffer};
use crate::seen::Seen;
use crate::segment::{self, PASSED};
use crate::tail::{Handed, Taken};
use crate::unknown::{self, Passed};
use crate::{Decoder, Journal};

/// Consecutive read failures at one place before its segment is quarantined. A consumer that waits longer each time gives a disk
/// ten seconds or more.
pub(crate) const ATTEMPTS: u32 = 10;
/// The system's errors for too many open files.
const TOO_MANY_FILES: [i32; 2] = [23, 24];

/// The one reader of a journal.
#[derive(Debug)]
pub struct Reader<T> {
    journal: Arc<Journal<T>>,
    decode: Decoder<T>,
    kept: PositionFile,
    at: Position,
    /// Where this process began to read.
    began: Position,
    /// What was read of each run, by its salt, and the salt of the run that was read last.
    seen: BTreeMap<u32, Seen>,
    salt: u32,
    /// Segments in which records were passed over.
    unknown: BTreeMap<u64, Passed>,
    /// The files of earlier runs are not needed any more.
    old_gone: bool,
    buffer: Option<ReadBuffer>,
    /// Records that were handed over.
    taken: Taken<T>,
    /// The place of the last read failure, and how often reading has failed there.
    failure: (Position, u32),
}

/// The next thing in a segment.
enum Next<T> {
    Record(usize, T),
    /// Nothing more in this segment.
    SegmentEnd,
    /// Nothing more so far, where so much was appended.
    End(Count),
}

impl<T> Reader<T> {
    pub(crate) fn new(journal: Arc<Journal<T>>, decode: Decoder<T>, kept: PositionFile, read: Option<Kept>) -> Self {
        let mut seen: BTreeMap<u32, Seen> = journal.old.iter().map(|run| (run.salt, Seen::default())).collect();
        if read.is_some() {
            seen = journal.old.iter().map(|run| (run.salt, Seen::up_to(read_of(run, read)))).collect();
        }
        seen.insert(journal.own.salt, Seen::up_to(Count::default()));
        let Kept { at, salt, .. } = read.unwrap_or_default();
        let (unknown, failure) = (BTreeMap::new(), (Position::default(), 0));
        let (buffer, taken) = (None, Taken::default());
        Self { journal, decode, kept, at, began: at, seen, salt, unknown, old_gone: false, buffer, taken, failure }
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &Arc<Journal<T>> {
        &self.journal
    }

    /// The next records that wait: at most `most`, and no more once they take `bytes` in the journal; at least one if there is any.
    /// `None` if there is none. Called again before [`done`](Self::done), it gives the same records again.
    ///
    /// # Errors
    /// The disk cannot be read. Called often enough, it quarantines a segment that cannot be, and goes on behind it.
    pub fn next_batch(&mut self, most: usize, bytes: usize) -> io::Result<Option<Batch<T>>> {
        let (mut batch, mut size) = (self.batch(self.at), 0);
        while batch.records.len() < most && size < bytes {
            match self.next(&mut batch) {
                Ok(Next::Record(length, record)) => {
                    batch.records.push(record);
                    size += length;
                }
                Ok(Next::SegmentEnd) => {
                    batch.end = Position { segment: batch.end.segment + 1, offset: 0 };
                    // what was moved within an earlier run comes no later than that
                    if self.journal.first_from(batch.end.segment).number >= self.journal.adopted {
                        batch.settle(&self.journal, None);
                    }
                }
                Ok(Next::End(kept)) => {
                    batch.settle(&self.journal, Some(kept));
                    self.journal.begin_tail(batch.end);
                    break;
                }
                Err(error) if batch.records.is_empty() => {
                    let at = batch.end;
                    self.pass(batch)?;
                    batch = self.batch(at);
                    self.failed(at, &error)?;
                }
                // what came before it comes first
                Err(_) => break,
            }
        }
        if batch.records.is_empty() {
            self.pass(batch)?;
            return Ok(None);
        }
        batch.is_full = batch.records.len() >= most || size >= bytes;
        Ok(Some(batch))
    }

    /// The batch is stored elsewhere: it will not come again, and segments that were read to their end are retired.
    ///
    /// # Errors
    /// The disk does not take note of it: the batch may come again after a restart, but no sooner.
    pub fn done(&mut self, batch: &Batch<T>) -> io::Result<()> {
        let records = batch.uncounted + passed(&batch.seen).saturating_sub(passed(&self.seen));
        (self.at, self.salt) = (batch.end, batch.salt);
        self.seen.clone_from(&batch.seen);
        self.report(batch);
        self.journal.passed(batch.end, records);
        let count = self.seen.get(&batch.salt).map_or_else(Count::default, Seen::next);
        // before segments go: a kill in between leaves too many of them, and not too few
        let read = Kept { at: batch.end, salt: batch.salt, count };
        let kept = self.kept.keep(read);
        self.journal.consumers().read = read;
        let unknown = &self.unknown;
        self.journal.retire(batch.end.segment, |number| unknown.get(&number).copied());
        self.unknown.retain(|number, _| *number >= batch.end.segment);
        if !self.old_gone && kept.is_ok() && batch.end.segment >= self.journal.own.first {
            self.journal.forget_old_runs();
            self.old_gone = true;
        }
        kept
    }

    /// How many records of this run are [done](Self::done), in the order of their [places](crate::Appended::place); `None` as long as
    /// records of earlier runs may wait.
    #[must_use]
    pub fn stored(&self) -> Option<u64> {
        let is_own = self.salt == self.journal.own.salt || self.journal.waiting() == 0;
        is_own.then(|| self.seen.get(&self.journal.own.salt).map_or(0, |seen| seen.next().records()))
    }

    /// The same once this batch is done, too; `None` for a batch that ends with a record of an earlier run.
    #[must_use]
    pub fn stored_with(&self, batch: &Batch<T>) -> Option<u64> {
        let own = self.journal.own.salt;
        (batch.salt == own).then(|| batch.seen.get(&own).map_or(0, |seen| seen.next().records()))
    }

    /// Counts what waits from before the journal was opened, and gives the number. What no run counts is read for it; damage may
    /// hide some.
    pub fn count_old(&mut self) -> u64 {
        let mut batch = self.batch(self.at);
        let mut uncounted = 0;
        // what cannot be read is met again when its turn comes
        while self.journal.first_from(batch.end.segment).number < self.journal.own.first {
            let old = &self.journal.clone().old;
            let is_counted = |buffer: &ReadBuffer| !buffer.passed && old.iter().any(|run| run.salt == buffer.salt);
            let counted = self.enter(&mut batch.end).is_ok() && self.buffer.as_ref().is_some_and(is_counted);
            while !counted && matches!(self.next(&mut batch), Ok(Next::Record(..))) {
                uncounted += 1;
            }
            batch.end = Position { segment: batch.end.segment + 1, offset: 0 };
        }
        self.journal.add_waiting(uncounted);
        self.journal.left + uncounted
    }

    /// Nothing yet, from a place on.
    fn batch(&self, at: Position) -> Batch<T> {
        Batch {
            records: Vec::new(),
            is_full: false,
            uncounted: 0,
            end: at,
            seen: self.seen.clone(),
            salt: self.salt,
            damage: Damage::default(),
            losses: Vec::new(),
            unknown: BTreeMap::new(),
        }
    }

    /// What holds no record need not be read again.
    fn pass(&mut self, batch: Batch<T>) -> io::Result<()> {
        if batch.end == self.at && batch.losses.is_empty() { Ok(()) } else { self.done(&batch) }
    }

    /// Reading has failed at a place, not for the first time perhaps. If that is for good, what is behind the segment comes next.
    fn failed(&mut self, at: Position, error: &io::Error) -> io::Result<()> {
        let before = if self.failure.0 == at { self.failure.1 } else { 0 };
        self.failure = (at, before + u32::from(!is_passing(error)));
        self.buffer = None;
        let path = segment::path(self.journal.folder(), at.segment);
        let failure = |what: &str| io::Error::new(error.kind(), format!("{}: {error}{what}", path.display()));
        if error.kind() != NOT_ITS_OWN && self.failure.1 < ATTEMPTS {
            return Err(failure(""));
        }
        let quarantined = self.journal.quarantine(at.segment, &error.to_string());
        quarantined.map_err(|why| failure(&format!("; it cannot be quarantined: {why}")))
    }

    /// Reports what could not be read, and marks segments in which records were passed over.
    fn report(&mut self, batch: &Batch<T>) {
        let Damage { bytes, gaps } = batch.damage;
        if bytes > 0 {
            self.journal.report(&Event::Damaged { bytes, gaps });
        }
        for (salt, loss) in &batch.losses {
            self.journal.report_loss(*salt, *loss);
        }
        for (number, (salt, _)) in &batch.unknown {
            let from = if *number == self.began.segment { self.began.offset } else { 0 };
            if self.unknown.insert(*number, Passed { salt: *salt, from }).is_none()
                && let Err(error) = unknown::mark(self.journal.folder(), *number, from)
            {
                let file = segment::file(self.journal.folder(), *number, PASSED);
                self.journal.report(&Event::UnknownNotKept { file: &file, error: &error });
            }
        }
        let records = batch.unknown.values().map(|(_, records)| records).sum();
        if records > 0 {
            self.journal.add_unknown(records);
            self.journal.report(&Event::Unknown { records });
        }
    }

    /// Opens the segment at a place, or the first one behind it, and moves the place there.
    fn enter(&mut self, at: &mut Position) -> io::Result<Extent> {
        let extent = self.journal.first_from(at.segment);
        let number = extent.number;
        if number != at.segment {
            *at = Position { segment: number, offset: 0 };
        }
        at.offset = at.offset.max(segment::HEAD as u64);
        if self.buffer.as_ref().is_none_or(|buffer| buffer.number != number) {
            self.buffer = Some(self.journal.open_segment(number)?);
        }
        Ok(extent)
    }

    /// What comes next at the end of a batch; moves that behind it.
    fn next(&mut self, batch: &mut Batch<T>) -> io::Result<Next<T>> {
        let at = Position { offset: batch.end.offset.max(segment::HEAD as u64), ..batch.end };
        if let Some(Handed { end, place, decoded }) = self.taken.next(at, &self.journal.tail) {
            (batch.end, batch.salt) = (Position { offset: end, ..at }, self.journal.own.salt);
            batch.meet_at(place, decoded.amends);
            let length = usize::try_from(end - at.offset).unwrap_or(usize::MAX);
            return Ok(Next::Record(length, decoded.record));
        }
        let Extent { written, grows, .. } = self.enter(&mut batch.end)?;
        let end = || grows.map_or(Next::SegmentEnd, Next::End);
        let Some(buffer) = &mut self.buffer else { return Ok(end()) };
        let (salt, passed, decode) = (buffer.salt, buffer.passed, self.decode);
        batch.salt = salt;
        loop {
            let from = batch.end.offset;
            let met = buffer.next_frame(from, written, |Found { frame, end, skipped }| {
                batch.end.offset = end;
                // where records were passed over, the others have no mark any more
                let skipped = if passed { 0 } else { skipped };
                // behind damage, a frame without a place does not tell how much is missing
                batch.damage.gaps += u64::from(skipped > 0 && frame.place.is_none());
                batch.damage.bytes += skipped;
                let decoded = frame.entry.and_then(|entry| decode(&entry));
                let amends = decoded.as_ref().and_then(|decoded| decoded.amends);
                if !batch.meet(&frame, passed, decoded.is_some(), amends) {
                    return None;
                }
                if decoded.is_none() {
                    batch.pass_over();
                }
                decoded.map(|decoded| Next::Record(frame.length, decoded.record))
            })?;
            match met {
                Ok(Some(record)) => return Ok(record),
                Ok(None) => {}
                Err(skipped) => {
                    batch.end.offset = written.max(from);
                    batch.damage.bytes += if passed { 0 } else { skipped };
                    return Ok(end());
                }
            }
        }
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.journal.tail().end();
    }
}

/// Whether an error is for want of something that has nothing to do with the place.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory)
        || error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code))
}

//! Reads the journal in order, batch by batch, and lets go of what is in the database. Reads only what is written whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::sync::Arc;

use log::warn;

use super::count::{Count, Loss, Place};
use super::disk::Extent;
use super::frame::{self, Found};
use super::position::{Kept, Position, PositionFile};
use super::seen::{Seen, corrected};
use super::window::Window;
use super::{Journal, read_of, segment};
use crate::Record;

/// So often in a row a place must not be readable before what is behind it comes next. The shipper takes longer each time, some ten
/// seconds or more in all: a disk may be away for a while.
const ATTEMPTS: u32 = 10;
/// What is said of a segment that was read, and whose content is no segment's. The system never says that.
const NOT_ITS_OWN: io::ErrorKind = io::ErrorKind::InvalidData;
/// The system's errors that say that there are too many open files.
const TOO_MANY_FILES: [i32; 2] = [23, 24];

/// The one reader of a journal.
#[derive(Debug)]
pub(crate) struct Reader {
    journal: Arc<Journal>,
    kept: PositionFile,
    at: Position,
    /// What was read of each run, by its salt, and the one that was read last.
    seen: BTreeMap<u32, Seen>,
    salt: u32,
    /// The files of earlier runs are not needed any more.
    old_gone: bool,
    window: Option<Window>,
    /// Where it last could not read, and how often.
    trouble: (Position, u32),
}

/// Records in the order in which they were written, and how far they go.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The records.
    pub(crate) records: Vec<Record>,
    /// Frames of releases whose frames have no place.
    frames: u64,
    end: Position,
    seen: BTreeMap<u32, Seen>,
    salt: u32,
    damage: Damage,
    /// What is lost, run by run.
    losses: Vec<(u32, Loss)>,
    /// Segments with records that this build does not know.
    unread: BTreeSet<u64>,
}

/// What could not be read.
#[derive(Clone, Copy, Debug, Default)]
struct Damage {
    /// Bytes that are no frame.
    bytes: u64,
    /// Gaps before frames that do not tell what is missing; what is torn at the end of a segment never was a row there.
    gaps: u64,
    /// Frames of another version.
    unknown: u64,
}

/// The next thing in a segment.
enum Next {
    Record(usize, Box<Record>),
    /// Nothing more in this segment.
    SegmentEnd,
    /// Nothing more so far, where so much was kept.
    End(Count),
}

impl Reader {
    pub(super) fn new(journal: Arc<Journal>, kept: PositionFile, read: Option<Kept>) -> Self {
        let mut seen: BTreeMap<u32, Seen> = journal.old.iter().map(|run| (run.salt, Seen::default())).collect();
        if read.is_some() {
            seen = journal.old.iter().map(|run| (run.salt, Seen::up_to(read_of(run, read)))).collect();
        }
        seen.insert(journal.own.salt, Seen::up_to(Count::default()));
        let Kept { at, salt, .. } = read.unwrap_or_default();
        let trouble = (Position::default(), 0);
        Self { journal, kept, at, seen, salt, old_gone: false, window: None, trouble }
    }

    /// The journal.
    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The next records that are not in the database: at most `most`, and no more once they take `bytes` in the journal; at least
    /// one if there is any. `None` if there is none. Called again before [`done`](Self::done), it gives the same ones again.
    ///
    /// # Errors
    /// That the disk cannot be read. Called often enough, it puts a segment aside that cannot be, and goes on behind it.
    pub(crate) fn next_batch(&mut self, most: usize, bytes: usize) -> io::Result<Option<Batch>> {
        let (mut batch, mut size) = (self.batch(self.at), 0);
        while batch.records.len() < most && size < bytes {
            match self.next(&mut batch) {
                Ok(Next::Record(length, record)) => {
                    batch.records.push(*record);
                    size += length;
                }
                Ok(Next::SegmentEnd) => {
                    batch.end = Position { segment: batch.end.segment + 1, offset: 0 };
                    // what was moved within an earlier run comes no later than that
                    if self.journal.first_from(batch.end.segment).number >= self.journal.own.first {
                        batch.settle(&self.journal, None);
                    }
                }
                Ok(Next::End(kept)) => {
                    batch.settle(&self.journal, Some(kept));
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
        Ok(Some(batch))
    }

    /// Nothing yet, from a place on.
    fn batch(&self, at: Position) -> Batch {
        Batch {
            records: Vec::new(),
            frames: 0,
            end: at,
            seen: self.seen.clone(),
            salt: self.salt,
            damage: Damage::default(),
            losses: Vec::new(),
            unread: BTreeSet::new(),
        }
    }

    /// What holds no record need not be read again.
    fn pass(&mut self, batch: Batch) -> io::Result<()> {
        if batch.end == self.at && batch.losses.is_empty() { Ok(()) } else { self.done(&batch) }
    }

    /// It cannot read at a place, not for the first time perhaps. If that is for good, what is behind the segment comes next.
    fn failed(&mut self, at: Position, error: &io::Error) -> io::Result<()> {
        let before = if self.trouble.0 == at { self.trouble.1 } else { 0 };
        self.trouble = (at, before + u32::from(!is_passing(error)));
        self.window = None;
        let path = segment::path(self.journal.folder(), at.segment);
        let told = |what: &str| io::Error::new(error.kind(), format!("{}: {error}{what}", path.display()));
        if error.kind() != NOT_ITS_OWN && self.trouble.1 < ATTEMPTS {
            return Err(told(""));
        }
        let put = self.journal.put_aside(at.segment, &error.to_string());
        put.map_err(|why| told(&format!("; it cannot be put aside: {why}")))
    }

    /// The batch is in the database: it will not come again, and segments that were read to their end are gone.
    ///
    /// # Errors
    /// That the disk does not take note of it: then the batch may come again after a restart, but no sooner.
    pub(crate) fn done(&mut self, batch: &Batch) -> io::Result<()> {
        let passed = batch.frames + read(&batch.seen).saturating_sub(read(&self.seen));
        (self.at, self.salt) = (batch.end, batch.salt);
        self.seen.clone_from(&batch.seen);
        self.tell(batch);
        self.journal.let_go(batch.end, passed);
        let count = self.seen.get(&batch.salt).map_or_else(Count::default, Seen::next);
        self.kept.keep(Kept { at: batch.end, salt: batch.salt, count })?;
        if !self.old_gone && batch.end.segment >= self.journal.own.first {
            self.journal.forget_old_runs();
            self.old_gone = true;
        }
        Ok(())
    }

    /// Tells of what could not be read.
    fn tell(&self, batch: &Batch) {
        let Damage { bytes, gaps, unknown } = batch.damage;
        if bytes > 0 {
            warn!(bytes, gaps; "parts of the ledger's journal are damaged or torn, and were passed over");
        }
        self.journal.figures().lost("damaged", gaps);
        for (salt, loss) in &batch.losses {
            self.journal.tell_loss(*salt, *loss);
        }
        if unknown > 0 {
            self.journal.figures().unread(unknown);
            warn!(records = unknown; "the ledger's journal has records of a later release; they stay there until one that knows them starts");
        }
        for number in &batch.unread {
            if let Err(error) = segment::leave_unread(self.journal.folder(), *number) {
                warn!(error:%, number; "a segment with records of a later release cannot be kept");
            }
        }
    }

    /// Counts what waits from before the journal was opened, and tells how much that is. What earlier releases left is read for it;
    /// damage may hide some.
    pub(crate) fn count_old(&mut self) -> u64 {
        let mut batch = self.batch(self.at);
        let mut uncounted = 0;
        // what cannot be read is met again when its turn comes
        while self.journal.first_from(batch.end.segment).number < self.journal.own.first {
            let known = self.enter(&mut batch.end).is_ok()
                && self
                    .window
                    .as_ref()
                    .is_some_and(|window| self.journal.old.iter().any(|run| run.salt == window.salt));
            while !known && matches!(self.next(&mut batch), Ok(Next::Record(..))) {
                uncounted += 1;
            }
            batch.end = Position { segment: batch.end.segment + 1, offset: 0 };
        }
        self.journal.add_waiting(uncounted);
        self.journal.left + uncounted
    }

    /// Opens the segment at a place, or the first one behind it, and moves the place there.
    fn enter(&mut self, at: &mut Position) -> io::Result<Extent> {
        let extent = self.journal.first_from(at.segment);
        let number = extent.number;
        if number != at.segment {
            *at = Position { segment: number, offset: 0 };
        }
        at.offset = at.offset.max(segment::HEAD as u64);
        if self.window.as_ref().is_none_or(|window| window.number != number) {
            let file = File::open(segment::path(self.journal.folder(), number))?;
            let salt = segment::salt(&file)?.or_else(|| self.journal.salt_of(number));
            let salt = salt.ok_or_else(|| io::Error::new(NOT_ITS_OWN, "its head is damaged"))?;
            self.window = Some(Window::new(number, salt, file));
        }
        Ok(extent)
    }

    /// What comes next at the end of a batch; moves that behind it.
    fn next(&mut self, batch: &mut Batch) -> io::Result<Next> {
        let Extent { written, grows, .. } = self.enter(&mut batch.end)?;
        let end = grows.map_or(Next::SegmentEnd, Next::End);
        let Some(window) = &mut self.window else { return Ok(end) };
        let salt = window.salt;
        batch.salt = salt;
        let mut offset = batch.end.offset;
        let (mut wanted, mut skipped) = (frame::HEAD, 0);
        while offset < written {
            let bytes = window.view(offset, wanted, written)?;
            let seen = bytes.len();
            let (step, found) = match frame::decode(bytes, salt) {
                Found::Frame(length, place, record) => (length, Some((place, Some(record)))),
                Found::Unknown(length, place) => (length, Some((place, None))),
                // there is more to see
                Found::Needs(more) if more > seen && offset + more as u64 <= written => {
                    wanted = more;
                    continue;
                }
                Found::Needs(_) => (frame::next_mark(bytes), None),
                Found::Damage(step) => (step, None),
            };
            offset += step as u64;
            wanted = frame::HEAD;
            let Some((place, record)) = found else {
                skipped += step as u64;
                continue;
            };
            batch.end.offset = offset;
            // behind damage, a frame without a place does not tell how much is missing
            batch.damage.gaps += u64::from(skipped > 0 && place.is_none());
            batch.damage.bytes += std::mem::take(&mut skipped);
            if !batch.meet(place, record.as_deref()) {
                continue;
            }
            match record {
                Some(record) => return Ok(Next::Record(step, record)),
                None => {
                    batch.damage.unknown += 1;
                    batch.unread.insert(batch.end.segment);
                }
            }
        }
        batch.end.offset = offset;
        batch.damage.bytes += skipped;
        Ok(end)
    }
}

/// Whether it is for want of something that has nothing to do with the place.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory)
        || error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code))
}

impl Batch {
    /// A frame was read: whether for the first time.
    fn meet(&mut self, place: Option<Place>, record: Option<&Record>) -> bool {
        let Some(place) = place else {
            self.frames += 1;
            return true;
        };
        let seen = self.seen.entry(self.salt).or_default();
        let new = seen.meet(place);
        if new
            && let Some(Record::Request(row)) = record
            && let Some(sequence) = corrected(place.kind, row.sequence)
        {
            seen.correct(sequence);
        }
        new
    }

    /// All that earlier runs kept has been read as far as it can be, and all of this run where it is told how much that is: what is
    /// missing is lost.
    fn settle(&mut self, journal: &Journal, own: Option<Count>) {
        let ends = journal.old.iter().map(|run| (run.salt, run.end));
        for (salt, end) in ends.chain(own.map(|kept| (journal.own.salt, kept))) {
            if let Some(seen) = self.seen.get_mut(&salt) {
                seen.end(end);
            }
        }
        for (salt, seen) in &mut self.seen {
            if *salt == journal.own.salt && own.is_none() {
                continue;
            }
            let loss = seen.settle();
            if loss != Loss::default() {
                self.losses.push((*salt, loss));
            }
        }
    }
}

/// How many records were read or are missing.
fn read(seen: &BTreeMap<u32, Seen>) -> u64 {
    seen.values().map(Seen::passed).sum()
}

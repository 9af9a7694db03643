//! Reads the journal in order, batch by batch, and lets go of what is in the database. Reads only what is written whole.

use std::fs::File;
use std::io;
use std::ops::AddAssign;
use std::sync::Arc;

use log::warn;

use super::disk::Extent;
use super::frame::{self, Found};
use super::position::{Position, PositionFile};
use super::window::Window;
use super::{Journal, segment};
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
    window: Option<Window>,
    /// Where it last could not read, and how often.
    trouble: (Position, u32),
}

/// Records in the order in which they were written, and how far they go.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The records.
    pub(crate) records: Vec<Record>,
    frames: u64,
    end: Position,
    damage: Damage,
}

/// What could not be read.
#[derive(Clone, Copy, Debug, Default)]
struct Damage {
    /// Bytes that are no frame.
    bytes: u64,
    /// Gaps between frames; what is torn at the end of a segment never was a row.
    gaps: u64,
    /// Frames of another version.
    unknown: u64,
}

/// The next thing in a segment.
enum Next {
    Record(usize, Box<Record>),
    /// A frame that is none of this build's.
    Unknown,
    /// Nothing more in this segment.
    SegmentEnd,
    /// Nothing more so far.
    End,
}

impl Reader {
    pub(super) fn new(journal: Arc<Journal>, kept: PositionFile, at: Position) -> Self {
        Self { journal, kept, at, window: None, trouble: (Position::default(), 0) }
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
        let (mut batch, mut size) = (Batch::from(self.at), 0);
        while batch.records.len() < most && size < bytes {
            match self.next(&mut batch.end, &mut batch.damage) {
                Ok(Next::Record(length, record)) => {
                    batch.records.push(*record);
                    batch.frames += 1;
                    size += length;
                }
                Ok(Next::Unknown) => batch.frames += 1,
                Ok(Next::SegmentEnd) => batch.end = Position { segment: batch.end.segment + 1, offset: 0 },
                Ok(Next::End) => break,
                Err(error) if batch.records.is_empty() => {
                    let at = batch.end;
                    self.pass(std::mem::replace(&mut batch, Batch::from(at)))?;
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

    /// What holds no record need not be read again.
    fn pass(&mut self, batch: Batch) -> io::Result<()> {
        if batch.end == self.at { Ok(()) } else { self.done(&batch) }
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
        let Batch { frames, end, damage, .. } = batch;
        self.at = *end;
        self.journal.let_go(end.segment, *frames);
        if damage.bytes > 0 || damage.unknown > 0 {
            let Damage { bytes, gaps, unknown } = *damage;
            warn!(bytes, gaps, unknown; "parts of the ledger's journal are damaged or torn, and were passed over");
            self.journal.figures().lost("damaged", gaps + unknown);
        }
        self.kept.keep(*end)
    }

    /// Counts the frames that wait from before the journal was opened, and tells how many there are; damage may hide some.
    pub(crate) fn count_old(&mut self) -> u64 {
        let mut all = 0;
        while let Some(segment) = self.journal.first_uncounted() {
            let (mut at, mut count) = (self.at.max(Position { segment, offset: 0 }), 0);
            // what cannot be read is met again when its turn comes
            let _ = self.count(&mut at, &mut count);
            self.journal.count(at.segment, count);
            all += count;
        }
        all
    }

    /// Counts the frames from a place to the end of its segment, where that has ended.
    fn count(&mut self, at: &mut Position, count: &mut u64) -> io::Result<()> {
        let Extent { written, grows: false, .. } = self.enter(at)? else { return Ok(()) };
        while let Some(window) = &mut self.window
            && at.offset < written
        {
            let Some(length) = frame::length(window.view(at.offset, frame::HEAD, written)?) else { break };
            at.offset = at.offset.saturating_add(length as u64);
            *count += 1;
        }
        Ok(())
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
            let salt = segment::salt(&file)?.ok_or_else(|| io::Error::new(NOT_ITS_OWN, "its head is damaged"))?;
            self.window = Some(Window::new(number, salt, file));
        }
        Ok(extent)
    }

    /// What comes next at a place; moves the place behind it.
    fn next(&mut self, at: &mut Position, damage: &mut Damage) -> io::Result<Next> {
        let Extent { written, grows, .. } = self.enter(at)?;
        let end = if grows { Next::End } else { Next::SegmentEnd };
        let Some(window) = &mut self.window else { return Ok(end) };
        let (salt, mut offset) = (window.salt, at.offset);
        let (mut wanted, mut skipped) = (frame::HEAD, 0);
        while offset < written {
            let bytes = window.view(offset, wanted, written)?;
            let seen = bytes.len();
            let (step, next) = match frame::decode(bytes, salt) {
                Found::Frame(length, record) => (length, Some(Next::Record(length, record))),
                Found::Unknown(length) => (length, Some(Next::Unknown)),
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
            match next {
                Some(next) => {
                    at.offset = offset;
                    let unknown = u64::from(matches!(next, Next::Unknown));
                    *damage += Damage { bytes: skipped, gaps: u64::from(skipped > 0), unknown };
                    return Ok(next);
                }
                None => skipped += step as u64,
            }
        }
        at.offset = offset;
        *damage += Damage { bytes: skipped, ..Damage::default() };
        Ok(end)
    }
}

/// Whether it is for want of something that has nothing to do with the place.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory)
        || error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code))
}

impl Batch {
    /// Nothing yet, from a place on.
    fn from(at: Position) -> Self {
        Self { records: Vec::new(), frames: 0, end: at, damage: Damage::default() }
    }
}

impl AddAssign for Damage {
    fn add_assign(&mut self, more: Self) {
        self.bytes += more.bytes;
        self.gaps += more.gaps;
        self.unknown += more.unknown;
    }
}

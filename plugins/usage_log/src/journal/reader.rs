//! Reads the journal in order, batch by batch, and lets go of what is in the database. Reads only what is written whole.

use std::fs::{self, File};
use std::io;
use std::ops::AddAssign;
use std::sync::Arc;

use log::{error, warn};

use super::disk::Extent;
use super::frame::{self, Found};
use super::position::{Position, PositionFile};
use super::window::Window;
use super::{Journal, segment};
use crate::Record;

/// The one reader of a journal.
#[derive(Debug)]
pub(crate) struct Reader {
    journal: Arc<Journal>,
    kept: PositionFile,
    at: Position,
    window: Option<Window>,
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
    End,
}

impl Reader {
    pub(super) fn new(journal: Arc<Journal>, kept: PositionFile, at: Position) -> Self {
        Self { journal, kept, at, window: None }
    }

    /// The journal.
    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The next records that are not in the database: at most `most`, and no more once they take `bytes` in the journal; at least
    /// one if there is any. `None` if there is none. Called again before [`done`](Self::done), it gives the same ones again.
    ///
    /// # Errors
    /// That the disk cannot be read.
    pub(crate) fn next_batch(&mut self, most: usize, bytes: usize) -> io::Result<Option<Batch>> {
        let (mut records, mut frames, mut size) = (Vec::new(), 0, 0);
        let (mut at, mut damage) = (self.at, Damage::default());
        while records.len() < most && size < bytes {
            let segment = self.enter(&mut at)?;
            match self.read(&mut at, segment.written, &mut damage)? {
                Next::Record(length, record) => {
                    records.push(*record);
                    frames += 1;
                    size += length;
                }
                Next::Unknown => frames += 1,
                Next::End if segment.grows => break,
                Next::End => at = Position { segment: at.segment + 1, offset: 0 },
            }
        }
        let batch = Batch { records, frames, end: at, damage };
        if batch.records.is_empty() {
            // what holds no record need not be read again
            if at != self.at {
                self.done(&batch)?;
            }
            return Ok(None);
        }
        Ok(Some(batch))
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

    /// How many frames are waiting from before the journal was opened; damage may hide some.
    ///
    /// # Errors
    /// That the disk cannot be read.
    pub(crate) fn count_old(&mut self) -> io::Result<u64> {
        let (mut at, mut count) = (self.at, 0);
        while let Extent { written, grows: false, .. } = self.enter(&mut at)? {
            while let Some(window) = &mut self.window
                && at.offset < written
            {
                let Some(length) = frame::length(window.view(at.offset, frame::HEAD, written)?) else { break };
                at.offset = at.offset.saturating_add(length as u64);
                count += 1;
            }
            at = Position { segment: at.segment + 1, offset: 0 };
        }
        Ok(count)
    }

    /// Opens the segment at a place, or the first one behind it, and moves the place there.
    fn enter(&mut self, at: &mut Position) -> io::Result<Extent> {
        loop {
            let segment = self.journal.first_from(at.segment);
            let number = segment.number;
            if number != at.segment {
                *at = Position { segment: number, offset: 0 };
            }
            at.offset = at.offset.max(segment::HEAD as u64);
            if self.window.as_ref().is_some_and(|window| window.number == number) {
                return Ok(segment);
            }
            let path = segment::path(self.journal.folder(), number);
            let file = File::open(&path)?;
            if let Some(salt) = segment::salt(&file)? {
                self.window = Some(Window::new(number, salt, file));
                return Ok(segment);
            }
            let aside = path.with_extension("damaged");
            error!(file:% = aside.display(); "the head of a segment is damaged; its rows cannot be read, and it is put aside");
            self.journal.figures().lost("damaged", 1);
            fs::rename(&path, aside)?;
            self.journal.forget(number);
        }
    }

    /// What comes next in the open segment; moves the place behind it.
    fn read(&mut self, at: &mut Position, written: u64, damage: &mut Damage) -> io::Result<Next> {
        let Some(window) = &mut self.window else { return Ok(Next::End) };
        let salt = window.salt;
        let (mut wanted, mut skipped) = (frame::HEAD, 0);
        while at.offset < written {
            let bytes = window.view(at.offset, wanted, written)?;
            let seen = bytes.len();
            let (step, next) = match frame::decode(bytes, salt) {
                Found::Frame(length, record) => (length, Some(Next::Record(length, record))),
                Found::Unknown(length) => (length, Some(Next::Unknown)),
                // there is more to see
                Found::Needs(more) if more > seen && at.offset + more as u64 <= written => {
                    wanted = more;
                    continue;
                }
                Found::Needs(_) => (frame::next_mark(bytes), None),
                Found::Damage(step) => (step, None),
            };
            at.offset += step as u64;
            wanted = frame::HEAD;
            match next {
                Some(next) => {
                    let unknown = u64::from(matches!(next, Next::Unknown));
                    *damage += Damage { bytes: skipped, gaps: u64::from(skipped > 0), unknown };
                    return Ok(next);
                }
                None => skipped += step as u64,
            }
        }
        *damage += Damage { bytes: skipped, ..Damage::default() };
        Ok(Next::End)
    }
}

impl AddAssign for Damage {
    fn add_assign(&mut self, more: Self) {
        self.bytes += more.bytes;
        self.gaps += more.gaps;
        self.unknown += more.unknown;
    }
}

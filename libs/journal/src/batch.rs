//! Records that were read together, and what became of the runs on the way. Reads nothing itself.

use std::collections::BTreeMap;

use crate::Journal;
use crate::count::{Count, Kind, Loss, Place};
use crate::frame::Frame;
use crate::position::Position;
use crate::seen::Seen;

/// Records in the order in which they were appended, and how far they go.
#[derive(Debug)]
pub struct Batch<T> {
    /// The records.
    pub records: Vec<T>,
    /// Whether it has as much as was asked for, so that more may wait.
    pub is_full: bool,
    /// Records that no run counts.
    pub(crate) uncounted: u64,
    pub(crate) end: Position,
    /// What was read of each run, by its salt, and the salt of the run that was read last.
    pub(crate) seen: BTreeMap<u32, Seen>,
    pub(crate) salt: u32,
    pub(crate) damage: Damage,
    /// What is lost, by the salt of the run.
    pub(crate) losses: Vec<(u32, Loss)>,
    /// Unknown records by segment, with the salt of the segment.
    pub(crate) unknown: BTreeMap<u64, (u32, u64)>,
}

/// What could not be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Damage {
    /// Bytes that are no frame.
    pub(crate) bytes: u64,
    /// Gaps before frames that do not tell what is missing; what is torn at the end of a segment never was a record.
    pub(crate) gaps: u64,
}

impl<T> Batch<T> {
    /// A frame was read of a segment with records that were passed over before, or of any other: whether for the first time.
    pub(crate) fn meet(&mut self, frame: &Frame<'_>, passed: bool, is_known: bool, amends: Option<u64>) -> bool {
        let Some(place) = frame.place.filter(|_| !passed) else {
            self.uncounted += u64::from(is_known);
            return true;
        };
        self.meet_at(place, amends)
    }

    /// A record comes that stands at this place of its run: whether for the first time.
    pub(crate) fn meet_at(&mut self, place: Place, amends: Option<u64>) -> bool {
        let seen = self.seen.entry(self.salt).or_default();
        let new = seen.meet(place);
        if let Some(number) = amends.filter(|_| new && place.kind == Kind::Amendment) {
            seen.amend(number);
        }
        new
    }

    /// A record is met that the decoder does not know.
    pub(crate) fn pass_over(&mut self) {
        self.unknown.entry(self.end.segment).or_insert((self.salt, 0)).1 += 1;
    }

    /// All that earlier runs appended has been read as far as it can be, and all of this run where it is told how much that is: what
    /// is missing is lost.
    pub(crate) fn settle(&mut self, journal: &Journal<T>, own: Option<Count>) {
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
pub(crate) fn passed(seen: &BTreeMap<u32, Seen>) -> u64 {
    seen.values().map(Seen::passed).sum()
}

//! How far a ledger has stored the records of earlier runs, which have no places of their own. Keeps a few of their numbers.

use std::collections::VecDeque;

use plugin_api::{RecordNumber, StoredCounts};

/// One record of so many is remembered by its number: from it on, counting is exact again where a record was reported and is not stored.
const APART: u64 = 1024;
/// It may itself be one that is not stored, so the next ones are looked for, too.
const AHEAD: usize = 4;

/// The records of earlier runs that a ledger reported, in the order in which it stores them.
#[derive(Debug, Default)]
pub(crate) struct OldRecords {
    reported: u64,
    stored: u64,
    known: VecDeque<(RecordNumber, u64)>,
}

impl OldRecords {
    /// A record waits. Returns the how many-th it is.
    pub(crate) fn report(&mut self, number: RecordNumber) -> u64 {
        self.reported += 1;
        if number.sequence > 0 && self.known.back().is_none_or(|(_, last)| self.reported - last >= APART) {
            self.known.push_back((number, self.reported));
        }
        self.reported
    }

    /// These are stored, and none of this run is among them. Returns how many are, all together.
    pub(crate) fn store(&mut self, records: &[StoredCounts<'_>]) -> u64 {
        for record in records {
            self.stored = (self.stored + 1).min(self.reported);
            let at = self.known.iter().take(AHEAD).position(|(number, _)| *number == record.number);
            if let Some((_, place)) = at.and_then(|at| self.known.drain(..=at).next_back()) {
                self.stored = place;
            }
        }
        self.stored
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::Uuid;

    use super::*;

    fn number(sequence: u64) -> RecordNumber {
        RecordNumber { instance: Uuid::nil(), sequence: sequence as i64, revision: 0 }
    }

    #[test]
    fn what_is_stored_is_known_exactly_and_again_so_after_records_that_never_come() {
        let mut old = OldRecords::default();
        assert_eq!((1..=10_000).map(|place| old.report(number(place))).max(), Some(10_000));
        assert!(old.known.len() < 12);
        let mut stored = |from: u64, to: u64| {
            let records: Vec<_> = (from..=to).map(|at| StoredCounts { number: number(at), counts: &[] }).collect();
            old.store(&records)
        };
        assert_eq!((stored(1, 1), stored(2, 700)), (1, 700));
        // twenty are missing, one of the known ones among them
        assert_eq!((stored(701, 1015), stored(1036, 1100)), (1015, 1080));
        assert_eq!(stored(1101, 2100), 2100);
        assert_eq!((stored(2101, 10_000), stored(1, 5)), (10_000, 10_000));
    }
}

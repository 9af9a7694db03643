//! How far behind a consumer is.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::ledger_journal::Journal;
use crate::{Record, Timestamp};

/// No record is under way.
const NONE: i64 = i64::MIN;

/// How far behind a consumer is.
#[derive(Debug)]
pub(crate) struct ConsumerProgress {
    name: String,
    journal: Weak<Journal>,
    /// When the oldest record ended that is read and not safe at its sink, in microseconds.
    oldest: AtomicI64,
    /// Rows that the sink has taken note of and still has to write, and from when on the oldest is late.
    held: AtomicU64,
    held_until: AtomicI64,
}

impl ConsumerProgress {
    pub(crate) fn new(name: &str, journal: &Arc<Journal>) -> Self {
        let (name, journal) = (name.to_owned(), Arc::downgrade(journal));
        let none = || AtomicI64::new(NONE);
        Self { name, journal, oldest: none(), held: AtomicU64::new(0), held_until: none() }
    }

    /// The consumer's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Records that its sink has not taken for good.
    pub(crate) fn lag_rows(&self) -> u64 {
        self.journal.upgrade().map_or(0, |journal| journal.lag(&self.name)) + self.held.load(Ordering::Relaxed)
    }

    /// How long the oldest of them has waited since its end, or beyond the time that its sink means it to wait; zero where none is read that
    /// is not taken.
    pub(crate) fn lag(&self, now: Timestamp) -> Duration {
        let since = |time: &AtomicI64| match time.load(Ordering::Relaxed) {
            NONE => Duration::ZERO,
            time => Duration::from_micros(u64::try_from(now.micros() - time).unwrap_or(0)),
        };
        since(&self.oldest).max(since(&self.held_until))
    }

    /// The sink has taken note of so many rows that it still has to write. The oldest of them is late from this time on.
    #[cfg(feature = "parquet")]
    pub(crate) fn holds(&self, rows: u64, until: Option<Timestamp>) {
        self.held.store(rows, Ordering::Relaxed);
        self.held_until.store(until.map_or(NONE, Timestamp::micros), Ordering::Relaxed);
    }

    /// These records are on their way, behind all that were before.
    pub(super) fn takes(&self, records: &[Record]) {
        if self.oldest.load(Ordering::Relaxed) == NONE
            && let Some(first) = records.first()
        {
            self.oldest.store(ended(first), Ordering::Relaxed);
        }
    }

    /// All that was read is taken for good.
    pub(super) fn has_taken_all(&self) {
        self.oldest.store(NONE, Ordering::Relaxed);
    }
}

/// When a record ended, in microseconds.
fn ended(record: &Record) -> i64 {
    match record {
        Record::Request(row) => row.created_at.micros().saturating_add(row.response_time_ms.saturating_mul(1000)),
        Record::Batch(row) => row.created_at.micros(),
    }
}

#[cfg(all(test, feature = "parquet"))]
mod tests {
    use super::*;
    use crate::consumers::SinkContext;
    use crate::tests::Folder;

    #[test]
    fn rows_that_are_meant_to_wait_are_no_lag_before_they_are_late() {
        let folder = Folder::new();
        let progress = SinkContext::in_folder(&folder.0).progress;
        let at = Timestamp::from_micros;
        progress.holds(3, Some(at(5_000_000)));
        assert_eq!([4, 5, 8].map(|second| progress.lag(at(second * 1_000_000)).as_secs()), [0, 0, 3]);
        progress.holds(0, None);
        assert_eq!(progress.lag(at(8_000_000)), Duration::ZERO);
    }
}

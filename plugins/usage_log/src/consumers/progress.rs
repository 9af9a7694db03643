//! How far behind a consumer is.

use std::sync::atomic::{AtomicI64, Ordering};
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
}

impl ConsumerProgress {
    pub(super) fn new(name: &str, journal: &Arc<Journal>) -> Self {
        Self { name: name.to_owned(), journal: Arc::downgrade(journal), oldest: AtomicI64::new(NONE) }
    }

    /// The consumer's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Records that its sink has not taken for good.
    pub(crate) fn lag_rows(&self) -> u64 {
        self.journal.upgrade().map_or(0, |journal| journal.lag(&self.name))
    }

    /// How long the oldest of them has waited since its end; zero where none is read that is not taken.
    pub(crate) fn lag(&self, now: Timestamp) -> Duration {
        match self.oldest.load(Ordering::Relaxed) {
            NONE => Duration::ZERO,
            oldest => Duration::from_micros(u64::try_from(now.micros() - oldest).unwrap_or(0)),
        }
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

//! When the dashboard last asked for rows: while it does, they are shipped sooner.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a reader is taken to go on reading: pages ask again within 2 s.
const READS_ON: Duration = Duration::from_secs(5);

/// The time of the last query.
#[derive(Debug)]
pub(crate) struct LastRead {
    began: Instant,
    /// In milliseconds since it began; 0 before the first.
    at: AtomicU64,
}

impl LastRead {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), at: AtomicU64::new(0) }
    }

    /// Somebody asks at this time.
    pub(crate) fn note(&self, now: Instant) {
        self.at.store(self.milliseconds(now).max(1), Ordering::Relaxed);
    }

    /// Whether somebody has asked of late.
    pub(super) fn is_recent(&self, now: Instant) -> bool {
        let at = self.at.load(Ordering::Relaxed);
        at > 0 && Duration::from_millis(self.milliseconds(now).saturating_sub(at)) < READS_ON
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_counts_for_a_while() {
        let read = LastRead::new();
        let now = read.began;
        assert!(!read.is_recent(now));
        read.note(now);
        assert!(read.is_recent(now) && read.is_recent(now + READS_ON / 2));
        assert!(!read.is_recent(now + READS_ON + Duration::from_millis(1)));
    }
}

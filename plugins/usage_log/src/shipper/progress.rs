//! When the shipper last made progress.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time of the last progress.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    /// When it last had nothing to do or got something done, in milliseconds since it began.
    at: AtomicU64,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), at: AtomicU64::new(0) }
    }

    pub(super) fn note(&self) {
        self.at.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long nothing has got done, at a time.
    pub(crate) fn none_for(&self, now: Instant) -> Duration {
        let at = Duration::from_millis(self.at.load(Ordering::Relaxed));
        now.saturating_duration_since(self.began + at)
    }
}

//! Keeps requests from a Redis that fails, until it has answered a probe again.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use log::{info, warn};

/// So many failures one after another open it.
const FAILURES: u32 = 3;

/// Open while Redis fails.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    open: AtomicBool,
    failures: AtomicU32,
}

impl Breaker {
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// An operation was done in time.
    pub(crate) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// An operation was not done in time, or its connection broke.
    pub(crate) fn failed(&self, why: &str) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= FAILURES && !self.open.swap(true, Ordering::Relaxed) {
            warn!(why; "redis fails; the shared cache is left out until it answers again; check that it runs and is quick");
        }
    }

    /// A probe was answered in time.
    pub(crate) fn probed(&self) {
        self.failures.store(0, Ordering::Relaxed);
        if self.open.swap(false, Ordering::Relaxed) {
            info!("redis answers again; the shared cache is used again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_in_a_row_open_it_and_only_a_probe_closes_it() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            breaker.failed("x");
            breaker.failed("x");
            breaker.succeeded();
        }
        assert!(!breaker.is_open());
        (0..FAILURES).for_each(|_| breaker.failed("x"));
        assert!(breaker.is_open());
        breaker.succeeded();
        assert!(breaker.is_open());
        breaker.probed();
        assert!(!breaker.is_open());
    }
}

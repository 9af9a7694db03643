//! The circuit breaker: keeps operations from a Redis that fails until it has answered a probe.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use log::{info, warn};

/// Consecutive failures that open it.
const MAX_FAILURES: u32 = 3;

/// Open while Redis fails. Operations open it, and only a probe closes it again, so that no operation is spent on finding out.
#[derive(Debug)]
pub struct CircuitBreaker {
    open: AtomicBool,
    failures: AtomicU32,
    /// What is skipped while it is open, for the log.
    purpose: &'static str,
}

impl CircuitBreaker {
    pub(crate) fn new(purpose: &'static str) -> Self {
        Self { open: AtomicBool::new(false), failures: AtomicU32::new(0), purpose }
    }

    /// Whether operations are to be skipped.
    #[must_use]
    pub fn is_open(&self) -> bool {
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
        if failures >= MAX_FAILURES && !self.open.swap(true, Ordering::Relaxed) {
            let purpose = self.purpose;
            warn!(why; "redis fails; {purpose} is skipped until it answers again; check that it runs and responds in time");
        }
    }

    /// A probe was answered in time.
    pub(crate) fn probed(&self) {
        self.failures.store(0, Ordering::Relaxed);
        if self.open.swap(false, Ordering::Relaxed) {
            let purpose = self.purpose;
            info!("redis answers again; {purpose} is used again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_consecutive_failures_open_it_and_only_a_probe_closes_it() {
        let breaker = CircuitBreaker::new("the test");
        for _ in 0..10 {
            breaker.failed("x");
            breaker.failed("x");
            breaker.succeeded();
        }
        assert!(!breaker.is_open());
        (0..MAX_FAILURES).for_each(|_| breaker.failed("x"));
        assert!(breaker.is_open());
        breaker.succeeded();
        assert!(breaker.is_open());
        breaker.probed();
        assert!(!breaker.is_open());
        // the count starts anew
        (1..MAX_FAILURES).for_each(|_| breaker.failed("x"));
        assert!(!breaker.is_open());
    }

    #[test]
    fn failures_of_many_threads_open_it_once_and_for_all_of_them() {
        let breaker = CircuitBreaker::new("the test");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1000).for_each(|_| breaker.failed("x")));
            }
        });
        assert!(breaker.is_open());
        breaker.probed();
        assert!(!breaker.is_open());
    }
}

//! The log of commands that Redis refuses. It answers, so the circuit breaker stays closed, and nobody else would hear of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use log::warn;

/// One refusal in so much time is logged.
const INTERVAL: Duration = Duration::from_secs(60);

/// Logs what Redis refuses.
#[derive(Debug)]
pub(crate) struct Refusals {
    logged: Mutex<Option<Instant>>,
    /// Refusals that were not logged since.
    suppressed: AtomicU64,
    /// What is refused, for the log.
    purpose: &'static str,
}

impl Refusals {
    pub(crate) fn new(purpose: &'static str) -> Self {
        Self { logged: Mutex::default(), suppressed: AtomicU64::new(0), purpose }
    }

    /// A command was refused. Logs it, unless one was logged lately, or another thread is about to.
    pub(crate) fn log(&self, why: &str) {
        if self.is_due(Instant::now()) {
            let (purpose, suppressed) = (self.purpose, self.suppressed.swap(0, Ordering::Relaxed));
            warn!(why, suppressed; "redis refuses commands; {purpose} goes without it until it takes them");
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let Ok(mut logged) = self.logged.try_lock() else { return false };
        let is_due = logged.is_none_or(|logged| now.saturating_duration_since(logged) >= INTERVAL);
        if is_due {
            *logged = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_in_a_minute_is_logged() {
        let (refusals, now) = (Refusals::new("the test"), Instant::now());
        assert!(refusals.is_due(now) && !refusals.is_due(now) && !refusals.is_due(now + INTERVAL / 2));
        assert!(refusals.is_due(now + INTERVAL) && !refusals.is_due(now + INTERVAL));
    }
}

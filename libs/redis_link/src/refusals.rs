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
        if let Some(suppressed) = self.pass(Instant::now()) {
            let purpose = self.purpose;
            warn!(why, suppressed; "redis refuses commands; {purpose} goes without it until it takes them");
        }
    }

    /// How many refusals were not logged since the last one that was, if this one is to be.
    fn pass(&self, now: Instant) -> Option<u64> {
        let logged = self.logged.try_lock().ok();
        let due = logged.filter(|at| at.is_none_or(|at| now.saturating_duration_since(at) >= INTERVAL));
        let Some(mut at) = due else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        *at = Some(now);
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_in_a_minute_is_logged_and_says_how_many_were_not() {
        let (refusals, now) = (Refusals::new("the test"), Instant::now());
        let passed = [now, now, now + INTERVAL / 2, now + INTERVAL, now + INTERVAL, now + 2 * INTERVAL];
        assert_eq!(passed.map(|at| refusals.pass(at)), [Some(0), None, None, Some(2), None, Some(1)]);
    }
}

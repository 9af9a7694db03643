//! The time for those who hold calls to limits, by one reading of the machine's clock. Meters have it passed in.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::limit::{Now, SECOND};

/// How often the time of day is read, in nanoseconds. A clock that is set counts from the next reading on.
const RESET_INTERVAL: u64 = 100_000_000;

/// The time since it was made, and the time of day that goes with it.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    /// What the time of day is ahead, in nanoseconds since 1970, UTC.
    ahead: AtomicI64,
    /// When that was read.
    read: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { began: Instant::now(), ahead: AtomicI64::new(of_day()), read: AtomicU64::new(0) }
    }
}

impl Clock {
    /// The time. Its [`nanos`](Now::nanos) count from when the clock was made.
    ///
    /// ```
    /// let clock = quota::Clock::default();
    /// assert!(clock.now().nanos <= clock.now().nanos);
    /// ```
    #[must_use]
    pub fn now(&self) -> Now {
        self.now_ahead(0)
    }

    /// The time, with the time of day by a clock that is so many nanoseconds ahead of this machine's.
    #[must_use]
    pub fn now_ahead(&self, by: i64) -> Now {
        let (nanos, of_day) = self.read();
        Now { nanos, unix: of_day.saturating_add(by).div_euclid(SECOND as i64) }
    }

    /// The time of day, in nanoseconds since 1970, UTC.
    #[must_use]
    pub fn time_of_day(&self) -> i64 {
        self.read().1
    }

    /// Nanoseconds since it was made, and since 1970.
    fn read(&self) -> (u64, i64) {
        let nanos = whole(self.began.elapsed());
        let since_began = i64::try_from(nanos).unwrap_or(i64::MAX);
        let mut ahead = self.ahead.load(Ordering::Relaxed);
        if nanos.saturating_sub(self.read.load(Ordering::Relaxed)) > RESET_INTERVAL {
            ahead = of_day().saturating_sub(since_began);
            self.ahead.store(ahead, Ordering::Relaxed);
            self.read.store(nanos, Ordering::Relaxed);
        }
        (nanos, ahead.saturating_add(since_began))
    }
}

/// Nanoseconds since 1970, UTC.
fn of_day() -> i64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

fn whole(time: Duration) -> u64 {
    time.as_secs().saturating_mul(SECOND).saturating_add(time.subsec_nanos().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_that_is_set_is_followed_and_between_readings_it_goes_on() {
        let clock = Clock::default();
        let of_day = |now: Now| (now.unix - of_day() / SECOND as i64).abs();
        assert!(of_day(clock.now()) <= 1);
        // an hour wrong, as if the machine's clock had been set since it was read
        clock.ahead.fetch_sub(3600 * SECOND as i64, Ordering::Relaxed);
        clock.read.store(u64::MAX, Ordering::Relaxed);
        assert!(of_day(clock.now()) >= 3599);
        clock.read.store(0, Ordering::Relaxed);
        while clock.now().nanos <= RESET_INTERVAL {
            std::hint::spin_loop();
        }
        assert!(of_day(clock.now()) <= 1);
    }
}

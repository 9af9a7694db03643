//! For how long the thread of a store has the store's lock, which requests wait for, and how long it leaves it alone then.

use std::time::{Duration, Instant};

/// The longest that it has the lock without a rest, but for one thing that takes longer.
const LONGEST: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_millis(5) };
/// It has the lock for one part in this many of the time at most, and rests no longer than this for it.
const SHARE: u32 = 4;
const LONGEST_REST: Duration = Duration::from_millis(500);

/// The thread has the lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn(Instant);

impl Turn {
    /// From now on.
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Whether it is to let go of the lock.
    pub(crate) fn is_over(self) -> bool {
        self.0.elapsed() >= LONGEST
    }

    /// How long it leaves the lock alone, where it lets go of it now.
    pub(crate) fn rest(self) -> Duration {
        (self.0.elapsed() * SHARE).min(LONGEST_REST)
    }
}

//! What a limit allows, and the time it is asked at. Counts nothing.

use chrono::{DateTime, SecondsFormat};

use crate::calendar::{Calendar, Unit};

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// The time of an operation, read once by whoever has a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since any fixed moment, by a clock that never goes back. For rates.
    pub nanos: u64,
    /// Seconds since 1970, UTC. For windows of the calendar; not read for others.
    pub unix: i64,
}

impl Now {
    /// The moment that lies so many nanoseconds ahead, in whole seconds, rounded up: `2026-11-28T12:00:00Z`.
    #[must_use]
    pub fn timestamp_ahead(self, nanos: u64) -> String {
        let ahead = i64::try_from(nanos.div_ceil(SECOND)).unwrap_or(i64::MAX);
        let moment = DateTime::from_timestamp(self.unix.saturating_add(ahead), 0).unwrap_or(DateTime::UNIX_EPOCH);
        moment.to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

/// What a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// A bucket that drains all the time.
    Rate {
        /// How much drains in each period; at least 1.
        amount: u64,
        /// The period, in nanoseconds; at least 1.
        period: u64,
        /// What an empty bucket takes at once; at least 1.
        capacity: u64,
    },
    /// So much in each day or month of a calendar.
    Window {
        /// How much.
        amount: u64,
        /// What a window is.
        unit: Unit,
        /// Whose midnight.
        calendar: Calendar,
    },
    /// So much at the same time.
    Concurrent {
        /// How much.
        amount: u64,
    },
}

impl Limit {
    /// A bucket that drains this much each second.
    #[must_use]
    pub const fn per_second(amount: u64, capacity: u64) -> Self {
        Self::Rate { amount, period: SECOND, capacity }
    }

    /// A bucket that drains this much each minute, and takes as much at once.
    #[must_use]
    pub const fn per_minute(amount: u64) -> Self {
        Self::Rate { amount, period: 60 * SECOND, capacity: amount }
    }

    /// A bucket that drains this much each hour, and takes as much at once.
    #[must_use]
    pub const fn per_hour(amount: u64) -> Self {
        Self::Rate { amount, period: 3600 * SECOND, capacity: amount }
    }

    /// What may be used of an untouched limit at once.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        match self {
            Self::Rate { capacity, .. } => *capacity,
            Self::Window { amount, .. } | Self::Concurrent { amount } => *amount,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_ahead_is_rounded_up_to_its_second() {
        let now = Now { nanos: 5, unix: 1_795_824_000 };
        assert_eq!(now.timestamp_ahead(1_000_000_001), "2026-11-28T00:00:02Z");
    }
}

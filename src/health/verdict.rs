//! The health of a server by its consecutive passed or failed checks. Pure.

use std::num::NonZeroU32;

use crate::balance::Health;

/// Consecutive checks that change the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thresholds {
    /// Passed checks after which an unhealthy server is healthy.
    pub healthy: NonZeroU32,
    /// Failed checks after which a healthy server is unhealthy.
    pub unhealthy: NonZeroU32,
}

/// The verdict on a server, with the consecutive checks against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It takes requests; this many checks failed in a row.
    Healthy { failed: u32 },
    /// It takes none; this many checks passed in a row.
    Unhealthy { passed: u32 },
    /// It takes none until one check has passed.
    Unproven,
}

impl Verdict {
    /// The verdict before the first check.
    pub fn new(health: Health) -> Self {
        match health {
            Health::Unknown | Health::Healthy => Self::Healthy { failed: 0 },
            Health::Unhealthy => Self::Unproven,
        }
    }

    /// The health that follows.
    pub fn health(self) -> Health {
        match self {
            Self::Healthy { .. } => Health::Healthy,
            Self::Unhealthy { .. } | Self::Unproven => Health::Unhealthy,
        }
    }

    /// The verdict after another check.
    #[must_use]
    pub fn after(self, passed: bool, thresholds: Thresholds) -> Self {
        let healthy = Self::Healthy { failed: 0 };
        match (self, passed) {
            (Self::Healthy { .. } | Self::Unproven, true) => healthy,
            (Self::Unproven, false) => Self::Unproven,
            (Self::Healthy { failed }, false) if failed + 1 < thresholds.unhealthy.get() => {
                Self::Healthy { failed: failed + 1 }
            }
            (Self::Healthy { .. } | Self::Unhealthy { .. }, false) => Self::Unhealthy { passed: 0 },
            (Self::Unhealthy { passed }, true) if passed + 1 < thresholds.healthy.get() => {
                Self::Unhealthy { passed: passed + 1 }
            }
            (Self::Unhealthy { .. }, true) => healthy,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn thresholds(healthy: u32, unhealthy: u32) -> Thresholds {
        let some = |n| NonZeroU32::new(n).unwrap();
        Thresholds { healthy: some(healthy), unhealthy: some(unhealthy) }
    }

    fn is_healthy(verdict: Verdict) -> bool {
        verdict.health() == Health::Healthy
    }

    /// Healthy or not after each check: `+` passed, `-` failed.
    fn play(before: Health, thresholds: Thresholds, checks: &str) -> String {
        let mut verdict = Verdict::new(before);
        let mut play = |check| {
            verdict = verdict.after(check == '+', thresholds);
            if is_healthy(verdict) { 'H' } else { 'u' }
        };
        checks.chars().map(&mut play).collect()
    }

    #[test]
    fn it_takes_so_many_in_a_row_to_change_a_verdict() {
        let thresholds = thresholds(2, 3);
        assert_eq!(play(Health::Unknown, thresholds, "+--+---+-+++"), "HHHHHHuuuuHH");
        assert_eq!(play(Health::Unknown, thresholds, "---++"), "HHuuH");
    }

    #[test]
    fn an_unproven_server_needs_one_pass_only() {
        let thresholds = thresholds(3, 2);
        assert_eq!(play(Health::Unhealthy, thresholds, "-----+--+++"), "uuuuuHHuuuH");
    }

    #[test]
    fn at_thresholds_of_one_every_check_decides() {
        assert_eq!(play(Health::Unknown, thresholds(1, 1), "+-+--++"), "HuHuuHH");
    }

    proptest! {
        /// Compares with the same rule written as a look back over all checks so far.
        #[test]
        fn the_verdict_is_that_of_the_last_long_enough_row(
            checks in prop::collection::vec(any::<bool>(), 0..60),
            healthy in 1..5_u32,
            unhealthy in 1..5_u32,
            proven in any::<bool>(),
        ) {
            let before = if proven { Health::Unknown } else { Health::Unhealthy };
            let mut verdict = Verdict::new(before);
            let (mut expected, mut ever_passed) = (proven, proven);
            for seen in 1..=checks.len() {
                let row = |kind: bool| checks[..seen].iter().rev().take_while(|check| **check == kind).count() as u32;
                if !ever_passed {
                    ever_passed = checks[seen - 1];
                    expected = ever_passed;
                } else if expected && row(false) >= unhealthy {
                    expected = false;
                } else if !expected && row(true) >= healthy {
                    expected = true;
                }
                verdict = verdict.after(checks[seen - 1], thresholds(healthy, unhealthy));
                prop_assert_eq!(is_healthy(verdict), expected, "after {:?}", &checks[..seen]);
            }
        }

        /// Thresholds may change between checks, as at a reload.
        #[test]
        fn thresholds_that_change_break_nothing(
            checks in prop::collection::vec((any::<bool>(), 1..5_u32), 0..60),
        ) {
            let mut verdict = Verdict::new(Health::Unknown);
            for (passed, threshold) in checks {
                let before = is_healthy(verdict);
                verdict = verdict.after(passed, thresholds(threshold, threshold));
                // a passed check never makes a server unhealthy, and a failed one never makes it healthy
                let after = is_healthy(verdict);
                prop_assert!(after == before || after == passed);
                if threshold == 1 {
                    prop_assert_eq!(is_healthy(verdict), passed);
                }
            }
        }
    }
}

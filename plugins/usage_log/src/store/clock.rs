//! What time it is, as far as an act that cannot be undone may rely on it. A machine's clock may be years ahead for a minute, or
//! from its start until it is set; what it says is compared with all else that knows. Deletes nothing.

use std::time::{Duration, Instant, SystemTime};

use super::calendar;
use crate::Timestamp;

/// More than this between what the clock and the time since start say is a jump of the clock.
const JUMP: Duration = Duration::from_secs(60);
/// Two looks are not further apart than this, unless the machine stood still, or somebody plays with all its clocks.
const FURTHEST: Duration = Duration::from_secs(600);
/// A row of before the start that is not older than this says that the clock is right.
const RECENT: Duration = Duration::from_secs(7 * 86_400);
/// How far two clocks that are both right may be apart.
const APART: Duration = Duration::from_secs(3600);
/// How long a clock must run without a jump where no recent row vouches for it: where the database's clock agrees, and where there is
/// no other clock.
const STEADY_WITH_DATABASE: Duration = Duration::from_secs(300);
const STEADY_ALONE: Duration = Duration::from_secs(86_400);

/// What the machine's clocks say at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The time, by the clock that people set.
    pub wall: Timestamp,
    /// How long the process runs, by a clock that nobody sets.
    pub running: Duration,
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// As of the start of the process, or soon after it.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// What they say now.
    #[must_use]
    pub fn read(self) -> Reading {
        Reading { wall: SystemTime::now().into(), running: self.0.elapsed() }
    }
}

/// What the database knows of the time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    /// Its own clock, where that is another than ours.
    pub(super) clock: Option<Timestamp>,
    /// The newest row of before [`Watchman::since`].
    pub(super) newest: Option<Timestamp>,
}

/// Watches the clock from look to look.
#[derive(Debug)]
pub(super) struct Watchman {
    /// Since when there was no jump.
    since: Reading,
    jumped: bool,
    last: Reading,
}

impl Watchman {
    pub(super) fn new(now: Reading) -> Self {
        Self { since: now, jumped: false, last: now }
    }

    /// Takes note of what the clocks say, after a wait or after work that takes as long as it takes; whether one of them jumped.
    pub(super) fn look(&mut self, now: Reading, after_work: bool) -> bool {
        let ran = now.running.saturating_sub(self.last.running);
        let went = now.wall.micros().saturating_sub(self.last.wall.micros());
        let off = (i128::from(went) - micros(ran)).unsigned_abs();
        let jumped = off > JUMP.as_micros() || ran > FURTHEST && !after_work;
        if jumped {
            log::warn!(
                from:% = calendar::text(self.last.wall), to:% = calendar::text(now.wall), seconds = ran.as_secs();
                "the clock jumped; the ledger deletes nothing until it has run steadily"
            );
            (self.since, self.jumped) = (now, true);
        }
        self.last = now;
        jumped
    }

    /// How long the process ran at the last look.
    pub(super) fn running(&self) -> Duration {
        self.last.running
    }

    /// The moment before which rows vouch for the clock.
    pub(super) fn since(&self) -> Timestamp {
        self.since.wall
    }

    /// The time, of all that is known the earliest.
    ///
    /// # Errors
    /// Why it cannot be relied on yet.
    pub(super) fn time(&self, evidence: Evidence) -> Result<Timestamp, String> {
        let Reading { wall, running } = self.last;
        let time = evidence.clock.map_or(wall, |clock| clock.min(wall));
        let age = evidence.newest.map(|newest| self.since.wall.micros().saturating_sub(newest.micros()));
        if !self.jumped && age.is_some_and(|age| i128::from(age) <= micros(RECENT)) {
            return Ok(time);
        }
        let agrees =
            evidence.clock.is_some_and(|clock| u128::from(clock.micros().abs_diff(wall.micros())) <= APART.as_micros());
        let needed = if agrees { STEADY_WITH_DATABASE } else { STEADY_ALONE };
        let steady = running.saturating_sub(self.since.running);
        if steady >= needed {
            return Ok(time);
        }
        let left = (needed - steady).as_secs();
        let wall = calendar::text(wall);
        Err(match (self.jumped, evidence.newest) {
            (true, _) => format!("the clock, which says {wall}, has jumped; it must run steadily for {left} s more"),
            (_, Some(newest)) => format!(
                "the clock says {wall}, and the newest row of before the start is of {}; it must run steadily for {left} s more",
                calendar::text(newest)
            ),
            (_, None) => {
                format!("no row vouches for the clock, which says {wall}; it must run steadily for {left} s more")
            }
        })
    }
}

fn micros(duration: Duration) -> i128 {
    i128::try_from(duration.as_micros()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000_000;
    const DAY: i64 = 86_400_000_000;
    const MINUTE: i64 = 60_000_000;

    /// A watchman, and so many looks a minute apart by a clock that runs as it should.
    fn watching(start: i64, looks: i64) -> Watchman {
        let mut watchman = Watchman::new(reading(start, 0));
        for look in 1..=looks {
            assert!(!watchman.look(reading(start + look * MINUTE, look), false));
        }
        watchman
    }

    fn reading(wall: i64, minutes: i64) -> Reading {
        Reading { wall: Timestamp::from_micros(wall), running: Duration::from_secs(minutes as u64 * 60) }
    }

    fn evidence(clock: Option<i64>, newest: Option<i64>) -> Evidence {
        Evidence { clock: clock.map(Timestamp::from_micros), newest: newest.map(Timestamp::from_micros) }
    }

    #[test]
    fn a_clock_is_believed_that_goes_on_where_rows_left_off() {
        let watchman = watching(NOW, 1);
        let time = Ok(Timestamp::from_micros(NOW + MINUTE));
        assert_eq!(watchman.time(evidence(None, Some(NOW - DAY))), time);
        assert_eq!(watchman.time(evidence(Some(NOW + MINUTE), Some(NOW - DAY))), time);
    }

    #[test]
    fn of_two_clocks_the_earlier_counts() {
        let watchman = watching(NOW + 730 * DAY, 6);
        let right = NOW + 6 * MINUTE;
        assert_eq!(watchman.time(evidence(Some(right), Some(NOW + 729 * DAY))), Ok(Timestamp::from_micros(right)));
        let watchman = watching(NOW, 6);
        let ahead = right + 730 * DAY;
        assert_eq!(watchman.time(evidence(Some(ahead), Some(NOW))), Ok(Timestamp::from_micros(right)));
    }

    #[test]
    fn a_clock_that_no_row_vouches_for_must_run_steadily() {
        for newest in [None, Some(NOW - 730 * DAY)] {
            assert!(watching(NOW, 6).time(evidence(None, newest)).is_err());
            assert!(watching(NOW, 60 * 24 - 1).time(evidence(None, newest)).is_err());
            assert!(watching(NOW, 60 * 24).time(evidence(None, newest)).is_ok());
            // a second clock that agrees makes it likely
            assert!(watching(NOW, 4).time(evidence(Some(NOW), newest)).is_err());
            assert!(watching(NOW, 5).time(evidence(Some(NOW), newest)).is_ok());
            assert!(watching(NOW, 5).time(evidence(Some(NOW - DAY), newest)).is_err());
        }
    }

    #[test]
    fn a_jump_is_seen_either_way_and_so_is_the_way_back() {
        for off in [730 * DAY, -730 * DAY, 2 * MINUTE, -2 * MINUTE] {
            let mut watchman = watching(NOW, 30);
            let recent = evidence(None, Some(NOW - MINUTE));
            assert!(watchman.look(reading(NOW + 31 * MINUTE + off, 31), false));
            assert!(watchman.time(recent).is_err());
            assert!(!watchman.look(reading(NOW + 32 * MINUTE + off, 32), false));
            assert!(watchman.time(recent).is_err());
            assert!(watchman.look(reading(NOW + 33 * MINUTE, 33), false));
            assert!(watchman.time(recent).is_err());
        }
    }

    #[test]
    fn all_clocks_together_do_not_jump_either() {
        let (years, mut watchman) = (730 * 24 * 60, watching(NOW, 30));
        assert!(watchman.look(reading(NOW + (31 + years) * MINUTE, 31 + years), false));
        assert!(watchman.time(evidence(None, Some(NOW - MINUTE))).is_err());
        // work may take long
        let mut watchman = watching(NOW, 30);
        assert!(!watchman.look(reading(NOW + 300 * MINUTE, 300), true));
        assert!(watchman.time(evidence(None, Some(NOW - MINUTE))).is_ok());
    }
}

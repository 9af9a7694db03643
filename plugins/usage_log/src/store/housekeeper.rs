//! What of the ledger is to go, and when: never at once, never without notice, and never by one clock alone. Deletes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::calendar;
use super::clock::{Evidence, Reading, Watchman};
use super::cutoffs::Cutoffs;
use super::partition::{Parent, Partition};
use crate::{StoreSettings, Timestamp};

/// How long it is known what will go before it goes: it takes another look, which are a minute apart.
const NOTICE: Duration = Duration::from_secs(55);
/// As many are named in a notice.
const NAMED: usize = 12;
/// As many spans of a table are given notice at a time.
pub(super) const MOST: usize = 400;

/// What is remembered from one look at the database to the next.
#[derive(Debug)]
pub struct Housekeeper {
    watchman: Watchman,
    settings: Option<StoreSettings>,
    /// What will go, and since when that is known.
    notices: BTreeMap<Partition, Duration>,
    doubt: bool,
}

impl Housekeeper {
    /// One that begins now.
    #[must_use]
    pub fn new(now: Reading) -> Self {
        Self { watchman: Watchman::new(now), settings: None, notices: BTreeMap::new(), doubt: false }
    }

    /// Takes the reading of the clocks. To be called once a minute, whether there is work or not.
    pub fn look(&mut self, now: Reading) {
        self.note(now, false);
    }

    /// The same after work that takes as long as it takes.
    pub fn look_after_work(&mut self, now: Reading) {
        self.note(now, true);
    }

    fn note(&mut self, now: Reading, after_work: bool) {
        if self.watchman.look(now, after_work) {
            self.notices.clear();
        }
    }

    /// Notices are given for one database and one span of time.
    pub(super) fn begin(&mut self, settings: &StoreSettings) {
        if self.settings.as_ref() != Some(settings) {
            self.notices.clear();
            self.settings = Some(settings.clone());
        }
    }

    /// Rows of before this moment vouch for the clock.
    pub(super) fn since(&self) -> Timestamp {
        self.watchman.since()
    }

    /// The time, if it can be relied on; if not, that is logged once.
    pub(super) fn time(&mut self, evidence: Evidence) -> Option<Timestamp> {
        match self.watchman.time(evidence) {
            Ok(time) => {
                self.doubt = false;
                Some(time)
            }
            Err(why) => {
                self.notices.clear();
                if !std::mem::replace(&mut self.doubt, true) {
                    log::warn!(why; "the ledger deletes nothing as yet");
                }
                None
            }
        }
    }

    /// Of what is too old, what goes now: of each table the oldest that notice was given of. Notice is given of all others.
    pub(super) fn due(&mut self, old: &[Partition], cutoffs: Cutoffs, archive: bool) -> Vec<Partition> {
        let now = self.watchman.running();
        self.notices.retain(|partition, _| old.contains(partition));
        let new: Vec<Partition> =
            old.iter().copied().filter(|partition| !self.notices.contains_key(partition)).collect();
        if !new.is_empty() {
            let names: Vec<String> = new.iter().take(NAMED).map(|partition| partition.name()).collect();
            let (names, more) = (names.join(", "), new.len().saturating_sub(NAMED));
            let before = Parent::ALL
                .iter()
                .filter_map(|parent| cutoffs.of(*parent))
                .min()
                .map(calendar::text)
                .unwrap_or_default();
            let seconds = NOTICE.as_secs();
            log::warn!(
                names, more, older_than:% = before, archive, not_before_seconds = seconds;
                "the ledger will drop what is older than it keeps, one of each table at a time"
            );
            self.notices.extend(new.into_iter().map(|partition| (partition, now)));
        }
        let mut due: Vec<Partition> = Vec::new();
        // in the order of their tables, and of their time
        for (partition, since) in &self.notices {
            let first = due.last().is_none_or(|last| last.parent != partition.parent);
            if first && now.saturating_sub(*since) >= NOTICE {
                due.push(*partition);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Retention};

    fn settings() -> StoreSettings {
        let retention = Retention { rows: Some("60days".parse().unwrap()), bodies: None };
        StoreSettings { retention, ..Config::default().store_settings("".as_ref()) }
    }

    fn at(day: &str) -> Timestamp {
        calendar::parse(day).unwrap()
    }

    fn reading(minutes: i64) -> Reading {
        Reading {
            wall: Timestamp::from_micros(at("2026-11-28").micros() + minutes * 60_000_000),
            running: Duration::from_secs(minutes as u64 * 60),
        }
    }

    #[test]
    fn what_goes_was_told_of_at_an_earlier_look_and_is_one_of_each_table() {
        let mut keeper = Housekeeper::new(reading(0));
        let months = ["2026-03-01", "2026-04-01", "2026-05-01"].map(|day| Partition::of(Parent::Requests, at(day)));
        let days = ["2026-03-01", "2026-03-02"].map(|day| Partition::of(Parent::Chunks, at(day)));
        let mut old = [&months[..], &days[..]].concat();
        let cutoffs = Cutoffs::at(at("2026-11-28"), None, &settings());
        keeper.look(reading(1));
        assert_eq!(keeper.due(&old, cutoffs, true), []);
        assert_eq!(keeper.due(&old, cutoffs, true), [], "at the same look");
        keeper.look(reading(2));
        assert_eq!(keeper.due(&old, cutoffs, true), [months[0], days[0]]);
        old.retain(|partition| *partition != months[0] && *partition != days[0]);
        keeper.look(reading(3));
        assert_eq!(keeper.due(&old, cutoffs, true), [months[1], days[1]]);
        // what is no longer too old is logged again if it becomes so
        assert_eq!(keeper.due(&[], cutoffs, true), []);
        keeper.look(reading(4));
        assert_eq!(keeper.due(&old, cutoffs, true), []);
    }

    #[test]
    fn after_a_jump_everything_is_told_of_again() {
        let mut keeper = Housekeeper::new(reading(0));
        let (old, cutoffs) =
            ([Partition::of(Parent::Requests, at("2026-03-01"))], Cutoffs::at(at("2026-11-28"), None, &settings()));
        keeper.look(reading(1));
        assert_eq!(keeper.due(&old, cutoffs, false), []);
        keeper.look(Reading { running: reading(2).running, ..reading(20) });
        assert_eq!(keeper.due(&old, cutoffs, false), []);
    }

    #[test]
    fn the_newest_rows_stay_however_old_they_are() {
        let cutoffs = |newest| Cutoffs::at(at("2028-11-28"), newest, &settings());
        let november = Partition::of(Parent::Requests, at("2026-11-28"));
        assert!(cutoffs(None).has(november));
        let newest = cutoffs(Some(at("2026-11-28 12:00")));
        assert!(!newest.has(november) && newest.has(Partition::of(Parent::Requests, at("2026-10-31"))));
        let day = Partition::of(Parent::Bodies, at("2026-11-28"));
        assert!(!newest.has(day) && newest.has(Partition::of(Parent::Bodies, at("2026-11-27"))));
    }
}

//! What a batch changes of the sums, group by group.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::time::SystemTime;

use ahash::RandomState;
use uuid::Uuid;

use super::daily::{self, DAILY, DailyFigures, DailyKey};
use super::group::{Group, Span, add};
use super::minutes::{self, KEPT, MINUTES, MinuteFigures, MinuteKey};
use super::{Bound, Dialect};
use crate::store::calendar::Date;
use crate::{BatchRow, Row, Timestamp};

/// As many shards there are for gateways' own writing.
const SHARDS: u8 = 8;

/// The groups of a day in one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DayShard {
    pub(crate) day: Date,
    pub(crate) shard: u8,
}

/// What is to be added to the sums.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    daily: Sums<DailyKey<'a>, DailyFigures>,
    minutes: Sums<MinuteKey<'a>, MinuteFigures>,
    /// Minutes before the first of these are not summed up any more, and those behind the last not yet: a row that claims one of them is
    /// wrong.
    minutes_from: Timestamp,
    minutes_to: Timestamp,
}

/// Figures by group.
#[derive(Debug)]
struct Sums<K, F> {
    groups: Vec<(K, F)>,
    places: HashMap<K, usize, RandomState>,
    /// Where the group of the last row is: the next one is often of the same, which is compared faster than it is found.
    last: usize,
}

impl<K, F> Default for Sums<K, F> {
    fn default() -> Self {
        Self { groups: Vec::new(), places: HashMap::default(), last: 0 }
    }
}

impl<K: Clone + Eq + Hash, const FIGURES: usize> Sums<K, [i64; FIGURES]> {
    /// The figures of a group, which are 0 at first.
    fn of(&mut self, key: K) -> &mut [i64; FIGURES] {
        if self.groups.get(self.last).is_none_or(|(last, _)| *last != key) {
            self.last = *self.places.entry(key).or_insert_with_key(|key| {
                self.groups.push((key.clone(), [0; FIGURES]));
                self.groups.len() - 1
            });
        }
        &mut self.groups[self.last].1
    }
}

impl<'a> Changes<'a> {
    /// None yet. Which minutes are summed up, the gateway's clock says.
    pub(crate) fn none() -> Self {
        let now = Timestamp::from(SystemTime::now());
        let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
        let minutes_from = Timestamp::from_micros(now.micros().saturating_sub(kept));
        Self { minutes_from, minutes_to: Timestamp::from_micros(now.micros().saturating_add(kept)), ..Self::default() }
    }

    /// A row that is new, or takes the place of another.
    pub(crate) fn add(&mut self, row: &'a Row) {
        self.count(row, 1);
    }

    /// A row in whose place there is another now.
    pub(crate) fn take_out(&mut self, row: &'a Row) {
        self.count(row, -1);
    }

    fn count(&mut self, row: &'a Row, sign: i64) {
        let shard = shard(row.instance);
        add(self.daily.of(DailyKey::of_row(row, shard)), &daily::of_row(row), sign);
        let key = MinuteKey::of_row(row, shard);
        if key.span >= self.minutes_from && key.span <= self.minutes_to {
            add(self.minutes.of(key), &minutes::of_row(row), sign);
        }
    }

    /// A result of a batch that is new.
    pub(crate) fn add_result(&mut self, row: &'a BatchRow) {
        add(self.daily.of(DailyKey::of_batch(row, shard(row.request_id))), &daily::of_batch(row), 1);
    }

    /// The days and shards that are changed.
    pub(crate) fn days(&self) -> BTreeSet<DayShard> {
        self.daily.groups.iter().map(|(key, _)| DayShard { day: key.span, shard: key.shard }).collect()
    }

    /// The statements that make the changes, no more groups than the bound allows. Empty where there are none.
    pub(crate) fn sql(self, bound: &mut Bound, dialect: &Dialect) -> String {
        let mut daily = BTreeMap::new();
        for (key, figures) in self.daily.groups {
            let (others, id) = bound.daily(&key);
            let (day, shard) = (key.span, key.shard);
            let texts = || key.without(others).texts.into();
            merge(&mut daily, (Span::Day(day), id, shard), others, &figures, texts);
        }
        let mut minutes = BTreeMap::new();
        for (key, figures) in self.minutes.groups {
            let (others, id) = bound.minute(&key);
            let (minute, shard) = (key.span, key.shard);
            let texts = || if others == 0 { key.texts.into() } else { key.without_choices().texts.into() };
            merge(&mut minutes, (Span::Minute(minute), id, shard), others, &figures, texts);
        }
        // the order in which every gateway takes them
        let groups = |all: BTreeMap<_, Group<'a>>| -> Vec<Group<'a>> {
            all.into_values().filter(|group| group.figures.iter().any(|figure| *figure != 0)).collect()
        };
        DAILY.add(&groups(daily), dialect) + &MINUTES.add(&groups(minutes), dialect)
    }
}

type Key = (Span, [u8; 16], u8);

fn merge<'a>(
    groups: &mut BTreeMap<Key, Group<'a>>,
    key: Key,
    others: u8,
    figures: &[i64],
    texts: impl FnOnce() -> Vec<Option<std::borrow::Cow<'a, str>>>,
) {
    let (span, id, shard) = key;
    let group = groups.entry(key).or_insert_with(|| Group {
        span,
        id,
        shard,
        others,
        texts: texts(),
        figures: vec![0; figures.len()],
    });
    add(&mut group.figures, figures, 1);
}

/// The shard of a gateway's run, or of a request.
fn shard(id: Uuid) -> u8 {
    id.as_bytes()[15] % SHARDS
}

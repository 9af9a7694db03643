//! How many groups there may be: clients choose users, models and hosts, and may choose another with each call. Beyond the bound groups
//! become one, whose figures stay exact.

use std::collections::{HashSet, VecDeque};

use super::changes::DayShard;
use super::daily::{DAILY, DailyKey};
use super::group;
use super::minutes::MinuteKey;
use crate::Timestamp;

/// As many groups of a day and a shard are exact. Beyond them users become one, and beyond [`ALL`] all that clients choose.
const EXACT: usize = 10_000;
const ALL: usize = 12_000;
/// As many groups of a minute and a shard are exact.
const IN_MINUTE: usize = 500;
/// As many days and shards, and minutes and shards, are remembered.
const REMEMBERED: usize = 32;

/// Ids of groups.
type Ids = HashSet<[u8; 16]>;

/// The groups that are known to be in the tables.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    days: VecDeque<(DayShard, Ids)>,
    minutes: VecDeque<((Timestamp, u8), Ids)>,
}

impl Bound {
    /// Whether the groups of a day and a shard are remembered.
    pub(crate) fn knows(&self, day: DayShard) -> bool {
        self.days.iter().any(|(known, _)| *known == day)
    }

    /// Remembers the groups that a day and a shard have in the table, but for those that leave out all choices.
    pub(crate) fn learn(&mut self, day: DayShard, groups: impl IntoIterator<Item = [u8; 16]>) {
        self.days.retain(|(known, _)| *known != day);
        remember(&mut self.days, (day, groups.into_iter().collect()));
    }

    /// The query for the groups that are to be learned of a day and a shard.
    pub(crate) fn query(DayShard { day, shard }: DayShard) -> String {
        let table = DAILY.name;
        format!("SELECT group_id FROM {table} WHERE day = '{day}' AND shard = {shard} AND others < 2 LIMIT {ALL}")
    }

    /// The group that takes the rows of this one: how much is left out, and its id.
    pub(super) fn daily(&mut self, key: &DailyKey<'_>) -> (u8, [u8; 16]) {
        let day = DayShard { day: key.span, shard: key.shard };
        let known = match self.days.iter().position(|(known, _)| *known == day) {
            Some(at) => &mut self.days[at].1,
            None => remember(&mut self.days, (day, Ids::new())),
        };
        for (others, most) in [(0, EXACT), (1, ALL)] {
            let id = if others == 0 { group::id(0, &key.texts) } else { group::id(1, &key.clone().without(1).texts) };
            if known.contains(&id) || known.len() < most {
                known.insert(id);
                return (others, id);
            }
        }
        (2, group::id(2, &key.clone().without(2).texts))
    }

    /// The same for the sums of a minute.
    pub(super) fn minute(&mut self, key: &MinuteKey<'_>) -> (u8, [u8; 16]) {
        let minute = (key.span, key.shard);
        let known = match self.minutes.iter().position(|(known, _)| *known == minute) {
            Some(at) => &mut self.minutes[at].1,
            None => remember(&mut self.minutes, (minute, Ids::new())),
        };
        let id = group::id(0, &key.texts);
        if known.contains(&id) || known.len() < IN_MINUTE {
            known.insert(id);
            return (0, id);
        }
        (1, group::id(1, &key.clone().without_choices().texts))
    }
}

/// Adds to what is remembered, in the place of the oldest where there is too much.
fn remember<K>(all: &mut VecDeque<(K, Ids)>, new: (K, Ids)) -> &mut Ids {
    if all.len() >= REMEMBERED {
        all.pop_front();
    }
    all.push_back(new);
    let last = all.len() - 1;
    &mut all[last].1
}

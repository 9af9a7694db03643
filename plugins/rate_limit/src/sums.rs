//! Sums of what was added to days and months, by limit and caller. Knows no file, no limit and no meter.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use plugin_api::WindowCount;

/// What is counted: the limit, the caller, and the end of the day or month.
pub(crate) type Key = ([u8; 16], [u8; 16], i64);

/// For so many seconds after its end a day or month is kept: the clock may have been wrong.
const KEPT: i64 = 2 * 86_400;
/// The most bytes that a caller's sums of a limit take: of what is stored and of what is not, each for a day and the two before it, in maps
/// that have just grown.
pub(crate) const BYTES_PER_SUBJECT: u64 = 2 * 3 * 112;

/// The sums.
#[derive(Debug, Default)]
pub(crate) struct Sums(HashMap<Key, i64>);

impl Sums {
    /// Adds to one. What is 0 then is not kept.
    pub(crate) fn add(&mut self, key: Key, amount: i64) {
        match self.0.entry(key) {
            Entry::Occupied(mut sum) => {
                let new = sum.get().saturating_add(amount);
                if new == 0 {
                    sum.remove();
                } else {
                    sum.insert(new);
                }
            }
            Entry::Vacant(sum) if amount != 0 => {
                sum.insert(amount);
            }
            Entry::Vacant(_) => {}
        }
    }

    /// Adds counts so many times; -1 takes them away.
    pub(crate) fn add_all(&mut self, counts: &[WindowCount], times: i64) {
        counts.iter().for_each(|count| self.add(key(count), count.amount.saturating_mul(times)));
    }

    /// Replaces one.
    pub(crate) fn set(&mut self, key: Key, sum: i64) {
        self.0.insert(key, sum);
    }

    /// One of them.
    pub(crate) fn get(&self, key: &Key) -> i64 {
        self.0.get(key).copied().unwrap_or(0)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, i64)> {
        self.0.iter().map(|(key, sum)| (*key, *sum))
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Drops those of days and months that ended long ago.
    pub(crate) fn forget_old(&mut self, now: i64) {
        self.0.retain(|key, _| !is_old(key, now));
    }
}

/// By what a count is summed up.
pub(crate) fn key(count: &WindowCount) -> Key {
    (count.limit, count.subject, count.until)
}

/// Whether the day or month ended so long ago that nothing is kept of it.
pub(crate) fn is_old((_, _, until): &Key, now: i64) -> bool {
    until.saturating_add(KEPT) <= now
}

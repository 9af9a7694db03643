//! A map of bounded size that many threads read at once. What is idle makes way; what is not stays, and then the map is full.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

/// So many parts, each with a lock of its own.
const SHARDS: usize = 16;
/// A shard with fewer entries is not swept.
const FEWEST: usize = 64;
/// A full shard is swept no more often, in nanoseconds.
const SWEEP_INTERVAL: u64 = 1_000_000_000;

/// The map. Its keys are digests already.
#[derive(Debug)]
pub(crate) struct Bounded<V> {
    shards: [RwLock<Shard<V>>; SHARDS],
}

#[derive(Debug)]
struct Shard<V> {
    entries: HashMap<u128, Arc<V>, BuildHasherDefault<Digest>>,
    /// With so many entries it is swept before another comes in.
    sweep_at: usize,
    swept: Option<u64>,
}

impl<V> Default for Bounded<V> {
    fn default() -> Self {
        let shard = || RwLock::new(Shard { entries: HashMap::default(), sweep_at: FEWEST, swept: None });
        Self { shards: std::array::from_fn(|_| shard()) }
    }
}

impl<V> Bounded<V> {
    /// The entry of a key, made where there is none; `None` where the map has `max` entries and none of them is idle.
    ///
    /// `now` is in nanoseconds, by a clock that never goes back.
    pub(crate) fn get(
        &self,
        key: u128,
        max: usize,
        now: u64,
        make: impl FnOnce() -> V,
        is_idle: impl Fn(&V) -> bool,
    ) -> Option<Arc<V>> {
        // the upper half chooses the shard, the lower one the place in it
        let shard = &self.shards[((key >> 64) as usize) % SHARDS];
        if let Some(entry) = shard.read().unwrap_or_else(PoisonError::into_inner).entries.get(&key) {
            return Some(entry.clone());
        }
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = shard.entries.get(&key) {
            return Some(entry.clone());
        }
        let max = max.div_ceil(SHARDS);
        if shard.entries.len() >= shard.sweep_at.min(max) && !shard.sweep(max, now, is_idle) {
            return None;
        }
        let entry = Arc::new(make());
        shard.entries.insert(key, entry.clone());
        Some(entry)
    }

    /// Shows each entry, one after the other, while those beside it may change.
    pub(crate) fn for_each(&self, mut show: impl FnMut(&V)) {
        for shard in &self.shards {
            shard.read().unwrap_or_else(PoisonError::into_inner).entries.values().for_each(|entry| show(entry));
        }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).entries.len()).sum()
    }
}

impl<V> Shard<V> {
    /// Drops what is idle; whether there is room now.
    fn sweep(&mut self, max: usize, now: u64, is_idle: impl Fn(&V) -> bool) -> bool {
        if self.entries.len() >= max && self.swept.is_some_and(|swept| now.saturating_sub(swept) < SWEEP_INTERVAL) {
            return false;
        }
        // entries are handed out under this lock alone, so nobody holds one of which there is one reference
        self.entries.retain(|_, entry| Arc::strong_count(entry) > 1 || !is_idle(entry));
        self.swept = Some(now);
        self.sweep_at = (2 * self.entries.len()).max(FEWEST);
        self.entries.len() < max
    }
}

/// Takes a digest for the hash that it is.
#[derive(Debug, Default)]
struct Digest(u64);

impl Hasher for Digest {
    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, digest: u128) {
        self.0 = digest as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Subject;

    fn key(number: usize) -> u128 {
        Subject::of([number.to_string().as_str()]).0
    }

    #[test]
    fn what_is_idle_makes_way_and_what_is_not_or_is_in_use_stays() {
        let map = Bounded::<bool>::default();
        let held = map.get(key(0), 1600, 0, || true, |idle| *idle).unwrap();
        let busy = map.get(key(1), 1600, 0, || false, |idle| *idle).unwrap();
        for number in 2..100_000 {
            assert!(map.get(key(number), 1600, number as u64 * SWEEP_INTERVAL, || true, |idle| *idle).is_some());
        }
        assert!(map.len() <= 1600, "{}", map.len());
        let again = |number| map.get(key(number), 1600, 0, || true, |idle| *idle).unwrap();
        assert!(Arc::ptr_eq(&held, &again(0)) && Arc::ptr_eq(&busy, &again(1)));
    }

    #[test]
    fn a_full_map_takes_nothing_more_and_does_not_look_for_room_each_time() {
        let map = Bounded::<bool>::default();
        let looks = std::cell::Cell::new(0);
        for number in 0..100_000 {
            map.get(
                key(number),
                1600,
                0,
                || false,
                |_| {
                    looks.set(looks.get() + 1);
                    false
                },
            );
        }
        assert!(map.len() <= 1600 && looks.get() < 10_000, "{} {}", map.len(), looks.get());
        assert!(map.get(key(100_001), 1600, 2 * SWEEP_INTERVAL, || false, |_| true).is_some());
    }
}

//! The memory tier: answers that this gateway stores, bounded in number and in bytes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, iter};

use crate::cache_key::Key;
use crate::entry::Entry;
use crate::lru::Lru;
use crate::settings::MemoryConfig;

/// How many answers a purge looks at before it lets others at the memory.
const AT_ONCE: usize = 256;

/// The stored answers.
pub(crate) struct Memory {
    entries: Mutex<Lru<Key, Arc<Entry>>>,
    /// The most bytes that all may have.
    most: u64,
    evicted: Box<dyn Fn() + Send + Sync>,
}

/// The bounds of a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    entries: u64,
    bytes: u64,
}

impl From<&MemoryConfig> for Bounds {
    fn from(config: &MemoryConfig) -> Self {
        Self { entries: config.max_entries, bytes: config.max_bytes.get() }
    }
}

impl Memory {
    pub(crate) fn new(bounds: Bounds, evicted: impl Fn() + Send + Sync + 'static) -> Self {
        let entries = Mutex::new(Lru::new(bounds.entries, bounds.bytes));
        Self { entries, most: bounds.bytes, evicted: Box::new(evicted) }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.entries().get(key).cloned()
    }

    pub(crate) fn insert(&self, key: Key, entry: Arc<Entry>) {
        let weight = entry.weight() as u64;
        if weight > self.most {
            // all others would go for it, and then it too; an older answer is not the latest any more
            return self.remove(&key);
        }
        let (replaced, evicted, more) = {
            let mut entries = self.entries();
            let replaced = entries.insert(key, entry, weight);
            // mostly none, or one of a full memory, which takes no list
            let evicted = entries.evict();
            let more = evicted.as_ref().map(|_| iter::from_fn(|| entries.evict()).collect::<Vec<_>>());
            (replaced, evicted, more)
        };
        // all are dropped without the lock
        drop(replaced);
        for entry in evicted.into_iter().chain(more.into_iter().flatten()) {
            drop(entry);
            (self.evicted)();
        }
    }

    pub(crate) fn remove(&self, key: &Key) {
        let removed = self.entries().remove(key);
        drop(removed);
    }

    /// Removes the answers that match and returns how many. An answer stored meanwhile may be missed.
    pub(crate) fn purge(&self, matches: impl Fn(&Entry) -> bool) -> u64 {
        let (mut purged, mut from) = (0, 0);
        loop {
            let mut entries = self.entries();
            let slots = entries.slots();
            let until = slots.min(from + AT_ONCE);
            let matching = |number: &usize| entries.at(*number).is_some_and(|(_, entry)| matches(entry));
            let matching: Vec<usize> = (from..until).filter(matching).collect();
            let removed: Vec<_> = matching.into_iter().filter_map(|number| entries.take(number)).collect();
            drop(entries);
            purged += removed.len() as u64;
            if until == slots {
                return purged;
            }
            from = until;
        }
    }

    /// Takes over the answers of another memory, in the order of their use: those used last stay where not all have room.
    pub(crate) fn take_over(&self, other: &Self) {
        let entries: Vec<_> = other.entries().in_order().map(|(key, entry)| (*key, entry.clone())).collect();
        for (key, entry) in entries {
            self.insert(key, entry);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.entries().len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.entries().weight()
    }

    fn entries(&self) -> MutexGuard<'_, Lru<Key, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;

    fn entry(bytes: usize) -> Arc<Entry> {
        Arc::new(Entry::of_body(vec![b'x'; bytes]))
    }

    #[test]
    fn an_answer_that_is_larger_than_the_memory_takes_none_of_it_from_others() {
        let memory = Memory::new(Bounds { entries: 10, bytes: 10_000 }, || {});
        memory.insert(Key([1; 32]), entry(1_000));
        memory.insert(Key([2; 32]), entry(1_000));
        memory.insert(Key([2; 32]), entry(10_001));
        assert!(memory.get(&Key([1; 32])).is_some());
        // the older answer to the same call is not the latest any more
        assert!(memory.get(&Key([2; 32])).is_none());
    }

    #[test]
    fn the_bounds_hold_whenever_the_memory_is_looked_at() {
        const BOUNDS: Bounds = Bounds { entries: 4, bytes: 10_000 };
        let evicted = |memory: &Weak<Memory>| {
            let memory = memory.clone();
            move || {
                let memory = memory.upgrade().unwrap();
                assert!(memory.count() <= BOUNDS.entries && memory.bytes() <= BOUNDS.bytes);
            }
        };
        let memory = Arc::new_cyclic(|memory| Memory::new(BOUNDS, evicted(memory)));
        (0..5).for_each(|key| memory.insert(Key([key; 32]), entry(1_000)));
        assert_eq!(memory.count(), 4);
        memory.insert(Key([9; 32]), entry(9_000));
        assert_eq!(memory.count(), 1);
    }

    #[test]
    fn a_smaller_memory_takes_over_what_was_used_last() {
        let large = Memory::new(Bounds { entries: 10, bytes: 10_000 }, || {});
        (0..6).for_each(|key| large.insert(Key([key; 32]), entry(100)));
        large.remove(&Key([3; 32]));
        large.insert(Key([6; 32]), entry(100));
        assert!(large.get(&Key([0; 32])).is_some());
        let small = Memory::new(Bounds { entries: 3, bytes: 10_000 }, || {});
        small.take_over(&large);
        let kept: Vec<u8> = (0..7).filter(|key| small.get(&Key([*key; 32])).is_some()).collect();
        assert_eq!(kept, [0, 5, 6]);
        assert_eq!(large.count(), 6);
    }
}

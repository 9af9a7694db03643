//! A map that forgets what was used longest ago, once there is too much in it. Every operation takes the same time, however much
//! that is.

use std::collections::HashMap;
use std::hash::Hash;

use ahash::RandomState;

/// The number of no slot.
const NONE: usize = usize::MAX;

/// Values by their keys, in the order of their last use.
#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    numbers: HashMap<K, usize, RandomState>,
    slots: Vec<Slot<K, V>>,
    newest: usize,
    oldest: usize,
    /// The first slot without a value. Its `older` is the next one.
    free: usize,
    weight: u64,
    max_entries: u64,
    max_weight: u64,
}

#[derive(Debug)]
struct Slot<K, V> {
    held: Option<Held<K, V>>,
    newer: usize,
    older: usize,
}

#[derive(Debug)]
struct Held<K, V> {
    key: K,
    value: V,
    weight: u64,
}

impl<K: Copy + Eq + Hash, V> Lru<K, V> {
    /// An empty map with these bounds.
    pub(crate) fn new(max_entries: u64, max_weight: u64) -> Self {
        let (numbers, slots) = (HashMap::default(), Vec::new());
        Self { numbers, slots, newest: NONE, oldest: NONE, free: NONE, weight: 0, max_entries, max_weight }
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// What all values weigh.
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    /// A value, which has been used now.
    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        let number = *self.numbers.get(key)?;
        if number != self.newest {
            self.unlink(number);
            self.link(number);
        }
        self.slots[number].held.as_ref().map(|held| &held.value)
    }

    /// Puts a value in the place of another one of its key, which is returned.
    pub(crate) fn insert(&mut self, key: K, value: V, weight: u64) -> Option<V> {
        let replaced = self.remove(&key);
        let number = match self.free {
            NONE => {
                self.slots.push(Slot { held: None, newer: NONE, older: NONE });
                self.slots.len() - 1
            }
            free => {
                self.free = self.slots[free].older;
                free
            }
        };
        self.slots[number].held = Some(Held { key, value, weight });
        self.numbers.insert(key, number);
        self.weight += weight;
        self.link(number);
        replaced
    }

    /// Takes out the value that was used longest ago, if there is too much.
    pub(crate) fn evict(&mut self) -> Option<V> {
        if self.weight <= self.max_weight && self.len() as u64 <= self.max_entries {
            return None;
        }
        self.take(self.oldest)
    }

    /// Takes out a value.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let number = *self.numbers.get(key)?;
        self.take(number)
    }

    /// The keys and the values in the order of their use, the one that was used longest ago first.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut next = self.oldest;
        std::iter::from_fn(move || {
            let held = self.at(next)?;
            next = self.slots[next].newer;
            Some(held)
        })
    }

    /// How many slots there are. A value keeps its slot.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The key and the value of a slot, if it holds one.
    pub(crate) fn at(&self, number: usize) -> Option<(&K, &V)> {
        let held = self.slots.get(number)?.held.as_ref()?;
        Some((&held.key, &held.value))
    }

    /// Takes out the value of a slot.
    pub(crate) fn take(&mut self, number: usize) -> Option<V> {
        let held = self.slots.get_mut(number)?.held.take()?;
        self.numbers.remove(&held.key);
        self.weight -= held.weight;
        self.unlink(number);
        self.slots[number].older = self.free;
        self.free = number;
        Some(held.value)
    }

    /// Makes a slot the one that was used last.
    fn link(&mut self, number: usize) {
        let older = std::mem::replace(&mut self.newest, number);
        (self.slots[number].newer, self.slots[number].older) = (NONE, older);
        match self.slots.get_mut(older) {
            Some(slot) => slot.newer = number,
            None => self.oldest = number,
        }
    }

    fn unlink(&mut self, number: usize) {
        let Slot { newer, older, .. } = self.slots[number];
        match self.slots.get_mut(newer) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Get(u8),
        Insert(u8, u64),
        Remove(u8),
        Take(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..24_u8).prop_map(Step::Get),
            (0..24_u8, 0..30_u64).prop_map(|(key, weight)| Step::Insert(key, weight)),
            (0..24_u8).prop_map(Step::Remove),
            (0..24_usize).prop_map(Step::Take),
        ]
    }

    proptest! {
        /// Against a list in the order of use, the newest first.
        #[test]
        fn what_was_used_longest_ago_goes_first_and_the_bounds_hold(steps in prop::collection::vec(step(), 0..200)) {
            const MOST: (usize, u64) = (8, 100);
            let mut lru = Lru::new(MOST.0 as u64, MOST.1);
            let mut list: Vec<(u8, usize, u64)> = Vec::new();
            let take = |list: &mut Vec<(u8, usize, u64)>, key: u8| {
                list.iter().position(|(own, ..)| *own == key).map(|at| list.remove(at))
            };
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Get(key) => {
                        let found = take(&mut list, key);
                        prop_assert_eq!(lru.get(&key).copied(), found.map(|(_, value, _)| value));
                        found.into_iter().for_each(|entry| list.insert(0, entry));
                    }
                    Step::Insert(key, weight) => {
                        let replaced = take(&mut list, key).map(|(_, value, _)| value);
                        prop_assert_eq!(lru.insert(key, number, weight), replaced);
                        list.insert(0, (key, number, weight));
                        while list.len() > MOST.0 || list.iter().map(|(.., weight)| weight).sum::<u64>() > MOST.1 {
                            prop_assert_eq!(lru.evict(), list.pop().map(|(_, value, _)| value));
                        }
                        prop_assert_eq!(lru.evict(), None);
                    }
                    Step::Remove(key) => {
                        prop_assert_eq!(lru.remove(&key), take(&mut list, key).map(|(_, value, _)| value));
                    }
                    Step::Take(slot) => {
                        let key = lru.at(slot).map(|(key, _)| *key);
                        let taken = key.and_then(|key| take(&mut list, key)).map(|(_, value, _)| value);
                        prop_assert_eq!(lru.take(slot), taken);
                    }
                }
                prop_assert_eq!((lru.len(), lru.weight()), (list.len(), list.iter().map(|(.., weight)| weight).sum()));
                prop_assert!(lru.slots() <= MOST.0 + 1);
                prop_assert!(lru.in_order().eq(list.iter().rev().map(|(key, value, _)| (key, value))));
            }
        }
    }
}

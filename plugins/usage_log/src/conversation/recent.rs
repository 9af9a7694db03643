//! What was noted of late, in bounded memory: at least so many of the last keys are known, and at most twice as many.

use std::collections::HashMap;

use ahash::RandomState;

/// A part of a hash.
pub(super) type Key = [u8; 16];

/// Values by keys, the latest ones.
#[derive(Debug)]
pub(super) struct Recent<V> {
    most: usize,
    young: HashMap<Key, V, RandomState>,
    old: HashMap<Key, V, RandomState>,
}

impl<V: Copy> Recent<V> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, young: HashMap::default(), old: HashMap::default() }
    }

    pub(super) fn get(&self, key: Key) -> Option<V> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    pub(super) fn note(&mut self, key: Key, value: V) {
        if self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_the_latest_stay() {
        let mut recent = Recent::new(10);
        for number in 0..200_u8 {
            recent.note([number; 16], number);
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert_eq!((recent.get([190; 16]), recent.get([100; 16])), (Some(190), None));
    }
}

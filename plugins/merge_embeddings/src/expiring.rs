//! What is known of a key for some time. Bounded: beyond a number of keys nothing more is learned until some have expired.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::key::Key;

/// The most keys of which something is known at a time.
pub(crate) const MOST_KEYS: usize = 1024;

/// Values by key, each for a time.
#[derive(Debug)]
pub(crate) struct Expiring<V>(HashMap<Key, (V, Instant)>);

impl<V> Default for Expiring<V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<V: Copy> Expiring<V> {
    /// This is so for this time, if there is room for it.
    pub fn insert(&mut self, key: Key, value: V, time: Duration) {
        let now = Instant::now();
        if self.0.len() >= MOST_KEYS {
            self.0.retain(|_, (_, until)| *until > now);
        }
        if self.0.len() < MOST_KEYS {
            self.0.insert(key, (value, now + time));
        }
    }

    /// What is so now.
    pub fn get(&mut self, key: &Key) -> Option<V> {
        let (value, until) = *self.0.get(key)?;
        if until > Instant::now() {
            return Some(value);
        }
        self.0.remove(key);
        None
    }

    /// How many keys there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

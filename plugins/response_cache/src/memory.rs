//! The memory tier: answers that this gateway stores, bounded in number and in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::cache_key::Key;
use crate::entry::Entry;
use crate::settings::MemoryConfig;

/// The stored answers.
#[derive(Debug)]
pub(crate) struct Memory {
    entries: Cache<Key, Arc<Entry>>,
    bytes: Arc<AtomicU64>,
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

impl Bounds {
    /// The least weight of an answer, so that the bound on the total weight also bounds the number of answers.
    fn least(self) -> u32 {
        let share = self.bytes / self.entries;
        let one_more_fits = share.saturating_mul(self.entries + 1) <= self.bytes;
        u32::try_from(share + u64::from(one_more_fits)).unwrap_or(u32::MAX)
    }
}

impl Memory {
    pub(crate) fn new(bounds: Bounds, evicted: impl Fn() + Send + Sync + 'static) -> Self {
        let bytes = Arc::<AtomicU64>::default();
        let least = bounds.least();
        let weigh = move |_: &Key, entry: &Arc<Entry>| u32::try_from(entry.weight()).unwrap_or(u32::MAX).max(least);
        let gone = {
            let bytes = bytes.clone();
            move |_: Arc<Key>, entry: Arc<Entry>, cause: RemovalCause| {
                bytes.fetch_sub(entry.weight() as u64, Ordering::Relaxed);
                if cause == RemovalCause::Size {
                    evicted();
                }
            }
        };
        let entries = Cache::builder()
            .max_capacity(bounds.bytes)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(weigh)
            .eviction_listener(gone)
            .build();
        Self { entries, bytes }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    pub(crate) fn insert(&self, key: Key, entry: Arc<Entry>) {
        self.bytes.fetch_add(entry.weight() as u64, Ordering::Relaxed);
        self.entries.insert(key, entry);
        // evict now: deferred evictions would exceed the bound
        self.entries.run_pending_tasks();
    }

    pub(crate) fn remove(&self, key: &Key) {
        self.entries.invalidate(key);
    }

    /// Removes the answers that match and returns how many.
    pub(crate) fn purge(&self, matches: impl Fn(&Entry) -> bool) -> u64 {
        let keys: Vec<Key> = self.entries.iter().filter(|(_, entry)| matches(entry)).map(|(key, _)| *key).collect();
        keys.iter().for_each(|key| self.entries.invalidate(key));
        self.entries.run_pending_tasks();
        keys.len() as u64
    }

    /// Takes over the answers of another memory.
    pub(crate) fn take_over(&self, other: &Self) {
        for (key, entry) in &other.entries {
            self.insert(*key, entry);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.entries.entry_count()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

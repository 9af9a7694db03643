//! The state of all routes' caches that outlives a configuration: answers, calls in flight, purges, and links to Redis. A reload
//! that does not change them finds them as they are.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use plugin_api::AdminRoute;
use prometheus::core::Collector;

use crate::cache_key::tenant_name;
use crate::collector::CacheCollector;
use crate::entry::Entry;
use crate::figures::Figures;
use crate::flights::Flights;
use crate::memory::{Bounds, Memory};
use crate::purges::{Purge, Purges};
use crate::settings::{Config, RedisConfig};
use crate::shared::{PendingPurges, Shared};
use crate::{ResponseCache, admin};

/// The state of the caches that outlives a configuration.
#[derive(Debug)]
pub struct Caches {
    pub(crate) figures: Arc<Figures>,
    pub(crate) flights: Arc<Flights>,
    memories: Mutex<Vec<(Bounds, Weak<Memory>)>>,
    redis: Mutex<Vec<(RedisConfig, Weak<Shared>)>>,
    /// The purges that have not reached each Redis yet, whether or not it is still configured.
    pending_purges: Mutex<Vec<(RedisConfig, Arc<PendingPurges>)>>,
    purges: Mutex<Purges>,
    /// The number of the last of them, which every call looks at. Stored before a purge removes anything.
    last_purge: AtomicU64,
    used: AtomicBool,
}

/// The result of a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purged {
    /// How many answers were removed from this gateway's memory.
    pub(crate) entries: u64,
    /// Whether the purge has reached Redis, and through it the other gateways; `None` where no Redis is configured. If not, it is
    /// sent once Redis answers again.
    pub(crate) published: Option<bool>,
}

impl Default for Caches {
    fn default() -> Self {
        Self {
            figures: Arc::new(Figures::new()),
            flights: Arc::default(),
            memories: Mutex::default(),
            redis: Mutex::default(),
            pending_purges: Mutex::default(),
            purges: Mutex::default(),
            last_purge: AtomicU64::new(0),
            used: AtomicBool::new(false),
        }
    }
}

impl plugin_api::Shared for Caches {
    fn collectors(self: &Arc<Self>) -> Vec<Box<dyn Collector>> {
        vec![Box::new(CacheCollector::new(self))]
    }

    fn admin_routes(self: &Arc<Self>) -> Vec<AdminRoute> {
        vec![admin::purge(self)]
    }
}

impl Caches {
    /// A cache with these settings. It shares memory and Redis with caches of equal settings.
    ///
    /// # Errors
    /// The settings are wrong, or Redis' thread cannot be started.
    pub(crate) fn install(self: &Arc<Self>, config: &Config) -> Result<ResponseCache, String> {
        config.check()?;
        self.used.store(true, Ordering::Relaxed);
        let memory = self.memory((&config.memory).into());
        let redis = config.redis.as_ref().map(|redis| self.shared(redis)).transpose()?;
        ResponseCache::new(config, self.clone(), memory, redis)
    }

    /// Removes answers everywhere: at once from this gateway, calls in flight included; through Redis from the other gateways.
    pub(crate) async fn purge(&self, mut purge: Purge) -> Purged {
        purge.tenant = purge.tenant.map(|tenant| tenant_name(&tenant).into_owned());
        let entries = self.purge_memory(&purge);
        let shared: Vec<_> = lock(&self.redis).iter().filter_map(|(_, shared)| shared.upgrade()).collect();
        let mut published = None;
        for redis in shared {
            let reached = redis.purge(purge.clone()).await;
            published = Some(published.unwrap_or(true) && reached);
        }
        Purged { entries, published }
    }

    /// Removes answers from this gateway's memory and returns how many. Nobody joins the matching calls in flight any more.
    pub(crate) fn purge_memory(&self, purge: &Purge) -> u64 {
        self.record_purge(purge.clone());
        self.figures.purges.inc();
        self.flights.forget(|tenant, model| purge.takes(tenant, model));
        self.memories().iter().map(|memory| memory.purge(|entry| purge.takes(&entry.tenant, &entry.model))).sum()
    }

    /// From now on, older answers that match are purged.
    fn record_purge(&self, purge: Purge) {
        let mut purges = lock(&self.purges);
        let number = purges.last() + 1;
        purges.add(number, purge);
        self.last_purge.store(number, Ordering::Release);
    }

    /// The number of the last purge.
    pub(crate) fn epoch(&self) -> u64 {
        self.last_purge.load(Ordering::Acquire)
    }

    /// Whether an answer was purged since its call began.
    pub(crate) fn purged(&self, entry: &Entry) -> bool {
        entry.epoch.local < self.epoch() && lock(&self.purges).takes(entry, entry.epoch.local)
    }

    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Answers in memory, and their bytes.
    pub(crate) fn kept(&self) -> (u64, u64) {
        let memories = self.memories();
        (memories.iter().map(|memory| memory.count()).sum(), memories.iter().map(|memory| memory.bytes()).sum())
    }

    /// Whether any Redis fails; `None` where there is none.
    pub(crate) fn redis_fails(&self) -> Option<bool> {
        let shared: Vec<_> = lock(&self.redis).iter().filter_map(|(_, shared)| shared.upgrade()).collect();
        (!shared.is_empty()).then(|| shared.iter().any(|shared| shared.is_failing()))
    }

    fn memories(&self) -> Vec<Arc<Memory>> {
        lock(&self.memories).iter().filter_map(|(_, memory)| memory.upgrade()).collect()
    }

    /// The memory with these bounds. Answers of a memory with other bounds move to the new one.
    fn memory(&self, bounds: Bounds) -> Arc<Memory> {
        let mut memories = lock(&self.memories);
        memories.retain(|(_, memory)| memory.strong_count() > 0);
        let same = memories.iter().find(|(own, _)| *own == bounds);
        if let Some(memory) = same.and_then(|(_, memory)| memory.upgrade()) {
            return memory;
        }
        let figures = self.figures.clone();
        let memory = Arc::new(Memory::new(bounds, move || figures.evicted()));
        memories.iter().filter_map(|(_, other)| other.upgrade()).for_each(|other| memory.take_over(&other));
        // a purge that began before may have looked at the other memories alone
        memory.purge(|entry| self.purged(entry));
        memories.push((bounds, Arc::downgrade(&memory)));
        memory
    }

    fn shared(self: &Arc<Self>, config: &RedisConfig) -> Result<Arc<Shared>, String> {
        let mut redis = lock(&self.redis);
        redis.retain(|(_, shared)| shared.strong_count() > 0);
        if let Some(shared) = redis.iter().find(|(own, _)| own == config).and_then(|(_, shared)| shared.upgrade()) {
            return Ok(shared);
        }
        let caches = Arc::downgrade(self);
        let forget = move |purge: &Purge| {
            if let Some(caches) = caches.upgrade() {
                caches.purge_memory(purge);
            }
        };
        let pending = self.pending_purges(config);
        let shared = Arc::new(Shared::start(config, pending, Box::new(forget), self.figures.clone())?);
        redis.push((config.clone(), Arc::downgrade(&shared)));
        Ok(shared)
    }

    fn pending_purges(&self, config: &RedisConfig) -> Arc<PendingPurges> {
        let mut all = lock(&self.pending_purges);
        // an empty one need not be kept
        all.retain(|(_, pending)| Arc::strong_count(pending) > 1 || !pending.is_empty());
        if let Some((_, pending)) = all.iter().find(|(own, _)| own.shares_with(config)) {
            return pending.clone();
        }
        let fresh = Arc::<PendingPurges>::default();
        all.push((config.clone(), fresh.clone()));
        fresh
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache_key::Key;
    use crate::entry::Entry;
    use crate::settings::MemoryConfig;

    #[test]
    fn what_a_purge_has_yet_to_take_is_not_taken_over() {
        let caches = Caches::default();
        let config = MemoryConfig::default();
        let (first, other) = (Bounds::from(&config), Bounds::from(&MemoryConfig { max_entries: 9, ..config }));
        let before = caches.memory(first);
        before.insert(Key([1; 32]), Arc::new(Entry::of_body("")));
        caches.record_purge(Purge::default());
        assert_eq!((before.count(), caches.memory(other).count()), (1, 0));
    }
}

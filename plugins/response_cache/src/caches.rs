//! What the caches of all routes keep beyond one configuration: answers, calls under way, purges, and the way to Redis.
//! A configuration that changes only other things finds them again as they are.

use std::sync::atomic::{AtomicBool, Ordering};
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

/// What the caches keep beyond one configuration.
#[derive(Debug)]
pub struct Caches {
    pub(crate) figures: Arc<Figures>,
    pub(crate) flights: Arc<Flights>,
    memories: Mutex<Vec<(Bounds, Weak<Memory>)>>,
    redis: Mutex<Vec<(RedisConfig, Weak<Shared>)>>,
    /// The purges that have yet to reach each Redis, whether or not it is still configured.
    pending_purges: Mutex<Vec<(RedisConfig, Arc<PendingPurges>)>>,
    purges: Mutex<Purges>,
    used: AtomicBool,
}

/// What became of a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purged {
    /// How many answers went from this gateway's memory.
    pub(crate) entries: u64,
    /// Whether Redis, and with it the other gateways, has been told; `None` where no Redis is shared. If not, it will be
    /// told as soon as it answers again.
    pub(crate) told: Option<bool>,
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
    /// The cache with these settings, which finds again what others like it have kept.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub(crate) fn install(self: &Arc<Self>, config: &Config) -> Result<ResponseCache, String> {
        config.check()?;
        self.used.store(true, Ordering::Relaxed);
        let memory = self.memory((&config.memory).into());
        let redis = config.redis.as_ref().map(|redis| self.shared(redis)).transpose()?;
        ResponseCache::new(config, self.clone(), memory, redis)
    }

    /// Removes answers everywhere: here at once, and with those that are under way; by way of Redis on the other
    /// gateways, too.
    pub(crate) async fn purge(&self, mut purge: Purge) -> Purged {
        purge.tenant = purge.tenant.map(|tenant| tenant_name(&tenant).into_owned());
        let entries = self.purge_memory(&purge);
        let shared: Vec<_> = lock(&self.redis).iter().filter_map(|(_, shared)| shared.upgrade()).collect();
        let mut told = None;
        for redis in shared {
            let reached = redis.purge(purge.clone()).await;
            told = Some(told.unwrap_or(true) && reached);
        }
        Purged { entries, told }
    }

    /// Removes answers from the memory of this gateway; how many there were. Those under way are shared with nobody else.
    pub(crate) fn purge_memory(&self, purge: &Purge) -> u64 {
        {
            let mut purges = lock(&self.purges);
            let number = purges.last() + 1;
            purges.add(number, purge.clone());
        }
        self.figures.purges.inc();
        self.flights.forget(|tenant, model| purge.takes(tenant, model));
        self.memories().iter().map(|memory| memory.purge(|entry| purge.takes(&entry.tenant, &entry.model))).sum()
    }

    /// The number of the last purge.
    pub(crate) fn epoch(&self) -> u64 {
        lock(&self.purges).last()
    }

    /// Whether an answer was purged since it was asked for.
    pub(crate) fn purged(&self, entry: &Entry) -> bool {
        lock(&self.purges).takes(entry, entry.epoch.local)
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

    /// The memory with these bounds. One with other bounds hands what it has to the new one.
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
        // an empty one need not be found again
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

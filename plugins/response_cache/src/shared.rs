//! The Redis tier: lookups have a deadline, writes do not wait, and Redis is skipped while it fails. The connection is
//! `redis_link`'s.

mod keys;
mod pending_purges;
mod purge_sync;
mod value;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::debug;
use redis_link::redis::cmd;
use redis_link::{Address, LinkConfig, LinkError, RedisLink};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::cache_key::Key;
use crate::entry::Entry;
use crate::figures::Figures;
use crate::purges::{Purge, Purges};
use crate::settings::RedisConfig;

use keys::Keys;
use purge_sync::PurgeSync;

pub(crate) use pending_purges::PendingPurges;

/// The longest queue of writes; further writes are dropped.
const MAX_FILLS: usize = 64;
/// How many purge requests may wait at once for Redis.
const MAX_OPERATORS: usize = 64;
/// The timeout of a write, as a multiple of a lookup's. No request waits for it.
const FILL_TIMEOUTS: u32 = 10;
/// The age of the last poll for purges beyond which Redis is not read.
const MAX_STALENESS: Duration = Duration::from_secs(3);
/// How long a purge request waits for Redis before it is answered without it.
const PURGE_TIMEOUT: Duration = Duration::from_secs(1);

/// A Redis, shared with other gateways.
#[derive(Debug)]
pub(crate) struct Shared {
    link: Arc<RedisLink>,
    keys: Arc<Keys>,
    fills: mpsc::Sender<RedisWrite>,
    /// Purge requests that wait for the pending purges to reach Redis.
    operators: mpsc::Sender<oneshot::Sender<()>>,
    sync: Arc<SyncState>,
    pending: Arc<PendingPurges>,
    figures: Arc<Figures>,
}

/// How far this gateway has received the purges of all gateways.
#[derive(Debug, Default)]
struct SyncState {
    purges: Mutex<Purges>,
    /// By Redis' clock, in milliseconds: all earlier purges are known.
    epoch: AtomicU64,
    last_poll: Mutex<Option<Instant>>,
}

/// Removes answers from this gateway's memory when another gateway has purged.
type Forget = Box<dyn Fn(&Purge) + Send + Sync>;

/// A write: an answer to store for this long.
struct RedisWrite {
    key: Key,
    entry: Arc<Entry>,
    ttl: Duration,
    /// Keeps a value that Redis has already: it may be newer.
    if_absent: bool,
}

impl Shared {
    /// Starts the link to a Redis, which need not be reachable.
    ///
    /// # Errors
    /// The link's thread cannot be started.
    pub(crate) fn start(
        config: &RedisConfig,
        pending: Arc<PendingPurges>,
        forget: Forget,
        figures: Arc<Figures>,
    ) -> Result<Self, String> {
        let (fills, filling) = mpsc::channel(MAX_FILLS);
        let (operators, waiting) = mpsc::channel(MAX_OPERATORS);
        let keys = Arc::new(Keys::new(&config.prefix));
        let sync = Arc::<SyncState>::default();
        let purges = PurgeSync::new(keys.clone(), sync.clone(), pending.clone(), figures.clone(), forget);
        let link = RedisLink::start(link_config(config), move |prober| purges.run(prober, waiting))
            .map_err(|error| format!("no thread for `redis`: {error}"))?;
        let limit = config.timeout.get() * FILL_TIMEOUTS;
        link.spawn(fill(link.clone(), limit, keys.clone(), filling, figures.clone()));
        Ok(Self { link, keys, fills, operators, sync, pending, figures })
    }

    /// Whether Redis is skipped because it fails.
    pub(crate) fn is_failing(&self) -> bool {
        self.link.breaker().is_open()
    }

    /// The answer for this key, if it arrives in time and its body has at most `max` bytes.
    pub(crate) async fn get(&self, key: Key, max: usize) -> Option<Box<Entry>> {
        if !self.sync.is_synced() {
            self.figures.redis_skipped.inc();
            return None;
        }
        let name = self.keys.entry(key);
        let found = self.link.run(move |redis| async move {
            // reads one byte more than an answer may take, by which a longer value is recognized
            let longest = value::longest(max);
            let value: Vec<u8> = redis.run(cmd("GETRANGE").arg(name).arg(0).arg(longest)).await?;
            if value.is_empty() {
                return Ok(None);
            }
            let entry = if value.len() > longest { None } else { value::unpacked(key, value, max).await };
            if entry.is_none() {
                // not removed: a gateway with other limits may use it, and the next write replaces it
                debug!("redis holds a value that is not an answer of this cache");
            }
            Ok(entry.map(Box::new))
        });
        let found = match found.await {
            Ok(found) => found.filter(|entry| !self.purged(entry)),
            // it answers, but not as a Redis that stores our answers
            Err(LinkError::Refused(_)) => None,
            Err(LinkError::Open) => {
                self.figures.redis_skipped.inc();
                return None;
            }
            Err(error) => {
                self.figures.redis_error(error.as_str());
                return None;
            }
        };
        self.figures.looked_in_redis(found.is_some());
        found
    }

    /// Stores a new answer for `ttl`, without waiting. [`Entry::in_redis`] stays unset if the write fails or is skipped.
    pub(crate) fn fill(&self, key: Key, entry: &Arc<Entry>, ttl: Duration) {
        self.try_fill(key, entry, ttl, false);
    }

    /// Stores an answer from memory that is not in Redis yet, for what is left of `ttl`. Call it at every hit.
    pub(crate) fn refill(&self, key: Key, entry: &Arc<Entry>, ttl: Duration) {
        self.try_fill(key, entry, ttl, true);
    }

    fn try_fill(&self, key: Key, entry: &Arc<Entry>, ttl: Duration, if_absent: bool) {
        let skipped = entry.in_redis.load(Ordering::Relaxed) || self.is_failing() || self.purged(entry);
        if skipped || entry.in_redis.swap(true, Ordering::Relaxed) {
            return;
        }
        let fill = RedisWrite { key, entry: entry.clone(), ttl: ttl.saturating_sub(entry.age()), if_absent };
        if self.fills.try_send(fill).is_err() {
            entry.in_redis.store(false, Ordering::Relaxed);
            self.figures.redis_error("busy");
        }
    }

    /// Removes an answer that is purged or expired, without waiting. If that fails, the next lookup rejects it again.
    pub(crate) fn forget(&self, key: Key) {
        let name = self.keys.entry(key);
        self.link.submit(move |redis| async move { redis.run::<()>(cmd("UNLINK").arg(name)).await });
    }

    /// Publishes a purge to all gateways. Returns whether it has reached Redis; if not, it is published once Redis answers again.
    pub(crate) async fn purge(&self, purge: Purge) -> bool {
        self.pending.add(purge);
        let (done, published) = oneshot::channel();
        let publishing = async { self.operators.send(done).await.is_ok() && published.await.is_ok() };
        timeout(PURGE_TIMEOUT, publishing).await.unwrap_or(false)
    }

    /// By Redis' clock in milliseconds: all earlier purges are known.
    pub(crate) fn epoch(&self) -> u64 {
        self.sync.epoch()
    }

    /// Whether an answer was purged since its call began.
    pub(crate) fn purged(&self, entry: &Entry) -> bool {
        self.sync.purges().takes(entry, entry.epoch.shared)
    }
}

fn link_config(config: &RedisConfig) -> LinkConfig {
    LinkConfig {
        name: "response_cache",
        purpose: "the shared cache",
        address: match &config.url {
            Some(url) => Address::Server(url.clone()),
            None => Address::Cluster(config.cluster.clone()),
        },
        connections: config.connections,
        timeout: config.timeout.get(),
    }
}

/// Carries out writes one after another, until the cache is dropped.
async fn fill(
    link: Arc<RedisLink>,
    limit: Duration,
    keys: Arc<Keys>,
    mut fills: mpsc::Receiver<RedisWrite>,
    figures: Arc<Figures>,
) {
    while let Some(RedisWrite { key, entry, ttl, if_absent }) = fills.recv().await {
        if !link.is_connected() || link.breaker().is_open() {
            entry.in_redis.store(false, Ordering::Relaxed);
            continue;
        }
        let Some(value) = value::packed(key, entry.clone()).await else { continue };
        let (name, length) = (keys.entry(key), value.len());
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let set = link.run_within(limit, move |redis| async move {
            let mut set = cmd("SET");
            set.arg(name).arg(&value).arg("PX").arg(ttl);
            if if_absent {
                set.arg("NX");
            }
            redis.run::<()>(&set).await
        });
        match set.await {
            Ok(()) => figures.filled_redis(length),
            // a second write would be refused as well
            Err(error @ LinkError::Refused(_)) => figures.redis_error(error.as_str()),
            Err(error) => {
                entry.in_redis.store(false, Ordering::Relaxed);
                if error != LinkError::Open {
                    figures.redis_error(error.as_str());
                }
            }
        }
    }
}

impl SyncState {
    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Whether the purges of other gateways are known up to [`MAX_STALENESS`], so that Redis may be read.
    fn is_synced(&self) -> bool {
        self.last_poll.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|last| last.elapsed() < MAX_STALENESS)
    }

    /// Sets the time, by Redis' clock in milliseconds, before which all purges are known.
    fn polled(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
        *self.last_poll.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn purges(&self) -> MutexGuard<'_, Purges> {
        self.purges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

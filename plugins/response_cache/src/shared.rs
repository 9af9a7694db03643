//! The answers that gateways share in Redis, as a request sees them: asked for within a deadline, filled without waiting,
//! left out while Redis fails. The work is done on a thread of its own.

mod breaker;
mod link;
mod untold;
mod value;
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::asked::Key;
use crate::entry::Entry;
use crate::figures::Figures;
use crate::purges::{Purge, Purges};
use crate::settings::RedisConfig;

use breaker::Breaker;

pub(crate) use untold::Untold;

/// How many requests may wait for Redis at once, and how many fills for their turn. More are left out.
const WAITING: usize = 1024;
const FILLS: usize = 64;
/// How often Redis is asked for purges, and probed while it fails.
pub(crate) const POLL: Duration = Duration::from_millis(500);
/// A gateway that has not heard of purges for so long takes nothing from Redis.
const DEAF: Duration = Duration::from_secs(3);
/// How long a purge may take to reach Redis before its operator is told that it has not.
const PURGE: Duration = Duration::from_secs(1);

/// A Redis, shared with other gateways.
#[derive(Debug)]
pub(crate) struct Shared {
    jobs: mpsc::Sender<Job>,
    fills: mpsc::Sender<Fill>,
    seen: Arc<Seen>,
    untold: Arc<Untold>,
    timeout: Duration,
}

/// What is known of a Redis.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) breaker: Breaker,
    figures: Arc<Figures>,
    purges: Mutex<Purges>,
    /// By Redis' clock, in milliseconds: all purges from before are known.
    epoch: AtomicU64,
    heard: Mutex<Option<Instant>>,
}

/// What a request, or an operator, waits for.
enum Job {
    Get { key: Key, max: usize, found: oneshot::Sender<Looked> },
    Forget(Key),
    Tell { done: oneshot::Sender<()> },
}

/// Drops what the gateway itself keeps, when another has purged.
type Forget = Box<dyn Fn(&Purge) + Send + Sync>;

/// What was found in time, and without an error of the connection.
type Looked = Result<Option<Box<Entry>>, &'static str>;

/// An answer to store for this long.
struct Fill {
    key: Key,
    entry: Arc<Entry>,
    ttl: Duration,
    /// Keep what Redis has: it may be newer.
    if_absent: bool,
}

impl Shared {
    /// Starts to work with a Redis; it need not be there.
    ///
    /// # Errors
    /// That there is no thread to be had.
    pub(crate) fn start(
        config: &RedisConfig,
        untold: Arc<Untold>,
        forget: Forget,
        figures: Arc<Figures>,
    ) -> Result<Self, String> {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let (fills, filling) = mpsc::channel(FILLS);
        let seen = Arc::new(Seen {
            breaker: Breaker::default(),
            figures,
            purges: Mutex::default(),
            epoch: AtomicU64::new(0),
            heard: Mutex::default(),
        });
        let started = (|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let work = worker::run(config.clone(), waiting, filling, seen.clone(), untold.clone(), forget);
            std::thread::Builder::new().name("response_cache".into()).spawn(move || runtime.block_on(work))
        })();
        started.map_err(|error| format!("no thread for `redis`: {error}"))?;
        Ok(Self { jobs, fills, seen, untold, timeout: config.timeout.get() })
    }

    /// What is known of it.
    pub(crate) fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    /// The answer for this key whose body has at most `max` bytes, if it comes in time.
    pub(crate) async fn get(&self, key: Key, max: usize) -> Option<Box<Entry>> {
        if self.seen.breaker.is_open() || !self.seen.hears() {
            self.seen.figures.redis_left_out.inc();
            return None;
        }
        let (found, finding) = oneshot::channel();
        if self.jobs.try_send(Job::Get { key, max, found }).is_err() {
            self.seen.figures.redis_error("busy");
            return None;
        }
        let looked = match timeout(self.timeout, finding).await {
            Ok(Ok(looked)) => looked,
            Ok(Err(_)) => Err("connection"),
            Err(_) => Err("timeout"),
        };
        match looked {
            Ok(found) => {
                self.seen.breaker.succeeded();
                let found = found.filter(|entry| !self.seen.purged(entry));
                self.seen.figures.looked("redis", found.is_some());
                found
            }
            Err(why) => {
                self.seen.figures.redis_error(why);
                self.seen.breaker.failed(why);
                None
            }
        }
    }

    /// Stores a new answer for `ttl`, without waiting. A fill that fails, or is skipped while Redis fails, leaves
    /// [`Entry::in_redis`] unset.
    pub(crate) fn fill(&self, key: Key, entry: &Arc<Entry>, ttl: Duration) {
        self.try_fill(key, entry, ttl, false);
    }

    /// Stores an answer from memory that is not in Redis yet, for what is left of `ttl`. Call it at every hit.
    pub(crate) fn refill(&self, key: Key, entry: &Arc<Entry>, ttl: Duration) {
        self.try_fill(key, entry, ttl, true);
    }

    fn try_fill(&self, key: Key, entry: &Arc<Entry>, ttl: Duration, if_absent: bool) {
        let skipped = entry.in_redis.load(Ordering::Relaxed) || self.seen.breaker.is_open() || self.seen.purged(entry);
        if skipped || entry.in_redis.swap(true, Ordering::Relaxed) {
            return;
        }
        let fill = Fill { key, entry: entry.clone(), ttl: ttl.saturating_sub(entry.age()), if_absent };
        if self.fills.try_send(fill).is_err() {
            entry.in_redis.store(false, Ordering::Relaxed);
            self.seen.figures.redis_error("busy");
        }
    }

    /// Has an answer removed that is not to be given any more.
    pub(crate) fn forget(&self, key: Key) {
        // one that stays is refused again
        let _ = self.jobs.try_send(Job::Forget(key));
    }

    /// Tells all gateways of a purge; whether it has reached Redis. If not, it is told as soon as Redis answers again.
    pub(crate) async fn purge(&self, purge: Purge) -> bool {
        self.untold.add(purge);
        let (done, doing) = oneshot::channel();
        let telling = async { self.jobs.send(Job::Tell { done }).await.is_ok() && doing.await.is_ok() };
        timeout(PURGE, telling).await.unwrap_or(false)
    }
}

impl Seen {
    /// Up to which purge, by Redis' clock in milliseconds, all are known.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Whether an answer was purged since it was asked for.
    pub(crate) fn purged(&self, entry: &Entry) -> bool {
        self.purges().takes(entry, entry.epoch.shared)
    }

    fn hears(&self) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|heard| heard.elapsed() < DEAF)
    }

    fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn purges(&self) -> std::sync::MutexGuard<'_, Purges> {
        self.purges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

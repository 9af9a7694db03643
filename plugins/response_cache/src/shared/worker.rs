//! The thread that talks to Redis: gets, fills, purges, and a look at regular times whether it is well.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::debug;
use redis::{RedisError, RedisResult, cmd};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::asked::Key;
use crate::purges::{Purge, REMEMBERED};
use crate::settings::{REMEMBER, RedisConfig};

use super::link::Link;
use super::{Fill, Forget, Job, Looked, POLL, PURGE, Seen, Untold, value};

/// Nobody waits for a fill, so it may take this many times longer.
const FILL_PATIENCE: u32 = 10;
/// How long connecting may take in all.
const CONNECT: Duration = Duration::from_secs(2);
/// How many operators may wait for their purges to be told.
const OPERATORS: usize = 64;
/// A purge may reach Redis so long after the time that it bears, in milliseconds, by Redis' clock.
const MARGIN: u64 = 2000;

/// Talks to Redis until nobody asks any more.
pub(super) async fn run(
    config: RedisConfig,
    mut jobs: mpsc::Receiver<Job>,
    fills: mpsc::Receiver<Fill>,
    seen: Arc<Seen>,
    untold: Arc<Untold>,
    forget: Forget,
) {
    let config = Arc::new(config);
    let (links, link) = watch::channel(None);
    let (purges, purging) = mpsc::channel(OPERATORS);
    let prober = Prober { config: config.clone(), links, seen: seen.clone(), forget, known: HashSet::new(), untold };
    // they end with this
    let mut beside = JoinSet::new();
    beside.spawn(prober.run(purging));
    beside.spawn(fill(config.clone(), fills, link.clone(), seen));
    while let Some(job) = jobs.recv().await {
        let (config, link) = (config.clone(), link.borrow().clone());
        match job {
            Job::Get { key, max, found } => {
                tokio::spawn(async move {
                    // one who has left need not be told
                    let _ = found.send(get(&config, link, key, max).await);
                });
            }
            Job::Forget(key) => {
                tokio::spawn(async move {
                    if let Some(link) = link {
                        let _ = link.run::<()>(cmd("UNLINK").arg(name(&config, key))).await;
                    }
                });
            }
            Job::Tell { done } => {
                // an operator who hears nothing is told that it is yet to come
                let _ = purges.try_send(done);
            }
        }
    }
}

/// What is wrong with a Redis.
enum Trouble {
    Late,
    Broken(String),
}

impl Trouble {
    fn of(error: &RedisError) -> Self {
        // its text may hold the address, and with it a password
        Self::Broken(error.category().to_owned())
    }
}

/// Looks at regular times whether Redis is well, connects, and passes on what was purged.
struct Prober {
    config: Arc<RedisConfig>,
    links: watch::Sender<Option<Arc<Link>>>,
    seen: Arc<Seen>,
    forget: Forget,
    /// The purges that have been seen, as Redis has them.
    known: HashSet<String>,
    /// Those that Redis is still to be told of.
    untold: Arc<Untold>,
}

impl Prober {
    async fn run(mut self, mut operators: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut tick = interval(POLL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.look().await,
                Some(done) = operators.recv() => {
                    if self.tell().await {
                        // an operator who has left need not be told
                        let _ = done.send(());
                    }
                }
            }
        }
    }

    /// Sees whether Redis is well, and what was purged. Where it is not, the next look is on a new connection.
    async fn look(&mut self) {
        let Err(trouble) = self.try_look().await else { return self.seen.breaker.probed() };
        let why = match &trouble {
            Trouble::Late => "no answer in time",
            Trouble::Broken(why) => why,
        };
        debug!(why; "redis does not answer");
        self.seen.figures.redis_error("probe");
        self.seen.breaker.failed(why);
        // being late once is no reason to leave it
        if self.seen.breaker.is_open() || matches!(trouble, Trouble::Broken(_)) {
            self.links.send_replace(None);
        }
    }

    async fn try_look(&mut self) -> Result<(), Trouble> {
        let patience = self.config.timeout.get();
        let open = self.links.borrow().clone();
        let link = match open {
            Some(link) => link,
            None => {
                let opened = timeout(CONNECT, Link::open(&self.config, patience * FILL_PATIENCE)).await;
                Arc::new(opened.map_err(|_| Trouble::Late)?.map_err(|error| Trouble::of(&error))?)
            }
        };
        let news = timeout(patience, self.news(&link)).await.map_err(|_| Trouble::Late)?;
        let (now, purges) = news.map_err(|error| Trouble::of(&error))?;
        self.learn(purges);
        self.seen.epoch.store(now.saturating_sub(MARGIN), Ordering::Relaxed);
        self.seen.heard();
        self.links.send_replace(Some(link));
        self.tell().await;
        Ok(())
    }

    /// Redis' time in milliseconds, and the purges since the last look.
    async fn news(&self, link: &Link) -> RedisResult<(u64, Vec<(String, u64)>)> {
        let now = time(link).await?;
        let since = self.seen.epoch().saturating_sub(MARGIN);
        let mut range = cmd("ZRANGEBYSCORE");
        range.arg(purges(&self.config)).arg(since).arg("+inf").arg("WITHSCORES");
        Ok((now, link.run(&range).await?))
    }

    fn learn(&mut self, purges: Vec<(String, u64)>) {
        // what was purged before this gateway ever looked concerns what Redis keeps, not what it keeps itself
        let first = self.seen.epoch() == 0;
        // Redis keeps no more of them: what came before the first of so many is unknown
        if let Some((_, at)) = purges.first().filter(|_| purges.len() >= REMEMBERED) {
            self.seen.purges().lost_before(*at);
            if !first {
                (self.forget)(&Purge::default());
            }
        }
        for (text, at) in purges {
            let Some(purge) = self.known.insert(text.clone()).then(|| parsed(&text)).flatten() else { continue };
            self.seen.purges().add(at, purge.clone());
            if !first {
                (self.forget)(&purge);
            }
        }
        if self.known.len() > 2 * REMEMBERED {
            // at worst one of them is carried out once more
            self.known.clear();
        }
    }

    /// Tells Redis of the purges that it has not been told of; whether it has been told of all.
    async fn tell(&mut self) -> bool {
        let Some(link) = self.links.borrow().clone() else { return false };
        while let Some((number, purge)) = self.untold.next() {
            let Ok(Ok((text, at))) = timeout(PURGE / 2, told(&self.config, &link, &purge)).await else {
                self.seen.figures.redis_error("purge");
                return false;
            };
            self.untold.told(number);
            self.known.insert(text);
            self.seen.purges().add(at, purge);
        }
        true
    }
}

async fn get(config: &RedisConfig, link: Option<Arc<Link>>, key: Key, max: usize) -> Looked {
    let link = link.ok_or("connection")?;
    // whatever is there, no more of it is read than an answer may take, and one byte by which what is longer is known
    let longest = value::longest(max);
    let value: Vec<u8> = match link.run(cmd("GETRANGE").arg(name(config, key)).arg(0).arg(longest)).await {
        Ok(value) => value,
        Err(error) if broken(&error) => return Err("connection"),
        // it answers, though not as one who keeps our answers would
        Err(_) => return Ok(None),
    };
    if value.is_empty() {
        return Ok(None);
    }
    let entry = if value.len() > longest { None } else { value::unpacked(key, value, max).await };
    if entry.is_none() {
        // it is left there: it may be of use to a neighbour with other limits, and the fill to come takes its place
        debug!("redis has something else in the place of an answer");
    }
    Ok(entry.map(Box::new))
}

/// Fills, one after another.
async fn fill(
    config: Arc<RedisConfig>,
    mut fills: mpsc::Receiver<Fill>,
    links: watch::Receiver<Option<Arc<Link>>>,
    seen: Arc<Seen>,
) {
    while let Some(Fill { key, entry, ttl, if_absent }) = fills.recv().await {
        let Some(link) = links.borrow().clone().filter(|_| !seen.breaker.is_open()) else {
            entry.in_redis.store(false, Ordering::Relaxed);
            continue;
        };
        let Some(value) = value::packed(key, entry.clone()).await else { continue };
        let mut set = cmd("SET");
        set.arg(name(&config, key))
            .arg(&value)
            .arg("PX")
            .arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1));
        if if_absent {
            set.arg("NX");
        }
        match timeout(config.timeout.get() * FILL_PATIENCE, link.run::<()>(&set)).await {
            Ok(Ok(())) => seen.figures.filled("redis", value.len()),
            // a second fill would be refused, too
            Ok(Err(error)) if !broken(&error) => seen.figures.redis_error("refused"),
            Ok(Err(_)) => {
                entry.in_redis.store(false, Ordering::Relaxed);
                seen.figures.redis_error("connection");
                seen.breaker.failed("connection");
            }
            Err(_) => {
                entry.in_redis.store(false, Ordering::Relaxed);
                seen.figures.redis_error("timeout");
                seen.breaker.failed("timeout");
            }
        }
    }
}

/// Puts a purge where all gateways look; its text there, and the time that it bears.
async fn told(config: &RedisConfig, link: &Link, purge: &Purge) -> RedisResult<(String, u64)> {
    let now = time(link).await?;
    let text = format!("{:x} {}", unique(now), serde_json::to_string(purge).unwrap_or_default());
    let name = purges(config);
    link.run::<()>(cmd("ZADD").arg(&name).arg(now).arg(&text)).await?;
    link.run::<()>(cmd("ZREMRANGEBYRANK").arg(&name).arg(0).arg(-1 - REMEMBERED.cast_signed())).await?;
    link.run::<()>(cmd("EXPIRE").arg(&name).arg(REMEMBER.as_secs())).await?;
    Ok((text, now))
}

/// Redis' clock, in milliseconds.
async fn time(link: &Link) -> RedisResult<u64> {
    let (seconds, micros): (u64, u64) = link.run(&cmd("TIME")).await?;
    Ok(seconds * 1000 + micros / 1000)
}

fn parsed(text: &str) -> Option<Purge> {
    serde_json::from_str(text.split_once(' ')?.1).ok()
}

/// Tells purges of the same moment apart.
fn unique(now: u64) -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(now);
    hasher.finish()
}

/// Whether the connection broke, or may have; not so if Redis itself answered with an error.
fn broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped() || error.is_unrecoverable_error()
}

fn name(config: &RedisConfig, key: Key) -> String {
    let mut name = format!("{}:cache:", config.prefix);
    for byte in key.0 {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

fn purges(config: &RedisConfig) -> String {
    format!("{}:cache-purges", config.prefix)
}

//! Exchanges purges with the other gateways of a Redis: polls theirs at regular intervals, which also probes the connection, and
//! publishes this gateway's.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use redis_link::redis::{RedisResult, cmd};
use redis_link::{Connections, Prober};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::figures::Figures;
use crate::purges::{Purge, REMEMBERED};
use crate::settings::REMEMBER;

use super::keys::Keys;
use super::{Forget, PURGE_TIMEOUT, PendingPurges, SyncState};

/// How often Redis is polled.
const POLL: Duration = Duration::from_millis(500);
/// How long after its own time a purge may reach Redis, in milliseconds by Redis' clock.
const MARGIN: u64 = 2000;

/// Receives the purges of all gateways and publishes those of this one.
pub(super) struct PurgeSync {
    keys: Arc<Keys>,
    state: Arc<SyncState>,
    pending: Arc<PendingPurges>,
    figures: Arc<Figures>,
    forget: Forget,
    /// The purges that were carried out here, as Redis stores them.
    known: HashSet<String>,
}

impl PurgeSync {
    pub(super) fn new(
        keys: Arc<Keys>,
        state: Arc<SyncState>,
        pending: Arc<PendingPurges>,
        figures: Arc<Figures>,
        forget: Forget,
    ) -> Self {
        Self { keys, state, pending, figures, forget, known: HashSet::new() }
    }

    /// Polls and publishes for as long as the link exists.
    pub(super) async fn run(mut self, mut prober: Prober, mut operators: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut tick = interval(POLL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.poll(&mut prober).await,
                Some(done) = operators.recv() => {
                    if self.publish(&prober).await {
                        // a purge request may have been given up
                        let _ = done.send(());
                    }
                }
            }
        }
    }

    async fn poll(&mut self, prober: &mut Prober) {
        let polled = prober.probe(async |redis| {
            let now = redis.time_millis().await?;
            let since = self.state.epoch().saturating_sub(MARGIN);
            let mut range = cmd("ZRANGEBYSCORE");
            range.arg(&self.keys.purges).arg(since).arg("+inf").arg("WITHSCORES");
            let purges = redis.run(&range).await?;
            self.learn(purges);
            self.state.polled(now.saturating_sub(MARGIN));
            Ok(())
        });
        match polled.await {
            Ok(()) => {
                self.publish(prober).await;
            }
            Err(_) => self.figures.redis_error("probe"),
        }
    }

    /// Carries out the purges that are new.
    fn learn(&mut self, purges: Vec<(String, u64)>) {
        // a purge from before the first poll concerns answers in Redis, not those in this gateway's memory
        let first = self.state.epoch() == 0;
        // the list in Redis is bounded: at its limit, purges before its first are unknown
        if let Some((_, at)) = purges.first().filter(|_| purges.len() >= REMEMBERED) {
            self.state.purges().lost_before(*at);
            if !first {
                (self.forget)(&Purge::default());
            }
        }
        for (text, at) in purges {
            let Some(purge) = self.known.insert(text.clone()).then(|| parsed(&text)).flatten() else { continue };
            self.state.purges().add(at, purge.clone());
            if !first {
                (self.forget)(&purge);
            }
        }
        if self.known.len() > 2 * REMEMBERED {
            // at worst, a purge is carried out twice
            self.known.clear();
        }
    }

    /// Publishes the pending purges. Returns whether all have reached Redis.
    async fn publish(&mut self, prober: &Prober) -> bool {
        let Some(redis) = prober.connections() else { return false };
        while let Some((number, purge)) = self.pending.next() {
            let Ok(Ok((text, at))) = timeout(PURGE_TIMEOUT / 2, push(&self.keys, &redis, &purge)).await else {
                self.figures.redis_error("purge");
                return false;
            };
            self.pending.published(number);
            self.known.insert(text);
            self.state.purges().add(at, purge);
        }
        true
    }
}

/// Adds a purge to the list in Redis. Returns its text and its time there.
async fn push(keys: &Keys, redis: &Connections, purge: &Purge) -> RedisResult<(String, u64)> {
    let now = redis.time_millis().await?;
    let text = format!("{:x} {}", unique(now), serde_json::to_string(purge).unwrap_or_default());
    let name = &keys.purges;
    redis.run::<()>(cmd("ZADD").arg(name).arg(now).arg(&text)).await?;
    redis.run::<()>(cmd("ZREMRANGEBYRANK").arg(name).arg(0).arg(-1 - REMEMBERED.cast_signed())).await?;
    redis.run::<()>(cmd("EXPIRE").arg(name).arg(REMEMBER.as_secs())).await?;
    Ok((text, now))
}

fn parsed(text: &str) -> Option<Purge> {
    serde_json::from_str(text.split_once(' ')?.1).ok()
}

/// A number that distinguishes purges of the same millisecond.
fn unique(now: u64) -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(now);
    hasher.finish()
}

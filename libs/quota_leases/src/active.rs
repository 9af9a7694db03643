//! The meters that have a lease at present, each with what is needed to draw for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quota::{Claim, Due, Limit, Meter, Now, Subject};

/// Which count of Redis a claim is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The limit, the same on all gateways that share it.
    pub limit: Subject,
    /// Whose it is.
    pub subject: Subject,
}

impl Count {
    /// Its key: nothing but digests, which in a cluster are the tag by which it has a place.
    pub(crate) fn key(self, prefix: &str) -> String {
        let one = u128::from_be_bytes(Subject::of([self.limit.to_bytes(), self.subject.to_bytes()]).to_bytes());
        format!("{prefix}:limit:{{{one:032x}}}")
    }
}

/// A meter that has a lease.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) meter: Arc<Meter>,
    pub(crate) key: String,
    pub(crate) holder: String,
    limit: Mutex<Limit>,
    /// Held by the one that draws.
    pub(crate) gate: tokio::sync::Mutex<()>,
    /// What calls wait for until they draw or somebody has drawn for them.
    waiting: AtomicU64,
}

/// A call that waits for a lease. Dropped, it waits no more.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    active: &'a Active,
    amount: u64,
}

impl Active {
    /// The limit, as the last call was held to it.
    pub(crate) fn limit(&self) -> Limit {
        *self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait(&self, amount: u64) -> Waiting<'_> {
        self.waiting.fetch_add(amount, Ordering::Relaxed);
        Waiting { active: self, amount }
    }

    /// What other calls than one of this amount wait for.
    pub(crate) fn others_wait_for(&self, amount: u64) -> u64 {
        self.waiting.load(Ordering::Relaxed).saturating_sub(amount)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.active.waiting.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

/// So many parts, each with a lock of its own: a look at all of them holds up few calls, and those for a short time.
const SHARDS: usize = 64;

/// The meters that have a lease, by their ids.
#[derive(Debug)]
pub(crate) struct ActiveMeters([Mutex<Shard>; SHARDS]);

type Shard = HashMap<u64, Arc<Active>>;

impl Default for ActiveMeters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl ActiveMeters {
    /// The entry of a claim's meter, made where there is none.
    pub(crate) fn of(&self, claim: &Claim, count: Count, prefix: &str, gateway: &str) -> Arc<Active> {
        let meter = claim.meter();
        let mut shard = self.shard(meter);
        let entry = shard.entry(meter.id()).or_insert_with(|| {
            Arc::new(Active {
                meter: meter.clone(),
                key: count.key(prefix),
                // a meter that is made again for a subject is another holder
                holder: format!("{gateway}.{:x}", meter.id()),
                limit: Mutex::new(*claim.limit()),
                gate: tokio::sync::Mutex::default(),
                waiting: AtomicU64::new(0),
            })
        });
        *entry.limit.lock().unwrap_or_else(PoisonError::into_inner) = *claim.limit();
        entry.clone()
    }

    pub(crate) fn get(&self, meter: &Meter) -> Option<Arc<Active>> {
        self.shard(meter).get(&meter.id()).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Active>> {
        self.shards().flat_map(|shard| shard.values().cloned().collect::<Vec<_>>()).collect()
    }

    #[cfg(test)]
    pub(crate) fn forget(&self) {
        self.shards().for_each(|mut shard| shard.clear());
    }

    /// Those that have to report. Drops those that have nothing left.
    pub(crate) fn due(&self, now: Now) -> Vec<Arc<Active>> {
        let mut due = Vec::new();
        for mut shard in self.shards() {
            shard.retain(|_, active| match active.meter.due(&active.limit(), now) {
                Due::Nothing => true,
                Due::Report => {
                    due.push(active.clone());
                    true
                }
                // entries are handed out under this lock alone
                Due::Closed => Arc::strong_count(active) > 1,
            });
        }
        due
    }

    fn shard(&self, meter: &Meter) -> MutexGuard<'_, Shard> {
        // ids are counted
        lock(&self.0[meter.id() as usize % SHARDS])
    }

    /// One after the other, each locked while it is looked at.
    fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.0.iter().map(lock)
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

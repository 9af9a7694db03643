//! The lookup of a call: a hit, a share in a call in flight, or a miss that goes upstream.

use std::sync::Arc;

use futures_util::stream;
use plugin_api::{BodyStream, Broken, Bytes, ModelCall, TokenLimitValue as Tokens, run_blocking};

use crate::ResponseCache;
use crate::bypass::Bypass;
use crate::cache_key::{CacheRequest, Key};
use crate::canonical;
use crate::entry::{Entry, Epoch};
use crate::fill::Fill;
use crate::flight::{Cut, Ended, First, Follower};
use crate::flights::{Arrival, Lead};
use crate::stored_head::StoredHead;

/// The largest body that a serving thread hashes itself, in bytes. A larger one is hashed on a blocking thread.
const READ_IN_LINE: usize = 1 << 20;
/// How often a follower waits again after its leader has left.
const TURNS: usize = 16;

/// The result of a lookup.
pub(crate) enum Lookup {
    /// The stored answer.
    Hit(Arc<Entry>),
    /// The answer to an identical call in flight.
    Coalesced(Arc<StoredHead>, Follower),
    /// There is none; the call goes upstream.
    Miss(Fill),
}

impl ResponseCache {
    /// Looks up the answer to a call: in memory, among the calls in flight, then in Redis.
    ///
    /// # Errors
    /// Why the call bypasses the cache.
    pub(crate) async fn lookup(&self, cache_request: &mut CacheRequest, call: &ModelCall) -> Result<Lookup, Bypass> {
        let key = key_of(cache_request, call).await?;
        let found = self.remembered(&key, cache_request);
        self.caches.figures.looked_in_memory(found.is_some());
        if let Some(entry) = found {
            return Ok(Lookup::Hit(entry));
        }
        let model = model_of(call);
        let lead = match self.join(key, cache_request, &model).await {
            Ok(lead) => lead,
            Err(shared) => return Ok(shared),
        };
        let since = self.stored_since(&key, cache_request);
        let found = if since.is_some() { since } else { self.fetched(key, cache_request).await };
        Ok(self.led(lead, key, cache_request, model, found))
    }

    /// [`lookup`](Self::lookup) as far as it need not wait: without Redis, a large body to hash, and a call in flight to join. `None` leaves
    /// the call to that, and nothing has changed then but for the key, which is known.
    pub(crate) fn try_lookup(
        &self,
        cache_request: &mut CacheRequest,
        call: &ModelCall,
    ) -> Option<Result<Lookup, Bypass>> {
        if self.redis.is_some() {
            return None;
        }
        let key = match try_key_of(cache_request, call)? {
            Ok(key) => key,
            Err(why) => return Some(Err(why)),
        };
        if let Some(entry) = self.remembered(&key, cache_request) {
            self.caches.figures.looked_in_memory(true);
            return Some(Ok(Lookup::Hit(entry)));
        }
        let model = model_of(call);
        let flights = &self.caches.flights;
        let lead = if self.coalesce {
            flights.lead(self.arrival(key, cache_request, &model))?
        } else {
            flights.alone(self.max_entry)
        };
        self.caches.figures.looked_in_memory(false);
        let found = self.stored_since(&key, cache_request);
        Some(Ok(self.led(lead, key, cache_request, model, found)))
    }

    /// The leader of a call has found its answer, or nothing.
    fn led(
        &self,
        lead: Lead,
        key: Key,
        cache_request: &CacheRequest,
        model: Arc<str>,
        found: Option<Arc<Entry>>,
    ) -> Lookup {
        if let Some(entry) = found {
            lead.flight.end(Ended::Found(entry.clone()));
            return Lookup::Hit(entry);
        }
        let shared = self.redis.as_ref().map_or(0, |redis| redis.epoch());
        let epoch = Epoch { local: self.caches.epoch(), shared };
        Lookup::Miss(Fill::new(lead, key, cache_request, model, epoch))
    }

    /// The answer that an earlier leader has stored since the memory was looked at.
    fn stored_since(&self, key: &Key, cache_request: &CacheRequest) -> Option<Arc<Entry>> {
        self.memory.get(key).filter(|entry| entry.age() < self.ttl && cache_request.control.max_age.is_none())
    }

    /// Becomes the leader of a call, or follows the leader that there is.
    async fn join(&self, key: Key, cache_request: &CacheRequest, model: &Arc<str>) -> Result<Lead, Lookup> {
        let turns = if self.coalesce { TURNS } else { 0 };
        for _ in 0..turns {
            let mut follower = match self.caches.flights.join(self.arrival(key, cache_request, model)) {
                Ok(lead) => return Ok(lead),
                Err(follower) => follower,
            };
            match follower.first().await {
                First::Head(head) => return Err(Lookup::Coalesced(head, follower)),
                First::Found(entry) if cache_request.control.takes(entry.age().as_secs()) => {
                    return Err(Lookup::Hit(entry));
                }
                First::Again => {}
                First::Found(_) | First::Alone => break,
            }
        }
        Ok(self.caches.flights.alone(self.max_entry))
    }

    fn arrival<'a>(&self, key: Key, cache_request: &'a CacheRequest, model: &'a Arc<str>) -> Arrival<'a> {
        let (tenant, max_age) = (&cache_request.tenant, cache_request.control.max_age);
        Arrival { key, tenant, model, max_entry: self.max_entry, max_age }
    }

    /// The answer in memory, if it is fresh enough.
    fn remembered(&self, key: &Key, cache_request: &CacheRequest) -> Option<Arc<Entry>> {
        let found = self.memory.get(key).filter(|entry| {
            let fresh = entry.age() < self.ttl;
            if !fresh {
                self.memory.remove(key);
            }
            fresh
        });
        let found = found.filter(|entry| cache_request.control.takes(entry.age().as_secs()));
        if let (Some(entry), Some(redis)) = (&found, &self.redis) {
            // the first write to Redis may have failed or been skipped
            redis.refill(*key, entry, self.ttl);
        }
        found
    }

    /// The answer in Redis, if it is fresh enough. It is stored in memory as well.
    async fn fetched(&self, key: Key, cache_request: &CacheRequest) -> Option<Arc<Entry>> {
        // `max-age=0` accepts no stored answer
        let redis = self.redis.as_ref().filter(|_| cache_request.control.takes(0))?;
        let local = self.caches.epoch();
        let mut entry = redis.get(key, self.max_entry).await?;
        entry.epoch.local = local;
        if entry.age() >= self.ttl {
            redis.forget(key);
            return None;
        }
        let entry = Arc::<Entry>::from(entry);
        let remembered = self.remember(key, &entry);
        Some(entry).filter(|entry| remembered && cache_request.control.takes(entry.age().as_secs()))
    }

    /// Stores an answer in memory, unless it was purged since its call began. Whether it did.
    pub(crate) fn remember(&self, key: Key, entry: &Arc<Entry>) -> bool {
        // a purged answer must not replace a newer one
        if self.caches.purged(entry) {
            return false;
        }
        self.memory.insert(key, entry.clone());
        // checked again: a purge is recorded first, then removes entries from memory
        let purged = self.caches.purged(entry);
        if purged {
            self.memory.remove(&key);
        } else {
            self.caches.figures.filled_memory(entry.body.len());
        }
        !purged
    }

    /// The body of an answer to a call in flight.
    pub(crate) fn followed(&self, follower: Follower) -> BodyStream {
        let cut = self.caches.figures.cut.clone();
        let flight = follower.flight();
        let pieces = stream::unfold(follower, move |mut follower| {
            let cut = cut.clone();
            async move {
                let piece: Result<Bytes, Broken> = follower.more().await?.map_err(|why| {
                    if why == Cut::Behind {
                        cut.inc();
                    }
                    Broken
                });
                Some((piece, follower))
            }
        });
        BodyStream::new(pieces).with_saved(move || flight.reported())
    }
}

/// The key of a call.
///
/// # Errors
/// Why it bypasses the cache.
pub(crate) async fn key_of(cache_request: &mut CacheRequest, call: &ModelCall) -> Result<Key, Bypass> {
    if let Some(key) = try_key_of(cache_request, call) {
        return key;
    }
    prepare(cache_request, call)?;
    let (endpoint, text, messages) = (call.endpoint(), call.text().clone(), call.messages_digest().cloned());
    let digest = run_blocking(move || canonical::digest(endpoint, &text, messages.as_ref()));
    Ok(cache_request.key(digest.await.unwrap_or(Err(Bypass::Unreadable))?))
}

/// The key of a call, unless it takes long to hash, which would hold up the other requests of this thread.
fn try_key_of(cache_request: &mut CacheRequest, call: &ModelCall) -> Option<Result<Key, Bypass>> {
    if let Some(key) = cache_request.key {
        return Some(Ok(key));
    }
    let (text, messages) = (call.text(), call.messages_digest());
    let known = messages.map_or(0, |messages| messages.at.len());
    if text.len() - known > READ_IN_LINE {
        return None;
    }
    let digest = prepare(cache_request, call).and_then(|()| canonical::digest(call.endpoint(), text, messages));
    Some(digest.map(|digest| cache_request.key(digest)))
}

/// Adds to the key where the call goes, before its body is hashed.
///
/// # Errors
/// Why it bypasses the cache, as far as that is known without its body.
fn prepare(cache_request: &mut CacheRequest, call: &ModelCall) -> Result<(), Bypass> {
    cache_request.follow(call.model_rule().map_err(|_| Bypass::Unreadable)?);
    let facts = call.call().ok_or(Bypass::Unreadable)?;
    if facts.duplicate_keys || !facts.other_models.is_empty() {
        return Err(Bypass::Unreadable);
    }
    if facts.token_limits.iter().any(|limit| limit.asked == Tokens::Tokens(0)) {
        return Err(Bypass::NoOutput);
    }
    Ok(())
}

/// The model that a call asks for, by which a purge finds its answer.
fn model_of(call: &ModelCall) -> Arc<str> {
    call.call().and_then(|call| call.model.as_deref()).unwrap_or_default().into()
}

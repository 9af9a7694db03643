//! The lookup of a call: a hit, a share in a call in flight, or a miss that goes upstream.

use std::sync::Arc;

use futures_util::stream;
use plugin_api::{BodyStream, Broken, Bytes, ModelCall, TokenLimitValue as Tokens, run_blocking};

use crate::ResponseCache;
use crate::bypass::Bypass;
use crate::cache_key::{CacheRequest, Key};
use crate::canonical::{self, Digest};
use crate::entry::{Entry, Epoch};
use crate::fill::Fill;
use crate::flight::{Cut, Ended, First, Follower};
use crate::flights::{Joined, Lead};
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
    Miss(Box<Fill>),
}

impl ResponseCache {
    /// Looks up the answer to a call: in memory, among the calls in flight, then in Redis.
    ///
    /// # Errors
    /// Why the call bypasses the cache.
    pub(crate) async fn lookup(&self, cache_request: &mut CacheRequest, call: &ModelCall) -> Result<Lookup, Bypass> {
        let key = key_of(cache_request, call).await?;
        if let Some(entry) = self.remembered(&key, cache_request) {
            return Ok(Lookup::Hit(entry));
        }
        let model = call.call().and_then(|call| call.model.as_deref()).unwrap_or_default();
        let lead = match self.join(key, cache_request, model).await {
            Ok(lead) => lead,
            Err(shared) => return Ok(shared),
        };
        // an earlier leader may have stored it since
        let since =
            self.memory.get(&key).filter(|entry| entry.age() < self.ttl && cache_request.control.max_age.is_none());
        let found = if since.is_some() { since } else { self.fetched(key, cache_request).await };
        if let Some(entry) = found {
            lead.flight.end(Ended::Found(entry.clone()));
            return Ok(Lookup::Hit(entry));
        }
        let shared = self.redis.as_ref().map_or(0, |redis| redis.epoch());
        let epoch = Epoch { local: self.caches.epoch(), shared };
        Ok(Lookup::Miss(Box::new(Fill::new(lead, key, cache_request, model, epoch))))
    }

    /// Becomes the leader of a call, or follows the leader that there is.
    async fn join(&self, key: Key, cache_request: &CacheRequest, model: &str) -> Result<Lead, Lookup> {
        let whose = (&*cache_request.tenant, model);
        let turns = if self.coalesce { TURNS } else { 0 };
        for _ in 0..turns {
            let mut follower = match self.caches.flights.join(key, whose, self.max_entry, cache_request.control.max_age)
            {
                Joined::Lead(lead) => return Ok(lead),
                Joined::Follow(follower) => follower,
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
        self.caches.figures.looked_in_memory(found.is_some());
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
    cache_request.follow(call.model_rule().map_err(|_| Bypass::Unreadable)?);
    Ok(cache_request.key(digest(call).await?))
}

/// The digest of a call's body, which all its spellings share.
async fn digest(call: &ModelCall) -> Result<Digest, Bypass> {
    let facts = call.call().ok_or(Bypass::Unreadable)?;
    if facts.duplicate_keys || !facts.other_models.is_empty() {
        return Err(Bypass::Unreadable);
    }
    if facts.token_limits.iter().any(|limit| limit.asked == Tokens::Tokens(0)) {
        return Err(Bypass::NoOutput);
    }
    let (endpoint, text, messages) = (call.endpoint(), call.text(), call.messages_digest());
    let known = messages.map_or(0, |messages| messages.at.len());
    if text.len() - known <= READ_IN_LINE {
        return canonical::digest(endpoint, text, messages);
    }
    // it would hold up the other requests of this thread
    let (text, messages) = (text.clone(), messages.cloned());
    let digest = run_blocking(move || canonical::digest(endpoint, &text, messages.as_ref()));
    digest.await.unwrap_or(Err(Bypass::Unreadable))
}

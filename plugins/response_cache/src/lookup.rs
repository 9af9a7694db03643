//! What becomes of a call: an answer that is kept, a share in one that is under way, or the way upstream.

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

/// The largest body that is read for its key on the thread that serves, in bytes.
const READ_IN_LINE: usize = 1 << 20;
/// How often one who waits for others that leave waits again.
const TURNS: usize = 16;

/// What becomes of a call.
pub(crate) enum Lookup {
    /// The answer that is kept.
    Hit(Arc<Entry>),
    /// The answer that is under way for another.
    Coalesced(Arc<StoredHead>, Follower),
    /// It goes upstream.
    Miss(Box<Fill>),
}

impl ResponseCache {
    /// Decides what becomes of a call.
    ///
    /// # Errors
    /// What keeps it out of the cache.
    pub(crate) async fn lookup(&self, cache_request: &mut CacheRequest, call: &ModelCall) -> Result<Lookup, Bypass> {
        let key = cache_request.key(digest(call).await?, call.adds_stream_usage());
        if let Some(entry) = self.remembered(&key, cache_request) {
            return Ok(Lookup::Hit(entry));
        }
        let model = call.call().and_then(|call| call.model.as_deref()).unwrap_or_default();
        let lead = match self.join(key, cache_request, model).await {
            Ok(lead) => lead,
            Err(shared) => return Ok(shared),
        };
        // one who led before may have put it there since
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

    /// Takes the lead of a call, or shares what another leads.
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

    /// The answer that memory has, if it will do.
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
            // its first fill may have failed, or been skipped
            redis.refill(*key, entry, self.ttl);
        }
        self.caches.figures.looked("memory", found.is_some());
        found
    }

    /// The answer that Redis has, if it will do. Memory has it, too, from now on.
    async fn fetched(&self, key: Key, cache_request: &CacheRequest) -> Option<Arc<Entry>> {
        // one who wants none of any age need not ask
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

    /// Puts an answer into memory, unless it was purged since it was asked for.
    pub(crate) fn remember(&self, key: Key, entry: &Arc<Entry>) -> bool {
        // it must not take the place of one that was asked for since
        if self.caches.purged(entry) {
            return false;
        }
        self.memory.insert(key, entry.clone());
        // once more: whoever purges notes it first and looks through the memory then
        let purged = self.caches.purged(entry);
        if purged {
            self.memory.remove(&key);
        } else {
            self.caches.figures.filled("memory", entry.body.len());
        }
        !purged
    }

    /// The body of an answer that is under way for another.
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
        BodyStream::new(pieces).with_saved(move || flight.told())
    }
}

/// What all spellings of a call share.
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
    // others of this thread need not wait for it
    let (text, messages) = (text.clone(), messages.cloned());
    let digest = run_blocking(move || canonical::digest(endpoint, &text, messages.as_ref()));
    digest.await.unwrap_or(Err(Bypass::Unreadable))
}

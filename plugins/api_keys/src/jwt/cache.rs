//! Tokens that have been verified, by their digests, so that a signature is checked once. Bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use plugin_api::Glob;

use super::Identity;
use crate::digest::Digest;

/// So many parts, each with a lock of its own.
const SHARDS: usize = 16;
/// Tokens in each part.
const PER_SHARD: usize = 1024;
/// What all of them take at most, in bytes.
pub(crate) const BYTES: u64 = (SHARDS * PER_SHARD * PER_TOKEN) as u64;
/// What one takes at most, and the part of it that is for its models. One with more is verified each time.
const PER_TOKEN: usize = 640 + MODELS;
const MODELS: usize = 1024;

/// The tokens. One digest is never found for another token: it is a SHA-256.
#[derive(Debug, Default)]
pub(super) struct Verified([Mutex<HashMap<Digest, Arc<Identity>>>; SHARDS]);

impl Verified {
    /// Whose this token is, if it was verified and its time is not over.
    pub(super) fn get(&self, digest: &Digest, now: u64) -> Option<Arc<Identity>> {
        let shard = self.shard(digest).lock().unwrap_or_else(PoisonError::into_inner);
        shard.get(digest).filter(|identity| now < identity.expires).cloned()
    }

    pub(super) fn insert(&self, digest: Digest, identity: Arc<Identity>, now: u64) {
        let models = identity.grants.models.iter().flatten();
        if models.map(|model| size_of::<Glob>() + model.as_str().len()).sum::<usize>() > MODELS {
            return;
        }
        let mut shard = self.shard(&digest).lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= PER_SHARD {
            shard.retain(|_, other| now < other.expires);
        }
        if shard.len() >= PER_SHARD {
            // whoever is still about is verified once more
            shard.clear();
        }
        shard.insert(digest, identity);
    }

    /// The provider's keys have changed: none is verified any more.
    pub(super) fn clear(&self) {
        self.0.iter().for_each(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).clear());
    }

    fn shard(&self, digest: &Digest) -> &Mutex<HashMap<Digest, Arc<Identity>>> {
        &self.0[digest.hash() % SHARDS]
    }
}

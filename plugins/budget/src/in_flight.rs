//! What is reserved for calls in progress, by the request's id: the record that settles a call knows no more of it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plugin_api::Uuid;
use quota::Reservation;

/// So many parts, each with a lock of its own.
const SHARDS: usize = 16;

/// The reservations of all calls in progress.
#[derive(Debug, Default)]
pub(crate) struct InFlight([Mutex<HashMap<Uuid, Vec<Reservation>>>; SHARDS]);

impl InFlight {
    /// Keeps what is reserved for a call.
    pub(crate) fn keep(&self, id: Uuid, reservations: Vec<Reservation>) {
        self.shard(id).insert(id, reservations);
    }

    /// What is reserved for a call, for the caller to give back.
    pub(crate) fn take(&self, id: Uuid) -> Vec<Reservation> {
        self.shard(id).remove(&id).unwrap_or_default()
    }

    fn shard(&self, id: Uuid) -> MutexGuard<'_, HashMap<Uuid, Vec<Reservation>>> {
        // the last bits are random
        let shard = usize::from(id.as_bytes()[15]) % SHARDS;
        self.0[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

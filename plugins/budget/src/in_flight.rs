//! What is reserved for calls in progress, by the request's id: the record that settles a call knows no more of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;
use plugin_api::Uuid;
use quota::Reservation;

use crate::account::Account;

/// So many parts, each with a lock of its own.
const SHARDS: usize = 16;

/// What is reserved for a call: of each of these accounts, in their order. Dropped, it is given back.
#[derive(Debug, Default)]
pub(crate) struct Held {
    accounts: Vec<Arc<Account>>,
    reservations: Vec<Reservation>,
}

impl Held {
    /// These are reserved of these accounts, in their order.
    pub(crate) fn new(accounts: Vec<Arc<Account>>, reservations: Vec<Reservation>) -> Self {
        Self { accounts, reservations }
    }

    /// What is reserved of the account that the spender with these texts has by the budget of this number, if anything is.
    pub(crate) fn take<'a>(
        &mut self,
        budget: u64,
        texts: impl Iterator<Item = Option<&'a str>> + Clone,
    ) -> Option<(Arc<Account>, Reservation)> {
        let at = self.accounts.iter().position(|account| account.is_of(budget, texts.clone()))?;
        Some((self.accounts.swap_remove(at), self.reservations.swap_remove(at)))
    }
}

/// The reservations of all calls in progress.
#[derive(Debug, Default)]
pub(crate) struct InFlight([Mutex<Shard>; SHARDS]);

type Shard = HashTable<(Uuid, Held)>;

impl InFlight {
    /// Keeps what is reserved for a call.
    pub(crate) fn keep(&self, id: Uuid, held: Held) {
        self.shard(id).insert_unique(hash(id), (id, held), |(id, _)| hash(*id));
    }

    /// What is reserved for a call, for the caller to give back.
    pub(crate) fn take(&self, id: Uuid) -> Held {
        let mut shard = self.shard(id);
        let found = shard.find_entry(hash(id), |(known, _)| *known == id);
        found.map(|entry| entry.remove().0.1).unwrap_or_default()
    }

    fn shard(&self, id: Uuid) -> MutexGuard<'_, Shard> {
        self.0[usize::from(id.as_bytes()[15]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gateway makes the ids, and their last 62 bits are random. Those that choose the shard come last.
fn hash(id: Uuid) -> u64 {
    id.as_u64_pair().1.rotate_right(8)
}

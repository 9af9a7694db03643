//! The calls in flight by their keys: the first call of a key leads, later ones follow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ahash::RandomState;

use crate::cache_key::Key;
use crate::flight::{Ended, Flight, Follower, HeldBytes};

type ByKey = HashMap<Key, Joinable, RandomState>;

/// The calls in flight.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    by_key: Mutex<ByKey>,
    held: Arc<HeldBytes>,
}

/// A call that identical calls can join.
#[derive(Debug)]
struct Joinable {
    began: Instant,
    tenant: Box<str>,
    model: Box<str>,
    flight: Arc<Flight>,
}

/// The result of joining.
#[derive(Debug)]
pub(crate) enum Joined {
    Lead(Lead),
    Follow(Follower),
}

impl Flights {
    /// Joins the call with this key, or begins one for this tenant and model. A call that began `max_age` seconds ago or earlier
    /// is not joined.
    pub(crate) fn join(
        self: &Arc<Self>,
        key: Key,
        (tenant, model): (&str, &str),
        max_entry: usize,
        max_age: Option<u64>,
    ) -> Joined {
        let mut flights = self.lock();
        let fresh = |began: Instant| max_age.is_none_or(|most| began.elapsed().as_secs() < most);
        if let Some(there) = flights.get(&key)
            && fresh(there.began)
            && let Some(follower) = there.flight.follow()
        {
            return Joined::Follow(follower);
        }
        let flight = Flight::new(max_entry, self.held.clone());
        let (tenant, model) = (tenant.into(), model.into());
        flights.insert(key, Joinable { began: Instant::now(), tenant, model, flight: flight.clone() });
        Joined::Lead(Lead { flight, place: Some((self.clone(), key)) })
    }

    /// Closes the calls whose tenant and model match: nobody joins them any more. Their followers stay.
    pub(crate) fn forget(&self, matches: impl Fn(&str, &str) -> bool) {
        self.lock().retain(|_, there| !matches(&there.tenant, &there.model));
    }

    /// A call that nobody can join.
    pub(crate) fn alone(&self, max_entry: usize) -> Lead {
        Lead { flight: Flight::new(max_entry, self.held.clone()), place: None }
    }

    /// How many calls can be joined.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// The memory of their answers, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.bytes()
    }

    fn lock(&self) -> MutexGuard<'_, ByKey> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The leader's side of a call. Dropping it ends the flight, unless it has ended, and lets the next call of the key lead.
#[derive(Debug)]
pub(crate) struct Lead {
    pub(crate) flight: Arc<Flight>,
    place: Option<(Arc<Flights>, Key)>,
}

impl Lead {
    /// Lets nobody join any more.
    pub(crate) fn close(&mut self) {
        let Some((flights, key)) = self.place.take() else { return };
        let mut flights = flights.lock();
        if flights.get(&key).is_some_and(|there| Arc::ptr_eq(&there.flight, &self.flight)) {
            flights.remove(&key);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.close();
        self.flight.end(if self.flight.has_begun() { Ended::Broken } else { Ended::Left });
    }
}

//! The calls in flight by their keys: the first call of a key leads, later ones follow.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ahash::RandomState;

use crate::cache_key::Key;
use crate::flight::{Flight, Follower, HeldBytes};

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
    tenant: Arc<str>,
    model: Arc<str>,
    flight: Arc<Flight>,
}

/// A call that looks for an identical one in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) key: Key,
    pub(crate) tenant: &'a Arc<str>,
    pub(crate) model: &'a Arc<str>,
    /// The largest answer that is buffered as a whole, in bytes.
    pub(crate) max_entry: usize,
    /// A call that began so many seconds ago or earlier is not joined. `None`: any call may be joined.
    pub(crate) max_age: Option<u64>,
}

impl Flights {
    /// Begins a call, unless there is one to follow. `Err` holds the follower, and is no failure.
    pub(crate) fn join(self: &Arc<Self>, arrival: Arrival<'_>) -> Result<Lead, Follower> {
        self.begin(arrival, Flight::follow)
    }

    /// Begins a call, unless there is one to [`join`](Self::join); `None` then.
    pub(crate) fn lead(self: &Arc<Self>, arrival: Arrival<'_>) -> Option<Lead> {
        self.begin(arrival, |there| there.can_be_followed().then_some(())).ok()
    }

    /// Begins a call, unless there is one from which `taken` takes something, which `Err` holds then.
    fn begin<T>(
        self: &Arc<Self>,
        arrival: Arrival<'_>,
        taken: impl FnOnce(&Arc<Flight>) -> Option<T>,
    ) -> Result<Lead, T> {
        let Arrival { key, tenant, model, max_entry, max_age } = arrival;
        let mut flights = self.lock();
        let fresh = |began: Instant| max_age.is_none_or(|most| began.elapsed().as_secs() < most);
        let place = flights.entry(key);
        if let Entry::Occupied(there) = &place
            && fresh(there.get().began)
            && let Some(taken) = taken(&there.get().flight)
        {
            return Err(taken);
        }
        let flight = Flight::new(max_entry, self.held.clone());
        let (tenant, model) = (tenant.clone(), model.clone());
        place.insert_entry(Joinable { began: Instant::now(), tenant, model, flight: flight.clone() });
        drop(flights);
        Ok(Lead { flight, place: Some((self.clone(), key)) })
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
        let removed = match flights.lock().entry(key) {
            Entry::Occupied(there) if Arc::ptr_eq(&there.get().flight, &self.flight) => Some(there.remove()),
            _ => None,
        };
        // it is dropped without the lock
        drop(removed);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.close();
        self.flight.leave();
    }
}

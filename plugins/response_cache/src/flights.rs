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
        whose: (&Arc<str>, &Arc<str>),
        max_entry: usize,
        max_age: Option<u64>,
    ) -> Joined {
        match self.begin(key, whose, max_entry, max_age, |there| there.follow()) {
            Ok(lead) => Joined::Lead(lead),
            Err(follower) => Joined::Follow(follower),
        }
    }

    /// Begins the call with this key for this tenant and model, unless there is one to [`join`](Self::join).
    pub(crate) fn lead(
        self: &Arc<Self>,
        key: Key,
        whose: (&Arc<str>, &Arc<str>),
        max_entry: usize,
        max_age: Option<u64>,
    ) -> Option<Lead> {
        self.begin(key, whose, max_entry, max_age, |there| there.can_be_followed().then_some(())).ok()
    }

    /// Begins the call with this key, unless there is one from which `taken` takes something.
    ///
    /// # Errors
    /// What it has taken.
    fn begin<T>(
        self: &Arc<Self>,
        key: Key,
        (tenant, model): (&Arc<str>, &Arc<str>),
        max_entry: usize,
        max_age: Option<u64>,
        taken: impl FnOnce(&Arc<Flight>) -> Option<T>,
    ) -> Result<Lead, T> {
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

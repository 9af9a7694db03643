//! The calls on their way, by their keys: who comes first leads, the others follow.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::asked::Key;
use crate::flight::{Ended, Flight, Follower, Held};

/// The calls on their way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    by_key: Mutex<HashMap<Key, (Instant, Arc<Flight>)>>,
    held: Arc<Held>,
}

/// What becomes of one who comes.
#[derive(Debug)]
pub(crate) enum Joined {
    Lead(Lead),
    Follow(Follower),
}

impl Flights {
    /// Joins the call with this key, or begins it. One that began more than so many seconds ago is not joined.
    pub(crate) fn join(self: &Arc<Self>, key: Key, max_entry: usize, max_age: Option<u64>) -> Joined {
        let mut flights = self.lock();
        let fresh = |began: Instant| max_age.is_none_or(|most| began.elapsed().as_secs() < most);
        match flights.entry(key) {
            hash_map::Entry::Occupied(mut entry) => {
                let (began, flight) = entry.get();
                if fresh(*began)
                    && let Some(follower) = flight.follow()
                {
                    return Joined::Follow(follower);
                }
                let flight = Flight::new(max_entry, self.held.clone());
                entry.insert((Instant::now(), flight.clone()));
                Joined::Lead(Lead { flight, place: Some((self.clone(), key)) })
            }
            hash_map::Entry::Vacant(entry) => {
                let flight = Flight::new(max_entry, self.held.clone());
                entry.insert((Instant::now(), flight.clone()));
                Joined::Lead(Lead { flight, place: Some((self.clone(), key)) })
            }
        }
    }

    /// A call that nobody can join.
    pub(crate) fn alone(&self, max_entry: usize) -> Lead {
        Lead { flight: Flight::new(max_entry, self.held.clone()), place: None }
    }

    /// How many there are that can be joined.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// What they hold in memory, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.bytes()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (Instant, Arc<Flight>)>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lead of a call. Dropping it ends the flight, if nothing has before, and lets the next one begin.
#[derive(Debug)]
pub(crate) struct Lead {
    pub(crate) flight: Arc<Flight>,
    place: Option<(Arc<Flights>, Key)>,
}

impl Lead {
    /// Nobody else may join any more.
    pub(crate) fn close(&mut self) {
        let Some((flights, key)) = self.place.take() else { return };
        let mut flights = flights.lock();
        if flights.get(&key).is_some_and(|(_, flight)| Arc::ptr_eq(flight, &self.flight)) {
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

//! The meters of one limit, one for each subject, in bounded memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bounded::Bounded;
use crate::limit::{Limit, Now};
use crate::meter::Meter;
use crate::subject::Subject;

/// What one meter takes of memory at most, in bytes, with its place in the map.
pub const BYTES_PER_METER: u64 = 208;
/// What a lease takes beside its meter, in bytes.
pub const BYTES_PER_LEASE: u64 = 640;

/// The meters of one limit. Subjects beyond a bound share one meter, so that neither memory grows nor a meter is lost that
/// something was used of.
#[derive(Debug)]
pub struct Meters {
    own: Bounded<Meter>,
    shared: Arc<Meter>,
    /// What is held for calls in progress, by all subjects together.
    held: Arc<AtomicU64>,
    /// Makes a meter.
    make: fn() -> Meter,
}

/// The meter of a subject.
#[derive(Debug)]
pub struct Found {
    /// The meter.
    pub meter: Arc<Meter>,
    /// Whether it is the one that subjects share for whom there is no room.
    pub is_shared: bool,
}

impl Default for Meters {
    fn default() -> Self {
        Self::of(Meter::default)
    }
}

impl Meters {
    /// The meters of a limit that is shared with other gateways.
    #[must_use]
    pub fn leased() -> Self {
        Self::of(Meter::leased)
    }

    fn of(make: fn() -> Meter) -> Self {
        let held = Arc::<AtomicU64>::default();
        Self { own: Bounded::default(), shared: Arc::new(make().counted_in(held.clone())), held, make }
    }

    /// The meter of a subject. There are at most about `max` of them; those of which nothing is used make way.
    #[must_use]
    pub fn get(&self, subject: Subject, max: usize, limit: &Limit, now: Now) -> Found {
        let is_idle = |meter: &Meter| meter.is_idle(limit, now);
        let make = || (self.make)().counted_in(self.held.clone());
        match self.own.get(subject.0, max, now.nanos, make, is_idle) {
            Some(meter) => Found { meter, is_shared: false },
            None => Found { meter: self.shared.clone(), is_shared: true },
        }
    }

    /// The meter of all those for whom there is no room.
    #[must_use]
    pub fn of_others(&self) -> &Arc<Meter> {
        &self.shared
    }

    /// What is held for calls in progress, by all subjects together.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Which part of the limit is used up of the meter that has least left of it: 0 if all of them are untouched, 1 if one is used up.
    /// What is held for calls in progress counts as used. Takes time in proportion to the number of subjects.
    #[must_use]
    pub fn used_ratio(&self, limit: &Limit, now: Now) -> f64 {
        let used = |meter: &Meter| {
            let standing = meter.standing(limit, now);
            1.0 - standing.remaining as f64 / standing.limit.max(1) as f64
        };
        let mut most = used(&self.shared);
        self.own.for_each(|meter| most = most.max(used(meter)));
        most.clamp(0.0, 1.0)
    }

    /// How many subjects have a meter of their own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.own.len()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

//! Where the meters of limits are found: those of one gateway by itself, or those that hold leases of one Redis.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use plugin_api::Window;
use quota::{Meters, Subject, Tz};

use crate::by::{By, Descriptor};
use crate::rules::{Measure, OWN};

/// How many meters there may be for one key's own limits: requests and tokens in each span of time, and calls in progress.
pub(crate) const OWN_METERS: u64 = 11;
/// Those of them that count by day or month.
pub(crate) const OWN_WINDOWS: u64 = 4;

const WINDOWS: [Window; 5] = [Window::Second, Window::Minute, Window::Hour, Window::Day, Window::Month];

/// Which limit meters belong to: with the same of all of this, a limit goes on with the counts of another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MetersOf {
    pub(crate) name: Arc<str>,
    pub(crate) by: By,
    pub(crate) measure: Measure,
    pub(crate) window: Option<Window>,
}

impl MetersOf {
    /// Its name among the limits of all gateways. Those of another time zone have other days and months.
    pub(crate) fn shared_name(&self, time_zone: Tz) -> Subject {
        let window = self.window.map(|window| window.to_string()).unwrap_or_default();
        let time_zone = match self.window {
            Some(Window::Day | Window::Month) => time_zone.name(),
            _ => "",
        };
        Subject::of([&*self.name, &self.by.to_string(), self.measure.reason(), &window, time_zone])
    }
}

/// The meters of the limits in force.
#[derive(Debug)]
pub(crate) struct AllMeters {
    /// Makes the meters of a limit.
    make: fn() -> Meters,
    of_limits: Mutex<HashMap<MetersOf, Weak<Meters>>>,
    /// Of the limits that keys have of their own.
    own: [(MetersOf, Arc<Meters>); OWN_METERS as usize],
}

impl AllMeters {
    pub(crate) fn new(make: fn() -> Meters) -> Self {
        let name: Arc<str> = OWN.into();
        let own = std::array::from_fn(|place| {
            let (measure, window) = match place {
                0..5 => (Measure::Requests, Some(WINDOWS[place])),
                5..10 => (Measure::Tokens, Some(WINDOWS[place - 5])),
                _ => (Measure::Concurrent, None),
            };
            let of = MetersOf { name: name.clone(), by: By(vec![Descriptor::Key]), measure, window };
            (of, Arc::new(make()))
        });
        Self { make, of_limits: Mutex::default(), own }
    }

    /// The meters of a limit: those there are, as long as some configuration in use has it.
    pub(crate) fn of(&self, of: MetersOf) -> Arc<Meters> {
        let mut all = self.of_limits.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, meters| meters.strong_count() > 0);
        if let Some(meters) = all.get(&of).and_then(Weak::upgrade) {
            return meters;
        }
        let meters = Arc::new((self.make)());
        all.insert(of, Arc::downgrade(&meters));
        meters
    }

    /// What is held for calls in progress, of each limit on tokens or on calls in progress.
    pub(crate) fn held(&self) -> Vec<(Arc<str>, Measure, u64)> {
        let of_limits: Vec<_> = {
            let all = self.of_limits.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().filter_map(|(of, meters)| Some((of.clone(), meters.upgrade()?))).collect()
        };
        let own = self.own.iter().filter(|(_, meters)| !meters.is_empty()).cloned();
        let all = of_limits.into_iter().chain(own).filter(|(of, _)| !of.measure.is_spent());
        all.map(|(of, meters)| (of.name, of.measure, meters.held())).collect()
    }

    /// The place of a limit that keys have of their own.
    pub(crate) fn own_place(measure: Measure, window: Option<Window>) -> usize {
        let place = window.and_then(|window| WINDOWS.iter().position(|one| *one == window)).unwrap_or_default();
        match measure {
            Measure::Requests => place,
            Measure::Tokens => WINDOWS.len() + place,
            Measure::Concurrent => 2 * WINDOWS.len(),
        }
    }

    /// The meters of a limit that keys have of their own, by its place.
    pub(crate) fn own(&self, place: usize) -> &Arc<Meters> {
        &self.own[place].1
    }

    /// The names of all of these.
    pub(crate) fn own_names(&self, time_zone: Tz) -> Arc<[Subject]> {
        self.own.iter().map(|(of, _)| of.shared_name(time_zone)).collect()
    }
}

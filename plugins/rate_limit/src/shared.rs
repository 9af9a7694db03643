//! What outlives reloads: the meters of every limit that is in force, what was learned of calls, and the clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use plugin_api::Window;
use plugin_api::prometheus::core::Collector;
use quota::{Estimates, Meters, Now};

use crate::by::By;
use crate::figures::Figures;
use crate::rules::{Measure, OWN};

/// How many meters there may be for one key's own limits: requests and tokens in each span of time, and calls in progress.
pub(crate) const OWN_METERS: u64 = 11;

/// What limits keep across reloads.
#[derive(Debug)]
pub struct Shared {
    began: Instant,
    meters: Mutex<HashMap<MetersOf, Weak<Meters>>>,
    /// Of the limits that keys have of their own.
    own: [Arc<Meters>; OWN_METERS as usize],
    own_name: Arc<str>,
    pub(crate) estimates: Estimates,
    pub(crate) figures: Figures,
}

/// Which limit meters belong to: with the same of all of this, a limit goes on with the counts of another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MetersOf {
    pub(crate) name: Arc<str>,
    pub(crate) by: By,
    pub(crate) measure: Measure,
    pub(crate) window: Option<Window>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            meters: Mutex::default(),
            own: std::array::from_fn(|_| Arc::default()),
            own_name: OWN.into(),
            estimates: Estimates::default(),
            figures: Figures::default(),
        }
    }
}

impl plugin_api::Shared for Shared {
    fn collectors(self: &Arc<Self>) -> Vec<Box<dyn Collector>> {
        self.figures.collectors()
    }
}

impl Shared {
    /// The time.
    pub(crate) fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Now {
            nanos: u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX),
            unix: i64::try_from(unix).unwrap_or(i64::MAX),
        }
    }

    /// The meters of a limit: those there are, as long as some configuration in use has it.
    pub(crate) fn meters(&self, of: MetersOf) -> Arc<Meters> {
        let mut all = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, meters| meters.strong_count() > 0);
        if let Some(meters) = all.get(&of).and_then(Weak::upgrade) {
            return meters;
        }
        let meters = Arc::<Meters>::default();
        all.insert(of, Arc::downgrade(&meters));
        meters
    }

    /// The meters of a limit that keys have of their own.
    pub(crate) fn own_meters(&self, measure: Measure, window: Option<Window>) -> Arc<Meters> {
        let window = match window {
            None | Some(Window::Second) => 0,
            Some(Window::Minute) => 1,
            Some(Window::Hour) => 2,
            Some(Window::Day) => 3,
            Some(Window::Month) => 4,
        };
        let place = match measure {
            Measure::Requests => window,
            Measure::Tokens => 5 + window,
            Measure::Concurrent => 10,
        };
        self.own[place].clone()
    }

    /// The name of the limits that keys have of their own.
    pub(crate) fn own_name(&self) -> Arc<str> {
        self.own_name.clone()
    }
}

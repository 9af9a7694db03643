//! What outlives reloads: the meters of every limit that is in force, the Redis that they are shared through, what was learned of
//! calls, and the clock.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use plugin_api::prometheus::core::Collector;
use plugin_api::{Common, JournalIn, LedgerId, OpenLedger, SpendingReader, Spent, StoredCounts, Uuid, Window};
use quota::{Clock, Estimates, Limit, LocalSubjects, Meters, Now, Subject, Tz};
use quota_leases::{LeaseConfig, Leases};

use crate::figures::{Figures, MetersCollector};
use crate::meters::{AllMeters, MetersOf};
use crate::rules::{Measure, OWN, Rule};
use crate::saved::SavedCounts;
use crate::settings;

/// What limits keep across reloads.
#[derive(Debug)]
pub struct Shared {
    clock: Arc<Clock>,
    alone: Arc<AllMeters>,
    through_redis: Mutex<Vec<(LeaseConfig, Weak<ThroughRedis>)>>,
    own_name: Arc<str>,
    pub(crate) subjects: LocalSubjects,
    pub(crate) estimates: Estimates,
    pub(crate) figures: Figures,
    pub(crate) saved: SavedCounts,
    in_force: Mutex<Vec<InForce>>,
}

/// A limit that this gateway counts by itself.
#[derive(Debug)]
struct InForce {
    name: Arc<str>,
    measure: Measure,
    limit: Limit,
    meters: Weak<Meters>,
}

/// The limits that gateways share through one Redis.
#[derive(Debug)]
pub(crate) struct ThroughRedis {
    leases: Arc<Leases>,
    meters: Arc<AllMeters>,
}

/// How the limits of one configuration are counted.
#[derive(Clone, Debug)]
pub(crate) struct Counting {
    pub(crate) meters: Arc<AllMeters>,
    redis: Option<Arc<ThroughRedis>>,
    time_zone: Tz,
    /// The names of the limits that keys have of their own, in the order of their meters.
    own_names: Arc<[Subject]>,
}

/// The meters of a limit, and its name where others have to know it.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) meters: Arc<Meters>,
    /// Among the limits of all gateways, where they share them.
    pub(crate) shared_name: Option<Subject>,
    /// In what outlives a restart, where this gateway counts days or months by itself.
    pub(crate) saved_name: Option<Subject>,
}

impl Counting {
    /// The counts of a limit.
    pub(crate) fn of(&self, of: MetersOf) -> Counts {
        let (name, window) = (of.shared_name(self.time_zone), of.window);
        self.counts(self.meters.of(of), name, window)
    }

    /// The counts of a limit that keys have of their own.
    pub(crate) fn own(&self, measure: Measure, window: Option<Window>) -> Counts {
        let place = AllMeters::own_place(measure, window);
        self.counts(self.meters.own(place).clone(), self.own_names[place], window)
    }

    fn counts(&self, meters: Arc<Meters>, name: Subject, window: Option<Window>) -> Counts {
        let is_saved = self.redis.is_none() && window.is_some_and(settings::is_saved);
        Counts { meters, shared_name: self.redis.as_ref().map(|_| name), saved_name: is_saved.then_some(name) }
    }

    pub(crate) fn leases(&self) -> Option<&Arc<Leases>> {
        self.redis.as_ref().map(|redis| &redis.leases)
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            clock: Arc::default(),
            alone: Arc::new(AllMeters::new(Meters::default)),
            through_redis: Mutex::default(),
            own_name: OWN.into(),
            subjects: LocalSubjects::default(),
            estimates: Estimates::default(),
            figures: Figures::default(),
            saved: SavedCounts::default(),
            in_force: Mutex::default(),
        }
    }
}

impl plugin_api::Shared for Shared {
    fn collectors(self: &Arc<Self>) -> Vec<Box<dyn Collector>> {
        let held: Box<dyn Collector> = Box::new(MetersCollector::new(self));
        self.figures.collectors().into_iter().chain([held]).collect()
    }

    fn finish(&self, deadline: Instant) {
        let all = self.through_redis.lock().unwrap_or_else(PoisonError::into_inner);
        for redis in all.iter().filter_map(|(_, redis)| redis.upgrade()) {
            redis.leases.finish(deadline);
        }
    }
}

impl SpendingReader for Shared {
    fn opened(&self, ledger: &OpenLedger, begins: bool) {
        self.saved.opened(ledger, begins);
    }

    fn spent(&self, spent: &Spent<'_>) {
        if spent.is_old {
            self.saved.replayed(spent);
        } else if spent.is_adopted {
            self.saved.adopted(spent, self.now());
        } else {
            self.saved.spent(spent);
        }
    }

    fn caught_up(&self, ledger: LedgerId) {
        self.saved.caught_up(ledger, self.now());
    }

    fn goes_on(&self, ledger: LedgerId, run: Uuid, _: JournalIn) {
        self.saved.goes_on(ledger, run);
    }

    fn stored(&self, ledger: LedgerId, _: Option<u64>, records: &[StoredCounts<'_>]) {
        self.saved.stored(ledger, records, self.now());
    }

    fn idle(&self, ledger: LedgerId) {
        self.saved.idle(ledger, self.now().unix);
    }
}

impl Shared {
    /// Reads what the ledgers report, from now on.
    pub(crate) fn subscribe(self: &Arc<Self>, common: &Common) {
        let reader: Weak<Self> = Arc::downgrade(self);
        common.spending.subscribe(reader);
    }

    /// The time.
    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// How limits are counted: by this gateway alone, or together with others.
    pub(crate) fn counting(&self, redis: Option<LeaseConfig>, time_zone: Tz) -> io::Result<Counting> {
        let redis = redis.map(|config| self.through_redis(config)).transpose()?;
        let meters = redis.as_ref().map_or(&self.alone, |redis| &redis.meters).clone();
        let own_names = meters.own_names(time_zone);
        Ok(Counting { meters, redis, time_zone, own_names })
    }

    /// The link there is, as long as some configuration in use has it.
    fn through_redis(&self, config: LeaseConfig) -> io::Result<Arc<ThroughRedis>> {
        let mut all = self.through_redis.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, redis)| redis.strong_count() > 0);
        if let Some(redis) = all.iter().find(|(known, _)| *known == config).and_then(|(_, redis)| redis.upgrade()) {
            return Ok(redis);
        }
        let figures = self.figures.clone();
        let leases = Leases::start(config.clone(), self.clock.clone(), move |event| figures.of_redis(event))?;
        let redis = Arc::new(ThroughRedis { leases, meters: Arc::new(AllMeters::new(Meters::leased)) });
        all.push((config, Arc::downgrade(&redis)));
        Ok(redis)
    }

    /// What is held for calls in progress, by this gateway alone and through every Redis.
    pub(crate) fn held(&self) -> Vec<(Arc<str>, Measure, u64)> {
        let shared: Vec<_> = {
            let all = self.through_redis.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().filter_map(|(_, redis)| redis.upgrade()).collect()
        };
        let shared = shared.iter().flat_map(|redis| redis.meters.held());
        self.alone.held().into_iter().chain(shared).collect()
    }

    /// A limit is in force. One with the same meters is replaced, since a reload may have changed it.
    pub(crate) fn put_in_force(&self, name: &Arc<str>, rule: &Rule) {
        let Rule { measure, limit, ref meters, .. } = *rule;
        let mut all = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.meters.strong_count() > 0 && other.meters.as_ptr() != Arc::as_ptr(meters));
        all.push(InForce { name: name.clone(), measure, limit, meters: Arc::downgrade(meters) });
    }

    /// Which part is used of each limit that this gateway counts by itself, by the caller who has least left.
    pub(crate) fn used_ratios(&self) -> Vec<(Arc<str>, Measure, f64)> {
        let now = self.now();
        let all = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let there = all.iter().filter_map(|one| Some((one, one.meters.upgrade()?)));
        there.map(|(one, meters)| (one.name.clone(), one.measure, meters.used_ratio(&one.limit, now))).collect()
    }

    /// The name of the limits that keys have of their own.
    pub(crate) fn own_name(&self) -> Arc<str> {
        self.own_name.clone()
    }
}

//! What limits count of themselves, for `/metrics`. Labels come from the YAML alone.

use std::fmt;
use std::sync::{Arc, Weak};

use plugin_api::constant_metric;
use plugin_api::prometheus::core::{Collector, Desc};
use plugin_api::prometheus::proto::MetricFamily;
use plugin_api::prometheus::{GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts};
use quota_leases::LeaseEvent;

use crate::shared::Shared;

/// What limits count of themselves.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    shared_bucket: IntCounterVec,
    draws: IntCounterVec,
    redis_down: IntGauge,
}

/// What is held for calls in progress, and which part of limits is used. Meters know it: it is read when somebody asks.
pub(crate) struct MetersCollector {
    shared: Weak<Shared>,
    held: IntGaugeVec,
    used: GaugeVec,
}

impl Default for Figures {
    fn default() -> Self {
        let shared = Opts::new(
            "tollgate_limit_shared_bucket_total",
            "Requests counted together with those of other callers because max_subjects was reached",
        );
        let draws = Opts::new(
            "tollgate_limit_draws_total",
            "Commands to Redis by which leases of limits are drawn, renewed or given back, by what came of them",
        );
        let down = "Whether Redis fails, so that limits go by on_redis_down";
        Self {
            draws: constant_metric(IntCounterVec::new(draws, &["result"])),
            redis_down: constant_metric(IntGauge::new("tollgate_limit_redis_down", down)),
            shared_bucket: constant_metric(IntCounterVec::new(shared, &["limit"])),
        }
    }
}

impl Figures {
    /// A limit has no room for a caller of its own.
    pub(crate) fn shared_bucket(&self, limit: &str) {
        self.shared_bucket.with_label_values(&[limit]).inc();
    }

    /// What became of the sharing of limits.
    pub(crate) fn of_redis(&self, event: LeaseEvent) {
        let result = match event {
            LeaseEvent::Failing(is_failing) => return self.redis_down.set(is_failing.into()),
            LeaseEvent::Granted => "granted",
            LeaseEvent::Exhausted => "exhausted",
            LeaseEvent::Unanswered(why) => why,
        };
        self.draws.with_label_values(&[result]).inc();
    }

    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.shared_bucket.clone()), Box::new(self.draws.clone()), Box::new(self.redis_down.clone())]
    }
}

impl MetersCollector {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let held = Opts::new("tollgate_limit_reserved", "Tokens, or calls, held for calls in progress");
        let used = Opts::new(
            "tollgate_limit_used_ratio",
            "The part of a limit that is used up, of the caller with least left",
        );
        Self {
            shared: Arc::downgrade(shared),
            held: constant_metric(IntGaugeVec::new(held, &["limit", "measure"])),
            used: constant_metric(GaugeVec::new(used, &["limit", "measure"])),
        }
    }
}

impl Collector for MetersCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.held.desc().into_iter().chain(self.used.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(shared) = self.shared.upgrade() else { return Vec::new() };
        self.held.reset();
        for (limit, measure, held) in shared.held() {
            let gauge = self.held.with_label_values(&[&*limit, measure.reason()]);
            gauge.add(i64::try_from(held).unwrap_or(i64::MAX));
        }
        self.used.reset();
        for (limit, measure, ratio) in shared.used_ratios() {
            // several limits may have one name
            let gauge = self.used.with_label_values(&[&*limit, measure.reason()]);
            gauge.set(gauge.get().max(ratio));
        }
        self.held.collect().into_iter().chain(self.used.collect()).collect()
    }
}

impl fmt::Debug for MetersCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetersCollector")
    }
}

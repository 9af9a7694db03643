//! What limits count of themselves, for `/metrics`. Labels come from the YAML alone.

use plugin_api::constant_metric;
use plugin_api::prometheus::core::Collector;
use plugin_api::prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts};
use quota_leases::LeaseEvent;

/// What limits count of themselves.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    shared_bucket: IntCounterVec,
    reserved: IntGaugeVec,
    draws: IntCounterVec,
    redis_down: IntGauge,
}

/// An amount that is shown as held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    gauge: IntGauge,
    amount: i64,
}

impl Default for Figures {
    fn default() -> Self {
        let shared = Opts::new(
            "tollgate_limit_shared_bucket_total",
            "Requests counted together with those of other callers because max_subjects was reached",
        );
        let reserved = Opts::new("tollgate_limit_reserved", "Tokens, or calls, held for calls in progress");
        let draws = Opts::new(
            "tollgate_limit_draws_total",
            "Commands to Redis by which leases of limits are drawn, renewed or given back, by what came of them",
        );
        let down = "Whether Redis fails, so that limits go by on_redis_down";
        Self {
            draws: constant_metric(IntCounterVec::new(draws, &["result"])),
            redis_down: constant_metric(IntGauge::new("tollgate_limit_redis_down", down)),
            shared_bucket: constant_metric(IntCounterVec::new(shared, &["limit"])),
            reserved: constant_metric(IntGaugeVec::new(reserved, &["limit", "measure"])),
        }
    }
}

impl Figures {
    /// A limit has no room for a caller of its own.
    pub(crate) fn shared_bucket(&self, limit: &str) {
        self.shared_bucket.with_label_values(&[limit]).inc();
    }

    /// What is held of a limit.
    pub(crate) fn held(&self, limit: &str, measure: &str) -> IntGauge {
        self.reserved.with_label_values(&[limit, measure])
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
        vec![
            Box::new(self.shared_bucket.clone()),
            Box::new(self.reserved.clone()),
            Box::new(self.draws.clone()),
            Box::new(self.redis_down.clone()),
        ]
    }
}

impl Held {
    pub(crate) fn new(gauge: IntGauge, amount: u64) -> Self {
        let amount = i64::try_from(amount).unwrap_or(i64::MAX);
        gauge.add(amount);
        Self { gauge, amount }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.sub(self.amount);
    }
}

//! What plugins share with each other, whichever of them a build has: each names the contract, and none another plugin.

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{IntCounterVec, Opts};

use crate::{BudgetUse, LateBooks, Spending, Telemetry, Upstreams, constant_metric};

/// What all plugins of a gateway share, for as long as the process runs.
#[derive(Debug, Default)]
pub struct Common {
    /// What calls cost, from the plugin that records it to those that limit it.
    pub spending: Spending,
    /// What callers have spent of their budgets.
    pub budget_use: BudgetUse,
    /// Where spans go, as the configuration in force says.
    pub telemetry: Telemetry,
    /// The upstreams, for requests of a plugin's own.
    pub upstreams: Upstreams,
    /// The ledgers, for answers of batches that no client waits for.
    pub late_books: LateBooks,
    /// Requests that a limit refused.
    pub rejections: Arc<LimitRejections>,
}

/// `tollgate_limit_rejections_total`: requests refused by a limit, by the limit's name and what ran out. Both come from the
/// configuration or from the code.
#[derive(Debug)]
pub struct LimitRejections(IntCounterVec);

impl Default for LimitRejections {
    fn default() -> Self {
        let options = Opts::new("tollgate_limit_rejections_total", "Requests refused by a limit, by what ran out");
        Self(constant_metric(IntCounterVec::new(options, &["limit", "reason"])))
    }
}

impl LimitRejections {
    /// Begins a series at 0, so that its first refusal is an increase.
    pub fn begin(&self, limit: &str, reason: &str) {
        self.0.with_label_values(&[limit, reason]);
    }

    /// Counts a refusal.
    pub fn count(&self, limit: &str, reason: &str) {
        self.0.with_label_values(&[limit, reason]).inc();
    }

    /// The metric.
    #[must_use]
    pub fn collector(&self) -> Box<dyn Collector> {
        Box::new(self.0.clone())
    }
}

//! The metrics of the ledgers. Does not know what it counts.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use plugin_api::constant_metric;
use prometheus::core::Collector;
use prometheus::{CounterVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts};

use crate::StoreMetrics;

/// What models without any price go by: their names are what a client or an upstream made up.
const OTHER: &str = "other";

/// The metrics of all ledgers of a gateway together.
#[derive(Debug)]
pub(crate) struct LedgerMetrics {
    lost: IntCounterVec,
    lost_corrections: IntCounter,
    unpriced: IntCounterVec,
    cost: CounterVec,
    /// The tenants that have a label of their own.
    tenants: Mutex<HashSet<Box<str>>>,
    rows: IntCounterVec,
    rejected: IntCounter,
    store_errors: IntCounterVec,
    batch: Histogram,
    store: StoreMetrics,
}

impl LedgerMetrics {
    pub(crate) fn new() -> Self {
        let lost = counters("tollgate_ledger_lost_total", "What the ledger could not keep", "kind");
        for kind in ["row", "body", "damaged"] {
            // begins at 0, or the first of them would be no rise
            lost.with_label_values(&[kind]);
        }
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let batch =
            HistogramOpts::new("tollgate_ledger_batch_seconds", "How long the database took for a batch of rows");
        Self {
            lost,
            lost_corrections: constant_metric(IntCounter::new(
                "tollgate_ledger_lost_corrections_total",
                "Rows that stay as they were predicted, since what became of them is lost",
            )),
            unpriced: counters(
                "tollgate_ledger_unpriced_total",
                "Answers whose price is not known, by the name under which their model has one for others",
                "model",
            ),
            cost: constant_metric(CounterVec::new(
                Opts::new("tollgate_cost_usd_total", "What answers cost, in US dollars, by the ledger's rows"),
                &["tenant", "model"],
            )),
            tenants: Mutex::default(),
            rows: counters("tollgate_ledger_rows_total", "Rows that the database has taken", "result"),
            rejected: constant_metric(IntCounter::new(
                "tollgate_ledger_rejected_total",
                "Rows that the database refused while it took others, and that are quarantined",
            )),
            store_errors: counters("tollgate_ledger_store_errors_total", "What the database could not do", "kind"),
            batch: constant_metric(Histogram::with_opts(batch.buckets(buckets))),
            store: constant_metric(StoreMetrics::new()),
        }
    }

    /// All of them, to be shown.
    pub(crate) fn all(&self) -> [&dyn Collector; 9] {
        let Self { lost, lost_corrections, unpriced, cost, rows, rejected, store_errors, batch, store, .. } = self;
        [lost, lost_corrections, unpriced, cost, rows, rejected, store_errors, batch, store]
    }

    /// What the database's work is counted in.
    pub(crate) fn store(&self) -> &StoreMetrics {
        &self.store
    }

    /// So much could not be kept.
    pub(crate) fn lost(&self, kind: &str, count: u64) {
        self.lost.with_label_values(&[kind]).inc_by(count);
    }

    /// So many rows were kept as they were predicted, and what became of them could not be.
    pub(crate) fn lost_corrections(&self, count: u64) {
        self.lost_corrections.inc_by(count);
    }

    #[cfg(test)]
    pub(crate) fn lost_so_far(&self, kind: &str) -> u64 {
        self.lost.with_label_values(&[kind]).get()
    }

    /// An answer has no cost, of a model with a price under this name, or of one without.
    pub(crate) fn unpriced(&self, name: Option<&str>) {
        self.unpriced.with_label_values(&[name.unwrap_or(OTHER)]).inc();
    }

    /// An answer has a cost, of a model with a price under this name. The first tenants have a label of their own, so many of them.
    pub(crate) fn cost(&self, tenant: Option<&str>, most_tenants: usize, name: Option<&str>, picos: i64) {
        let tenant = match tenant {
            Some(tenant) if most_tenants > 0 => {
                let mut known = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
                let has_room = known.len() < most_tenants;
                let is_known = known.contains(tenant) || (has_room && known.insert(tenant.into()));
                if is_known { tenant } else { OTHER }
            }
            _ => "",
        };
        self.cost.with_label_values(&[tenant, name.unwrap_or(OTHER)]).inc_by(picos as f64 / 1e12);
    }

    /// A batch is in the database.
    pub(crate) fn written(&self, new: u64, known: u64, took: Duration) {
        self.rows.with_label_values(&["new"]).inc_by(new);
        self.rows.with_label_values(&["known"]).inc_by(known);
        self.batch.observe(took.as_secs_f64());
    }

    /// A row was quarantined.
    pub(crate) fn rejected(&self) {
        self.rejected.inc();
    }

    /// The database could not do what it was asked.
    pub(crate) fn store_failed(&self, kind: &str) {
        self.store_errors.with_label_values(&[kind]).inc();
    }
}

fn counters(name: &str, help: &str, label: &str) -> IntCounterVec {
    constant_metric(IntCounterVec::new(Opts::new(name, help), &[label]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tenants_have_a_label_where_that_is_configured_and_all_others_share_one() {
        let metrics = LedgerMetrics::new();
        metrics.cost(Some("team-a"), 0, Some("m"), 500_000_000_000);
        for number in 0..1000 {
            metrics.cost(Some(&format!("team-{number}")), 2, Some("m"), 1_000_000_000_000);
        }
        metrics.cost(None, 2, None, 1);
        let cost = |tenant: &str| metrics.cost.with_label_values(&[tenant, "m"]).get();
        assert_eq!([cost(""), cost("team-0"), cost("team-1"), cost(OTHER)], [0.5, 1.0, 1.0, 998.0]);
        assert_eq!(metrics.cost.collect()[0].get_metric().len(), 5);
    }
}

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
    consumed: IntCounterVec,
    consumer_lost: IntCounterVec,
    consumer_rejected: IntCounterVec,
    consumer_errors: IntCounterVec,
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
            consumed: counters(
                "tollgate_ledger_consumer_rows_total",
                "Rows that a consumer of the journal besides the database has delivered",
                "consumer",
            ),
            consumer_lost: counters(
                "tollgate_ledger_consumer_lost_total",
                "Rows that a consumer has lost, since the journal could not keep them for it",
                "consumer",
            ),
            consumer_rejected: counters(
                "tollgate_ledger_consumer_rejected_total",
                "What a consumer delivered and the other side will never take: spans, rows",
                "consumer",
            ),
            consumer_errors: constant_metric(IntCounterVec::new(
                Opts::new(
                    "tollgate_ledger_consumer_errors_total",
                    "Deliveries of a consumer that failed, and are tried again",
                ),
                &["consumer", "kind"],
            )),
        }
    }

    /// All of them, to be shown.
    pub(crate) fn all(&self) -> [&dyn Collector; 13] {
        let Self { lost, lost_corrections, unpriced, cost, rows, rejected, store_errors, batch, store, .. } = self;
        let Self { consumed, consumer_lost, consumer_rejected, consumer_errors, .. } = self;
        [
            lost,
            lost_corrections,
            unpriced,
            cost,
            rows,
            rejected,
            store_errors,
            batch,
            store,
            consumed,
            consumer_lost,
            consumer_rejected,
            consumer_errors,
        ]
    }

    /// A consumer is at work: its series begin at 0, or the first loss would be no rise.
    pub(crate) fn consumer_begins(&self, consumer: &str) {
        for counter in [&self.consumed, &self.consumer_lost, &self.consumer_rejected] {
            counter.with_label_values(&[consumer]);
        }
    }

    /// A consumer has delivered so many rows.
    pub(crate) fn consumed(&self, consumer: &str, rows: u64) {
        self.consumed.with_label_values(&[consumer]).inc_by(rows);
    }

    /// A consumer has lost so many rows.
    pub(crate) fn consumer_lost(&self, consumer: &str, rows: u64) {
        self.consumer_lost.with_label_values(&[consumer]).inc_by(rows);
    }

    /// The other side of a consumer will never take so much.
    pub(crate) fn consumer_rejected(&self, consumer: &str, rejected: u64) {
        self.consumer_rejected.with_label_values(&[consumer]).inc_by(rejected);
    }

    /// A delivery of a consumer has failed.
    pub(crate) fn consumer_failed(&self, consumer: &str, kind: &str) {
        self.consumer_errors.with_label_values(&[consumer, kind]).inc();
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

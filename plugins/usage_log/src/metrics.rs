//! What a ledger counts, as Prometheus reads it. Counts what it is told.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts};

use crate::StoreMetrics;
use crate::ledgers::Ledger;

/// As many models without a price have a label of their own.
const MODELS: usize = 100;
/// What the others go by.
const OTHER: &str = "other";

/// The figures of all ledgers of a gateway together.
#[derive(Debug)]
pub(crate) struct Figures {
    lost: IntCounterVec,
    unpriced: IntCounterVec,
    unpriced_models: Mutex<HashSet<String>>,
    rows: IntCounterVec,
    rejected: IntCounter,
    store_errors: IntCounterVec,
    batch: Histogram,
    store: StoreMetrics,
}

impl Figures {
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
            unpriced: counters("tollgate_ledger_unpriced_total", "Answers of models whose price is not known", "model"),
            unpriced_models: Mutex::default(),
            rows: counters("tollgate_ledger_rows_total", "Rows that the database has taken", "result"),
            rejected: sound(IntCounter::new(
                "tollgate_ledger_rejected_total",
                "Rows that the database will never take",
            )),
            store_errors: counters("tollgate_ledger_store_errors_total", "What the database could not do", "kind"),
            batch: sound(Histogram::with_opts(batch.buckets(buckets))),
            store: sound(StoreMetrics::new()),
        }
    }

    /// What the database's work is counted in.
    pub(crate) fn store(&self) -> &StoreMetrics {
        &self.store
    }

    /// So much could not be kept.
    pub(crate) fn lost(&self, kind: &str, count: u64) {
        self.lost.with_label_values(&[kind]).inc_by(count);
    }

    #[cfg(test)]
    pub(crate) fn lost_so_far(&self, kind: &str) -> u64 {
        self.lost.with_label_values(&[kind]).get()
    }

    /// An answer of this model has no cost.
    pub(crate) fn unpriced(&self, model: &str) {
        let mut known = self.unpriced_models.lock().unwrap_or_else(PoisonError::into_inner);
        // the name is what a client wrote: there may be any number of them
        let label = if known.contains(model) {
            model
        } else if known.len() < MODELS {
            known.insert(model.to_owned());
            model
        } else {
            OTHER
        };
        self.unpriced.with_label_values(&[label]).inc();
    }

    /// A batch is in the database.
    pub(crate) fn written(&self, new: u64, known: u64, took: Duration) {
        self.rows.with_label_values(&["new"]).inc_by(new);
        self.rows.with_label_values(&["known"]).inc_by(known);
        self.batch.observe(took.as_secs_f64());
    }

    /// A row was put aside.
    pub(crate) fn rejected(&self) {
        self.rejected.inc();
    }

    /// The database could not do what it was asked.
    pub(crate) fn store_failed(&self, kind: &str) {
        self.store_errors.with_label_values(&[kind]).inc();
    }
}

/// The figures, with what the ledgers hold at the moment.
pub(crate) struct LedgerCollector {
    figures: Arc<Figures>,
    ledgers: Arc<Mutex<Vec<Arc<Ledger>>>>,
    queue: IntGauge,
    bytes: IntGauge,
    age: IntGauge,
}

impl LedgerCollector {
    pub(crate) fn new(figures: Arc<Figures>, ledgers: Arc<Mutex<Vec<Arc<Ledger>>>>) -> Self {
        let gauge = |name: &str, help: &str| sound(IntGauge::new(name, help));
        Self {
            figures,
            ledgers,
            queue: gauge("tollgate_ledger_queue_rows", "Rows that wait in the journal for the database"),
            bytes: gauge("tollgate_ledger_journal_bytes", "What the journal takes on the disk"),
            age: gauge(
                "tollgate_ledger_last_shipped_age_seconds",
                "How long rows have waited without any progress; 0 if none waits",
            ),
        }
    }

    fn counted(&self) -> [&dyn Collector; 10] {
        let Figures { lost, unpriced, rows, rejected, store_errors, batch, store, .. } = &*self.figures;
        [lost, unpriced, rows, rejected, store_errors, batch, store, &self.queue, &self.bytes, &self.age]
    }
}

impl Collector for LedgerCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.counted().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut rows, mut bytes, mut age) = (0, 0, Duration::ZERO);
        let now = Instant::now();
        for ledger in &*self.ledgers.lock().unwrap_or_else(PoisonError::into_inner) {
            rows += ledger.waiting();
            bytes += ledger.journal_bytes();
            age = age.max(ledger.stuck_for(now));
        }
        let whole = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
        self.queue.set(whole(rows));
        self.bytes.set(whole(bytes));
        self.age.set(whole(age.as_secs()));
        self.counted().into_iter().flat_map(Collector::collect).collect()
    }
}

fn counters(name: &str, help: &str, label: &str) -> IntCounterVec {
    sound(IntCounterVec::new(Opts::new(name, help), &[label]))
}

/// Names and labels are constants, so that they are wrong can only show at the first start ever.
#[expect(clippy::expect_used, reason = "a constant that is wrong is a fault of this file")]
fn sound<T>(metric: prometheus::Result<T>) -> T {
    metric.expect("the names of metrics are sound")
}

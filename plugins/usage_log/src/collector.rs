//! What the ledgers count, for `/metrics`, with what they hold at each scrape.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plugin_api::constant_metric;
use prometheus::IntGauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::ledgers::{Ledger, Ledgers};
use crate::metrics::LedgerMetrics;

/// The metrics, with what the ledgers hold at the moment.
#[derive(Debug)]
pub(crate) struct LedgerCollector {
    metrics: Arc<LedgerMetrics>,
    ledgers: Arc<Mutex<Vec<Arc<Ledger>>>>,
    queue: IntGauge,
    unknown: IntGauge,
    bytes: IntGauge,
    age: IntGauge,
}

impl LedgerCollector {
    /// The metrics of these ledgers.
    pub(crate) fn new(ledgers: &Ledgers) -> Self {
        let gauge = |name: &str, help: &str| constant_metric(IntGauge::new(name, help));
        Self {
            metrics: ledgers.metrics.clone(),
            ledgers: ledgers.active.clone(),
            queue: gauge("tollgate_ledger_queue_rows", "Rows that wait in the journal for the database"),
            unknown: gauge(
                "tollgate_ledger_unknown_records",
                "Records of a later release that stay in the journal until that release is started",
            ),
            bytes: gauge("tollgate_ledger_journal_bytes", "What the journal takes on the disk"),
            age: gauge(
                "tollgate_ledger_last_shipped_age_seconds",
                "How long rows have waited without any progress; 0 if none waits",
            ),
        }
    }

    fn counted(&self) -> impl Iterator<Item = &dyn Collector> {
        let held: [&dyn Collector; 4] = [&self.queue, &self.unknown, &self.bytes, &self.age];
        self.metrics.all().into_iter().chain(held)
    }
}

impl Collector for LedgerCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.counted().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut rows, mut unknown, mut bytes, mut age) = (0, 0, 0, Duration::ZERO);
        let now = Instant::now();
        for ledger in &*self.ledgers.lock().unwrap_or_else(PoisonError::into_inner) {
            rows += ledger.waiting();
            unknown += ledger.unknown();
            bytes += ledger.journal_bytes();
            age = age.max(ledger.stuck_for(now));
        }
        let whole = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
        self.queue.set(whole(rows));
        self.unknown.set(whole(unknown));
        self.bytes.set(whole(bytes));
        self.age.set(whole(age.as_secs()));
        self.counted().flat_map(Collector::collect).collect()
    }
}

//! What the ledgers count, for `/metrics`, with what they hold at each scrape.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use plugin_api::constant_metric;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Opts};

use crate::Timestamp;
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
    limit: IntGauge,
    free: IntGauge,
    age: IntGauge,
    held: IntGauge,
    lag_rows: IntGaugeVec,
    lag_seconds: GaugeVec,
}

impl LedgerCollector {
    /// The metrics of these ledgers.
    pub(crate) fn new(ledgers: &Ledgers) -> Self {
        let by_consumer = |name: &str, help: &str| (Opts::new(name, help), ["consumer"]);
        let (rows, consumer) = by_consumer(
            "tollgate_ledger_consumer_lag_rows",
            "Rows in the journal that a consumer besides the database has not taken for good",
        );
        let (seconds, _) = by_consumer(
            "tollgate_ledger_consumer_lag_seconds",
            "How long the oldest row has waited that a consumer is delivering; 0 if it delivers none",
        );
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
            limit: gauge("tollgate_ledger_journal_limit_bytes", "What the journal may take: journal.max_bytes"),
            free: gauge("tollgate_ledger_disk_free_bytes", "Room that is left on the disk of the journal"),
            age: gauge(
                "tollgate_ledger_last_shipped_age_seconds",
                "How long rows have waited without any progress; 0 if none waits",
            ),
            held: gauge(
                "tollgate_ledger_consumer_held_bytes",
                "What the journal keeps on the disk for consumers alone, since the database has it",
            ),
            lag_rows: constant_metric(IntGaugeVec::new(rows, &consumer)),
            lag_seconds: constant_metric(GaugeVec::new(seconds, &consumer)),
        }
    }

    /// Those that are always shown.
    fn counted(&self) -> impl Iterator<Item = &dyn Collector> {
        let Self { queue, unknown, bytes, limit, age, held, lag_rows, lag_seconds, .. } = self;
        let gauges: [&dyn Collector; 8] = [queue, unknown, bytes, limit, age, held, lag_rows, lag_seconds];
        self.metrics.all().into_iter().chain(gauges)
    }
}

impl Collector for LedgerCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.counted().chain([&self.free as &dyn Collector]).flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut rows, mut unknown, mut bytes, mut limit, mut age) = (0, 0, 0, 0, Duration::ZERO);
        let (now, time) = (Instant::now(), Timestamp::from(SystemTime::now()));
        let (mut free, mut held, mut lags) = (None::<u64>, 0, BTreeMap::<String, (u64, Duration)>::new());
        for ledger in &*self.ledgers.lock().unwrap_or_else(PoisonError::into_inner) {
            rows += ledger.waiting();
            unknown += ledger.unknown();
            bytes += ledger.journal_bytes();
            limit += ledger.journal_limit();
            free = [free, ledger.disk_free()].into_iter().flatten().min();
            age = age.max(ledger.stuck_for(now));
            held += ledger.held_bytes();
            ledger.each_consumer(|consumer| {
                let lag = lags.entry(consumer.name().to_owned()).or_default();
                *lag = (lag.0 + consumer.lag_rows(), lag.1.max(consumer.lag(time)));
            });
        }
        let whole = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
        self.queue.set(whole(rows));
        self.unknown.set(whole(unknown));
        self.bytes.set(whole(bytes));
        self.limit.set(whole(limit));
        self.age.set(whole(age.as_secs()));
        self.held.set(whole(held));
        // those that are gone have no series
        self.lag_rows.reset();
        self.lag_seconds.reset();
        for (consumer, (rows, lag)) in lags {
            self.lag_rows.with_label_values(&[&consumer]).set(whole(rows));
            self.lag_seconds.with_label_values(&[&consumer]).set(lag.as_secs_f64());
        }
        let free = free.map(|free| {
            self.free.set(whole(free));
            &self.free as &dyn Collector
        });
        self.counted().chain(free).flat_map(Collector::collect).collect()
    }
}

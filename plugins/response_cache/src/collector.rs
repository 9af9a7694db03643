//! The cache's metrics for `/metrics`. Gauges are read at each scrape.

use std::sync::{Arc, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::caches::Caches;
use crate::figures::Figures;

/// Collects the counters, and reads the gauges from the caches.
#[derive(Debug)]
pub(crate) struct CacheCollector {
    figures: Arc<Figures>,
    caches: Weak<Caches>,
}

impl CacheCollector {
    /// The metrics of these caches.
    pub(crate) fn new(caches: &Arc<Caches>) -> Self {
        Self { figures: caches.figures.clone(), caches: Arc::downgrade(caches) }
    }
}

impl Collector for CacheCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.figures.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let figures = &self.figures;
        let Some(caches) = self.caches.upgrade().filter(|caches| caches.is_used()) else { return Vec::new() };
        let (entries, bytes) = caches.kept();
        figures.entries.with_label_values(&["memory"]).set(entries.cast_signed());
        figures.bytes.with_label_values(&["memory"]).set(bytes.cast_signed());
        match caches.redis_fails() {
            Some(fails) => figures.breaker.with_label_values(&["redis"]).set(fails.into()),
            None => figures.breaker.reset(),
        }
        figures.flights.set(i64::try_from(caches.flights.count()).unwrap_or(i64::MAX));
        figures.flight_bytes.set(i64::try_from(caches.flights.held_bytes()).unwrap_or(i64::MAX));
        figures
            .all()
            .into_iter()
            .flat_map(Collector::collect)
            .filter(|family| !family.get_metric().is_empty())
            .collect()
    }
}

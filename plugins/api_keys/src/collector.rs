//! What `/metrics` shows of the keys, with what their sources hold at each scrape.

use std::sync::Arc;

use plugin_api::constant_metric;
use plugin_api::prometheus::core::{Collector, Desc};
use plugin_api::prometheus::proto::MetricFamily;
use plugin_api::prometheus::{IntCounter, IntGauge};

use crate::sources::KeySources;

/// The figures of all sources together.
#[derive(Debug)]
pub(crate) struct KeysCollector {
    sources: Arc<KeySources>,
    keys: IntGauge,
    failures: IntCounter,
    stale: IntGauge,
    provider_stale: IntGauge,
}

impl KeysCollector {
    pub(crate) fn new(sources: Arc<KeySources>) -> Self {
        let gauge = |name: &str, help: &str| constant_metric(IntGauge::new(name, help));
        Self {
            sources,
            keys: gauge("tollgate_api_keys_loaded", "API keys in force"),
            failures: constant_metric(IntCounter::new(
                "tollgate_api_keys_reload_failures_total",
                "Times that a file of API keys had changed and could not be read",
            )),
            stale: gauge(
                "tollgate_api_keys_stale_seconds",
                "How long a file of API keys could not be read, while its former keys stay in force; 0 if all are",
            ),
            provider_stale: gauge(
                "tollgate_jwks_stale_seconds",
                "How long the keys of a provider of tokens could not be read again; 0 if all are",
            ),
        }
    }

    fn all(&self) -> [&dyn Collector; 4] {
        [&self.keys, &self.failures, &self.stale, &self.provider_stale]
    }
}

impl Collector for KeysCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let held = self.sources.held();
        self.keys.set(i64::try_from(held.keys).unwrap_or(i64::MAX));
        self.failures.inc_by(held.failures.saturating_sub(self.failures.get()));
        self.stale.set(i64::try_from(held.stale.as_secs()).unwrap_or(i64::MAX));
        self.provider_stale.set(i64::try_from(held.provider_stale.as_secs()).unwrap_or(i64::MAX));
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

//! The cache's counters and gauges, with their names and help texts.

use plugin_api::constant_metric;
use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use crate::bypass::Bypass;
use crate::status::CacheStatus;

/// The metrics of the caches.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    hits: IntCounterVec,
    misses: IntCounterVec,
    fills: IntCounterVec,
    filled_bytes: IntCounterVec,
    evictions: IntCounterVec,
    errors: IntCounterVec,
    requests: IntCounterVec,
    bypassed: IntCounterVec,
    pub(crate) redis_skipped: IntCounter,
    pub(crate) cut: IntCounter,
    pub(crate) purges: IntCounter,
    pub(crate) entries: IntGaugeVec,
    pub(crate) bytes: IntGaugeVec,
    pub(crate) breaker: IntGaugeVec,
    pub(crate) flights: IntGauge,
    pub(crate) flight_bytes: IntGauge,
}

impl Figures {
    pub(crate) fn new() -> Self {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            constant_metric(IntCounterVec::new(Opts::new(name, help), labels))
        };
        let counter = |name: &str, help: &str| constant_metric(IntCounter::new(name, help));
        let gauges = |name: &str, help: &str| constant_metric(IntGaugeVec::new(Opts::new(name, help), &["tier"]));
        let figures = Self {
            hits: counters("tollgate_cache_hits_total", "Lookups that found an answer, by tier", &["tier"]),
            misses: counters("tollgate_cache_misses_total", "Lookups that found none, by tier", &["tier"]),
            fills: counters("tollgate_cache_fills_total", "Answers stored, by tier", &["tier"]),
            filled_bytes: counters("tollgate_cache_filled_bytes_total", "Bytes stored, by tier", &["tier"]),
            evictions: counters("tollgate_cache_evictions_total", "Answers evicted, by tier", &["tier"]),
            errors: counters("tollgate_cache_errors_total", "Failures of a tier, by kind", &["tier", "kind"]),
            requests: counters("tollgate_cache_requests_total", "Calls by cache status", &["status"]),
            bypassed: counters(
                "tollgate_cache_bypassed_total",
                "Calls that bypassed the cache, by reason",
                &["reason"],
            ),
            redis_skipped: counter(
                "tollgate_cache_redis_skipped_total",
                "Redis lookups skipped while the circuit breaker is open",
            ),
            cut: counter(
                "tollgate_cache_coalesced_dropped_total",
                "Clients disconnected because they read a shared answer too slowly",
            ),
            purges: counter("tollgate_cache_purges_total", "Purges carried out, those of other gateways included"),
            entries: gauges("tollgate_cache_entries", "Answers held, by tier"),
            bytes: gauges("tollgate_cache_bytes", "Bytes held, by tier"),
            breaker: gauges("tollgate_cache_breaker_open", "1 while the circuit breaker skips the tier"),
            flights: constant_metric(IntGauge::new(
                "tollgate_cache_calls_in_flight",
                "Calls in flight that identical calls can join",
            )),
            flight_bytes: constant_metric(IntGauge::new(
                "tollgate_cache_calls_in_flight_bytes",
                "Bytes held of answers in flight",
            )),
        };
        // series that begin at 0 show their first increase
        for counters in [&figures.hits, &figures.misses, &figures.fills] {
            counters.with_label_values(&["memory"]);
        }
        figures.evictions.with_label_values(&["memory"]);
        for status in [CacheStatus::Hit, CacheStatus::Miss, CacheStatus::Coalesced, CacheStatus::Bypass] {
            figures.requests.with_label_values(&[status.as_str()]);
        }
        for why in Bypass::ALL {
            figures.bypassed.with_label_values(&[why.as_str()]);
        }
        figures
    }

    /// Counts a lookup in a tier.
    pub(crate) fn looked(&self, tier: &str, found: bool) {
        if found { &self.hits } else { &self.misses }.with_label_values(&[tier]).inc();
    }

    /// Counts an answer stored in a tier.
    pub(crate) fn filled(&self, tier: &str, bytes: usize) {
        self.fills.with_label_values(&[tier]).inc();
        self.filled_bytes.with_label_values(&[tier]).inc_by(bytes as u64);
    }

    pub(crate) fn evicted(&self) {
        self.evictions.with_label_values(&["memory"]).inc();
    }

    pub(crate) fn redis_error(&self, kind: &str) {
        self.errors.with_label_values(&["redis", kind]).inc();
    }

    /// Counts a call by its status.
    pub(crate) fn served(&self, status: CacheStatus) {
        self.requests.with_label_values(&[status.as_str()]).inc();
    }

    pub(crate) fn bypassed(&self, why: Bypass) {
        self.served(CacheStatus::Bypass);
        self.bypassed.with_label_values(&[why.as_str()]).inc();
    }

    pub(crate) fn all(&self) -> [&dyn Collector; 16] {
        [
            &self.hits,
            &self.misses,
            &self.fills,
            &self.filled_bytes,
            &self.evictions,
            &self.errors,
            &self.requests,
            &self.bypassed,
            &self.redis_skipped,
            &self.cut,
            &self.purges,
            &self.entries,
            &self.bytes,
            &self.breaker,
            &self.flights,
            &self.flight_bytes,
        ]
    }
}

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
    /// What is counted of nearly every call.
    usual: Usual,
}

/// Series that are looked up once.
#[derive(Clone, Debug)]
struct Usual {
    memory_hits: IntCounter,
    memory_misses: IntCounter,
    memory_fills: IntCounter,
    memory_filled_bytes: IntCounter,
    memory_evictions: IntCounter,
    /// Calls by their status.
    hit: IntCounter,
    miss: IntCounter,
    coalesced: IntCounter,
    bypass: IntCounter,
}

impl Figures {
    pub(crate) fn new() -> Self {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            constant_metric(IntCounterVec::new(Opts::new(name, help), labels))
        };
        let counter = |name: &str, help: &str| constant_metric(IntCounter::new(name, help));
        let gauges = |name: &str, help: &str| constant_metric(IntGaugeVec::new(Opts::new(name, help), &["tier"]));
        let hits = counters("tollgate_cache_hits_total", "Lookups that found an answer, by tier", &["tier"]);
        let misses = counters("tollgate_cache_misses_total", "Lookups that found none, by tier", &["tier"]);
        let fills = counters("tollgate_cache_fills_total", "Answers stored, by tier", &["tier"]);
        let filled_bytes = counters("tollgate_cache_filled_bytes_total", "Bytes stored, by tier", &["tier"]);
        let evictions = counters("tollgate_cache_evictions_total", "Answers evicted, by tier", &["tier"]);
        let requests = counters("tollgate_cache_requests_total", "Calls by cache status", &["status"]);
        let of_memory = |counters: &IntCounterVec| counters.with_label_values(&["memory"]);
        let of_status = |status: CacheStatus| requests.with_label_values(&[status.as_str()]);
        // series that begin at 0 show their first increase
        let usual = Usual {
            memory_hits: of_memory(&hits),
            memory_misses: of_memory(&misses),
            memory_fills: of_memory(&fills),
            memory_filled_bytes: of_memory(&filled_bytes),
            memory_evictions: of_memory(&evictions),
            hit: of_status(CacheStatus::Hit),
            miss: of_status(CacheStatus::Miss),
            coalesced: of_status(CacheStatus::Coalesced),
            bypass: of_status(CacheStatus::Bypass),
        };
        let figures = Self {
            hits,
            misses,
            fills,
            filled_bytes,
            evictions,
            errors: counters("tollgate_cache_errors_total", "Failures of a tier, by kind", &["tier", "kind"]),
            requests,
            usual,
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
        for why in Bypass::ALL {
            figures.bypassed.with_label_values(&[why.as_str()]);
        }
        figures
    }

    /// Counts a lookup in the memory.
    pub(crate) fn looked_in_memory(&self, found: bool) {
        if found { &self.usual.memory_hits } else { &self.usual.memory_misses }.inc();
    }

    /// Counts a lookup in Redis.
    pub(crate) fn looked_in_redis(&self, found: bool) {
        if found { &self.hits } else { &self.misses }.with_label_values(&["redis"]).inc();
    }

    /// Counts an answer stored in the memory.
    pub(crate) fn filled_memory(&self, bytes: usize) {
        self.usual.memory_fills.inc();
        self.usual.memory_filled_bytes.inc_by(bytes as u64);
    }

    /// Counts an answer stored in Redis.
    pub(crate) fn filled_redis(&self, bytes: usize) {
        self.fills.with_label_values(&["redis"]).inc();
        self.filled_bytes.with_label_values(&["redis"]).inc_by(bytes as u64);
    }

    pub(crate) fn evicted(&self) {
        self.usual.memory_evictions.inc();
    }

    pub(crate) fn redis_error(&self, kind: &str) {
        self.errors.with_label_values(&["redis", kind]).inc();
    }

    /// Counts a call by its status.
    pub(crate) fn served(&self, status: CacheStatus) {
        match status {
            CacheStatus::Hit => &self.usual.hit,
            CacheStatus::Miss => &self.usual.miss,
            CacheStatus::Coalesced => &self.usual.coalesced,
            CacheStatus::Bypass => &self.usual.bypass,
        }
        .inc();
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

//! What the caches count. Does not know them.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use crate::bypass::Bypass;
use crate::status::CacheStatus;

/// What the caches count.
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

#[expect(clippy::expect_used, reason = "names and labels are constants of this file; a wrong one fails every test")]
fn sound<T>(metric: prometheus::Result<T>) -> T {
    metric.expect("a constant name is valid")
}

impl Figures {
    pub(crate) fn new() -> Self {
        let counters =
            |name: &str, help: &str, labels: &[&str]| sound(IntCounterVec::new(Opts::new(name, help), labels));
        let counter = |name: &str, help: &str| sound(IntCounter::new(name, help));
        let gauges = |name: &str, help: &str| sound(IntGaugeVec::new(Opts::new(name, help), &["tier"]));
        let figures = Self {
            hits: counters("tollgate_cache_hits_total", "Answers found, by tier", &["tier"]),
            misses: counters("tollgate_cache_misses_total", "Answers looked for in vain, by tier", &["tier"]),
            fills: counters("tollgate_cache_fills_total", "Answers put in, by tier", &["tier"]),
            filled_bytes: counters("tollgate_cache_filled_bytes_total", "Bytes put in, by tier", &["tier"]),
            evictions: counters(
                "tollgate_cache_evictions_total",
                "Answers that made way for others, by tier",
                &["tier"],
            ),
            errors: counters("tollgate_cache_errors_total", "What went wrong, by tier and kind", &["tier", "kind"]),
            requests: counters("tollgate_cache_requests_total", "Calls by what the cache did for them", &["status"]),
            bypassed: counters(
                "tollgate_cache_bypassed_total",
                "Calls that went past the cache, by reason",
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
            purges: counter("tollgate_cache_purges_total", "Purges carried out here, those of other gateways included"),
            entries: gauges("tollgate_cache_entries", "Answers kept, by tier"),
            bytes: gauges("tollgate_cache_bytes", "Bytes kept, by tier"),
            breaker: gauges("tollgate_cache_breaker_open", "1 while the tier is left out because it fails"),
            flights: sound(IntGauge::new("tollgate_cache_calls_in_flight", "Calls under way that others can join")),
            flight_bytes: sound(IntGauge::new(
                "tollgate_cache_calls_in_flight_bytes",
                "Bytes held of answers under way",
            )),
        };
        // what begins at 0 shows its first rise
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

    /// A tier was looked into.
    pub(crate) fn looked(&self, tier: &str, found: bool) {
        if found { &self.hits } else { &self.misses }.with_label_values(&[tier]).inc();
    }

    /// A tier was given an answer.
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

    /// A call was served.
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

//! The metrics of a gateway, in Prometheus' text format. Does not know what it counts.

mod certificates;
mod exposition;
mod family;
mod h2_errors;
mod in_flight;
mod labels;
mod memory;
mod models;
mod process;
mod requests;
mod servers;
#[cfg(test)]
mod tests;
mod tokens;
mod upstreams;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use plugin_api::{LogLimit, Record, constant_metric};
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use in_flight::Counter;
use process::Process;
use requests::Requests;
use tokens::Tokens;

pub use certificates::CertificateFigures;
pub use h2_errors::{Ended, count_h2_end};
pub use in_flight::{ConfigSnapshot, ConnectionInFlight, InFlight, ListenerConnections};
pub use models::ModelNames;
pub use servers::ServerFigures;
pub use upstreams::UpstreamFigures;

/// The metrics of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    in_flight: Counter,
    /// Set from `in_flight` at every scrape.
    requests_in_flight: IntGauge,
    /// Requests of plugins' own.
    plugin_requests: Counter,
    /// Set from `plugin_requests` at every scrape.
    plugin_requests_in_flight: IntGauge,
    connections_in_flight: IntGaugeVec,
    /// Those of all listeners together.
    connections: Counter,
    tokens: Tokens,
    retries: IntCounterVec,
    plugin_panics: IntCounterVec,
    refusals: IntCounterVec,
    config_reloads: IntCounterVec,
    config_snapshots: IntGauge,
    access_log_lost: Arc<AtomicU64>,
    /// The lost lines that the counter already has.
    access_log_reported: AtomicU64,
    access_log_lost_total: IntCounter,
    certificates: Mutex<Vec<CertificateFigures>>,
}

impl Metrics {
    /// New metrics; two gateways in one process share none.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, label: &str| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), &[label]))
        };
        let gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help));
        let build = Opts::new("tollgate_build_info", "The version that runs; always 1").const_label("version", VERSION);
        registered(&registry, IntGauge::with_opts(build)).set(1);
        constant_metric(registry.register(Box::new(Process::new())));
        let connections = Opts::new("tollgate_connections_in_flight", "Open connections from clients");
        let refusals = Opts::new("tollgate_refusals_total", "Requests that a plugin refused, by reason");
        let config_reloads = counters("tollgate_config_reloads_total", "Reloads of the configuration", "result");
        for result in ["ok", "error"] {
            // starts at 0, so that the first one is an increase
            config_reloads.with_label_values(&[result]);
        }
        Self {
            in_flight: Counter::default(),
            requests_in_flight: gauge("tollgate_requests_in_flight", "Requests in flight"),
            plugin_requests: Counter::default(),
            plugin_requests_in_flight: gauge(
                "tollgate_plugin_requests_in_flight",
                "Requests in flight that plugins send upstream by themselves",
            ),
            connections_in_flight: registered(&registry, IntGaugeVec::new(connections, &["listener"])),
            connections: Counter::default(),
            retries: counters("tollgate_retries_total", "Attempts after a failed one", "upstream"),
            plugin_panics: counters("tollgate_plugin_panics_total", "Panics caught in plugins", "plugin"),
            refusals: registered(&registry, IntCounterVec::new(refusals, &["plugin", "reason"])),
            config_reloads,
            config_snapshots: gauge(
                "tollgate_config_snapshots",
                "Configurations in memory: the current one, and older ones that requests still use",
            ),
            access_log_lost: Arc::default(),
            access_log_reported: AtomicU64::default(),
            access_log_lost_total: registered(
                &registry,
                IntCounter::new(
                    "tollgate_access_log_lost_total",
                    "Access log lines dropped because the output did not take them",
                ),
            ),
            requests: Requests::new(registry.clone()),
            tokens: Tokens::new(registry.clone()),
            certificates: Mutex::default(),
            registry,
        }
    }

    /// Adds the metrics of another part.
    pub fn include(&self, figures: Box<dyn Collector>) {
        if let Err(error) = self.registry.register(figures) {
            log::error!(error:%; "the metrics of a plugin cannot be registered");
        }
    }

    /// Counts a configuration until the guard is dropped.
    pub fn config_snapshot(self: &Arc<Self>) -> ConfigSnapshot {
        ConfigSnapshot::new(&self.config_snapshots)
    }

    /// Counts a request in flight until the guard is dropped.
    pub fn request_in_flight(&self) -> InFlight {
        self.in_flight.count()
    }

    /// Counts a request of a plugin's own in flight until the guard is dropped.
    pub fn plugin_request_in_flight(&self) -> InFlight {
        self.plugin_requests.count()
    }

    /// Where the open connections to this listener are counted.
    #[must_use]
    pub fn listener(&self, listener: &str) -> ListenerConnections {
        ListenerConnections::new(self.connections_in_flight.with_label_values(&[listener]), self.connections.clone())
    }

    /// The number of requests in flight.
    #[must_use]
    pub fn requests_in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The number of plugins' own requests in flight.
    #[must_use]
    pub fn plugin_requests_in_flight(&self) -> usize {
        self.plugin_requests.len()
    }

    /// The number of open connections from clients, on all listeners.
    #[must_use]
    pub fn connections_in_flight(&self) -> usize {
        self.connections.len()
    }

    /// Replaces the certificates of the listeners. A file that a listener names twice is one certificate.
    pub fn set_certificates(&self, mut certificates: Vec<CertificateFigures>) {
        certificates.sort_unstable();
        certificates
            .dedup_by(|next, earlier| next.listener == earlier.listener && next.certificate == earlier.certificate);
        *self.certificates.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
    }

    /// Returns once no connection from a client is open and no request is in flight, plugins' own included. Call it when no new connection can
    /// come: requests come over connections, but a detached call outlives its own.
    pub async fn drained(&self) {
        self.connections.drained().await;
        self.in_flight.drained().await;
        self.plugin_requests.drained().await;
    }

    /// Counts a request that ended. `domain` and the names of models come from the configuration, never from a client.
    pub fn request_finished(&self, domain: &str, models: &ModelNames, record: &Record) {
        self.requests.finished(domain, record);
        self.tokens.finished(domain, models, record);
        if let (Some(plugin), Some(reason)) = (record.plugin, record.reason) {
            self.refusals.with_label_values(&[plugin, reason]).inc();
        }
    }

    /// Counts a further attempt.
    pub fn retried(&self, upstream: &str) {
        self.retries.with_label_values(&[upstream]).inc();
    }

    /// Counts a panic in a plugin.
    pub fn plugin_panicked(&self, plugin: &str) {
        self.plugin_panics.with_label_values(&[plugin]).inc();
    }

    /// Counts a reload.
    pub fn config_reloaded(&self, ok: bool) {
        self.config_reloads.with_label_values(&[if ok { "ok" } else { "error" }]).inc();
    }

    /// The counter of lost lines, which successive access logs share.
    #[must_use]
    pub fn access_log_lost(&self) -> Arc<AtomicU64> {
        self.access_log_lost.clone()
    }

    /// All metrics, those of memory, upstreams and servers included, in Prometheus' text format 0.0.4.
    #[must_use]
    pub fn render(&self, upstreams: &[UpstreamFigures], servers: &[ServerFigures]) -> Vec<u8> {
        let mut families = self.gather();
        families.extend(upstreams::families(upstreams));
        families.extend(servers::families(servers));
        exposition::text(families)
    }

    /// All metrics but those of upstreams and servers. A family may have no samples.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        let lost = self.access_log_lost.load(Ordering::Relaxed);
        let reported = self.access_log_reported.fetch_max(lost, Ordering::Relaxed);
        self.access_log_lost_total.inc_by(lost.saturating_sub(reported));
        self.requests_in_flight.set(i64::try_from(self.in_flight.len()).unwrap_or(i64::MAX));
        self.plugin_requests_in_flight.set(i64::try_from(self.plugin_requests.len()).unwrap_or(i64::MAX));
        let mut families = self.registry.gather();
        families.extend(memory::families());
        families.push(h2_errors::family_of_ends());
        families.extend(certificates::families(&self.certificates.lock().unwrap_or_else(PoisonError::into_inner)));
        families.push(self.tokens.inference_tokens());
        families
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The version that runs.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<M>) -> M {
    let metric = constant_metric(metric);
    constant_metric(registry.register(Box::new(metric.clone())));
    metric
}

/// Logs, once in a while, that the library refuses to create a metric.
fn cannot_be_made(error: &prometheus::Error) {
    static FAILURES: LogLimit = LogLimit::new();
    if let Some(suppressed) = FAILURES.pass(()) {
        log::error!(error:%, suppressed; "a metric cannot be created");
    }
}

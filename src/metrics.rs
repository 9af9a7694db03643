//! What is counted, as Prometheus reads it. Counts what it is told; does not know whence it comes.

mod family;
mod in_flight;
mod memory;
mod models;
mod process;
mod requests;
mod servers;
#[cfg(test)]
mod tests;
mod tokens;
mod upstreams;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plugin_api::{LogLimit, Record};
use prometheus::core::Collector;
use prometheus::{Encoder as _, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use in_flight::Counter;
use process::Process;
use requests::Requests;
use tokens::Tokens;

pub use in_flight::{ConnectionInFlight, InFlight, SnapshotAlive};
pub use models::ModelNames;
pub use servers::ServerFigures;
pub use upstreams::UpstreamFigures;

/// The figures of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    in_flight: Counter,
    /// Set from `in_flight` at every scrape.
    requests_in_flight: IntGauge,
    connections_in_flight: IntGaugeVec,
    /// Those of all listeners together.
    connections: Counter,
    tokens: Tokens,
    retries: IntCounterVec,
    plugin_panics: IntCounterVec,
    refusals: IntCounterVec,
    config_reloads: IntCounterVec,
    snapshots_alive: IntGauge,
    access_log_lost: Arc<AtomicU64>,
    /// How many of them the counter has.
    access_log_told: AtomicU64,
    access_log_lost_total: IntCounter,
}

impl Metrics {
    /// A set of its own: two gateways in one process do not share figures.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, label: &str| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), &[label]))
        };
        let gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help));
        let build = Opts::new("tollgate_build_info", "What is running; always 1").const_label("version", VERSION);
        registered(&registry, IntGauge::with_opts(build)).set(1);
        sound(registry.register(Box::new(Process::new())));
        let connections = Opts::new("tollgate_connections_in_flight", "Connections from clients that are open");
        let refusals = Opts::new("tollgate_refusals_total", "Requests that a plugin refused, and why");
        let config_reloads = counters("tollgate_config_reloads_total", "Reloads of the configuration", "result");
        for result in ["ok", "error"] {
            // begins at 0, or the first of them would be no rise
            config_reloads.with_label_values(&[result]);
        }
        Self {
            in_flight: Counter::default(),
            requests_in_flight: gauge("tollgate_requests_in_flight", "Requests whose last byte is still to come"),
            connections_in_flight: registered(&registry, IntGaugeVec::new(connections, &["listener"])),
            connections: Counter::default(),
            retries: counters("tollgate_retries_total", "Attempts upstream after a failed one", "upstream"),
            plugin_panics: counters("tollgate_plugin_panics_total", "Panics caught in plugins", "plugin"),
            refusals: registered(&registry, IntCounterVec::new(refusals, &["plugin", "reason"])),
            config_reloads,
            snapshots_alive: gauge("tollgate_snapshots_alive", "Configurations that requests still hold on to"),
            access_log_lost: Arc::default(),
            access_log_told: AtomicU64::default(),
            access_log_lost_total: registered(
                &registry,
                IntCounter::new("tollgate_access_log_lost_total", "Lines the access log's output did not take"),
            ),
            requests: Requests::new(registry.clone()),
            tokens: Tokens::new(registry.clone()),
            registry,
        }
    }

    /// Shows the figures of another part, too.
    pub fn include(&self, figures: Box<dyn Collector>) {
        if let Err(error) = self.registry.register(figures) {
            log::error!(error:%; "a plugin's metrics cannot be shown");
        }
    }

    /// A configuration came to be; it is gone when this is dropped.
    pub fn snapshot_alive(self: &Arc<Self>) -> SnapshotAlive {
        SnapshotAlive::new(&self.snapshots_alive)
    }

    /// A request began; it ends when this is dropped.
    pub fn request_in_flight(&self) -> InFlight {
        self.in_flight.count()
    }

    /// A client connected to this listener; it is gone when this is dropped.
    pub fn connection_in_flight(&self, listener: &str) -> ConnectionInFlight {
        ConnectionInFlight::new(&self.connections_in_flight.with_label_values(&[listener]), &self.connections)
    }

    /// The number of requests in flight.
    #[must_use]
    pub fn requests_in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The number of open connections from clients, on all listeners.
    #[must_use]
    pub fn connections_in_flight(&self) -> usize {
        self.connections.len()
    }

    /// Returns once no connection from a client is open and no request is in flight. Call it when no new connection can
    /// come: requests come over connections, but a detached call outlives its own.
    pub async fn drained(&self) {
        self.connections.drained().await;
        self.in_flight.drained().await;
    }

    /// A request ended. `domain` is one of the configuration's, never what a client wrote; so is what its model is called.
    pub fn request_finished(&self, domain: &str, models: &ModelNames, record: &Record) {
        self.requests.finished(domain, record);
        self.tokens.finished(domain, models, record);
        if let (Some(plugin), Some(reason)) = (record.plugin, record.reason) {
            self.refusals.with_label_values(&[plugin, reason]).inc();
        }
    }

    /// A request got another attempt.
    pub fn retried(&self, upstream: &str) {
        self.retries.with_label_values(&[upstream]).inc();
    }

    /// A plugin panicked.
    pub fn plugin_panicked(&self, plugin: &str) {
        self.plugin_panics.with_label_values(&[plugin]).inc();
    }

    /// The configuration was read again, with or without success.
    pub fn config_reloaded(&self, ok: bool) {
        self.config_reloads.with_label_values(&[if ok { "ok" } else { "error" }]).inc();
    }

    /// Where access logs count the lines they lost, one after the other.
    #[must_use]
    pub fn access_log_lost(&self) -> Arc<AtomicU64> {
        self.access_log_lost.clone()
    }

    /// All figures, those of memory, and those of these upstreams and servers, in Prometheus' text format 0.0.4.
    #[must_use]
    pub fn render(&self, upstreams: &[UpstreamFigures], servers: &[ServerFigures]) -> Vec<u8> {
        let lost = self.access_log_lost.load(Ordering::Relaxed);
        let told = self.access_log_told.fetch_max(lost, Ordering::Relaxed);
        self.access_log_lost_total.inc_by(lost.saturating_sub(told));
        self.requests_in_flight.set(i64::try_from(self.in_flight.len()).unwrap_or(i64::MAX));
        let mut text = Vec::with_capacity(16 << 10);
        let mut families = self.registry.gather();
        families.extend(upstreams::families(upstreams));
        families.extend(servers::families(servers));
        families.extend(memory::families());
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            static FAILURES: LogLimit = LogLimit::new();
            if let Some(suppressed) = FAILURES.pass(()) {
                log::error!(error:%, suppressed; "metrics cannot be written");
            }
        }
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<M>) -> M {
    let metric = sound(metric);
    sound(registry.register(Box::new(metric.clone())));
    metric
}

#[expect(clippy::expect_used, reason = "names and labels are constants of this file; a wrong one fails every test")]
fn sound<T>(result: prometheus::Result<T>) -> T {
    result.expect("a constant name is valid and used once")
}

/// Tells of a metric that a library refuses to make, which may be asked for with every request.
fn cannot_be_made(error: &prometheus::Error) {
    static FAILURES: LogLimit = LogLimit::new();
    if let Some(suppressed) = FAILURES.pass(()) {
        log::error!(error:%, suppressed; "a metric cannot be made");
    }
}

//! What is counted, as Prometheus reads it. Counts what it is told; does not know whence it comes.

mod held;
mod requests;
mod servers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plugin_api::Outcome;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder as _, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use requests::Requests;
use servers::Servers;

pub use held::{ConnectionInFlight, InFlight, SnapshotAlive};

/// The figures of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    requests_in_flight: IntGauge,
    connections_in_flight: IntGaugeVec,
    /// Those of all listeners together.
    connections: IntGauge,
    servers: Servers,
    retries: IntCounterVec,
    plugin_panics: IntCounterVec,
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
        sound(registry.register(Box::new(ProcessCollector::for_self())));
        let connections = Opts::new("tollgate_connections_in_flight", "Connections from clients that are open");
        let config_reloads = counters("tollgate_config_reloads_total", "Reloads of the configuration", "result");
        for result in ["ok", "error"] {
            // begins at 0, or the first of them would be no rise
            config_reloads.with_label_values(&[result]);
        }
        Self {
            requests_in_flight: gauge("tollgate_requests_in_flight", "Requests whose last byte is still to come"),
            connections_in_flight: registered(&registry, IntGaugeVec::new(connections, &["listener"])),
            connections: sound(IntGauge::new("connections", "of all listeners")),
            retries: counters("tollgate_retries_total", "Attempts upstream after a failed one", "upstream"),
            plugin_panics: counters("tollgate_plugin_panics_total", "Panics caught in plugins", "plugin"),
            config_reloads,
            snapshots_alive: gauge("tollgate_snapshots_alive", "Configurations that requests still hold on to"),
            access_log_lost: Arc::default(),
            access_log_told: AtomicU64::default(),
            access_log_lost_total: registered(
                &registry,
                IntCounter::new("tollgate_access_log_lost_total", "Lines the access log's output did not take"),
            ),
            requests: Requests::new(registry.clone()),
            servers: Servers::new(registry.clone()),
            registry,
        }
    }

    /// A configuration came to be; it is gone when this is dropped.
    #[must_use]
    pub fn snapshot_alive(self: &Arc<Self>) -> SnapshotAlive {
        SnapshotAlive::new(&self.snapshots_alive)
    }

    /// A request began; it ends when this is dropped.
    #[must_use]
    pub fn request_in_flight(&self) -> InFlight {
        InFlight::new(&self.requests_in_flight)
    }

    /// A client connected to this listener; it is gone when this is dropped.
    #[must_use]
    pub fn connection_in_flight(&self, listener: &str) -> ConnectionInFlight {
        ConnectionInFlight::new(&self.connections_in_flight.with_label_values(&[listener]), &self.connections)
    }

    /// Requests that have not ended.
    #[must_use]
    pub fn requests_in_flight(&self) -> i64 {
        self.requests_in_flight.get()
    }

    /// Connections from clients that are open, on all listeners.
    #[must_use]
    pub fn connections_in_flight(&self) -> i64 {
        self.connections.get()
    }

    /// A request ended. `domain` is one of the configuration's, never what a client wrote.
    pub fn request_finished(&self, domain: &str, outcome: &Outcome) {
        self.requests.finished(domain, outcome);
    }

    /// How many requests a server has. A server that is not spoken of any more vanishes.
    pub fn set_upstream_in_flight(&self, upstream: &str, server: &str, requests: u64) {
        self.servers.set(upstream, server, requests);
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

    /// All figures, in Prometheus' text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        self.servers.forget_unspoken();
        let lost = self.access_log_lost.load(Ordering::Relaxed);
        let told = self.access_log_told.fetch_max(lost, Ordering::Relaxed);
        self.access_log_lost_total.inc_by(lost.saturating_sub(told));
        let mut text = Vec::with_capacity(16 << 10);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            log::error!(error:%; "metrics cannot be written");
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use plugin_api::http::{Method, StatusCode};
    use plugin_api::{End, Uuid};

    use super::*;

    fn outcome(method: Method, status: Option<u16>, upstream: Option<&str>, end: End) -> Outcome {
        Outcome {
            id: Uuid::nil(),
            started: SystemTime::UNIX_EPOCH,
            method,
            path: "/".into(),
            host: String::new(),
            client: None,
            endpoint: None,
            model: None,
            streaming: None,
            upstream: upstream.map(Into::into),
            server: None,
            attempts: 1,
            status: status.map(|status| StatusCode::from_u16(status).unwrap()),
            end,
            error: None,
            request_bytes: 0,
            response_bytes: 0,
            first_byte: None,
            total: Duration::from_millis(7),
        }
    }

    fn shown(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render()).unwrap()
    }

    #[track_caller]
    fn assert_shows(metrics: &Metrics, line: &str) {
        let shown = shown(metrics);
        assert!(shown.lines().any(|found| found == line), "{line} is not in\n{shown}");
    }

    #[test]
    fn what_is_in_flight_returns_to_zero() {
        let metrics = Arc::new(Metrics::new());
        let held = (
            metrics.snapshot_alive(),
            metrics.request_in_flight(),
            metrics.connection_in_flight("127.0.0.1:1"),
            metrics.connection_in_flight("127.0.0.1:2"),
        );
        assert_eq!((metrics.requests_in_flight(), metrics.connections_in_flight()), (1, 2));
        assert_shows(&metrics, "tollgate_snapshots_alive 1");
        assert_shows(&metrics, "tollgate_requests_in_flight 1");
        assert_shows(&metrics, "tollgate_connections_in_flight{listener=\"127.0.0.1:2\"} 1");
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = held;
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!((metrics.requests_in_flight(), metrics.connections_in_flight()), (0, 0));
        let shown = shown(&metrics);
        for line in shown.lines().filter(|line| line.contains("in_flight") || line.contains("alive")) {
            assert!(line.starts_with('#') || line.ends_with(" 0"), "{line}");
        }
    }

    #[test]
    fn a_finished_request_is_counted_and_its_time_measured() {
        let metrics = Metrics::new();
        metrics.request_finished("a.com", &outcome(Method::POST, Some(200), Some("up"), End::Completed));
        metrics.request_finished("a.com", &outcome(Method::POST, Some(200), Some("up"), End::Completed));
        metrics.request_finished("other", &outcome(Method::from_bytes(b"BREW").unwrap(), None, None, End::ClientGone));
        for line in [
            "http_request_duration_seconds_bucket{domain=\"a.com\",method=\"POST\",status=\"200\",le=\"0.005\"} 0",
            "http_request_duration_seconds_bucket{domain=\"a.com\",method=\"POST\",status=\"200\",le=\"0.01\"} 2",
            "http_request_duration_seconds_bucket{domain=\"a.com\",method=\"POST\",status=\"200\",le=\"600\"} 2",
            "http_request_duration_seconds_sum{domain=\"a.com\",method=\"POST\",status=\"200\"} 0.014",
            "http_request_duration_seconds_count{domain=\"other\",method=\"OTHER\",status=\"none\"} 1",
            "tollgate_requests_total{domain=\"a.com\",outcome=\"completed\",upstream=\"up\"} 2",
            "tollgate_requests_total{domain=\"other\",outcome=\"client_gone\",upstream=\"none\"} 1",
        ] {
            assert_shows(&metrics, line);
        }
    }

    #[test]
    fn labels_that_read_alike_when_joined_stay_apart() {
        let metrics = Metrics::new();
        metrics.request_finished("a.co", &outcome(Method::GET, Some(200), Some("main"), End::Completed));
        metrics.request_finished("a.com", &outcome(Method::GET, Some(200), Some("ain"), End::Completed));
        metrics.set_upstream_in_flight("proxy", "10.0.0.1:80", 3);
        metrics.set_upstream_in_flight("proxy1", "0.0.0.1:80", 4);
        for line in [
            "tollgate_requests_total{domain=\"a.co\",outcome=\"completed\",upstream=\"main\"} 1",
            "tollgate_requests_total{domain=\"a.com\",outcome=\"completed\",upstream=\"ain\"} 1",
            "tollgate_upstream_in_flight{server=\"10.0.0.1:80\",upstream=\"proxy\"} 3",
            "tollgate_upstream_in_flight{server=\"0.0.0.1:80\",upstream=\"proxy1\"} 4",
        ] {
            assert_shows(&metrics, line);
        }
    }

    #[test]
    fn a_server_that_is_not_spoken_of_any_more_vanishes() {
        let metrics = Metrics::new();
        metrics.set_upstream_in_flight("up", "gone:1", 5);
        for scrape in 0..4_u64 {
            metrics.set_upstream_in_flight("up", "stays:1", scrape);
            assert_shows(
                &metrics,
                &format!("tollgate_upstream_in_flight{{server=\"stays:1\",upstream=\"up\"}} {scrape}"),
            );
        }
        assert!(!shown(&metrics).contains("gone:1"));
        metrics.set_upstream_in_flight("up", "gone:1", 1);
        assert_shows(&metrics, "tollgate_upstream_in_flight{server=\"gone:1\",upstream=\"up\"} 1");
    }

    #[test]
    fn events_are_counted_by_what_they_befell() {
        let metrics = Metrics::new();
        assert_shows(&metrics, "tollgate_config_reloads_total{result=\"error\"} 0");
        metrics.retried("up");
        metrics.plugin_panicked("max_tokens");
        metrics.config_reloaded(true);
        let lost = metrics.access_log_lost();
        lost.fetch_add(2, Ordering::Relaxed);
        assert_shows(&metrics, "tollgate_access_log_lost_total 2");
        lost.fetch_add(1, Ordering::Relaxed);
        for line in [
            "tollgate_retries_total{upstream=\"up\"} 1",
            "tollgate_plugin_panics_total{plugin=\"max_tokens\"} 1",
            "tollgate_config_reloads_total{result=\"ok\"} 1",
            "tollgate_access_log_lost_total 3",
        ] {
            assert_shows(&metrics, line);
        }
        let shown = shown(&metrics);
        assert!(shown.contains("tollgate_build_info{version=\"") && shown.contains("process_resident_memory_bytes "));
    }
}

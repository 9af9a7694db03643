//! Metrics of servers, from their state at the time of a scrape. Keeps nothing: a server that is gone is not shown.

use std::sync::Arc;

use prometheus::proto::{LabelPair, MetricFamily, MetricType};

use super::family::{counter, family, gauge as gauge_of, label};

/// The state of one server.
#[derive(Clone, Debug)]
pub struct ServerFigures {
    /// The name of its upstream.
    pub upstream: Arc<str>,
    /// Its name within the upstream.
    pub server: Arc<str>,
    /// Requests in flight.
    pub in_flight: u64,
    /// Whether its health check, if there is one, lets it take requests.
    pub healthy: bool,
    /// Whether it is ejected.
    pub ejected: bool,
    /// Attempts so far.
    pub attempts: u64,
    /// Failures by class.
    pub failures: Vec<(&'static str, u64)>,
}

/// The metrics of the servers.
pub(super) fn families(servers: &[ServerFigures]) -> Vec<MetricFamily> {
    let gauge = |name, help, value: fn(&ServerFigures) -> u64| {
        let one = |server: &ServerFigures| gauge_of(labels(server, None), value(server));
        family(name, help, MetricType::GAUGE, servers.iter().map(one).collect())
    };
    let attempts = servers.iter().map(|server| counter(labels(server, None), server.attempts));
    let failures = servers.iter().flat_map(|server| {
        server.failures.iter().map(|(kind, failures)| counter(labels(server, Some(kind)), *failures))
    });
    let families = [
        family(
            "tollgate_upstream_attempts_total",
            "Attempts for which a server was selected",
            MetricType::COUNTER,
            attempts.collect(),
        ),
        gauge("tollgate_upstream_ejected", "1 from the ejection of a server until it answers again", |server| {
            server.ejected.into()
        }),
        family(
            "tollgate_upstream_failures_total",
            "Failed attempts that count against the server",
            MetricType::COUNTER,
            failures.collect(),
        ),
        gauge("tollgate_upstream_healthy", "0 while the health checks of a server fail", |server| {
            server.healthy.into()
        }),
        gauge("tollgate_upstream_in_flight", "Requests in flight on a server", |server| server.in_flight),
    ];
    // the encoder refuses families without a sample
    families.into_iter().filter(|family| !family.get_metric().is_empty()).collect()
}

/// The labels in the order of their names, as the registry sorts them.
fn labels(server: &ServerFigures, kind: Option<&str>) -> Vec<LabelPair> {
    let kind = kind.map(|kind| ("kind", kind));
    kind.into_iter()
        .chain([("server", &*server.server), ("upstream", &*server.upstream)])
        .map(|(name, value)| label(name, value))
        .collect()
}

//! The servers of the upstreams, as they are at the moment of a scrape. Nothing of them is kept here: what a scrape is told
//! is what it shows, and a server that it is not told of is not in it.

use std::sync::Arc;

use prometheus::proto::{LabelPair, MetricFamily, MetricType};

use super::family::{counter, family, gauge as gauge_of, label};

/// The figures of one server.
#[derive(Clone, Debug)]
pub struct ServerFigures {
    /// The name of its upstream.
    pub upstream: Arc<str>,
    /// Its name among the servers of its upstream.
    pub server: Arc<str>,
    /// Requests that it has and has not answered to the last byte.
    pub in_flight: u64,
    /// Whether its health check, if there is one, lets it have requests.
    pub healthy: bool,
    /// Whether it was left out for its failures and has not answered well since.
    pub ejected: bool,
    /// How often it was chosen.
    pub choices: u64,
    /// How often it failed, by kind.
    pub failures: Vec<(&'static str, u64)>,
}

/// The metrics of the servers.
pub(super) fn families(servers: &[ServerFigures]) -> Vec<MetricFamily> {
    let gauge = |name, help, value: fn(&ServerFigures) -> u64| {
        let one = |server: &ServerFigures| gauge_of(labels(server, None), value(server));
        family(name, help, MetricType::GAUGE, servers.iter().map(one).collect())
    };
    let choices = servers.iter().map(|server| counter(labels(server, None), server.choices));
    let failures = servers.iter().flat_map(|server| {
        server.failures.iter().map(|(kind, failures)| counter(labels(server, Some(kind)), *failures))
    });
    let families = [
        family(
            "tollgate_upstream_choices_total",
            "How often a server was chosen for an attempt",
            MetricType::COUNTER,
            choices.collect(),
        ),
        gauge(
            "tollgate_upstream_ejected",
            "1 from when a server is left out for its failures until it has answered well again",
            |server| server.ejected.into(),
        ),
        family(
            "tollgate_upstream_failures_total",
            "Attempts on a server that failed through its fault",
            MetricType::COUNTER,
            failures.collect(),
        ),
        gauge("tollgate_upstream_healthy", "0 while the health check of a server keeps requests from it", |server| {
            server.healthy.into()
        }),
        gauge(
            "tollgate_upstream_in_flight",
            "Requests that a server has and has not answered to the last byte",
            |server| server.in_flight,
        ),
    ];
    // Prometheus' encoder refuses those without a sample
    families.into_iter().filter(|family| !family.get_metric().is_empty()).collect()
}

/// In the order of their names, as the registry's metrics have them.
fn labels(server: &ServerFigures, kind: Option<&str>) -> Vec<LabelPair> {
    let kind = kind.map(|kind| ("kind", kind));
    kind.into_iter()
        .chain([("server", &*server.server), ("upstream", &*server.upstream)])
        .map(|(name, value)| label(name, value))
        .collect()
}

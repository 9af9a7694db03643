//! Metrics of upstreams, from their state at the time of a scrape, without their servers. Keeps nothing.

use std::sync::Arc;

use prometheus::proto::{MetricFamily, MetricType};

use super::family::{counter, family, gauge, label};

/// The state of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamFigures {
    /// Its name.
    pub upstream: Arc<str>,
    /// Requests that wait for one of its servers.
    pub queued: usize,
    /// Retries that its retry budget did not allow.
    pub retries_refused: u64,
}

/// The metrics of the upstreams.
pub(super) fn families(upstreams: &[UpstreamFigures]) -> Vec<MetricFamily> {
    let labels = |one: &UpstreamFigures| vec![label("upstream", &one.upstream)];
    let queued = upstreams.iter().map(|one| gauge(labels(one), one.queued as u64));
    let refused = upstreams.iter().map(|one| counter(labels(one), one.retries_refused));
    let families = [
        family(
            "tollgate_upstream_queue_length",
            "Requests that wait for a server of an upstream",
            MetricType::GAUGE,
            queued.collect(),
        ),
        family(
            "tollgate_upstream_retries_refused_total",
            "Further attempts for which the retry budget of an upstream had nothing left",
            MetricType::COUNTER,
            refused.collect(),
        ),
    ];
    // the encoder refuses families without a sample
    families.into_iter().filter(|family| !family.get_metric().is_empty()).collect()
}

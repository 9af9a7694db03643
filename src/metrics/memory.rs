//! The memory budgets at the time of a scrape. Keeps nothing.

use plugin_api::{BODIES, Budget};
use prometheus::proto::{MetricFamily, MetricType};

use crate::memory::{HEADS, large_heads};

use super::family::{counter, family, gauge, label};

/// The metrics of the memory budgets.
pub(super) fn families() -> [MetricFamily; 4] {
    let budgets: [(&str, &Budget); 2] = [("bodies", &BODIES), ("heads", &HEADS)];
    let labels = |name: &str| vec![label("of", name)];
    let used = budgets.map(|(name, budget)| gauge(labels(name), budget.used() as u64));
    let limit = budgets.map(|(name, budget)| gauge(labels(name), budget.limit() as u64));
    let refused = budgets.map(|(name, budget)| counter(labels(name), budget.refused()));
    [
        family("tollgate_memory_bytes", "Bytes charged to a memory budget", MetricType::GAUGE, used.into()),
        family(
            "tollgate_memory_limit_bytes",
            "The memory budgets, in bytes: max_body_memory and max_header_memory",
            MetricType::GAUGE,
            limit.into(),
        ),
        family(
            "tollgate_memory_refused_total",
            "Charges that a memory budget refused",
            MetricType::COUNTER,
            refused.into(),
        ),
        family(
            "tollgate_large_heads_total",
            "Request heads larger than max_header",
            MetricType::COUNTER,
            vec![counter(Vec::new(), large_heads())],
        ),
    ]
}

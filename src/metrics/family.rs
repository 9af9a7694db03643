//! Builders for metric families that are made at a scrape, in the types of Prometheus' encoder.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// A metric with its samples.
pub(super) fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// A sample of a counter.
pub(super) fn counter(labels: Vec<LabelPair>, value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    metric
}

/// A sample of a gauge.
pub(super) fn gauge(labels: Vec<LabelPair>, value: u64) -> Metric {
    float_gauge(labels, value as f64)
}

/// The same where it may be below zero.
pub(super) fn signed_gauge(labels: Vec<LabelPair>, value: i64) -> Metric {
    float_gauge(labels, value as f64)
}

/// The same where it has fractions.
pub(super) fn float_gauge(labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_label(labels);
    metric.set_gauge(gauge);
    metric
}

/// A label. The labels of a sample are sorted by name, as the registry sorts those of its own metrics.
pub(super) fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

//! Metrics whose names and labels are constants of the code.

/// A metric whose name, help and labels are constants, so that the first test to make it finds one that is wrong.
///
/// ```
/// use plugin_api::constant_metric;
/// use plugin_api::prometheus::IntCounter;
///
/// let refusals = constant_metric(IntCounter::new("tollgate_office_refusals_total", "Calls refused out of hours"));
/// refusals.inc();
/// ```
///
/// # Panics
/// Where `prometheus` takes the metric for invalid.
#[expect(clippy::expect_used, reason = "the caller's constants decide; a wrong one fails at the first start")]
pub fn constant_metric<M>(metric: prometheus::Result<M>) -> M {
    metric.expect("the name and the labels of a metric are valid")
}

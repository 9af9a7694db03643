//! What this gateway knows of itself, for the view `now`: read from its metrics and upstreams at the moment. Counters are since the start;
//! the page computes rates from two readings.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::proto::{Metric, MetricFamily};
use serde_json::{Map, Value, json};

use crate::admin::Admin;
use crate::metrics::VERSION;

/// Names of callers and hosts beyond so many are left out; the first ones are those with the highest value.
const MOST_ROWS: usize = 200;

/// The figures, as `/dashboard/api/gateway` shows them; docs/dashboard.md describes them.
pub(super) fn figures(admin: &Admin) -> Value {
    let upstreams = (admin.upstreams)();
    let families = Families(admin.metrics.gather());
    json!({
        "at": milliseconds_since_epoch(),
        "started": families.sum("process_start_time_seconds"),
        "version": VERSION,
        "state": admin.readiness.state().word(),
        "requests_in_flight": families.sum("tollgate_requests_in_flight"),
        "connections_in_flight": families.sum("tollgate_connections_in_flight"),
        "durations": families.durations("http_request_duration_seconds"),
        "outcomes": families.by("tollgate_requests_total", &["domain", "outcome"]),
        "errors": families.by("tollgate_errors_total", &["domain", "reason"]),
        "refusals": families.by("tollgate_refusals_total", &["plugin", "reason"]),
        "tokens": families.by("claude_tokens_total", &["type"]),
        "cost_usd": families.total("tollgate_cost_usd_total"),
        "unpriced": families.total("tollgate_ledger_unpriced_total"),
        "upstreams": upstreams,
        "ledger": {
            "queue_rows": families.total("tollgate_ledger_queue_rows"),
            "journal_bytes": families.total("tollgate_ledger_journal_bytes"),
            "lag_seconds": families.total("tollgate_ledger_last_shipped_age_seconds"),
            "rows": families.by("tollgate_ledger_rows_total", &["result"]),
            "lost": families.by("tollgate_ledger_lost_total", &["kind"]),
            "rejected": families.total("tollgate_ledger_rejected_total"),
        },
        "cache": families.by("tollgate_cache_requests_total", &["status"]),
        "budgets": families.by("tollgate_budget_used_ratio", &["limit", "subject"]),
        "limits": {
            "used": families.by("tollgate_limit_used_ratio", &["limit", "measure"]),
            "held": families.by("tollgate_limit_reserved", &["limit", "measure"]),
            "rejections": families.by("tollgate_limit_rejections_total", &["limit", "reason"]),
        },
        "memory": families.by("tollgate_memory_bytes", &["of"]),
        "memory_limits": families.by("tollgate_memory_limit_bytes", &["of"]),
    })
}

/// What a histogram has observed.
#[derive(Default)]
struct Observed {
    count: u64,
    seconds: f64,
    /// How many of them up to each bound.
    up_to: Vec<u64>,
}

/// All metrics at a moment.
struct Families(Vec<MetricFamily>);

impl Families {
    fn samples(&self, name: &str) -> impl Iterator<Item = &Metric> {
        self.0.iter().filter(move |family| family.name() == name).flat_map(MetricFamily::get_metric)
    }

    /// The sum of all series, 0 if there are none.
    fn sum(&self, name: &str) -> f64 {
        self.samples(name).map(value).sum()
    }

    /// The sum of all series, `null` if there are none.
    fn total(&self, name: &str) -> Option<f64> {
        self.samples(name).next().map(|_| self.sum(name))
    }

    /// The sums of the series that have the same values of these labels, the largest first.
    fn by(&self, name: &str, labels: &[&str]) -> Vec<Value> {
        let mut sums: BTreeMap<Vec<&str>, f64> = BTreeMap::new();
        for sample in self.samples(name) {
            let key = labels.iter().map(|wanted| label(sample, wanted).unwrap_or_default()).collect();
            *sums.entry(key).or_default() += value(sample);
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        sums.truncate(MOST_ROWS);
        let rows = sums.into_iter().map(|(key, sum)| {
            let named = labels.iter().map(|&label| label.to_owned()).zip(key.into_iter().map(Value::from));
            Value::Object(named.chain([("value".to_owned(), json!(sum))]).collect())
        });
        rows.collect()
    }

    /// A histogram by domain and endpoint: how many observations there were up to each bound.
    fn durations(&self, name: &str) -> Value {
        let mut bounds: Vec<f64> = Vec::new();
        let mut all: BTreeMap<(&str, Option<&str>), Observed> = BTreeMap::new();
        for sample in self.samples(name) {
            let histogram = sample.get_histogram();
            let buckets = histogram.get_bucket();
            if bounds.is_empty() {
                bounds = buckets.iter().map(|bucket| bucket.upper_bound()).filter(|bound| bound.is_finite()).collect();
            }
            let key = (label(sample, "domain").unwrap_or_default(), label(sample, "endpoint"));
            let observed =
                all.entry(key).or_insert_with(|| Observed { up_to: vec![0; bounds.len()], ..Observed::default() });
            observed.count += histogram.get_sample_count();
            observed.seconds += histogram.get_sample_sum();
            for (sum, bucket) in observed.up_to.iter_mut().zip(buckets) {
                *sum += bucket.cumulative_count();
            }
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(_, observed)| std::cmp::Reverse(observed.count));
        all.truncate(MOST_ROWS);
        let series = all.into_iter().map(|((domain, endpoint), Observed { count, seconds, up_to })| {
            json!({ "domain": domain, "endpoint": endpoint, "count": count, "seconds": seconds, "up_to": up_to })
        });
        let series: Vec<_> = series.collect();
        Value::Object(Map::from_iter([("bounds".into(), bounds.into()), ("series".into(), series.into())]))
    }
}

fn label<'m>(sample: &'m Metric, name: &str) -> Option<&'m str> {
    sample.get_label().iter().find(|label| label.name() == name).map(|label| label.value())
}

/// The value of a counter or a gauge; a metric is one of these.
fn value(sample: &Metric) -> f64 {
    sample.get_counter().get_value() + sample.get_gauge().get_value()
}

fn milliseconds_since_epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

    use super::*;

    #[test]
    fn series_are_added_up_by_the_labels_that_are_asked_for() {
        let registry = Registry::new();
        let counter = IntCounterVec::new(Opts::new("calls", "h"), &["domain", "outcome"]).unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        for (domain, outcome, calls) in [("a", "completed", 2), ("b", "completed", 5), ("a", "refused", 1)] {
            counter.with_label_values(&[domain, outcome]).inc_by(calls);
        }
        let families = Families(registry.gather());
        assert_eq!(
            json!(families.by("calls", &["domain"])),
            json!([{ "domain": "b", "value": 5.0 }, { "domain": "a", "value": 3.0 }])
        );
        assert_eq!(families.by("calls", &["plugin"]), [json!({ "plugin": "", "value": 8.0 })]);
        assert_eq!((families.total("calls"), families.total("nothing")), (Some(8.0), None));
        assert!(families.by("nothing", &["domain"]).is_empty());
    }

    #[test]
    fn durations_are_added_up_by_domain_and_endpoint() {
        let registry = Registry::new();
        let options = HistogramOpts::new("seconds", "h").buckets(vec![1.0, 2.0]);
        let histogram = HistogramVec::new(options, &["domain", "status"]).unwrap();
        registry.register(Box::new(histogram.clone())).unwrap();
        for (status, seconds) in [("200", 0.5), ("200", 1.5), ("500", 9.0)] {
            histogram.with_label_values(&["a", status]).observe(seconds);
        }
        let durations = Families(registry.gather()).durations("seconds");
        assert_eq!(
            durations,
            json!({ "bounds": [1.0, 2.0], "series": [
                { "domain": "a", "endpoint": null, "count": 3, "seconds": 11.0, "up_to": [1, 2] },
            ]})
        );
    }
}

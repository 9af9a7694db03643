//! Finished requests: number, outcome, errors, duration, bytes. A request whose series exist is counted without an allocation.

use std::collections::hash_map::Entry;
use std::sync::{PoisonError, RwLock};

use ahash::AHashMap;
use plugin_api::{Outcome, Record};
use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, Opts, Registry};

use super::labels::{EndpointLabel, ErrorLabel, MethodLabel, NONE, StatusLabel};

/// Upper bounds of the histogram, in seconds: from a refusal to the longest answer of a model.
const BUCKETS: [f64; 17] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// The requests of all domains.
#[derive(Debug)]
pub(super) struct Requests {
    registry: Registry,
    domains: RwLock<AHashMap<Box<str>, Domain>>,
}

/// The requests of one domain.
#[derive(Debug)]
struct Domain {
    durations: AHashMap<DurationKey, Histogram>,
    upstreams: AHashMap<Box<str>, Ends>,
    errors: AHashMap<ErrorLabel, IntCounter>,
    received: IntCounter,
    sent: IntCounter,
}

type DurationKey = (EndpointLabel, MethodLabel, StatusLabel);

/// A counter for each [`Outcome`], once one has been seen.
type Ends = [Option<IntCounter>; 6];

impl Requests {
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, domains: RwLock::default() }
    }

    pub(super) fn finished(&self, domain: &str, record: &Record) {
        let domains = self.domains.read().unwrap_or_else(PoisonError::into_inner);
        if domains.get(domain).is_some_and(|known| known.count(record)) {
            return;
        }
        drop(domains);
        if let Err(error) = self.count_first(domain, record) {
            super::cannot_be_made(&error);
        }
    }

    fn count_first(&self, domain: &str, record: &Record) -> prometheus::Result<()> {
        let mut domains = self.domains.write().unwrap_or_else(PoisonError::into_inner);
        let known = match domains.entry(domain.into()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(Domain::new(&self.registry, domain)?),
        };
        known.learn(&self.registry, domain, record)?;
        known.count(record);
        Ok(())
    }
}

impl Domain {
    fn new(registry: &Registry, domain: &str) -> prometheus::Result<Self> {
        let bytes = |name: &str, help: &str| {
            made(registry, IntCounter::with_opts(Opts::new(name, help).const_label("domain", domain)))
        };
        Ok(Self {
            durations: AHashMap::default(),
            upstreams: AHashMap::default(),
            errors: AHashMap::default(),
            received: bytes("tollgate_request_bytes_total", "Bytes of bodies that clients sent")?,
            sent: bytes("tollgate_response_bytes_total", "Bytes of bodies that passed to clients")?,
        })
    }

    /// Counts a request if its series exist.
    fn count(&self, record: &Record) -> bool {
        let ends = self.upstreams.get(upstream(record));
        let count = ends.and_then(|ends| ends[place(record.outcome)].as_ref());
        let (Some(count), Some(duration)) = (count, self.durations.get(&key(record))) else { return false };
        if let Some(reason) = ErrorLabel::of(record) {
            let Some(errors) = self.errors.get(&reason) else { return false };
            errors.inc();
        }
        count.inc();
        duration.observe(record.total.as_secs_f64());
        self.received.inc_by(record.request_bytes);
        self.sent.inc_by(record.response_bytes);
        true
    }

    /// Creates the series that this request lacks.
    fn learn(&mut self, registry: &Registry, domain: &str, record: &Record) -> prometheus::Result<()> {
        if let Entry::Vacant(duration) = self.durations.entry(key(record)) {
            duration.insert(made(registry, new_duration(domain, record))?);
        }
        let ends = self.upstreams.entry(upstream(record).into()).or_default();
        let count = &mut ends[place(record.outcome)];
        if count.is_none() {
            *count = Some(made(registry, new_count(domain, record))?);
        }
        if let Some(reason) = ErrorLabel::of(record)
            && let Entry::Vacant(errors) = self.errors.entry(reason)
        {
            errors.insert(made(registry, new_errors(domain, reason))?);
        }
        Ok(())
    }
}

/// A metric of its own for each series: a vector distinguishes its children by a hash of their joined labels, and `a.com` before `ain`
/// joins to the same text as `a.co` before `main`.
fn made<M: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<M>) -> prometheus::Result<M> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn new_duration(domain: &str, record: &Record) -> prometheus::Result<Histogram> {
    let (EndpointLabel(endpoint), MethodLabel(method), status) = key(record);
    let options = HistogramOpts::new(
        "http_request_duration_seconds",
        "Seconds from the head of a request to the last byte of its answer",
    )
    .buckets(BUCKETS.to_vec())
    .const_label("domain", domain)
    .const_label("endpoint", endpoint)
    .const_label("method", method)
    .const_label("status", status.text());
    Histogram::with_opts(options)
}

fn new_count(domain: &str, record: &Record) -> prometheus::Result<IntCounter> {
    let options = Opts::new("tollgate_requests_total", "Finished requests by outcome")
        .const_label("domain", domain)
        .const_label("upstream", upstream(record))
        .const_label("outcome", record.outcome.as_str());
    IntCounter::with_opts(options)
}

fn new_errors(domain: &str, reason: ErrorLabel) -> prometheus::Result<IntCounter> {
    let options = Opts::new("tollgate_errors_total", "Requests that came to nothing, by the reason")
        .const_label("domain", domain)
        .const_label("reason", reason.text());
    IntCounter::with_opts(options)
}

fn upstream(record: &Record) -> &str {
    record.upstream.as_deref().unwrap_or(NONE)
}

fn key(record: &Record) -> DurationKey {
    (EndpointLabel::of(record), MethodLabel::of(record), StatusLabel::of(record))
}

/// Where an end has its place among [`Ends`].
fn place(end: Outcome) -> usize {
    match end {
        Outcome::Completed => 0,
        Outcome::Refused => 1,
        Outcome::Cached => 2,
        Outcome::UpstreamFailed => 3,
        Outcome::ClientGone => 4,
        Outcome::Aborted => 5,
    }
}

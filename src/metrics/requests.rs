//! Finished requests: number, outcome and duration. A request whose series exist is counted without an allocation.

use std::collections::hash_map::Entry;
use std::sync::{PoisonError, RwLock};

use ahash::AHashMap;
use plugin_api::http::{Method, StatusCode};
use plugin_api::{Outcome, Record};
use prometheus::{Histogram, HistogramOpts, IntCounter, Opts, Registry};

/// Upper bounds of the histogram, in seconds: from a refusal to the longest answer of a model.
const BUCKETS: [f64; 17] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// The label for a missing status or upstream.
const NONE: &str = "none";

/// The requests of all domains.
#[derive(Debug)]
pub(super) struct Requests {
    registry: Registry,
    domains: RwLock<AHashMap<Box<str>, Domain>>,
}

/// The requests of one domain.
#[derive(Debug, Default)]
struct Domain {
    durations: AHashMap<(MethodLabel, StatusLabel), Histogram>,
    upstreams: AHashMap<Box<str>, Ends>,
}

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
        let known = domains.entry(domain.into()).or_default();
        known.learn(&self.registry, domain, record)?;
        known.count(record);
        Ok(())
    }
}

impl Domain {
    /// Counts a request if its series exist.
    fn count(&self, record: &Record) -> bool {
        let ends = self.upstreams.get(upstream(record));
        let count = ends.and_then(|ends| ends[place(record.outcome)].as_ref());
        let (Some(count), Some(duration)) = (count, self.durations.get(&key(record))) else { return false };
        count.inc();
        duration.observe(record.total.as_secs_f64());
        true
    }

    /// Creates the series that this request lacks.
    fn learn(&mut self, registry: &Registry, domain: &str, record: &Record) -> prometheus::Result<()> {
        if let Entry::Vacant(duration) = self.durations.entry(key(record)) {
            let made = new_duration(domain, record)?;
            registry.register(Box::new(made.clone()))?;
            duration.insert(made);
        }
        let ends = self.upstreams.entry(upstream(record).into()).or_default();
        let count = &mut ends[place(record.outcome)];
        if count.is_none() {
            let made = new_count(domain, record)?;
            registry.register(Box::new(made.clone()))?;
            *count = Some(made);
        }
        Ok(())
    }
}

fn new_duration(domain: &str, record: &Record) -> prometheus::Result<Histogram> {
    let (MethodLabel(method), status) = key(record);
    let options = HistogramOpts::new(
        "http_request_duration_seconds",
        "Seconds from the head of a request to the last byte of its answer",
    )
    .buckets(BUCKETS.to_vec())
    .const_label("domain", domain)
    .const_label("method", method)
    .const_label("status", status.label());
    Histogram::with_opts(options)
}

/// A metric of its own for each series: a vector distinguishes its children by a hash of their joined labels, and `a.com` before `ain`
/// joins to the same text as `a.co` before `main`.
fn new_count(domain: &str, record: &Record) -> prometheus::Result<IntCounter> {
    let options = Opts::new("tollgate_requests_total", "Finished requests by outcome")
        .const_label("domain", domain)
        .const_label("upstream", upstream(record))
        .const_label("outcome", record.outcome.as_str());
    IntCounter::with_opts(options)
}

fn upstream(record: &Record) -> &str {
    record.upstream.as_deref().unwrap_or(NONE)
}

/// A method as a label. Unregistered methods share one, since clients can make up any number of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct MethodLabel(&'static str);

/// A status as a label. Unregistered ones share a label for each first digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum StatusLabel {
    None,
    /// A registered status, or one that proxies are known for.
    Known(u16),
    /// Any other, by its first digit.
    Class(u16),
}

impl StatusLabel {
    fn of(status: StatusCode) -> Self {
        let code = status.as_u16();
        let is_of_proxies =
            matches!(code, 419 | 420 | 440 | 444 | 449 | 460 | 463 | 494..=499 | 509 | 520..=530 | 561 | 598 | 599);
        if status.canonical_reason().is_some() || is_of_proxies { Self::Known(code) } else { Self::Class(code / 100) }
    }

    fn label(self) -> String {
        match self {
            Self::None => NONE.to_owned(),
            Self::Known(code) => code.to_string(),
            Self::Class(digit) => format!("{digit}xx"),
        }
    }
}

fn key(record: &Record) -> (MethodLabel, StatusLabel) {
    let method = match record.method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "OTHER",
    };
    (MethodLabel(method), record.status.map_or(StatusLabel::None, StatusLabel::of))
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

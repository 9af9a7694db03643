//! The limits of the YAML, and those of a key of its own, as they are counted.

use std::num::NonZeroU64;
use std::sync::Arc;

use plugin_api::{Quota, Rate, Window};
use quota::{Calendar, Limit, Meters, Reservation, Subject, Unit};

use crate::by::{By, Descriptor};
use crate::demand::Demand;
use crate::meters::MetersOf;
use crate::settings::{Config, LimitConfig};
use crate::shared::{Counting, Counts, Shared};

/// The name of the limits that a key has of its own.
pub(crate) const OWN: &str = "key_limits";

/// The limits of one entry: what is limited, for the same callers.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: Arc<str>,
    pub(crate) by: By,
    pub(crate) rules: Vec<Rule>,
    /// The place of the first header it names among those of all entries.
    pub(crate) header: usize,
}

/// One limit.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) measure: Measure,
    /// As the YAML writes it; of calls in progress none.
    pub(crate) rate: Option<Rate>,
    pub(crate) limit: Limit,
    pub(crate) meters: Arc<Meters>,
    /// Its name among the limits of all gateways, where they share them.
    pub(crate) shared_name: Option<Subject>,
    /// Its name in what outlives a restart, where this gateway counts days or months by itself.
    pub(crate) saved_name: Option<Subject>,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Measure {
    Requests,
    Tokens,
    Concurrent,
}

impl Measure {
    /// What this was reserved of.
    pub(crate) fn of(reservation: &Reservation) -> Self {
        match reservation.limit() {
            Limit::Concurrent { .. } => Self::Concurrent,
            _ if reservation.is_spent() => Self::Requests,
            _ => Self::Tokens,
        }
    }

    /// The word for it, in refusals and metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Concurrent => "concurrent",
        }
    }

    /// How much of it a request wants.
    pub(crate) fn amount(self, demand: &Demand) -> u64 {
        match self {
            Self::Concurrent if demand.is_connection => 0,
            Self::Requests | Self::Concurrent => 1,
            Self::Tokens => demand.reserved,
        }
    }

    /// How much of it a request used that counts so many tokens, or nothing at all.
    pub(crate) fn used(self, tokens: Option<u64>) -> u64 {
        match (self, tokens) {
            (Self::Requests, Some(_)) => 1,
            (Self::Tokens, Some(tokens)) => tokens,
            (Self::Concurrent, _) | (_, None) => 0,
        }
    }

    /// Whether it is used at once.
    pub(crate) fn is_spent(self) -> bool {
        self == Self::Requests
    }
}

impl Group {
    /// The limits of an entry of the YAML.
    pub(crate) fn new(entry: &LimitConfig, config: &Config, counting: &Counting) -> Self {
        let before = config.limits.iter().take_while(|other| !std::ptr::eq(*other, entry));
        let header = before.map(|other| other.by.header().count()).sum();
        let name: Arc<str> = entry.label().into();
        let rules = rules(&entry.quota(), config, |measure, window| {
            counting.of(MetersOf { name: name.clone(), by: entry.by.clone(), measure, window })
        });
        Self { name, by: entry.by.clone(), rules, header }
    }

    /// The limits that a key has of its own.
    pub(crate) fn own(quota: &Quota, config: &Config, counting: &Counting, shared: &Shared) -> Self {
        let name = shared.own_name();
        let rules = rules(quota, config, |measure, window| counting.own(measure, window));
        Self { name, by: By(vec![Descriptor::Key]), rules, header: 0 }
    }

    /// Whether a request takes of this limit. The handshake of a connection is counted as a request, and then its first call is not.
    pub(crate) fn claims(&self, rule: &Rule, demand: &Demand) -> bool {
        let is_counted_by_handshake =
            demand.is_first_on_connection && rule.measure == Measure::Requests && self.by.is_told_by_head();
        rule.measure.amount(demand) > 0 && !is_counted_by_handshake
    }
}

/// The limits by day and month that keys may have of their own.
pub(crate) fn own_windows(config: &Config, counting: &Counting) -> Vec<Rule> {
    let quotas = [Window::Day, Window::Month].map(|window| {
        let rate = Some(Rate { amount: NonZeroU64::MAX, window });
        Quota { requests: rate, burst: None, tokens: rate, concurrent: None }
    });
    let rules = |quota: &Quota| rules(quota, config, |measure, window| counting.own(measure, window));
    quotas.iter().flat_map(rules).collect()
}

/// The limits of a quota.
fn rules(quota: &Quota, config: &Config, counts: impl Fn(Measure, Option<Window>) -> Counts) -> Vec<Rule> {
    let calendar = Calendar(config.time_zone.0);
    let rule = |measure, rate: Option<Rate>, limit| {
        let Counts { meters, shared_name, saved_name } = counts(measure, rate.map(|rate| rate.window));
        Rule { measure, rate, limit, meters, shared_name, saved_name }
    };
    let mut rules = Vec::with_capacity(3);
    if let Some(rate) = quota.requests {
        let capacity = quota.burst.map_or(rate.amount, |burst| burst).get();
        rules.push(rule(Measure::Requests, Some(rate), limit(rate, capacity, calendar)));
    }
    if let Some(rate) = quota.tokens {
        rules.push(rule(Measure::Tokens, Some(rate), limit(rate, rate.amount.get(), calendar)));
    }
    if let Some(calls) = quota.concurrent {
        rules.push(rule(Measure::Concurrent, None, Limit::Concurrent { amount: u64::from(calls.get()) }));
    }
    rules
}

fn limit(rate: Rate, capacity: u64, calendar: Calendar) -> Limit {
    let amount = rate.amount.get();
    match rate.window {
        Window::Second => Limit::per_second(amount, capacity),
        Window::Minute => Limit::Rate { amount, period: 60_000_000_000, capacity },
        Window::Hour => Limit::Rate { amount, period: 3_600_000_000_000, capacity },
        Window::Day => Limit::Window { amount, unit: Unit::Day, calendar },
        Window::Month => Limit::Window { amount, unit: Unit::Month, calendar },
    }
}

impl Rule {
    /// Whether nobody but this process has to know whose counts are whose.
    pub(crate) fn is_local(&self) -> bool {
        self.shared_name.is_none() && self.saved_name.is_none()
    }

    /// The word for what is limited.
    pub(crate) fn reason(&self) -> &'static str {
        self.measure.reason()
    }
}

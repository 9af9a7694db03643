//! An upstream as an exchange sees it: its servers to choose from, its limits, when another attempt is made, and its fallback.
//! How to connect to a server is the engine's.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::{Algorithm, Fallback, HashKey, Pool, RetryOn, UpstreamRegistry, UpstreamSettings};
use crate::dns::Resolver;

use super::deadlines::AttemptLimits;

/// A group of servers that answer alike.
pub struct Upstream {
    /// Its name in the YAML.
    pub name: Arc<str>,
    /// Its place among the upstreams in the YAML.
    pub index: usize,
    /// Its servers, to choose from.
    pub pool: Pool,
    /// How long to wait for a server.
    pub timeouts: Timeouts,
    /// When another attempt is made.
    pub retry: RetryPolicy,
    /// The fallback for when this one is exhausted, and its settings.
    pub fallback: Option<(Arc<Upstream>, Fallback)>,
    /// Whether it, or a fallback, needs the body of a call.
    pub reads_body: bool,
    /// Whether it, or a fallback, hashes the session of a call.
    pub hashes_sessions: bool,
    /// Whether it, or a fallback, may be spoken to in HTTP/2.
    pub speaks_h2: bool,
    /// Whether a fallback gets another model name.
    pub renames_models: bool,
    /// Whether it has a credential of its own, in place of the client's.
    pub has_credential: bool,
    eject_on: Vec<u16>,
}

/// How long to wait, as the settings say.
#[derive(Clone, Copy)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From the end of the request to the head of the response.
    pub first_byte: Duration,
    /// For the next byte of the response.
    pub idle: Duration,
    /// For the whole exchange.
    pub total: Duration,
    /// For the next byte of an upgraded connection, in either direction.
    pub upgraded: Duration,
}

/// Limits of a route, each in place of the upstream's.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeoutOverrides {
    /// For [`Timeouts::connect`].
    pub connect: Option<Duration>,
    /// For [`Timeouts::first_byte`].
    pub first_byte: Option<Duration>,
    /// For [`Timeouts::idle`].
    pub idle: Option<Duration>,
    /// For [`Timeouts::total`].
    pub total: Option<Duration>,
    /// For [`Timeouts::upgraded`].
    pub upgraded: Option<Duration>,
}

impl Timeouts {
    /// The same with the limits of a route in place of its own.
    #[must_use]
    pub fn overridden(self, by: &TimeoutOverrides) -> Self {
        Self {
            connect: by.connect.unwrap_or(self.connect),
            first_byte: by.first_byte.unwrap_or(self.first_byte),
            idle: by.idle.unwrap_or(self.idle),
            total: by.total.unwrap_or(self.total),
            upgraded: by.upgraded.unwrap_or(self.upgraded),
        }
    }

    /// The limits of an attempt whose client may pause for so long within its request.
    #[must_use]
    pub fn of_attempt(self, client: Duration) -> AttemptLimits {
        AttemptLimits { first_byte: self.first_byte, client, server: self.idle.min(self.first_byte) }
    }

    /// Whether Pingora's one limit for HTTP/2, for the first byte and every pause, can keep both.
    #[must_use]
    pub fn allow_h2(self) -> bool {
        self.idle <= self.first_byte
    }
}

/// When another attempt is made.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// How many of all attempts may be further ones, in percent of the requests.
    pub budget: u64,
    on: Vec<RetryOn>,
}

impl RetryPolicy {
    /// Whether this is worth another attempt.
    #[must_use]
    pub fn is_on(&self, condition: RetryOn) -> bool {
        self.on.contains(&condition)
    }
}

impl Upstream {
    /// The upstream that the settings describe; its servers' names are looked up soon. `fallback` is the one that they name.
    #[must_use]
    pub fn new(
        name: &str,
        index: usize,
        settings: &UpstreamSettings,
        registry: &UpstreamRegistry,
        resolver: &Resolver,
        fallback: Option<Arc<Self>>,
    ) -> Self {
        let timeouts = Timeouts {
            connect: settings.timeouts.connect.get(),
            first_byte: settings.timeouts.first_byte.get(),
            idle: settings.timeouts.idle.get(),
            total: settings.timeouts.total.get(),
            upgraded: settings.timeouts.upgraded.get(),
        };
        let fallback = fallback.zip(settings.fallback.as_ref().map(|fallback| fallback.value.clone()));
        let renames_models = fallback.as_ref().is_some_and(|(to, how)| how.changes_models() || to.renames_models);
        let knows_calls = match &settings.balance {
            Algorithm::LeastTokens => true,
            Algorithm::Hash(hash) => matches!(hash.key, HashKey::Body(_)),
            Algorithm::LeastConn | Algorithm::RoundRobin | Algorithm::PeakEwma => false,
        };
        let hashes_sessions = matches!(&settings.balance, Algorithm::Hash(hash) if hash.key == HashKey::Session);
        let has_tls = settings.servers.iter().any(|server| server.address.tls);
        let mut retry_on = settings.retry.on.clone();
        if settings.retry.non_idempotent {
            retry_on.push(RetryOn::NonIdempotent);
        }
        Self {
            name: name.into(),
            index,
            pool: Pool::new(name, settings, registry, resolver),
            timeouts,
            retry: RetryPolicy {
                attempts: settings.retry.attempts.get(),
                budget: settings.retry.budget.percent(),
                on: retry_on,
            },
            reads_body: knows_calls || renames_models || fallback.as_ref().is_some_and(|(to, _)| to.reads_body),
            hashes_sessions: hashes_sessions || fallback.as_ref().is_some_and(|(to, _)| to.hashes_sessions),
            speaks_h2: has_tls && timeouts.allow_h2() || fallback.as_ref().is_some_and(|(to, _)| to.speaks_h2),
            renames_models,
            has_credential: settings.headers.has_credential(),
            fallback,
            eject_on: settings.eject.on.iter().map(|status| status.get()).collect(),
        }
    }

    /// It, its fallback, the fallback of that, and so on.
    pub fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |upstream| upstream.fallback.as_ref().map(|(fallback, _)| &**fallback))
    }

    /// Whether an answer with this status counts against its server.
    #[must_use]
    pub fn ejects_on(&self, status: u16) -> bool {
        self.eject_on.contains(&status)
    }
}

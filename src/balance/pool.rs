//! The servers of an upstream in one configuration, and the selection of one of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::backends::{Backend, Backends};
use super::candidates::Candidates;
use super::ejection::{EjectionPolicy, EjectionState};
use super::lease::Lease;
use super::server::Availability;
use super::server_config::ServerConfig;
use super::turn::Turn;
use super::upstream_state::UpstreamState;
use super::{
    Algorithm, QueueSettings, SelectError, SelectParams, Server, ServerFailure, ServerView, State, UpstreamRegistry,
    UpstreamSettings, hash, least_conn, least_tokens, peak_ewma, round_robin,
};
use crate::dns::Resolver;

/// The servers of an upstream and the rule that selects one.
#[derive(Debug)]
pub struct Pool {
    rule: Algorithm,
    upstream: Arc<UpstreamState>,
    configs: Vec<ServerConfig>,
    queue: Option<QueueSettings>,
    /// Incremented when the addresses of any name change.
    changes: Arc<AtomicU64>,
    // selection and count are one step under this lock, so that a burst does not herd onto one server
    backends: Mutex<Backends>,
}

impl Pool {
    /// Creates a pool. Servers that are in use already keep their state.
    #[must_use]
    pub fn new(upstream: &str, settings: &UpstreamSettings, registry: &UpstreamRegistry, resolver: &Resolver) -> Self {
        let upstream = registry.upstream(upstream);
        let configs: Vec<ServerConfig> =
            settings.servers.iter().map(|server| ServerConfig::new(server, settings, resolver)).collect();
        let pool = Self {
            rule: settings.balance.clone(),
            backends: Mutex::new(Backends::default()),
            queue: settings.queue.clone(),
            changes: resolver.changes(),
            upstream: upstream.clone(),
            configs,
        };
        drop(pool.backends());
        upstream.settle();
        pool
    }

    /// Makes this pool's configuration the active one: its limits hold for requests of older configurations, too, and the
    /// queue looks again.
    pub fn activate(&self) {
        self.upstream.set_limits(&self.configs);
        self.upstream.queue.wake();
    }

    /// Selects a server. The request counts as in flight there until the lease is dropped.
    ///
    /// # Errors
    /// Why no server was selected.
    pub fn lease(&self, params: &SelectParams<'_>) -> Result<Lease, SelectError> {
        if params.tried.is_empty() {
            self.upstream.budget.request(params.now);
            if self.upstream.queue.len() > 0 && self.queue.is_some() {
                return Err(SelectError::Full(None)); // others were here first
            }
        }
        self.choose(params)
    }

    /// Waits in the queue for a server, after [`lease`](Self::lease) failed with this error.
    ///
    /// # Errors
    /// Why no server was selected; the same error if the upstream has no queue or waiting does not help.
    pub async fn wait(&self, params: &SelectParams<'_>, refusal: SelectError) -> Result<Lease, SelectError> {
        let (Some(settings), SelectError::Full(_)) = (&self.queue, refusal) else { return Err(refusal) };
        // first attempts of one configuration can use the same servers; a further attempt is a kind of its own
        let kind = params.tried.is_empty().then(|| std::ptr::from_ref(self).addr());
        let place = self.upstream.queue.join(settings.size as usize, kind).ok_or(SelectError::QueueFull)?;
        let mut look = params.now;
        let found = tokio::time::timeout(settings.timeout.get(), async {
            // the end of an ejection wakes no waiter
            let mut back = None;
            loop {
                match back {
                    None => place.turn().await,
                    Some(at) => drop(tokio::time::timeout_at(tokio::time::Instant::from_std(at), place.turn()).await),
                }
                look = Instant::now();
                match self.choose(&SelectParams { now: look, ..*params }) {
                    Err(SelectError::Full(retry_at)) => {
                        back = retry_at;
                        place.pass();
                    }
                    other => return other,
                }
            }
        });
        found.await.unwrap_or(Err(SelectError::QueueTimeout))
    }

    /// Takes a further attempt on a server that is already leased out of a retry budget of this many percent; `false` if it
    /// is exhausted.
    #[must_use]
    pub fn allows_another(&self, percent: u64, now: Instant) -> bool {
        self.upstream.budget.retry(percent, now)
    }

    /// Reports a failed attempt. It counts against the server and may eject it.
    pub fn failed(&self, lease: &mut Lease, failure: ServerFailure, now: Instant) {
        let server = lease.server.clone();
        server.count_failure(failure.class);
        if self.rule == Algorithm::PeakEwma {
            server.latency.penalise(failure.retry_after, now);
        }
        // while requests of an old configuration run, two pools may eject the same servers
        let ejection_lock = self.upstream.ejection_lock();
        let mut backends = self.backends();
        let policy = self.configs[lease.server_index].policy;
        let alone = backends.list.len() == 1;
        let place = backends.list.iter().position(|backend| Arc::ptr_eq(&backend.server, &server));
        // nginx: a single server keeps its weight, which it could never regain
        if let Some(at) = place.filter(|_| !alone) {
            let unit = backends.turns[at].unit;
            let lowered = self.configs[lease.server_index].weight.checked_div(policy.max_fails);
            backends.turns[at].lower(i64::from(lowered.unwrap_or(0)).saturating_mul(unit));
        }
        // the last server stays in use
        let spare = alone || !backends.list.iter().any(|other| self.can_replace(other, &server, now));
        // nginx: failures of a single server are not counted
        let policy = if alone { EjectionPolicy { max_fails: 0, ..policy } } else { policy };
        let change = server.failed(now, policy, failure, lease.take_role(), spare);
        drop((backends, ejection_lock));
        if let Some(change) = change {
            change.log(&server);
        }
    }

    /// Reports an attempt whose response is no failure, and the time to its first byte.
    pub fn answered(&self, lease: &mut Lease, first_byte: Duration, now: Instant) {
        if self.rule == Algorithm::PeakEwma {
            lease.server.latency.observe(first_byte, now);
        }
        let role = lease.take_role();
        lease.server.answered(now, role);
    }

    /// The rule that selects a server.
    #[must_use]
    pub fn rule(&self) -> &Algorithm {
        &self.rule
    }

    /// The settings of the queue, if there is one.
    #[must_use]
    pub fn queue(&self) -> Option<&QueueSettings> {
        self.queue.as_ref()
    }

    /// The number of requests in the queue.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.upstream.queue.len()
    }

    /// The number of further attempts that the retry budget refused.
    #[must_use]
    pub fn retries_refused(&self) -> u64 {
        self.upstream.budget.refused()
    }

    /// The current servers, in the order of the YAML and of each name's addresses. An entry whose name is not resolved has
    /// none.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerView> {
        let now = Instant::now();
        let backends = self.backends();
        let view = |(backend, turn): (&Backend, &Turn)| {
            let config = &self.configs[backend.server_index];
            let state = if config.down { State::Down } else { backend.server.state(now) };
            let shares = backends.list.iter().filter(|other| other.server_index == backend.server_index).count();
            let full = i64::try_from(turn.weight).unwrap_or(i64::MAX);
            let effective = if backends.list.len() == 1 { full } else { turn.effective.min(full) };
            ServerView {
                server: backend.server.clone(),
                label: backend.label.clone(),
                server_index: backend.server_index,
                weight: config.weight,
                shares,
                effective_weight: effective as f64 / (turn.unit as f64 * shares as f64),
                max_conns: u32::try_from(config.max_conns).unwrap_or(u32::MAX),
                backup: config.backup,
                state,
            }
        };
        backends.list.iter().zip(&backends.turns).map(view).collect()
    }

    /// The entries of `servers` whose names are not resolved.
    #[must_use]
    pub fn unresolved(&self) -> Vec<String> {
        let configs = self.configs.iter().filter(|config| config.name.addresses().is_empty());
        configs.map(|config| config.address.to_string()).collect()
    }

    /// Whether no name of the pool is resolved.
    #[must_use]
    pub fn is_unresolved(&self) -> bool {
        self.backends().list.is_empty()
    }

    /// Selects a server and, for a further attempt, takes it out of the retry budget: both or neither.
    fn choose(&self, params: &SelectParams<'_>) -> Result<Lease, SelectError> {
        let Some(percent) = params.budget else { return self.choose_server(params) };
        if !self.upstream.budget.retry(percent, params.now) {
            return Err(SelectError::BudgetExhausted);
        }
        let chosen = self.choose_server(params);
        if chosen.is_err() {
            self.upstream.budget.not_made(params.now);
        }
        chosen
    }

    fn choose_server(&self, params: &SelectParams<'_>) -> Result<Lease, SelectError> {
        let mut backends = self.backends();
        let Backends { list, turns, .. } = &mut *backends;
        let candidates = Candidates::of(&self.configs, list, turns, params, &self.rule);
        let index = match &self.rule {
            _ if !candidates.any_eligible => None,
            Algorithm::LeastConn => least_conn::choose(turns),
            Algorithm::RoundRobin => round_robin::choose(turns),
            Algorithm::LeastTokens => least_tokens::choose(turns),
            Algorithm::PeakEwma => peak_ewma::choose(turns),
            Algorithm::Hash(settings) => match params.key {
                Some(key) => hash::choose(turns, key, settings.bound.get()),
                None => least_conn::choose(turns),
            },
        };
        let index = match index.or(candidates.last_resort.map(|(_, index)| index)) {
            Some(index) => index,
            None if candidates.full => return Err(SelectError::Full(candidates.retry_at)),
            None => return Err(SelectError::NoServer(candidates.retry_at)),
        };
        let backend = &list[index];
        let role = backend.server.take(params.now, params.tokens, self.configs[backend.server_index].policy);
        let (server, label) = (backend.server.clone(), backend.label.clone());
        Ok(Lease { server, label, server_index: backend.server_index, tokens: params.tokens, role })
    }

    fn can_replace(&self, other: &Backend, failing: &Arc<Server>, now: Instant) -> bool {
        let Availability { healthy, ejection, .. } = other.server.availability(now);
        // a server to be probed may still be failing
        healthy
            && ejection == EjectionState::NotEjected
            && !self.configs[other.server_index].down
            && !Arc::ptr_eq(&other.server, failing)
    }

    /// Locks the backends, renewed first if any addresses or limits have changed.
    fn backends(&self) -> MutexGuard<'_, Backends> {
        let mut backends = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.changes.load(Ordering::Acquire).wrapping_add(self.upstream.limits_set());
        if backends.seen != Some(changes) {
            backends.renew(&self.configs, &self.upstream);
            backends.seen = Some(changes);
            // there may be room where there was none
            self.upstream.queue.wake();
        }
        backends
    }
}

#[cfg(test)]
mod tests;

//! The state of a server: its requests in flight, its health and its failures. It outlives the configuration that names the
//! server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::change::StateChange;
use super::ejection::{Ejection, EjectionPolicy, EjectionState, Role};
use super::latency::Latency;
use super::server_config::ServerConfig;
use super::upstream_state::UpstreamState;
use super::{FailureClass, Health, ServerFailure, State};

/// A server: one address of an entry of `servers`.
#[derive(Debug)]
pub struct Server {
    id: u64,
    upstream: Arc<UpstreamState>,
    address: Arc<str>,
    socket: SocketAddr,
    hash: u64,
    hot: Hot,
    failures: [AtomicU64; FailureClass::ALL.len()],
    pub(super) latency: Latency,
    health_state: Mutex<HealthState>,
}

/// What every selection reads of every server, in one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Hot {
    in_flight: AtomicU64,
    tokens: AtomicU64,
    attempts: AtomicU64,
    /// Whether `health_state` holds anything to consider. Usually not, which spares a selection the lock.
    dirty: AtomicBool,
}

#[derive(Debug, Default)]
struct HealthState {
    health: Health,
    ejection: Ejection,
    /// Start of a slow start: when the server was added or returned.
    ramp_start: Option<Instant>,
}

/// What a selection must know of a server's health state.
#[derive(Debug)]
pub(super) struct Availability {
    pub healthy: bool,
    pub ejection: EjectionState,
    pub ramp_start: Option<Instant>,
}

impl Availability {
    pub(super) const FULL: Self = Self { healthy: true, ejection: EjectionState::NotEjected, ramp_start: None };
}

impl Server {
    pub(super) fn new(
        id: u64,
        upstream: Arc<UpstreamState>,
        config: &ServerConfig,
        socket: SocketAddr,
        hash: u64,
    ) -> Self {
        let ramp_start = upstream.is_settled().then(Instant::now);
        let health = config.initial;
        let dirty = ramp_start.is_some() || health == Health::Unhealthy;
        Self {
            id,
            upstream,
            address: config.address.to_string().into(),
            socket,
            hash,
            hot: Hot { dirty: AtomicBool::new(dirty), ..Hot::default() },
            failures: Default::default(),
            latency: Latency::default(),
            health_state: Mutex::new(HealthState { health, ramp_start, ..HealthState::default() }),
        }
    }

    /// A number unique within the process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The name of its upstream.
    #[must_use]
    pub fn upstream(&self) -> &str {
        self.upstream.name()
    }

    /// The address as written in the YAML.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The IP address and port.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        self.socket
    }

    /// The number of attempts in flight.
    #[must_use]
    #[inline]
    pub fn in_flight(&self) -> u64 {
        self.hot.in_flight.load(Ordering::SeqCst)
    }

    /// The output tokens that those attempts ask for.
    #[must_use]
    pub fn tokens_in_flight(&self) -> u64 {
        self.hot.tokens.load(Ordering::Relaxed)
    }

    /// The number of attempts so far.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.hot.attempts.load(Ordering::Relaxed)
    }

    /// The number of failures of each class.
    pub fn failures(&self) -> impl Iterator<Item = (FailureClass, u64)> {
        FailureClass::ALL.into_iter().map(|class| (class, self.failures[class.at()].load(Ordering::Relaxed)))
    }

    /// Consecutive failures.
    #[must_use]
    pub fn failures_in_a_row(&self) -> u32 {
        self.health_state().ejection.in_a_row()
    }

    /// The class of the last failure.
    #[must_use]
    pub fn last_failure(&self) -> Option<FailureClass> {
        self.health_state().ejection.last()
    }

    /// The end of the current ejection; in the past while the server waits for its probe.
    #[must_use]
    pub fn ejected_until(&self) -> Option<Instant> {
        self.health_state().ejection.until()
    }

    /// The result of active health checks.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health_state().health
    }

    /// Sets the result of active health checks; `reason` is that of the last failure. Logs a change; `true` if there was one.
    pub fn set_health(&self, health: Health, reason: &str) -> bool {
        let mut health_state = self.health_state();
        let before = std::mem::replace(&mut health_state.health, health);
        if before == Health::Unhealthy && health != Health::Unhealthy {
            health_state.ramp_start = Some(Instant::now());
        }
        self.publish(health_state);
        match health {
            _ if before == health => return false,
            Health::Healthy if before == Health::Unhealthy => StateChange::Healthy.log(self),
            Health::Unhealthy => StateChange::Unhealthy(reason).log(self),
            Health::Unknown if before == Health::Unhealthy => StateChange::Unchecked.log(self),
            Health::Healthy | Health::Unknown => {}
        }
        self.upstream.queue.wake();
        true
    }

    /// The current state, without regard to `down` in the YAML.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        let Availability { healthy, ejection, .. } = self.availability(now);
        match ejection {
            _ if !healthy => State::Unhealthy,
            EjectionState::NotEjected => State::Up,
            EjectionState::ProbeDue | EjectionState::Probing(_) => State::Probing,
            EjectionState::Ejected(until) => State::Ejected(until),
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    pub(super) fn availability(&self, now: Instant) -> Availability {
        if !self.hot.dirty.load(Ordering::Relaxed) {
            return Availability::FULL;
        }
        self.read_health_state(now)
    }

    fn read_health_state(&self, now: Instant) -> Availability {
        let health_state = self.health_state();
        Availability {
            healthy: health_state.health != Health::Unhealthy,
            ejection: health_state.ejection.state(now),
            ramp_start: health_state.ramp_start,
        }
    }

    /// Counts an attempt in flight and returns the role of the server in it.
    pub(super) fn take(&self, now: Instant, tokens: u64, policy: EjectionPolicy) -> Role {
        self.hot.in_flight.fetch_add(1, Ordering::Relaxed);
        self.hot.tokens.fetch_add(tokens, Ordering::Relaxed);
        self.hot.attempts.fetch_add(1, Ordering::Relaxed);
        if self.hot.dirty.load(Ordering::Relaxed) {
            self.health_state().ejection.chosen(now, policy)
        } else {
            Role::Ordinary
        }
    }

    /// Undoes [`take`](Self::take) at the end of the attempt.
    pub(super) fn give_back(&self, tokens: u64, role: Role) {
        self.hot.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.hot.tokens.fetch_sub(tokens, Ordering::Relaxed);
        if let Role::Probe(_) = role {
            self.health_state().ejection.ended_without_result(role);
        }
        self.upstream.queue.wake();
    }

    pub(super) fn count_failure(&self, class: FailureClass) {
        self.failures[class.at()].fetch_add(1, Ordering::Relaxed);
    }

    /// Records a failed attempt. The caller logs the change once it holds no lock.
    pub(super) fn failed(
        &self,
        now: Instant,
        policy: EjectionPolicy,
        failure: ServerFailure,
        role: Role,
        spare: bool,
    ) -> Option<StateChange<'_>> {
        let mut health_state = self.health_state();
        let lasts = health_state.ejection.failed(now, policy, failure, role, spare);
        let in_a_row = health_state.ejection.in_a_row();
        self.publish(health_state);
        lasts.map(|lasts| StateChange::Ejected { lasts, after: failure.class, in_a_row })
    }

    pub(super) fn answered(&self, now: Instant, role: Role) {
        if !self.hot.dirty.load(Ordering::Relaxed) {
            return;
        }
        let mut health_state = self.health_state();
        let returned = health_state.ejection.succeeded(now, role);
        if returned {
            health_state.ramp_start = Some(now);
        }
        self.publish(health_state);
        if returned {
            StateChange::Returned.log(self);
            self.upstream.queue.wake();
        }
    }

    /// Ends the slow start that began then.
    pub(super) fn ramp_is_over(&self, since: Instant) {
        let mut health_state = self.health_state();
        if health_state.ramp_start == Some(since) {
            health_state.ramp_start = None;
        }
        self.publish(health_state);
    }

    fn health_state(&self) -> MutexGuard<'_, HealthState> {
        self.health_state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates the flag that selections read.
    fn publish(&self, health_state: MutexGuard<'_, HealthState>) {
        let dirty = health_state.health == Health::Unhealthy
            || !health_state.ejection.is_clear()
            || health_state.ramp_start.is_some();
        self.hot.dirty.store(dirty, Ordering::Relaxed);
    }
}

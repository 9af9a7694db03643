//! A server as the whole process knows it: what is in flight on it and in what condition it is. It outlives the
//! configuration that names it.

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

/// A server: one address of one that the YAML names.
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

/// What every choice reads of every server: in one line of the processor's cache.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Hot {
    in_flight: AtomicU64,
    tokens: AtomicU64,
    choices: AtomicU64,
    /// Whether its condition must be looked at before it is chosen. Mostly not: one load tells.
    dirty: AtomicBool,
}

#[derive(Debug, Default)]
struct HealthState {
    health: Health,
    ejection: Ejection,
    /// Since when it takes part (again), where its weight may still have to grow.
    ramp_start: Option<Instant>,
}

/// What a pool must know of a server's condition to choose.
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

    /// A number that no other server of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The name of its upstream.
    #[must_use]
    pub fn upstream(&self) -> &str {
        self.upstream.name()
    }

    /// Its address as the YAML writes it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it is.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        self.socket
    }

    /// Attempts under way on it.
    #[must_use]
    #[inline]
    pub fn in_flight(&self) -> u64 {
        self.hot.in_flight.load(Ordering::SeqCst)
    }

    /// The tokens that they asked for.
    #[must_use]
    pub fn tokens_in_flight(&self) -> u64 {
        self.hot.tokens.load(Ordering::Relaxed)
    }

    /// How often it was chosen.
    #[must_use]
    pub fn choices(&self) -> u64 {
        self.hot.choices.load(Ordering::Relaxed)
    }

    /// How often it failed in each way.
    pub fn failures(&self) -> impl Iterator<Item = (FailureClass, u64)> {
        FailureClass::ALL.into_iter().map(|class| (class, self.failures[class.at()].load(Ordering::Relaxed)))
    }

    /// Failures since its last good answer.
    #[must_use]
    pub fn failures_in_a_row(&self) -> u32 {
        self.health_state().ejection.in_a_row()
    }

    /// Its last failure.
    #[must_use]
    pub fn last_failure(&self) -> Option<FailureClass> {
        self.health_state().ejection.last()
    }

    /// Until when it is left out; in the past, if it waits for the request that tells whether it answers again.
    #[must_use]
    pub fn ejected_until(&self) -> Option<Instant> {
        self.health_state().ejection.until()
    }

    /// What active checks found.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health_state().health
    }

    /// Active checks found this, the last of them in these words. `true` if it is a change, which is told then.
    pub fn set_health(&self, health: Health, found: &str) -> bool {
        let mut health_state = self.health_state();
        let before = std::mem::replace(&mut health_state.health, health);
        if before == Health::Unhealthy && health != Health::Unhealthy {
            health_state.ramp_start = Some(Instant::now());
        }
        self.publish(health_state);
        match health {
            _ if before == health => return false,
            Health::Healthy if before == Health::Unhealthy => StateChange::Healthy.log(self),
            Health::Unhealthy => StateChange::Unhealthy(found).log(self),
            Health::Unknown if before == Health::Unhealthy => StateChange::Unchecked.log(self),
            Health::Healthy | Health::Unknown => {}
        }
        self.upstream.queue.wake();
        true
    }

    /// What it is now, the YAML's `down` aside.
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
        self.load_availability(now)
    }

    fn load_availability(&self, now: Instant) -> Availability {
        let health_state = self.health_state();
        Availability {
            healthy: health_state.health != Health::Unhealthy,
            ejection: health_state.ejection.state(now),
            ramp_start: health_state.ramp_start,
        }
    }

    /// It was chosen: counts what is in flight, and tells as what it was chosen.
    pub(super) fn take(&self, now: Instant, tokens: u64, policy: EjectionPolicy) -> Role {
        self.hot.in_flight.fetch_add(1, Ordering::Relaxed);
        self.hot.tokens.fetch_add(tokens, Ordering::Relaxed);
        self.hot.choices.fetch_add(1, Ordering::Relaxed);
        if self.hot.dirty.load(Ordering::Relaxed) {
            self.health_state().ejection.chosen(now, policy)
        } else {
            Role::Ordinary
        }
    }

    /// What was taken is given back.
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

    /// An attempt failed. What that changes is for the caller to tell, once it holds no lock.
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

    /// Its weight has grown to the full.
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

    fn publish(&self, health_state: MutexGuard<'_, HealthState>) {
        let dirty = health_state.health == Health::Unhealthy
            || !health_state.ejection.is_clear()
            || health_state.ramp_start.is_some();
        self.hot.dirty.store(dirty, Ordering::Relaxed);
    }
}

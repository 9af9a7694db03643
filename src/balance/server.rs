//! A server as the whole process knows it: what is in flight on it and in what condition it is. It outlives the
//! configuration that names it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::change::Change;
use super::ejection::{Ejection, Role, Standing, Terms};
use super::group::Group;
use super::latency::Latency;
use super::site::Site;
use super::{Fault, FaultKind, Health, State};

/// A server: one address of one that the YAML names.
#[derive(Debug)]
pub struct Server {
    id: u64,
    group: Arc<Group>,
    address: Arc<str>,
    socket: SocketAddr,
    hash: u64,
    hot: Hot,
    failures: [AtomicU64; FaultKind::ALL.len()],
    pub(super) latency: Latency,
    condition: Mutex<Condition>,
}

/// What every choice reads of every server: in one line of the processor's cache.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Hot {
    in_flight: AtomicU64,
    tokens: AtomicU64,
    choices: AtomicU64,
    /// Whether its condition must be looked at before it is chosen. Mostly not: one load tells.
    noted: AtomicBool,
}

#[derive(Debug, Default)]
struct Condition {
    health: Health,
    ejection: Ejection,
    /// Since when it takes part (again), where its weight may still have to grow.
    ramp: Option<Instant>,
}

/// What a pool must know of a server's condition to choose.
#[derive(Debug)]
pub(super) struct Fitness {
    pub healthy: bool,
    pub standing: Standing,
    pub ramp: Option<Instant>,
}

impl Fitness {
    pub(super) const GOOD: Self = Self { healthy: true, standing: Standing::Good, ramp: None };
}

impl Server {
    pub(super) fn new(id: u64, group: Arc<Group>, site: &Site, socket: SocketAddr, hash: u64) -> Self {
        let ramp = group.is_settled().then(Instant::now);
        let health = site.initial;
        let noted = ramp.is_some() || health == Health::Unhealthy;
        Self {
            id,
            group,
            address: site.address.to_string().into(),
            socket,
            hash,
            hot: Hot { noted: AtomicBool::new(noted), ..Hot::default() },
            failures: Default::default(),
            latency: Latency::default(),
            condition: Mutex::new(Condition { health, ramp, ..Condition::default() }),
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
        self.group.name()
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
    pub fn failures(&self) -> impl Iterator<Item = (FaultKind, u64)> {
        FaultKind::ALL.into_iter().map(|kind| (kind, self.failures[kind.at()].load(Ordering::Relaxed)))
    }

    /// Failures since its last good answer.
    #[must_use]
    pub fn failures_in_a_row(&self) -> u32 {
        self.condition().ejection.in_a_row()
    }

    /// Its last failure.
    #[must_use]
    pub fn last_failure(&self) -> Option<FaultKind> {
        self.condition().ejection.last()
    }

    /// Until when it is left out; in the past, if it waits for the request that tells whether it answers again.
    #[must_use]
    pub fn ejected_until(&self) -> Option<Instant> {
        self.condition().ejection.until()
    }

    /// What active checks found.
    #[must_use]
    pub fn health(&self) -> Health {
        self.condition().health
    }

    /// Active checks found this, the last of them in these words. `true` if it is a change, which is told then.
    pub fn set_health(&self, health: Health, found: &str) -> bool {
        let mut condition = self.condition();
        let before = std::mem::replace(&mut condition.health, health);
        if before == Health::Unhealthy && health != Health::Unhealthy {
            condition.ramp = Some(Instant::now());
        }
        self.note(condition);
        match health {
            _ if before == health => return false,
            Health::Healthy if before == Health::Unhealthy => Change::Healthy.tell(self),
            Health::Unhealthy => Change::Unhealthy(found).tell(self),
            Health::Unknown if before == Health::Unhealthy => Change::Unchecked.tell(self),
            Health::Healthy | Health::Unknown => {}
        }
        self.group.queue.wake();
        true
    }

    /// What it is now, the YAML's `down` aside.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        let Fitness { healthy, standing, .. } = self.fitness(now);
        match standing {
            _ if !healthy => State::Unhealthy,
            Standing::Good => State::Up,
            Standing::Due | Standing::Probing(_) => State::Probing,
            Standing::Out(until) => State::Ejected(until),
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    pub(super) fn fitness(&self, now: Instant) -> Fitness {
        if !self.hot.noted.load(Ordering::Relaxed) {
            return Fitness::GOOD;
        }
        self.fitness_by_condition(now)
    }

    fn fitness_by_condition(&self, now: Instant) -> Fitness {
        let condition = self.condition();
        Fitness {
            healthy: condition.health != Health::Unhealthy,
            standing: condition.ejection.standing(now),
            ramp: condition.ramp,
        }
    }

    /// It was chosen: counts what is in flight, and tells as what it was chosen.
    pub(super) fn take(&self, now: Instant, tokens: u64, terms: Terms) -> Role {
        self.hot.in_flight.fetch_add(1, Ordering::Relaxed);
        self.hot.tokens.fetch_add(tokens, Ordering::Relaxed);
        self.hot.choices.fetch_add(1, Ordering::Relaxed);
        if self.hot.noted.load(Ordering::Relaxed) {
            self.condition().ejection.chosen(now, terms)
        } else {
            Role::Ordinary
        }
    }

    /// What was taken is given back.
    pub(super) fn give_back(&self, tokens: u64, role: Role) {
        self.hot.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.hot.tokens.fetch_sub(tokens, Ordering::Relaxed);
        if let Role::Probe(_) = role {
            self.condition().ejection.told_nothing(role);
        }
        self.group.queue.wake();
    }

    pub(super) fn count_failure(&self, kind: FaultKind) {
        self.failures[kind.at()].fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt failed. What that changes is for the caller to tell, once it holds no lock.
    pub(super) fn failed(
        &self,
        now: Instant,
        terms: Terms,
        fault: Fault,
        role: Role,
        spare: bool,
    ) -> Option<Change<'_>> {
        let mut condition = self.condition();
        let lasts = condition.ejection.failed(now, terms, fault, role, spare);
        let in_a_row = condition.ejection.in_a_row();
        self.note(condition);
        lasts.map(|lasts| Change::Ejected { lasts, after: fault.kind, in_a_row })
    }

    pub(super) fn answered(&self, now: Instant, role: Role) {
        if !self.hot.noted.load(Ordering::Relaxed) {
            return;
        }
        let mut condition = self.condition();
        let returned = condition.ejection.succeeded(now, role);
        if returned {
            condition.ramp = Some(now);
        }
        self.note(condition);
        if returned {
            Change::Returned.tell(self);
            self.group.queue.wake();
        }
    }

    /// Its weight has grown to the full.
    pub(super) fn ramp_is_over(&self, since: Instant) {
        let mut condition = self.condition();
        if condition.ramp == Some(since) {
            condition.ramp = None;
        }
        self.note(condition);
    }

    fn condition(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, condition: MutexGuard<'_, Condition>) {
        let noted = condition.health == Health::Unhealthy || !condition.ejection.is_clear() || condition.ramp.is_some();
        self.hot.noted.store(noted, Ordering::Relaxed);
    }
}

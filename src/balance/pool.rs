//! The servers of an upstream under one configuration, and the choice of one of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ejection::{Standing, Terms};
use super::group::Group;
use super::lease::Lease;
use super::members::{Member, Members};
use super::server::{Fitness, State, ramp_share};
use super::site::Site;
use super::turn::Turn;
use super::{
    Algorithm, Fault, QueueSettings, Registry, Server, UpstreamSettings, hash, least_conn, least_tokens, peak_ewma,
    round_robin,
};
use crate::dns::Resolver;

/// The servers of an upstream, and the rule by which one of them is chosen.
#[derive(Debug)]
pub struct Pool {
    rule: Algorithm,
    group: Arc<Group>,
    sites: Vec<Site>,
    queue: Option<QueueSettings>,
    /// Grows when a name's addresses change.
    changes: Arc<AtomicU64>,
    // choice and count are one step under this lock, so that a burst does not herd onto one server
    members: Mutex<Members>,
}

/// What is asked of a pool.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Now.
    pub now: Instant,
    /// The servers that were tried, by id.
    pub tried: &'a [u64],
    /// The tokens asked for, where the rule weighs them.
    pub tokens: u64,
    /// What is hashed, where the rule does.
    pub key: Option<u64>,
    /// Only the addresses of this server of the YAML.
    pub site: Option<usize>,
}

impl Ask<'_> {
    /// For a first attempt, of which nothing is known.
    #[must_use]
    pub fn at(now: Instant) -> Self {
        Self { now, tried: &[], tokens: 0, key: None, site: None }
    }
}

/// Why no server was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// None is left that could take it, except for those that take some again at the earliest then.
    Nobody(Option<Instant>),
    /// Those that could take it have as many as they may.
    Full(Option<Instant>),
    /// The queue is full, or the time in it is over.
    QueueFull,
    /// The time in the queue is over.
    QueueLate,
}

/// A server of a pool, as an operator sees it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The server.
    pub server: Arc<Server>,
    /// Its name in logs and metrics.
    pub label: Arc<str>,
    /// Its place among the servers in the YAML.
    pub site: usize,
    /// The weight in the YAML, of which it has an equal share with the other addresses of its name.
    pub weight: u32,
    /// With how many addresses it shares that weight, itself included.
    pub shares: usize,
    /// The most requests in flight; 0: any number.
    pub max_conns: u32,
    /// Whether it only takes what no other can.
    pub backup: bool,
    /// What it is now.
    pub state: State,
}

impl Pool {
    /// A pool of the servers that the settings name, each with what is known of it already.
    #[must_use]
    pub fn new(upstream: &str, settings: &UpstreamSettings, registry: &Registry, resolver: &Resolver) -> Self {
        let group = registry.group(upstream);
        let longest = settings.eject.longest.get();
        let sites: Vec<Site> = settings.servers.iter().map(|server| Site::new(server, resolver, longest)).collect();
        let pool = Self {
            rule: settings.balance.clone(),
            members: Mutex::new(Members::default()),
            queue: settings.queue.clone(),
            changes: resolver.changes(),
            group: group.clone(),
            sites,
        };
        drop(pool.members());
        group.settle();
        pool
    }

    /// Chooses a server. It counts as in flight there until the lease is dropped.
    ///
    /// # Errors
    /// Why none was chosen.
    pub fn lease(&self, ask: &Ask<'_>) -> Result<Lease, Refusal> {
        if ask.tried.is_empty() {
            self.group.budget.request(ask.now);
            if self.group.queue.len() > 0 && self.queue.is_some() {
                return Err(Refusal::Full(None)); // others were here first
            }
        }
        self.choose(ask)
    }

    /// Waits in the queue for a server, if there is one and it has room.
    ///
    /// # Errors
    /// Why none was chosen; the refusal of [`lease`](Self::lease) if there is no queue.
    pub async fn wait(&self, ask: &Ask<'_>, refusal: Refusal) -> Result<Lease, Refusal> {
        let (Some(settings), Refusal::Full(_)) = (&self.queue, refusal) else { return Err(refusal) };
        let place = self.group.queue.join(settings.size as usize).ok_or(Refusal::QueueFull)?;
        let mut look = ask.now;
        let found = tokio::time::timeout(settings.timeout.get(), async {
            // what comes back by time alone wakes nobody
            let mut back = None;
            loop {
                match back {
                    None => place.turn().await,
                    Some(at) => drop(tokio::time::timeout_at(tokio::time::Instant::from_std(at), place.turn()).await),
                }
                look = Instant::now();
                match self.choose(&Ask { now: look, ..*ask }) {
                    Err(Refusal::Full(earliest)) => back = earliest,
                    other => return other,
                }
            }
        });
        found.await.unwrap_or(Err(Refusal::QueueLate))
    }

    /// The attempt failed: counts it against the server, which may be ejected by it.
    pub fn failed(&self, lease: &mut Lease, fault: Fault, now: Instant) {
        lease.told = true;
        let server = lease.server.clone();
        server.count_failure(fault.kind);
        if self.rule == Algorithm::PeakEwma {
            server.latency.penalise(fault.retry_after, now);
        }
        let mut members = self.members();
        let terms = self.sites[lease.site].terms;
        let alone = members.list.len() == 1;
        if let Some(at) = members.list.iter().position(|member| Arc::ptr_eq(&member.server, &server)) {
            let unit = members.turns[at].unit;
            let lowered = self.sites[lease.site].weight.checked_div(terms.max_fails);
            members.turns[at].lower(i64::from(lowered.unwrap_or(0)).saturating_mul(unit));
        }
        // the last one stays in use, for want of another
        let spare = alone || !members.list.iter().any(|other| self.could_take_over(other, &server, now));
        // nginx: an only server's failures are not remembered at all
        let terms = if alone { Terms { max_fails: 0, ..terms } } else { terms };
        server.failed(now, terms, fault, lease.role, spare);
    }

    /// The attempt was answered, and not in a way that counts as a failure; its first byte took this long.
    pub fn answered(&self, lease: &mut Lease, first_byte: Duration, now: Instant) {
        lease.told = true;
        if self.rule == Algorithm::PeakEwma {
            lease.server.latency.observe(first_byte, now);
        }
        lease.server.answered(now, lease.role);
    }

    /// Takes a further attempt out of the budget of this many percent of the requests; `false` if it is spent.
    pub fn may_retry(&self, percent: u64, now: Instant) -> bool {
        self.group.budget.retry(percent, now)
    }

    /// The rule by which it chooses.
    #[must_use]
    pub fn rule(&self) -> &Algorithm {
        &self.rule
    }

    /// The queue's settings, if there is one.
    #[must_use]
    pub fn queue(&self) -> Option<&QueueSettings> {
        self.queue.as_ref()
    }

    /// How many requests wait for a server.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.group.queue.len()
    }

    /// The servers as they are now: in the order of the YAML, and of each name's addresses. A server whose name is not
    /// resolved is not among them.
    #[must_use]
    pub fn servers(&self) -> Vec<Listed> {
        let now = Instant::now();
        let members = self.members();
        let listed = |member: &Member| {
            let site = &self.sites[member.site];
            let state = if site.down { State::Down } else { member.server.state(now) };
            Listed {
                server: member.server.clone(),
                label: member.label.clone(),
                site: member.site,
                weight: site.weight,
                shares: members.list.iter().filter(|other| other.site == member.site).count(),
                max_conns: u32::try_from(site.max_conns).unwrap_or(u32::MAX),
                backup: site.backup,
                state,
            }
        };
        members.list.iter().map(listed).collect()
    }

    /// Whether the servers' names have no address at all.
    #[must_use]
    pub fn is_unresolved(&self) -> bool {
        self.members().list.is_empty()
    }

    fn choose(&self, ask: &Ask<'_>) -> Result<Lease, Refusal> {
        let mut members = self.members();
        let Members { list, turns, .. } = &mut *members;
        let survey = self.survey(list, turns, ask);
        let index = match &self.rule {
            _ if !survey.anybody => None,
            Algorithm::LeastConn => least_conn::choose(turns),
            Algorithm::RoundRobin => round_robin::choose(turns),
            Algorithm::LeastTokens => least_tokens::choose(turns),
            Algorithm::PeakEwma => peak_ewma::choose(turns),
            Algorithm::Hash(settings) => match ask.key {
                Some(key) => hash::choose(turns, key, settings.bound.get()),
                None => least_conn::choose(turns),
            },
        };
        // a further attempt is for servers in good standing only
        let last_resort = survey.last_resort.filter(|_| ask.tried.is_empty()).map(|(_, index)| index);
        let index = match index.or(last_resort) {
            Some(index) => index,
            None if survey.full => return Err(Refusal::Full(survey.earliest)),
            None => return Err(Refusal::Nobody(survey.earliest)),
        };
        let member = &list[index];
        let role = member.server.take(ask.now, ask.tokens, self.sites[member.site].terms);
        let (server, label) = (member.server.clone(), member.label.clone());
        Ok(Lease { server, label, site: member.site, tokens: ask.tokens, role, told: false })
    }

    /// Sees who takes part: those who can, and the backups only if nobody else can.
    fn survey(&self, list: &[Member], turns: &mut [Turn], ask: &Ask<'_>) -> Survey {
        let mut survey = Survey::default();
        let mut backups = false;
        for (index, (member, turn)) in list.iter().zip(turns.iter_mut()).enumerate() {
            let site = &self.sites[member.site];
            let server = &member.server;
            (turn.takes_part, turn.stands_by) = (false, false);
            if site.down || ask.site.is_some_and(|site| site != member.site) || ask.tried.contains(&server.id()) {
                continue;
            }
            let Fitness { healthy, standing, ramp } = server.fitness(ask.now);
            if !healthy {
                continue;
            }
            turn.load = server.in_flight();
            let full = site.max_conns > 0 && turn.load >= site.max_conns;
            if let Standing::Probing(until) | Standing::Out(until) = standing {
                survey.earliest = Some(survey.earliest.map_or(until, |earliest| earliest.min(until)));
                if !full && survey.last_resort.is_none_or(|(best, _)| until < best) {
                    survey.last_resort = Some((until, index));
                }
                continue;
            }
            survey.full |= full;
            if full {
                continue;
            }
            turn.weight = ramp.map_or(member.weight, |since| self.ramped(member, since, ask.now));
            match self.rule {
                Algorithm::LeastTokens => turn.load = server.tokens_in_flight(),
                Algorithm::PeakEwma => turn.wait = server.latency.seconds(ask.now),
                _ => {}
            }
            turn.takes_part = !site.backup;
            survey.anybody |= !site.backup;
            backups |= site.backup;
            turn.stands_by = site.backup;
        }
        if !survey.anybody && backups {
            for turn in turns.iter_mut() {
                turn.takes_part = turn.stands_by;
            }
            survey.anybody = true;
        }
        if survey.anybody || survey.full {
            survey.last_resort = None;
        }
        survey
    }

    fn ramped(&self, member: &Member, since: Instant, now: Instant) -> u64 {
        let slow_start = self.sites[member.site].slow_start;
        let passed = now.saturating_duration_since(since);
        if passed >= slow_start {
            member.server.ramp_is_over(since);
            return member.weight;
        }
        (member.weight * ramp_share(passed, slow_start) / 1000).max(1)
    }

    fn could_take_over(&self, other: &Member, failing: &Arc<Server>, now: Instant) -> bool {
        let Fitness { healthy, standing, .. } = other.server.fitness(now);
        // one that is due may still be what it was
        healthy && standing == Standing::Good && !self.sites[other.site].down && !Arc::ptr_eq(&other.server, failing)
    }

    /// The members, after a look at whether any name's addresses have changed.
    fn members(&self) -> MutexGuard<'_, Members> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.changes.load(Ordering::Acquire);
        if members.seen != Some(changes) {
            members.renew(&self.sites, &self.group);
            members.seen = Some(changes);
        }
        members
    }
}

/// What a look at all servers tells.
#[derive(Default)]
struct Survey {
    /// Whether anybody takes part.
    anybody: bool,
    /// Whether somebody would, with less in flight.
    full: bool,
    /// When the first of the ejected may be tried again.
    earliest: Option<Instant>,
    /// Who is taken for want of anybody.
    last_resort: Option<(Instant, usize)>,
}

#[cfg(test)]
mod tests;

//! The servers of an upstream under one configuration, and the choice of one of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ejection::{Standing, Terms};
use super::group::Group;
use super::lease::Lease;
use super::members::{Member, Members};
use super::server::Fitness;
use super::site::Site;
use super::survey::Survey;
use super::turn::Turn;
use super::{
    Algorithm, Ask, Fault, Listed, QueueSettings, Refusal, Registry, Server, State, UpstreamSettings, hash, least_conn,
    least_tokens, peak_ewma, round_robin,
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

impl Pool {
    /// A pool of the servers that the settings name, each with what is known of it already.
    #[must_use]
    pub fn new(upstream: &str, settings: &UpstreamSettings, registry: &Registry, resolver: &Resolver) -> Self {
        let group = registry.group(upstream);
        let sites: Vec<Site> = settings.servers.iter().map(|server| Site::new(server, settings, resolver)).collect();
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

    /// Its configuration is in force: its limits hold for requests that came under an older one, too, and who waits looks
    /// again.
    pub fn come_into_force(&self) {
        self.group.set_limits(&self.sites);
        self.group.queue.wake();
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
        // those who may go to any server of this configuration are alike; one that was elsewhere before is like nobody
        let kind = ask.tried.is_empty().then(|| std::ptr::from_ref(self).addr());
        let place = self.group.queue.join(settings.size as usize, kind).ok_or(Refusal::QueueFull)?;
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
                    Err(Refusal::Full(earliest)) => {
                        back = earliest;
                        place.pass();
                    }
                    other => return other,
                }
            }
        });
        found.await.unwrap_or(Err(Refusal::QueueLate))
    }

    /// Takes a further attempt, on a server that is leased already, out of the budget of this many percent; `false` if it is
    /// spent.
    #[must_use]
    pub fn allows_another(&self, percent: u64, now: Instant) -> bool {
        self.group.budget.retry(percent, now)
    }

    /// The attempt failed: counts it against the server, which may be ejected by it.
    pub fn failed(&self, lease: &mut Lease, fault: Fault, now: Instant) {
        let server = lease.server.clone();
        server.count_failure(fault.kind);
        if self.rule == Algorithm::PeakEwma {
            server.latency.penalise(fault.retry_after, now);
        }
        // until all requests of an old configuration have ended, two pools judge the same servers
        let judging = self.group.judging();
        let mut members = self.members();
        let terms = self.sites[lease.site].terms;
        let alone = members.list.len() == 1;
        let place = members.list.iter().position(|member| Arc::ptr_eq(&member.server, &server));
        // nginx: an only server keeps its weight, too, which it would never win back
        if let Some(at) = place.filter(|_| !alone) {
            let unit = members.turns[at].unit;
            let lowered = self.sites[lease.site].weight.checked_div(terms.max_fails);
            members.turns[at].lower(i64::from(lowered.unwrap_or(0)).saturating_mul(unit));
        }
        // the last one stays in use, for want of another
        let spare = alone || !members.list.iter().any(|other| self.could_take_over(other, &server, now));
        // nginx: an only server's failures are not remembered at all
        let terms = if alone { Terms { max_fails: 0, ..terms } } else { terms };
        let change = server.failed(now, terms, fault, lease.tell(), spare);
        drop((members, judging));
        if let Some(change) = change {
            change.tell(&server);
        }
    }

    /// The attempt was answered, and not in a way that counts as a failure; its first byte took this long.
    pub fn answered(&self, lease: &mut Lease, first_byte: Duration, now: Instant) {
        if self.rule == Algorithm::PeakEwma {
            lease.server.latency.observe(first_byte, now);
        }
        let role = lease.tell();
        lease.server.answered(now, role);
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

    /// How often a further attempt was refused because the budget had nothing left.
    #[must_use]
    pub fn retries_refused(&self) -> u64 {
        self.group.budget.refused()
    }

    /// The servers as they are now: in the order of the YAML, and of each name's addresses. A server whose name is not
    /// resolved is not among them.
    #[must_use]
    pub fn servers(&self) -> Vec<Listed> {
        let now = Instant::now();
        let members = self.members();
        let listed = |(member, turn): (&Member, &Turn)| {
            let site = &self.sites[member.site];
            let state = if site.down { State::Down } else { member.server.state(now) };
            let shares = members.list.iter().filter(|other| other.site == member.site).count();
            let full = i64::try_from(turn.weight).unwrap_or(i64::MAX);
            let effective = if members.list.len() == 1 { full } else { turn.effective.min(full) };
            Listed {
                server: member.server.clone(),
                label: member.label.clone(),
                site: member.site,
                weight: site.weight,
                shares,
                effective_weight: effective as f64 / (turn.unit as f64 * shares as f64),
                max_conns: u32::try_from(site.max_conns).unwrap_or(u32::MAX),
                backup: site.backup,
                state,
            }
        };
        members.list.iter().zip(&members.turns).map(listed).collect()
    }

    /// The servers of the YAML whose names have no address, and so are not among those above.
    #[must_use]
    pub fn unresolved(&self) -> Vec<String> {
        let sites = self.sites.iter().filter(|site| site.name.addresses().is_empty());
        sites.map(|site| site.address.to_string()).collect()
    }

    /// Whether the servers' names have no address at all.
    #[must_use]
    pub fn is_unresolved(&self) -> bool {
        self.members().list.is_empty()
    }

    /// A server and, for a further attempt, its part of the budget: both or neither.
    fn choose(&self, ask: &Ask<'_>) -> Result<Lease, Refusal> {
        let Some(percent) = ask.budget else { return self.choose_server(ask) };
        if !self.group.budget.retry(percent, ask.now) {
            return Err(Refusal::Budget);
        }
        let chosen = self.choose_server(ask);
        if chosen.is_err() {
            self.group.budget.not_made(ask.now);
        }
        chosen
    }

    fn choose_server(&self, ask: &Ask<'_>) -> Result<Lease, Refusal> {
        let mut members = self.members();
        let Members { list, turns, .. } = &mut *members;
        let survey = Survey::of(&self.sites, list, turns, ask, &self.rule);
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
        let index = match index.or(survey.last_resort.map(|(_, index)| index)) {
            Some(index) => index,
            None if survey.full => return Err(Refusal::Full(survey.earliest)),
            None => return Err(Refusal::Nobody(survey.earliest)),
        };
        let member = &list[index];
        let role = member.server.take(ask.now, ask.tokens, self.sites[member.site].terms);
        let (server, label) = (member.server.clone(), member.label.clone());
        Ok(Lease { server, label, site: member.site, tokens: ask.tokens, role })
    }

    fn could_take_over(&self, other: &Member, failing: &Arc<Server>, now: Instant) -> bool {
        let Fitness { healthy, standing, .. } = other.server.fitness(now);
        // one that is due may still be what it was
        healthy && standing == Standing::Good && !self.sites[other.site].down && !Arc::ptr_eq(&other.server, failing)
    }

    /// The members, after a look at whether any name's addresses or the limits have changed.
    fn members(&self) -> MutexGuard<'_, Members> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.changes.load(Ordering::Acquire).wrapping_add(self.group.limits_set());
        if members.seen != Some(changes) {
            members.renew(&self.sites, &self.group);
            members.seen = Some(changes);
            // there may be room where there was none
            self.group.queue.wake();
        }
        members
    }
}

#[cfg(test)]
mod tests;

//! The upstreams of the test, its clock, and the retries that each upstream has seen.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use tokio::time::Instant;

use super::script::Plan;
use crate::balance::{Server, UpstreamRegistry};
use crate::dns::Resolver;
use crate::exchange::upstream::Upstream;

/// Retries that every budget allows in its window, whatever its share.
const RESERVE: u64 = 100;
/// The window of a budget counts whole seconds: a retry of this age is in it for certain, and one of the other is not.
const IN_WINDOW: Duration = Duration::from_secs(9);
const PAST_WINDOW: Duration = Duration::from_secs(11);

/// All upstreams there ever were, and the clock.
pub struct World {
    pub now: Instant,
    pub upstreams: Vec<Arc<Upstream>>,
    /// Connections that were attempted.
    pub connects: u64,
    registry: UpstreamRegistry,
    resolver: Resolver,
    budgets: HashMap<Arc<str>, Spent>,
}

/// What requests took of one retry budget.
#[derive(Default)]
struct Spent {
    retries: Vec<Instant>,
    /// First attempts that are certain to have been counted.
    requests: Vec<Instant>,
    /// All selections that may have been counted as a request.
    selections: Vec<Instant>,
    /// Retries that the budget has refused.
    refused: u64,
}

fn younger(times: &[Instant], age: Duration, now: Instant) -> u64 {
    times.iter().filter(|time| now - **time <= age).count() as u64
}

impl World {
    pub fn new() -> Self {
        Self {
            now: Instant::now(),
            upstreams: Vec::new(),
            connects: 0,
            registry: UpstreamRegistry::default(),
            resolver: Resolver::default(),
            budgets: HashMap::new(),
        }
    }

    /// Makes a chain of upstreams the one in force.
    pub fn install(&mut self, plans: &[Plan]) -> Arc<Upstream> {
        let mut built: Option<Arc<Upstream>> = None;
        for (index, plan) in plans.iter().enumerate().rev() {
            let server = |at| json!({ "address": format!("{}:1", host(index, at)), "max_conns": plan.max_conns });
            let mut settings = json!({
                "servers": (1..=plan.servers.len()).map(server).collect::<Vec<_>>(),
                "retry": {
                    "attempts": plan.attempts,
                    "budget": format!("{}%", plan.budget),
                    "on": plan.on,
                    "non_idempotent": plan.non_idempotent,
                },
            });
            if plan.queue {
                settings["queue"] = json!({ "size": 10, "timeout": "1s" });
            }
            if built.is_some() {
                settings["fallback"] = format!("up{}", index + 1).into();
            }
            let settings = serde_json::from_value(settings).unwrap();
            let name = format!("up{index}");
            let upstream = Upstream::new(&name, index, &settings, &self.registry, &self.resolver, built);
            for (at, count) in plan.servers.iter().enumerate() {
                self.set_addresses(index, at + 1, *count);
            }
            upstream.pool.activate();
            let upstream = Arc::new(upstream);
            self.upstreams.push(upstream.clone());
            built = Some(upstream);
        }
        built.unwrap()
    }

    /// Gives the name of a server so many addresses.
    pub fn set_addresses(&self, upstream: usize, server: usize, count: u8) {
        let address = |last| {
            let (upstream, server) = (u8::try_from(upstream).unwrap(), u8::try_from(server).unwrap());
            SocketAddr::from((Ipv4Addr::new(127, upstream, server, last), 1))
        };
        self.resolver.name(&host(upstream, server), 1).set_addresses((1..=count).map(address).collect());
    }

    /// What each server, by its id, has in flight and how often it was blamed.
    pub fn servers(&self) -> HashMap<u64, (u64, u64)> {
        let figures = |server: &Server| (server.in_flight(), server.failures().map(|(_, count)| count).sum::<u64>());
        self.registry.servers().iter().map(|server| (server.id(), figures(server))).collect()
    }

    /// Lets other requests of an upstream take retries out of its budget, as long as it has any.
    pub fn other_retries(&mut self, upstream: &Upstream, plan: &Plan, count: usize) {
        let made = (0..count).take_while(|_| upstream.pool.allows_another(plan.budget, self.now.into_std())).count();
        let spent = self.budgets.entry(upstream.name.clone()).or_default();
        spent.retries.extend(std::iter::repeat_n(self.now, made));
        spent.refused = upstream.pool.retries_refused();
    }

    /// A request begins with this upstream.
    pub fn request(&mut self, upstream: &Upstream) {
        self.budgets.entry(upstream.name.clone()).or_default().requests.push(self.now);
    }

    /// An exchange looks for a server: each upstream of its chain may count a request, and more than once.
    pub fn selects(&mut self, upstream: &Upstream) {
        for upstream in upstream.chain() {
            let selections = &mut self.budgets.entry(upstream.name.clone()).or_default().selections;
            selections.extend([self.now; 4]);
        }
    }

    /// A retry is made. The budget must have allowed it.
    pub fn retry(&mut self, upstream: &Upstream, plan: &Plan) -> Result<(), TestCaseError> {
        let spent = self.budgets.entry(upstream.name.clone()).or_default();
        let most = younger(&spent.selections, PAST_WINDOW, self.now) * plan.budget / 100 + RESERVE;
        prop_assert!(plan.budget > 0, "no budget, no retry");
        prop_assert!(
            younger(&spent.retries, IN_WINDOW, self.now) < most,
            "more retries than {} % and a reserve",
            plan.budget
        );
        spent.retries.push(self.now);
        Ok(())
    }

    /// Holds the refusals of an upstream's budget since the last look against what was spent of it.
    pub fn check_refusals(&mut self, upstream: &Upstream, plan: &Plan) -> Result<(), TestCaseError> {
        let refused = upstream.pool.retries_refused();
        let spent = self.budgets.entry(upstream.name.clone()).or_default();
        if refused > std::mem::replace(&mut spent.refused, refused) {
            let least = younger(&spent.requests, IN_WINDOW, self.now) * plan.budget / 100 + RESERVE;
            let retries = younger(&spent.retries, PAST_WINDOW, self.now);
            prop_assert!(plan.budget == 0 || retries >= least, "refused after {} retries of {}", retries, least);
        }
        Ok(())
    }
}

fn host(upstream: usize, server: usize) -> String {
    format!("s{server}.u{upstream}.test")
}

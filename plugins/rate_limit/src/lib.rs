//! Limits requests, tokens and calls in progress, by who calls. Reserves before a call what it may use, and settles after it by
//! what the provider reported. Counting itself is `quota`'s.

mod by;
mod demand;
mod figures;
mod refusal;
mod rules;
mod settings;
mod shared;
mod taken;

use std::sync::Arc;

use plugin_api::http::HeaderValue;
use plugin_api::{
    BuildContext, Call, ConfigProblem, Context, Flow, Needs, ParsedBody, Plugin, Protocol, Record, Request,
};
use quota::{Claim, Reservation, Subject, reserve};

pub use by::{By, Part};
pub use settings::{Config, LimitConfig, Reserve, TimeZone, Weights};
pub use shared::Shared;

use by::Caller;
use demand::{Demand, Model};
use rules::{Group, Rule};
use taken::{Item, Taken};

/// The plugin.
#[derive(Debug)]
pub struct RateLimit {
    config: Config,
    /// The limits of the YAML.
    groups: Vec<Group>,
    /// How many claims they make together.
    rules: usize,
    shared: Arc<Shared>,
}

/// What a request remembers: its headers that limits name, and then what was reserved for it.
#[derive(Debug, Default)]
pub struct State {
    /// The values of the headers that limits name, in the order of the limits.
    headers: Vec<Option<HeaderValue>>,
    taken: Option<Box<Taken>>,
}

impl Plugin for RateLimit {
    const NAME: &'static str = "rate_limit";
    const NEEDS: Needs = Needs { body: true, answer: true, ..Needs::NOTHING };
    type Config = Config;
    type Shared = Shared;
    type State = State;

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        config.check()
    }

    fn memory(configs: &[&Config]) -> u64 {
        settings::memory(configs)
    }

    fn build(config: &Config, context: &BuildContext<'_, Shared>) -> Result<Self, ConfigProblem> {
        let groups: Vec<_> = config.limits.iter().map(|limit| Group::new(limit, config, context.shared)).collect();
        let rules = groups.iter().map(|group| group.rules.len()).sum();
        Ok(Self { config: config.clone(), groups, rules, shared: context.shared.clone() })
    }

    fn activate(&self) {
        for group in &self.groups {
            for rule in &group.rules {
                self.shared.figures.begin(&group.name, rule.reason());
            }
        }
    }

    async fn on_request(&self, state: &mut State, request: &mut Request<'_>) -> Flow {
        let names = self.groups.iter().flat_map(|group| group.by.header());
        state.headers = names.map(|name| request.headers.get(name).cloned()).collect();
        match request.endpoint {
            // its body comes first
            Some(endpoint) if endpoint.takes_json => Flow::Continue,
            Some(_) => {
                let demand = Demand::unread(self.config.unreadable_tokens.get());
                self.take(state, request.context, None, demand, request.protocol)
            }
            None => self.take(state, request.context, None, Demand::default(), request.protocol),
        }
    }

    async fn on_call(&self, state: &mut State, call: &mut Call<'_>) -> Flow {
        let model = demand::model(call.body);
        let now = self.shared.now();
        let subjects = Model::of(model, call.context.principal().key_name.as_deref());
        let demand = match call.body.parsed() {
            ParsedBody::Calls(_) => Demand::of(call.body, subjects, &self.config, &self.shared.estimates, now.nanos),
            ParsedBody::NotACall | ParsedBody::Unreadable(_) => Demand::unread(self.config.unreadable_tokens.get()),
        };
        let model = model.map(str::to_owned);
        self.take(state, call.context, model.as_deref(), demand, call.body.protocol())
    }

    fn on_complete(&self, state: &mut State, record: &Record) {
        if let Some(taken) = state.taken.take() {
            taken.settle(record, &self.config, &self.shared);
        }
    }
}

impl RateLimit {
    /// Reserves what a request may use of every limit, or refuses it.
    fn take(
        &self,
        state: &mut State,
        context: &Context,
        model: Option<&str>,
        demand: Demand,
        protocol: &'static Protocol,
    ) -> Flow {
        let caller = Caller { principal: context.principal(), client: context.client, model, headers: &state.headers };
        let now = self.shared.now();
        let own = caller.principal.grants.as_ref().map(|grants| grants.quota).filter(|quota| !quota.is_unlimited());
        let own = own.map(|quota| Group::own(&quota, &self.config, &self.shared));
        let room = self.rules + own.as_ref().map_or(0, |own| own.rules.len());
        let mut claims = Vec::with_capacity(room);
        let mut claimed: Vec<(&Group, &Rule)> = Vec::with_capacity(room);
        let mut header = 0;
        for group in self.groups.iter().chain(&own) {
            let subject = group.by.subject(&caller, &mut header);
            for rule in &group.rules {
                if let Some(claim) = self.claim(group, rule, subject, &demand, now) {
                    claims.push(claim);
                    claimed.push((group, rule));
                }
            }
        }
        match reserve(claims, now) {
            Ok(reservations) => {
                let items = claimed.into_iter().zip(reservations);
                let items = items.map(|((_, rule), reservation)| self.item(rule, reservation)).collect();
                state.taken = Some(Box::new(Taken { items, demand }));
                Flow::Continue
            }
            Err(refused) => {
                let Some((group, rule)) = claimed.get(refused.claim) else { return Flow::Continue };
                self.shared.figures.rejected(&group.name, rule.reason());
                refusal::of(group, rule, &caller, &refused, now, protocol).into()
            }
        }
    }

    fn claim(&self, group: &Group, rule: &Rule, subject: Subject, demand: &Demand, now: quota::Now) -> Option<Claim> {
        let amount = rule.measure.amount(demand);
        if amount == 0 {
            return None;
        }
        let found = rule.meters.get(subject, self.config.max_subjects.as_usize(), &rule.limit, now);
        if found.is_shared {
            self.shared.figures.shared_bucket(&group.name);
        }
        let claim = if rule.measure.is_spent() { Claim::spend } else { Claim::hold };
        Some(claim(found.meter, rule.limit, amount))
    }

    fn item(&self, rule: &Rule, reservation: Reservation) -> Item {
        let held = (!rule.measure.is_spent()).then(|| rule.held(&self.shared.figures, reservation.amount()));
        Item { reservation, measure: rule.measure, held }
    }
}

#[cfg(test)]
mod tests;

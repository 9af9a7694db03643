//! Limits requests, tokens and calls in progress, by who calls. Reserves before a call what it may use, and settles after it by
//! what the provider reported. Counting itself is `quota`'s.

mod by;
mod count_file;
mod demand;
mod figures;
mod meters;
mod redis;
mod refusal;
mod rules;
mod saved;
mod settings;
mod shared;
mod sums;
mod taken;

use std::sync::Arc;

use plugin_api::http::HeaderValue;
use plugin_api::{
    BuildContext, Call, ConfigProblem, Context, Flow, LimitRejections, Needs, ParsedBody, Plugin, Protocol, Quota,
    Record, Request,
};
use quota::{Claim, Now, Subject, reserve};
use quota_leases::{Count, Denied};

pub use by::{By, Part};
pub use quota::TimeZone;
pub use redis::{OnRedisDown, RedisConfig};
pub use settings::{Config, LimitConfig, Reserve, Weights};
pub use shared::Shared;

use by::Caller;
use demand::Demand;
use rules::{Group, Rule};
use shared::Counting;
use taken::{CallCount, CountedWindow, Taken};

/// The plugin.
#[derive(Debug)]
pub struct RateLimit {
    config: Config,
    /// The limits of the YAML.
    groups: Vec<Group>,
    /// How many claims they make together.
    rules: usize,
    counting: Counting,
    shared: Arc<Shared>,
    rejections: Arc<LimitRejections>,
}

/// What a request remembers: its headers that limits name, and then what was reserved for it.
#[derive(Debug, Default)]
pub struct State {
    /// The values of the headers that limits name, in the order of the limits.
    headers: Vec<Option<HeaderValue>>,
    taken: Option<Taken>,
}

impl Plugin for RateLimit {
    const NAME: &'static str = "rate_limit";
    const NEEDS: Needs = Needs { body: true, answer: true, ..Needs::NOTHING };
    const COUNTS_QUOTAS: bool = true;
    type Config = Config;
    type Shared = Shared;
    type State = State;

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        config.check()
    }

    fn companion(config: &Config, granted: &[Quota]) -> Option<(&'static str, &'static str)> {
        let lacking = "a restart forgets what was counted of days and months; name one of them, or `redis`";
        let mut quotas = config.limits.iter().map(LimitConfig::quota).chain(granted.iter().copied());
        (config.redis.is_none() && quotas.any(|quota| settings::has_windows(&quota))).then_some(("usage_log", lacking))
    }

    fn memory(configs: &[&Config]) -> u64 {
        settings::memory(configs)
    }

    fn build(config: &Config, context: &BuildContext<'_, Shared>) -> Result<Self, ConfigProblem> {
        let redis = config.redis.as_ref().map(|redis| redis.leases(config.on_redis_down));
        let counting = context.shared.counting(redis, config.time_zone.0);
        let counting = counting.map_err(|error| format!("`redis` cannot be used: {error}"))?;
        let groups: Vec<_> = config.limits.iter().map(|limit| Group::new(limit, config, &counting)).collect();
        let rules = groups.iter().map(|group| group.rules.len()).sum();
        let rejections = context.common.rejections.clone();
        let shared = context.shared.clone();
        if config.redis.is_none() {
            shared.subscribe(context.common);
            register(&groups, config, &counting, &shared);
        }
        Ok(Self { config: config.clone(), groups, rules, counting, shared, rejections })
    }

    fn activate(&self) {
        for group in &self.groups {
            for rule in &group.rules {
                self.rejections.begin(&group.name, rule.reason());
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
                self.take(state, request.context, None, demand, self.now(), request.protocol).await
            }
            None => {
                let demand = Demand { is_connection: request.reads_messages, ..Demand::default() };
                self.take(state, request.context, None, demand, self.now(), request.protocol).await
            }
        }
    }

    async fn on_call(&self, state: &mut State, call: &mut Call<'_>) -> Flow {
        let model = demand::model(call.body);
        let now = self.now();
        let key = call.context.principal().key_name.as_deref();
        let demand = match call.body.parsed() {
            ParsedBody::Calls(_) => {
                Demand::of(call.body, model.as_deref(), key, &self.config, &self.shared.estimates, now.nanos)
            }
            ParsedBody::NotACall | ParsedBody::Unreadable(_) => Demand::unread(self.config.unreadable_tokens.get()),
        };
        self.take(state, call.context, model.as_deref(), demand, now, call.body.protocol()).await
    }

    fn on_complete(&self, state: &mut State, record: &Record) {
        if let Some(taken) = state.taken.take() {
            taken.settle(record, &self.config, self.now(), self.counting.leases());
        }
    }
}

impl RateLimit {
    /// The time by which limits are counted.
    fn now(&self) -> Now {
        self.counting.leases().map_or_else(|| self.shared.now(), |leases| leases.now())
    }

    /// Reserves what a request may use of every limit, or refuses it.
    async fn take(
        &self,
        state: &mut State,
        context: &mut Context,
        model: Option<&str>,
        demand: Demand,
        now: Now,
        protocol: &'static Protocol,
    ) -> Flow {
        let caller = Caller { principal: context.principal(), client: context.client, model, headers: &state.headers };
        let leases = self.counting.leases();
        let own = caller.principal.grants.as_ref().map(|grants| grants.quota).filter(|quota| !quota.is_unlimited());
        let own = own.map(|quota| Group::own(&quota, &self.config, &self.counting, &self.shared));
        let room = self.rules + own.as_ref().map_or(0, |own| own.rules.len());
        let mut claims = Vec::with_capacity(room);
        // what Redis counts too, and what outlives a restart
        let (mut counts, mut windows) = (Vec::new(), Vec::new());
        let mut header = 0;
        for group in self.groups.iter().chain(&own) {
            let subject = group.by.subject(&caller, &mut header);
            for rule in group.rules.iter().filter(|rule| group.claims(rule, &demand)) {
                let (claim, subject) = self.claim(group, rule, subject, &demand, now);
                counts.extend(rule.shared_name.map(|limit| Count { limit, subject }));
                let window =
                    rule.saved_name.map(|limit| CountedWindow { limit, subject, measure: rule.measure, until: 0 });
                windows.extend(window.map(|window| (claims.len(), window)));
                claims.push(claim);
            }
        }
        let reserved = match leases {
            None => reserve(claims, now).map_err(Denied::Limit),
            Some(leases) => leases.reserve(&claims, &counts, now).await,
        };
        match reserved {
            Ok(reservations) => {
                let windows = windows.into_iter().filter_map(|(claim, window)| {
                    let (_, until) = reservations.get(claim)?.window()?;
                    Some(CountedWindow { until, ..window })
                });
                let count = Arc::new(CallCount::new(demand, &self.config, windows.collect()));
                state.taken = Some(Taken { reservations, count: count.clone() });
                context.meter = Some(count);
                Flow::Continue
            }
            Err(Denied::Silent) => refusal::undecided().into(),
            Err(Denied::Limit(refused)) => {
                let rules =
                    self.groups.iter().chain(&own).flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
                let mut claimed = rules.filter(|(group, rule)| group.claims(rule, &demand));
                let Some((group, rule)) = claimed.nth(refused.claim) else { return Flow::Continue };
                self.rejections.count(&group.name, rule.reason());
                refusal::of(group, rule, &caller, &refused, now, protocol).into()
            }
        }
    }

    /// What is claimed of a limit, and whose count that is.
    fn claim(&self, group: &Group, rule: &Rule, subject: Subject, demand: &Demand, now: Now) -> (Claim, Subject) {
        let found = rule.meters.get(subject, self.config.max_subjects.as_usize(), &rule.limit, now);
        if found.is_shared {
            self.shared.figures.shared_bucket(&group.name);
        }
        let claim = if rule.measure.is_spent() { Claim::spend } else { Claim::hold };
        let subject = if found.is_shared { Subject::OTHERS } else { subject };
        (claim(found.meter, rule.limit, rule.measure.amount(demand)), subject)
    }
}

/// Lets the limits by day and month go on with what was counted before a restart.
fn register(groups: &[Group], config: &Config, counting: &Counting, shared: &Shared) {
    let (max, now) = (config.max_subjects.as_usize(), shared.now());
    let own = rules::own_windows(config, counting);
    for rule in groups.iter().flat_map(|group| &group.rules).chain(&own) {
        if let Some(name) = rule.saved_name {
            shared.saved.register(name, &rule.meters, rule.limit, max, now);
        }
    }
}

#[cfg(test)]
mod tests;

//! Limits requests, tokens and calls in progress, by who calls. Reserves before a call what it may use, and settles after it by
//! what the provider reported. Counting itself is `quota`'s.

mod by;
mod claims;
mod count_file;
mod demand;
mod explained;
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

use plugin_api::http::{HeaderName, HeaderValue};
use plugin_api::{
    BuildContext, Call, ConfigProblem, Context, Explanation, Flow, LimitRejections, ModelCall, Needs, ParsedBody,
    Plugin, Quota, Record, Request,
};
use quota::{Now, Reservation, reserve};
use quota_leases::Denied;

pub use by::{By, Descriptor};
pub use quota::TimeZone;
pub use redis::{OnRedisDown, RedisConfig};
pub use settings::{Config, LimitConfig, Reserve, Weights};
pub use shared::Shared;

use claims::{Ask, Claimed, caller};
use demand::Demand;
use rules::Group;
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
    /// The headers that they name, in their order.
    headers: Vec<HeaderName>,
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
        let headers = groups.iter().flat_map(|group| group.by.header()).cloned().collect();
        let rejections = context.common.rejections.clone();
        let shared = context.shared.clone();
        if config.redis.is_none() {
            shared.subscribe(context.common);
            register(&groups, config, &counting, &shared);
        }
        Ok(Self { config: config.clone(), groups, rules, headers, counting, shared, rejections })
    }

    /// Without Redis: what others have used is not known.
    fn build_to_explain(config: &Config, context: &BuildContext<'_, Shared>) -> Result<Self, ConfigProblem> {
        let plugin = Self::build(&Config { redis: None, ..config.clone() }, context)?;
        Ok(Self { config: config.clone(), ..plugin })
    }

    fn activate(&self) {
        for group in &self.groups {
            for rule in &group.rules {
                self.rejections.begin(&group.name, rule.reason());
                // what is shared with other gateways is known to Redis alone
                if rule.shared_name.is_none() {
                    self.shared.put_in_force(&group.name, rule);
                }
            }
        }
    }

    /// Redis alone is waited for.
    fn try_on_request(&self, state: &mut State, request: &mut Request<'_>) -> Option<Flow> {
        let Some(ask) = self.ask_of_head(state, request) else { return Some(Flow::Continue) };
        self.try_take(state, request.context, ask)
    }

    async fn on_request(&self, state: &mut State, request: &mut Request<'_>) -> Flow {
        match self.ask_of_head(state, request) {
            Some(ask) => self.take(state, request.context, ask).await,
            None => Flow::Continue,
        }
    }

    fn try_on_call(&self, state: &mut State, call: &mut Call<'_>) -> Option<Flow> {
        if self.counting.leases().is_some() {
            return None;
        }
        let model = demand::model(call.body);
        let ask = self.ask_of_call(call.context, call.body, model.as_deref());
        self.try_take(state, call.context, ask)
    }

    async fn on_call(&self, state: &mut State, call: &mut Call<'_>) -> Flow {
        let model = demand::model(call.body);
        let ask = self.ask_of_call(call.context, call.body, model.as_deref());
        self.take(state, call.context, ask).await
    }

    async fn explain_request(
        &self,
        state: &mut State,
        request: &mut Request<'_>,
        explanation: &mut Explanation,
    ) -> Flow {
        if let Some(ask) = self.ask_of_head(state, request) {
            self.explain(state, request.context, &ask, explanation);
        }
        plugin_api::on_request(self, state, request).await
    }

    async fn explain_call(&self, state: &mut State, call: &mut Call<'_>, explanation: &mut Explanation) -> Flow {
        let model = demand::model(call.body);
        self.explain(state, call.context, &self.ask_of_call(call.context, call.body, model.as_deref()), explanation);
        plugin_api::on_call(self, state, call).await
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

    /// What a request asks for whose body is not read; `None` where its body comes first.
    fn ask_of_head(&self, state: &mut State, request: &Request<'_>) -> Option<Ask<'static>> {
        state.headers = self.headers.iter().map(|name| request.head.headers.get(name).cloned()).collect();
        let demand = match request.endpoint {
            Some(endpoint) if endpoint.takes_json => return None,
            Some(_) => Demand::unread(self.config.unreadable_tokens.get()),
            None => Demand { is_connection: request.reads_messages, ..Demand::default() },
        };
        Some(Ask { model: None, demand, now: self.now(), protocol: request.protocol })
    }

    /// What a call asks for, of this model.
    fn ask_of_call<'a>(&self, context: &Context, body: &ModelCall, model: Option<&'a str>) -> Ask<'a> {
        let now = self.now();
        let key = context.principal().key_name.as_deref();
        let demand = match body.parsed() {
            ParsedBody::Calls(_) => Demand::of(body, model, key, &self.config, &self.shared.estimates, now.nanos),
            ParsedBody::NotACall | ParsedBody::Unreadable(_) => Demand::unread(self.config.unreadable_tokens.get()),
        };
        Ask { model, demand, now, protocol: body.protocol() }
    }

    /// Reserves what a request may use of every limit, or refuses it; `None` where Redis may have to be asked.
    fn try_take(&self, state: &mut State, context: &mut Context, ask: Ask<'_>) -> Option<Flow> {
        if self.counting.leases().is_some() {
            return None;
        }
        let own = self.own_group(context);
        let Claimed { claims, windows, .. } = self.claim(state, context, own.as_ref(), &ask);
        let reserved = reserve(claims, ask.now).map_err(Denied::Limit);
        Some(self.conclude(state, context, own.as_ref(), ask, windows, reserved))
    }

    /// The same, where it may have to be asked.
    async fn take(&self, state: &mut State, context: &mut Context, ask: Ask<'_>) -> Flow {
        let own = self.own_group(context);
        let Claimed { claims, counts, windows } = self.claim(state, context, own.as_ref(), &ask);
        let reserved = match self.counting.leases() {
            None => reserve(claims, ask.now).map_err(Denied::Limit),
            Some(leases) => leases.reserve(&claims, &counts, ask.now).await,
        };
        self.conclude(state, context, own.as_ref(), ask, windows, reserved)
    }

    /// Keeps what was reserved for a request, or refuses it.
    fn conclude(
        &self,
        state: &mut State,
        context: &mut Context,
        own: Option<&Group>,
        ask: Ask<'_>,
        windows: Vec<(usize, CountedWindow)>,
        reserved: Result<Vec<Reservation>, Denied>,
    ) -> Flow {
        match reserved {
            Ok(reservations) => {
                let windows = windows.into_iter().filter_map(|(claim, window)| {
                    let (_, until) = reservations.get(claim)?.window()?;
                    Some(CountedWindow { until, ..window })
                });
                let count = Arc::new(CallCount::new(ask.demand, &self.config, windows.collect()));
                state.taken = Some(Taken { reservations, count: count.clone() });
                context.meter = Some(count);
                Flow::Continue
            }
            Err(Denied::Silent) => refusal::undecided().into(),
            Err(Denied::Limit(refused)) => {
                let rules =
                    self.groups.iter().chain(own).flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
                let mut claimed = rules.filter(|(group, rule)| group.claims(rule, &ask.demand));
                let Some((group, rule)) = claimed.nth(refused.claim) else { return Flow::Continue };
                self.rejections.count(&group.name, rule.reason());
                let caller = caller(state, context, ask.model);
                refusal::of(group, rule, &caller, &refused, ask.now, ask.protocol).into()
            }
        }
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

//! Limits what callers spend, in US dollars by day, week or month. The truth is the ledger: what it records is what counts here,
//! and what its database has is taken over. Reserves before a call what it may cost. Counting itself is `quota`'s.

mod account;
mod alerts;
mod amounts;
mod budget;
mod by;
mod checkpoint;
mod deferred;
mod delivery;
mod demand;
mod explained;
mod figures;
mod in_flight;
mod old_records;
mod refusal;
mod settings;
mod shared;

use std::borrow::Cow;
use std::sync::Arc;

use plugin_api::{
    AssumedCost, BuildContext, Call, Common, ConfigProblem, Context, Explanation, Flow, LONGEST_TEXT, Needs,
    ParsedBody, Plugin, Record, Refusal, Request, Spender, SpentBy, Uuid, stored_text,
};
use quota::{Claim, Now, Refused, reserve};

pub use amounts::{Share, Unpriced, UsdRate};
pub use by::By;
pub use settings::{BudgetConfig, Config, Reserve, Unknown, Webhook};
pub use shared::Shared;

use account::Account;
use budget::{Budget, BudgetOf, Terms};
use demand::{Demand, Estimator, Learn};
use in_flight::Held;

/// The plugin.
#[derive(Debug)]
pub struct BudgetPlugin {
    config: Config,
    rules: Vec<Rule>,
    /// By what any of them tells spenders apart.
    parts: Vec<SpentBy>,
    shared: Arc<Shared>,
    common: Arc<Common>,
}

/// A budget, and what this configuration says of it.
#[derive(Debug)]
struct Rule {
    budget: Arc<Budget>,
    terms: Terms,
}

/// What a request remembers. Dropped, it gives back what is reserved.
#[derive(Debug, Default)]
pub struct State {
    reserved: Option<Reserved>,
    learn: Option<Learn>,
}

#[derive(Debug)]
struct Reserved {
    id: Uuid,
    shared: Arc<Shared>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        // nothing, where a record has settled it
        drop(self.shared.in_flight.take(self.id));
    }
}

impl Plugin for BudgetPlugin {
    const NAME: &'static str = "budget";
    // a stream that reports no usage would be free
    const NEEDS: Needs = Needs { body: true, answer: true, usage: true, ..Needs::NOTHING };
    const REQUIRES: &'static [&'static str] = &["usage_log"];
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
        let (shared, common) = (context.shared.clone(), context.common.clone());
        let rules = config.limits.iter().map(|limit| {
            let of = BudgetOf {
                name: limit.label().into(),
                by: limit.by.clone(),
                unit: limit.usd.unit,
                time_zone: config.time_zone,
            };
            let mut alerts = limit.alerts.clone();
            alerts.sort_unstable();
            let terms = Terms {
                limit: of.limit(limit.usd.picos()),
                alerts: alerts.into(),
                unpriced: config.unpriced.picos(),
                refuses_unpriced: config.unpriced == Unpriced::Refuse,
                max_accounts: config.max_subjects.as_usize(),
                webhook: config.webhook.as_ref().map(|webhook| webhook.url.clone()),
                refresh: config.refresh.get(),
            };
            Rule { budget: shared.budget(&of, &terms), terms }
        });
        let rules: Vec<_> = rules.collect();
        let parts = rules.iter().flat_map(|rule| rule.budget.of.by.parts()).copied().collect();
        shared.subscribe(&common);
        Ok(Self { config: config.clone(), rules, parts, shared, common })
    }

    fn activate(&self) {
        for Rule { budget, terms } in &self.rules {
            budget.set_terms(terms);
            self.common.rejections.begin(&budget.of.name, refusal::USED_UP);
            terms.alerts.iter().for_each(|share| self.shared.figures.begin(&budget.of.name, *share));
        }
        self.shared.activate();
    }

    async fn on_request(&self, state: &mut State, request: &mut Request<'_>) -> Flow {
        self.common.budget_use.restored().await;
        self.take(state, request.context, None, Demand::Unpriced, self.shared.now()).into()
    }

    fn try_on_request(&self, state: &mut State, request: &mut Request<'_>) -> Option<Flow> {
        match request.endpoint {
            // its body comes first
            Some(endpoint) if endpoint.takes_json => Some(Flow::Continue),
            Some(_) if self.common.budget_use.is_restored() => {
                Some(self.take(state, request.context, None, Demand::Unpriced, self.shared.now()).into())
            }
            Some(_) => None,
            None => Some(Flow::Continue),
        }
    }

    async fn on_call(&self, state: &mut State, call: &mut Call<'_>) -> Flow {
        self.common.budget_use.restored().await;
        self.take_for(state, call)
    }

    fn try_on_call(&self, state: &mut State, call: &mut Call<'_>) -> Option<Flow> {
        self.common.budget_use.is_restored().then(|| self.take_for(state, call))
    }

    async fn explain_request(&self, _: &mut State, request: &mut Request<'_>, explanation: &mut Explanation) -> Flow {
        match request.endpoint {
            Some(endpoint) if !endpoint.takes_json => {
                self.explain(request.context, None, Demand::Unpriced, explanation).into()
            }
            Some(_) | None => Flow::Continue,
        }
    }

    async fn explain_call(&self, _: &mut State, call: &mut Call<'_>, explanation: &mut Explanation) -> Flow {
        let (demand, _) = self.demand(call, self.shared.now());
        let model = call.body.call().and_then(|call| call.model.as_deref());
        self.explain(call.context, model, demand, explanation).into()
    }

    fn on_complete(&self, state: &mut State, record: &Record) {
        if let Some(learn) = state.learn.take() {
            learn.from(record);
        }
    }
}

impl BudgetPlugin {
    /// What a call may cost, and what is learned from it.
    fn demand(&self, call: &Call<'_>, now: Now) -> (Demand, Option<Learn>) {
        let estimator = Estimator {
            common: &self.common,
            estimates: &self.shared.estimates,
            reserve: self.config.reserve,
            key: call.context.principal().key_name.as_deref(),
            now: now.nanos,
        };
        let known = estimator.model_estimate(call.body);
        let demand = match call.body.parsed() {
            ParsedBody::Calls(_) => estimator.demand(call.body, known.as_ref()),
            ParsedBody::NotACall | ParsedBody::Unreadable(_) => Demand::Unpriced,
        };
        (demand, known.and_then(|known| known.learn(call.body)))
    }

    /// What is reserved for a call, in picodollars, and what counts where its cost does not become known; nothing for a call that is free.
    ///
    /// # Errors
    /// That its cost cannot be bounded, or has no price where one is asked for.
    fn amount(&self, demand: Demand, model: Option<&str>) -> Result<Option<(u64, Option<AssumedCost>)>, Refusal> {
        let (picos, assumed) = match demand {
            Demand::Free => return Ok(None),
            Demand::Priced { picos, assumed } => (picos, assumed.map(|of_call| self.config.unpriced.assumed(of_call))),
            Demand::Unbounded => return Err(refusal::unbounded()),
            Demand::Unpriced if self.config.unpriced == Unpriced::Refuse => return Err(refusal::unpriced(model)),
            Demand::Unpriced => (u64::try_from(self.config.unpriced.picos()).unwrap_or(0), None),
        };
        // nothing passes a budget that is used up, however cheap
        Ok(Some((picos.max(1), assumed)))
    }

    /// Reserves what this call may cost of every budget, or refuses it.
    fn take_for(&self, state: &mut State, call: &mut Call<'_>) -> Flow {
        let now = self.shared.now();
        let (demand, learn) = self.demand(call, now);
        state.learn = learn;
        let model = call.body.call().and_then(|call| call.model.as_deref());
        self.take(state, call.context, model, demand, now).into()
    }

    /// Reserves what a call may cost of every budget, or refuses it.
    fn take(
        &self,
        state: &mut State,
        context: &mut Context,
        asked: Option<&str>,
        demand: Demand,
        now: Now,
    ) -> Result<(), Refusal> {
        let Some((picos, assumed)) = self.amount(demand, asked)? else { return Ok(()) };
        let caller = context.principal();
        // as its row has it
        let stored = |part, text| self.stored(part, text);
        let model = self.shared.canonical_model(stored(SpentBy::Model, asked).as_deref());
        let tenant = stored(SpentBy::Tenant, caller.tenant.as_deref());
        let key = stored(SpentBy::Key, caller.key_name.as_deref());
        let user = stored(SpentBy::User, caller.user.as_deref());
        let spender =
            Spender { tenant: tenant.as_deref(), key: key.as_deref(), user: user.as_deref(), model: model.as_deref() };
        let mut accounts = Vec::with_capacity(self.rules.len());
        let mut claims = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            if self.config.unknown == Unknown::Refuse && !rule.budget.is_known() {
                return Err(refusal::unknown(&rule.budget));
            }
            let account = rule.budget.account(&spender);
            if self.config.reserve == Reserve::MaxTokens && picos > rule.terms.limit.capacity() {
                return Err(self.too_dear(rule, &spender, &account, picos, now));
            }
            claims.push(Claim::hold(account.meter.clone(), rule.terms.limit, picos));
            accounts.push(account);
        }
        match reserve(claims, now) {
            Ok(reservations) => {
                if let Some(batched) = &context.batched {
                    batched.reserved(self.shared.deferred_cost(context.principal(), asked, picos, now));
                }
                self.shared.in_flight.keep(context.id, Held::new(accounts, reservations));
                context.assumed_cost = assumed;
                state.reserved = Some(Reserved { id: context.id, shared: self.shared.clone() });
                Ok(())
            }
            Err(refused) => Err(self.refuse(&refused, &spender, picos, now)),
        }
    }

    /// A text of the caller as its row has it; `None` where no budget goes by it.
    fn stored<'a>(&self, part: SpentBy, text: Option<&'a str>) -> Option<Cow<'a, str>> {
        text.filter(|_| self.parts.contains(&part)).map(|text| stored_text(text, LONGEST_TEXT))
    }

    fn refuse(&self, refused: &Refused, spender: &Spender<'_>, picos: u64, now: Now) -> Refusal {
        let budget = &self.rules[refused.claim].budget;
        self.common.rejections.count(&budget.of.name, refusal::USED_UP);
        let is_held = refused.wait_nanos < refused.standing.reset_nanos;
        let whose = budget.of.by.describe(spender);
        refusal::does_not_fit(budget, &whose, picos, refused.standing, is_held, now)
    }

    /// The refusal of a call that can cost more than the whole budget.
    fn too_dear(&self, rule: &Rule, spender: &Spender<'_>, account: &Account, picos: u64, now: Now) -> Refusal {
        let Rule { budget, terms } = rule;
        self.common.rejections.count(&budget.of.name, refusal::USED_UP);
        let standing = account.meter.standing(&terms.limit, now);
        refusal::does_not_fit(budget, &budget.of.by.describe(spender), picos, standing, false, now)
    }
}

#[cfg(test)]
mod tests;

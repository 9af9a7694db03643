//! Chooses a model for calls that leave the choice to the gateway, by rules over what the call holds. A conversation keeps its model.
//! Sends no call anywhere: the route's `models` know where a model is served.

mod choice;
mod content;
mod facts;
mod pins;
mod script;
mod settings;
mod shared;
mod trouble;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use plugin_api::http::{HeaderName, HeaderValue};
use plugin_api::{
    BuildContext, Call, CallFacts, Chunk, Common, ConfigProblem, Context, Edit, Flow, ModelCall, Needs, Plugin, Record,
    Refusal, RefusalKind, Request, Response, Spender, tags,
};

use choice::Subject;
use facts::{Facts, Wanted};
use pins::{Pin as Pinned, PinKey};
use settings::{Escalation, Pin, Router};
use shared::Shared;
use trouble::ErrorBody;

pub use settings::Config;

/// The header of the answer that says which rule chose the model.
const X_TOLLGATE_RULE: HeaderName = HeaderName::from_static("x-tollgate-rule");

/// The plugin.
#[derive(Debug)]
pub struct ModelRouter {
    routes: Vec<RoutedName>,
    /// The headers that conditions are on.
    headers: Vec<HeaderName>,
    shared: Arc<Shared>,
    common: Arc<Common>,
}

/// A name that is routed.
#[derive(Debug)]
struct RoutedName {
    name: Box<str>,
    router: Router,
    wanted: Wanted,
    asks_budgets: bool,
}

/// What a request remembers.
#[derive(Debug, Default)]
pub struct State {
    headers: Vec<(Box<str>, Box<str>)>,
    chosen: Option<Chosen>,
}

/// The model that was chosen for a call.
#[derive(Debug)]
struct Chosen {
    /// The place of its name.
    route: usize,
    model: Box<str>,
    /// What `x-tollgate-rule` says.
    rule: String,
    /// The conversation that keeps the model, where one does.
    key: Option<PinKey>,
    error: Option<ErrorBody>,
}

impl Plugin for ModelRouter {
    const NAME: &'static str = "model_router";
    const NEEDS: Needs = Needs { body: true, ..Needs::NOTHING };
    type Config = Config;
    type Shared = Shared;
    type State = State;

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        config.check()
    }

    fn memory(configs: &[&Config]) -> u64 {
        if configs.is_empty() { 0 } else { pins::BYTES }
    }

    fn model_names(config: &Config) -> Vec<&str> {
        config.models().collect()
    }

    fn build(config: &Config, context: &BuildContext<'_, Shared>) -> Result<Self, ConfigProblem> {
        config.check()?;
        let routes = config.0.iter().map(|(name, router)| RoutedName {
            name: name.clone(),
            router: router.clone(),
            wanted: Wanted::by(router),
            asks_budgets: router.rules.iter().any(|rule| rule.when.budget_used.is_some()),
        });
        let names = config.0.values().flat_map(|router| &router.rules).flat_map(|rule| rule.when.headers.keys());
        let mut headers: Vec<_> = names.filter_map(|name| name.as_str().parse::<HeaderName>().ok()).collect();
        headers.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        headers.dedup();
        let (shared, common) = (context.shared.clone(), context.common.clone());
        shared.subscribe(&common);
        Ok(Self { routes: routes.collect(), headers, shared, common })
    }

    fn needs(&self) -> Needs {
        let answer = self.routes.iter().any(|route| !route.router.escalate.is_empty());
        Needs { answer, ..Self::NEEDS }
    }

    fn try_on_request(&self, state: &mut State, request: &mut Request<'_>) -> Option<Flow> {
        for name in &self.headers {
            if let Some(value) = request.head.headers.get(name).and_then(|value| value.to_str().ok()) {
                state.headers.push((name.as_str().into(), value.into()));
            }
        }
        Some(Flow::Continue)
    }

    fn try_on_call(&self, state: &mut State, call: &mut Call<'_>) -> Option<Flow> {
        let route = match self.route_of(call.body) {
            Ok(Some(route)) => route,
            Ok(None) => return Some(Flow::Continue),
            Err(refusal) => return Some(refusal.into()),
        };
        let wanted = self.routes[route].wanted;
        let facts = Facts::read_at_once(call.body.endpoint(), call.body.text(), wanted)?;
        self.follow(state, call, route, &facts);
        Some(Flow::Continue)
    }

    async fn on_call(&self, state: &mut State, call: &mut Call<'_>) -> Flow {
        let Ok(Some(route)) = self.route_of(call.body) else { return Flow::Continue };
        let wanted = self.routes[route].wanted;
        let facts = Facts::read(call.body.endpoint(), call.body.text().clone(), wanted).await;
        self.follow(state, call, route, &facts.unwrap_or_default());
        Flow::Continue
    }

    async fn on_response(&self, state: &mut State, response: &mut Response<'_>) {
        let Some(chosen) = &mut state.chosen else { return };
        if let Ok(value) = HeaderValue::from_str(&chosen.rule) {
            response.edits.set(X_TOLLGATE_RULE, value);
        }
        let is_plain = !response.headers.contains_key(plugin_api::http::header::CONTENT_ENCODING);
        if is_plain && ErrorBody::is_wanted(response.status) && !self.escalations(chosen).is_empty() {
            chosen.error = Some(ErrorBody::default());
        }
    }

    fn on_chunk(&self, state: &mut State, chunk: &mut Chunk<'_>) {
        if let Some(error) = state.chosen.as_mut().and_then(|chosen| chosen.error.as_mut()) {
            error.feed(chunk.bytes);
        }
    }

    fn before_last_byte(&self, state: &mut State, record: &Record) {
        // a client that has its answer calls again at once
        self.escalate(state, record);
    }

    fn on_complete(&self, state: &mut State, record: &Record) {
        self.escalate(state, record);
    }
}

impl ModelRouter {
    /// The place of the name that a call asks for; none where it is not routed.
    fn route_of(&self, body: &ModelCall) -> Result<Option<usize>, Refusal> {
        let place = |call: &CallFacts| {
            let model = call.model.as_deref()?;
            self.routes.iter().position(|route| route.name.eq_ignore_ascii_case(model))
        };
        if !body.endpoint().is_batch() {
            return Ok(body.call().and_then(place));
        }
        match body.calls().iter().find(|call| place(call).is_some()) {
            None => Ok(None),
            Some(call) => {
                let model = call.model.as_deref().unwrap_or_default();
                let message =
                    format!("`{model}` stands for a model that is chosen for each call; name a model in a batch");
                Err(Refusal::new(RefusalKind::InvalidRequest, "routed_batch", message))
            }
        }
    }

    /// Chooses the model, or follows the choice that the conversation keeps, and puts it into the call.
    fn follow(&self, state: &mut State, call: &mut Call<'_>, place: usize, facts: &Facts) {
        let route = &self.routes[place];
        let Some(of_call) = call.body.call() else { return };
        let key = pin_key(route, call.context, facts);
        let kept = key.and_then(|key| self.shared.pins.get(&key));
        let is_served = |pin: &Pinned| route.router.models().any(|model| *model == *pin.model);
        let is_new = kept.is_none();
        let pin = match kept.filter(is_served) {
            Some(pin) => pin,
            None => {
                let chosen = self.choose(route, of_call, call.context, &state.headers, facts);
                match key {
                    None => chosen,
                    Some(key) if is_new => self.shared.pins.keep(key, chosen),
                    Some(key) => {
                        self.shared.pins.set(key, chosen.clone());
                        chosen
                    }
                }
            }
        };
        let pinned = if is_new { "" } else { "; pinned" };
        let rule = format!("{}/{}{pinned}", header_text(&route.name), pin.rule);
        call.context.tags.set(tags::RULE, rule.clone());
        let edits = Edit::rename_model(of_call, &pin.model).collect();
        call.body.edit(edits);
        state.chosen = Some(Chosen { route: place, model: pin.model, rule, key, error: None });
    }

    fn choose(
        &self,
        route: &RoutedName,
        call: &CallFacts,
        context: &Context,
        headers: &[(Box<str>, Box<str>)],
        facts: &Facts,
    ) -> Pinned {
        let caller = context.principal();
        let spender = || Spender {
            tenant: caller.tenant.as_deref(),
            key: caller.key_name.as_deref(),
            user: caller.user.as_deref(),
            model: None,
        };
        let budget_used = route.asks_budgets.then(|| self.common.budget_use.highest(&spender())).flatten();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let unix = i64::try_from(unix).unwrap_or(i64::MAX);
        let choice = route.router.choose(&Subject { call, facts, caller, headers, budget_used, unix });
        Pinned { model: choice.model.into(), rule: route.router.rule_name(choice.rule).into() }
    }

    fn escalations(&self, chosen: &Chosen) -> &[Escalation] {
        self.routes.get(chosen.route).filter(|_| chosen.key.is_some()).map_or(&[], |route| &route.router.escalate)
    }

    /// Moves the conversation to another model, where what happened asks for it.
    fn escalate(&self, state: &mut State, record: &Record) {
        let Some(chosen) = &state.chosen else { return };
        let escalations = self.escalations(chosen);
        let Some(key) = chosen.key.filter(|_| !escalations.is_empty()) else { return };
        let Some(trouble) = trouble::of(record, chosen.error.as_ref()) else { return };
        let fits = |escalation: &&Escalation| {
            escalation.on.values().contains(&trouble) && escalation.from.0.matches(&chosen.model)
        };
        if let Some(escalation) = escalations.iter().find(fits).filter(|to| *to.to != *chosen.model) {
            let rule = format!("escalated-{}", trouble.as_str());
            self.shared.pins.set(key, Pinned { model: (&*escalation.to).into(), rule: rule.into() });
            // once for a call
            state.chosen = None;
        }
    }
}

/// What tells the conversation or the session of a call apart from all others of all callers.
fn pin_key(route: &RoutedName, context: &Context, facts: &Facts) -> Option<PinKey> {
    let caller = context.principal();
    let mut hash = blake3::Hasher::new();
    for text in [Some(&*route.name), caller.tenant.as_deref(), caller.key_name.as_deref(), caller.session.as_deref()] {
        // one text is not taken for a part of another
        hash.update(&(text.map_or(u64::MAX, |text| text.len() as u64)).to_le_bytes());
        hash.update(text.unwrap_or_default().as_bytes());
    }
    match route.router.pin {
        Pin::Request => return None,
        Pin::Session if caller.session.is_some() => {}
        Pin::Session | Pin::Conversation => {
            hash.update(&facts.beginning);
        }
    }
    hash.finalize().as_bytes().first_chunk().copied()
}

/// A name as it can stand in a header: what is no visible ASCII is `?`.
fn header_text(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests;

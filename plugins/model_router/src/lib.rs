//! Chooses a model for calls that leave the choice to the gateway, by rules over what the call holds. A conversation keeps its model.
//! Sends no call anywhere: the route's `models` know where a model is served.

mod beginning;
mod choice;
mod condition;
mod decide;
mod explained;
mod facts;
mod pins;
mod reading;
mod replay;
mod script;
mod settings;
mod shared;
mod trouble;

use std::sync::Arc;

use plugin_api::http::{HeaderName, HeaderValue};
use plugin_api::{
    BuildContext, Call, CallFacts, Chunk, Common, ConfigProblem, Context, Edit, Explanation, Flow, ModelCall, Needs,
    Plugin, Record, Refusal, RefusalKind, Request, Response, tags,
};

use beginning::Beginning;
use facts::Wanted;
use pins::{Pin as Pinned, PinKey};
use reading::Reading;
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
    pin: Pinned,
    /// What `x-tollgate-rule` says.
    rule: String,
    /// The conversation that keeps the model, where one does.
    key: Option<PinKey>,
    /// Whether the next call may name the answer to this one in the place of its messages.
    is_named_by_answer: bool,
    error: Option<ErrorBody>,
    /// Whether the conversation has moved because of this call.
    has_moved: bool,
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

    fn routed_names(config: &Config) -> Vec<&str> {
        config.0.keys().map(|name| &**name).collect()
    }

    fn replay(config: &Config) -> Option<Box<dyn plugin_api::Replay>> {
        Some(Box::new(replay::Replayer::new(config)))
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
        // what a conversation keeps is noted with its answers, and moves by them
        let answer = self.routes.iter().any(|route| route.router.pin != Pin::Request);
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

    async fn explain_request(&self, state: &mut State, request: &mut Request<'_>, _: &mut Explanation) -> Flow {
        plugin_api::on_request(self, state, request).await
    }

    async fn explain_call(&self, state: &mut State, call: &mut Call<'_>, explanation: &mut Explanation) -> Flow {
        match self.route_of(call.body) {
            Ok(Some(place)) => self.explain(state, call, place, explanation),
            Ok(None) => explanation.say("the model is no name that is routed, so it passes"),
            Err(_) => {}
        }
        // nothing is pinned here, and pins are kept in no file: that is the ledger's to open
        plugin_api::on_call(self, state, call).await
    }

    fn try_on_call(&self, state: &mut State, call: &mut Call<'_>) -> Option<Flow> {
        let place = match self.route_of(call.body) {
            Ok(Some(place)) => place,
            Ok(None) => return Some(Flow::Continue),
            Err(refusal) => return Some(refusal.into()),
        };
        let reading = Reading::of(call.body, self.routes[place].wanted);
        if reading.is_long() {
            return None;
        }
        self.follow(state, call, place, &reading);
        Some(Flow::Continue)
    }

    async fn on_call(&self, state: &mut State, call: &mut Call<'_>) -> Flow {
        let Ok(Some(place)) = self.route_of(call.body) else { return Flow::Continue };
        let route = &self.routes[place];
        let again = || Reading::of(call.body, route.wanted);
        let reading = again().ahead(|reading| _ = reading.beginning()).await.unwrap_or_else(again);
        let is_kept = self.kept(route, pin_key(route, call.context, || *reading.beginning())).is_some();
        let reading = match is_kept {
            true => reading,
            false => reading.ahead(|reading| _ = reading.facts()).await.unwrap_or_else(again),
        };
        self.follow(state, call, place, &reading);
        Flow::Continue
    }

    fn try_on_response(&self, state: &mut State, response: &mut Response<'_>) -> Option<()> {
        let Some(chosen) = &mut state.chosen else { return Some(()) };
        if let Ok(value) = HeaderValue::from_str(&chosen.rule) {
            response.edits.set(X_TOLLGATE_RULE, value);
        }
        let is_plain = !response.headers.contains_key(plugin_api::http::header::CONTENT_ENCODING);
        if is_plain && ErrorBody::is_wanted(response.status) && !self.routes[chosen.route].router.escalate.is_empty() {
            chosen.error = Some(ErrorBody::default());
        }
        Some(())
    }

    fn on_chunk(&self, state: &mut State, chunk: &mut Chunk<'_>) {
        if let Some(error) = state.chosen.as_mut().and_then(|chosen| chosen.error.as_mut()) {
            error.feed(chunk.bytes);
        }
    }

    fn before_last_byte(&self, state: &mut State, record: &Record) {
        // a client that has its answer calls again at once
        self.settle(state, record);
    }

    fn on_complete(&self, state: &mut State, record: &Record) {
        self.settle(state, record);
    }
}

impl RoutedName {
    /// Whether a model that was kept is still one of its models.
    fn serves(&self, pin: &Pinned) -> bool {
        self.router.models().any(|model| *model == *pin.model)
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

    /// What a conversation keeps, if that is still served.
    fn kept(&self, route: &RoutedName, key: Option<PinKey>) -> Option<Pinned> {
        self.shared.pins.get(&key?).filter(|pin| route.serves(pin))
    }

    /// Follows the choice that the conversation keeps, or else chooses the model, and puts it into the call.
    fn follow(&self, state: &mut State, call: &mut Call<'_>, place: usize, reading: &Reading) {
        let route = &self.routes[place];
        let Some(of_call) = call.body.call() else { return };
        let key = pin_key(route, call.context, || *reading.beginning());
        let kept = self.kept(route, key);
        let suffix = if kept.is_some() { "; pinned" } else { "" };
        let pin = kept.unwrap_or_else(|| {
            let chosen = self.choose(route, of_call, call.context, &state.headers, reading);
            match key {
                Some(key) => self.shared.pins.keep(key, chosen, |pin| route.serves(pin)),
                None => chosen,
            }
        });
        let rule = format!("{}/{}{suffix}", header_text(&route.name), pin.rule);
        call.context.tags.set(tags::RULE, rule.clone());
        let edits = Edit::rename_model(of_call, &pin.model).collect();
        call.body.edit(edits);
        let is_named_by_answer = call.body.endpoint().earlier_answer.is_some();
        state.chosen = Some(Chosen { route: place, pin, rule, key, is_named_by_answer, error: None, has_moved: false });
    }

    /// Moves the conversation to another model, where what happened asks for it, and notes the answer that the next call may name.
    fn settle(&self, state: &mut State, record: &Record) {
        let Some(chosen) = &mut state.chosen else { return };
        let Some((route, key)) = self.routes.get(chosen.route).zip(chosen.key) else { return };
        if let Some(pin) = escalated(&route.router.escalate, chosen, record).filter(|_| !chosen.has_moved) {
            self.shared.pins.set(key, pin.clone());
            (chosen.pin, chosen.has_moved) = (pin, true);
        }
        let answer = record.answer.as_ref().and_then(|answer| answer.id.as_deref());
        if let Some(id) = answer.filter(|_| chosen.is_named_by_answer)
            && let Some(key) = pin_key(route, &record.context, || beginning::of_answer(id))
            && self.shared.pins.get(&key).as_ref() != Some(&chosen.pin)
        {
            self.shared.pins.set(key, chosen.pin.clone());
        }
    }
}

/// What a conversation keeps from now on, where an escalation fits what happened to its call.
fn escalated(escalations: &[Escalation], chosen: &Chosen, record: &Record) -> Option<Pinned> {
    let trouble = trouble::of(record, chosen.error.as_ref()).filter(|_| !escalations.is_empty())?;
    let model = settings::escalation(escalations, trouble, &chosen.pin.model)?.into();
    Some(Pinned { model, rule: trouble.rule().into() })
}

/// What tells the conversation or the session of a call apart from all others of all callers.
fn pin_key(route: &RoutedName, context: &Context, beginning: impl FnOnce() -> Beginning) -> Option<PinKey> {
    let caller = context.principal();
    let by_session = match route.router.pin {
        Pin::Request => return None,
        Pin::Session => caller.session.is_some(),
        Pin::Conversation => false,
    };
    let mut hash = blake3::Hasher::new();
    for text in [Some(&*route.name), caller.tenant.as_deref(), caller.key_name.as_deref(), caller.session.as_deref()] {
        // one text is not taken for a part of another
        hash.update(&(text.map_or(u64::MAX, |text| text.len() as u64)).to_le_bytes());
        hash.update(text.unwrap_or_default().as_bytes());
    }
    if !by_session {
        hash.update(&beginning());
    }
    hash.finalize().as_bytes().first_chunk().copied()
}

/// A name as it can stand in a header: what is no visible ASCII is `?`.
fn header_text(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests;

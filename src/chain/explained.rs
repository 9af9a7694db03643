//! A plugin that only explains what it would do with a request. What shows by itself is noted here: who it says calls, the edits that it
//! makes, the tags that it sets, and how it ends the request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use plugin_api::{
    Call, Context, Explanation, Flow, HeaderEdit, Needs, Plugin, Principal, Request, Tags, is_credential,
};

use super::erased::{Factory, Instance, Step};

/// What the plugins of one request say, top to bottom.
#[derive(Debug, Default)]
pub struct ExplanationLog(Mutex<Vec<ExplainedPlugin>>);

/// What one plugin would do.
#[derive(Clone, Debug)]
pub struct ExplainedPlugin {
    /// Its name.
    pub name: &'static str,
    /// Whether the request came to it.
    pub is_reached: bool,
    /// What it says.
    pub explanation: Explanation,
    /// What it changes.
    pub changes: Vec<String>,
    /// The model of the call behind it, where it has seen one.
    pub model: Option<String>,
    /// How it ends the request, if it does.
    pub ended: Option<Ended>,
}

/// How a plugin ends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It answers with this status.
    Answers(StatusCode),
    /// It refuses.
    Refuses {
        /// With this status.
        status: StatusCode,
        /// The word for why.
        reason: &'static str,
        /// What the caller is told.
        message: String,
    },
}

impl ExplanationLog {
    /// What was said.
    #[must_use]
    pub fn plugins(&self) -> Vec<ExplainedPlugin> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ExplainedPlugin>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a plugin that is asked next.
    fn begin(&self, name: &'static str) -> usize {
        let mut plugins = self.lock();
        plugins.push(ExplainedPlugin {
            name,
            is_reached: false,
            explanation: Explanation::default(),
            changes: Vec::new(),
            model: None,
            ended: None,
        });
        plugins.len() - 1
    }

    fn note(&self, place: usize, note: impl FnOnce(&mut ExplainedPlugin)) {
        if let Some(plugin) = self.lock().get_mut(place) {
            plugin.is_reached = true;
            note(plugin);
        }
    }
}

/// A plugin of a route that is explained.
pub(super) struct Explaining<P> {
    plugin: Arc<P>,
    log: Arc<ExplanationLog>,
}

impl<P> Explaining<P> {
    pub(super) fn new(plugin: P, log: Arc<ExplanationLog>) -> Self {
        Self { plugin: Arc::new(plugin), log }
    }
}

impl<P: Plugin> Factory for Explaining<P> {
    /// It is never in force.
    fn activate(&self) {}

    fn instance(&self, needs: Needs) -> Box<dyn Instance> {
        let place = self.log.begin(P::NAME);
        let (plugin, log) = (self.plugin.clone(), self.log.clone());
        Box::new(Explained { plugin, needs, state: P::State::default(), log, place })
    }
}

/// Its part in the one request.
struct Explained<P: Plugin> {
    plugin: Arc<P>,
    needs: Needs,
    state: P::State,
    log: Arc<ExplanationLog>,
    place: usize,
}

/// What of a context plugins change.
struct Before {
    principal: Principal,
    tags: Tags,
}

impl Before {
    fn of(context: &Context) -> Self {
        Self { principal: context.principal().clone(), tags: context.tags.clone() }
    }

    /// What has changed since.
    fn changes(&self, context: &Context) -> Vec<String> {
        let (before, now) = (&self.principal, context.principal());
        let named = [
            ("key", &before.key_name, &now.key_name),
            ("tenant", &before.tenant, &now.tenant),
            ("session", &before.session, &now.session),
            ("user", &before.user, &now.user),
        ];
        let callers = named.into_iter().filter(|(_, before, now)| before != now);
        let callers = callers.map(|(what, _, now)| format!("{what} is {}", now.as_deref().unwrap_or("nobody")));
        let tags = context.tags.iter().filter(|(name, value)| self.tags.get(name).is_none_or(|known| known != value));
        callers.chain(tags.map(|(name, value)| format!("{name} is {value}"))).collect()
    }
}

/// An edit of a header, in words. Values of credentials are not shown.
fn edit_text(edit: &HeaderEdit) -> String {
    let shown = |name: &http::HeaderName, value: &http::HeaderValue| match is_credential(name.as_str()) {
        true => "***".to_owned(),
        false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
    };
    match edit {
        HeaderEdit::Set(name, value) => format!("sets {name}: {}", shown(name, value)),
        HeaderEdit::Append(name, value) => format!("adds {name}: {}", shown(name, value)),
        HeaderEdit::Remove(name) => format!("removes {name}"),
    }
}

fn ended_by(flow: &Flow) -> Option<Ended> {
    match flow {
        Flow::Continue => None,
        Flow::Answer(reply) => Some(Ended::Answers(reply.status)),
        Flow::Refuse(refusal) => Some(Ended::Refuses {
            status: refusal.status(),
            reason: refusal.reason(),
            message: refusal.message().to_owned(),
        }),
    }
}

impl<P: Plugin> Explained<P> {
    fn conclude(&self, explanation: Explanation, changes: Vec<String>, flow: &Flow) {
        self.log.note(self.place, |plugin| {
            plugin.explanation = explanation;
            plugin.changes.extend(changes);
            plugin.ended = ended_by(flow);
        });
    }

    /// What it has said so far.
    fn said(&self) -> Explanation {
        self.log.lock().get(self.place).map(|plugin| plugin.explanation.clone()).unwrap_or_default()
    }

    async fn request(&mut self, request: &mut Request<'_>) -> Flow {
        let before = Before::of(request.context);
        let edits = request.edits.iter().count();
        let mut explanation = self.said();
        let flow = self.plugin.explain_request(&mut self.state, request, &mut explanation).await;
        let edits = request.edits.iter().skip(edits).map(edit_text);
        let changes = before.changes(request.context).into_iter().chain(edits).collect();
        self.conclude(explanation, changes, &flow);
        flow
    }

    async fn call(&mut self, call: &mut Call<'_>) -> Flow {
        let before = Before::of(call.context);
        let model = |call: &Call<'_>| call.body.call().and_then(|facts| facts.model.clone());
        let (model_before, text) = (model(call), call.body.text().clone());
        let mut explanation = self.said();
        let flow = self.plugin.explain_call(&mut self.state, call, &mut explanation).await;
        let may_send = self.needs.send && matches!(flow, Flow::Continue);
        if may_send && self.plugin.sends(&mut self.state, call.body) {
            explanation.depends_on("whether it sends the call itself, in the upstream's place");
        }
        let mut changes = before.changes(call.context);
        let now = model(call);
        if now != model_before {
            changes.push(format!("the model is {} now", now.as_deref().unwrap_or("none")));
        } else if *call.body.text() != text {
            changes.push("the body is changed".to_owned());
        }
        self.conclude(explanation, changes, &flow);
        self.log.note(self.place, |plugin| plugin.model = now);
        flow
    }
}

impl<P: Plugin> Instance for Explained<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn needs(&self) -> Needs {
        self.needs
    }

    fn on_request<'a>(&'a mut self, request: &'a mut Request<'_>) -> Step<'a, Flow> {
        Step::of(self.request(request))
    }

    fn on_forward(&mut self, request: &mut Request<'_>) {
        if !P::IS_PURE {
            return;
        }
        let edits = request.edits.iter().count();
        self.plugin.on_forward(&mut self.state, request);
        let edits: Vec<_> = request.edits.iter().skip(edits).map(edit_text).collect();
        self.log.note(self.place, |plugin| plugin.changes.extend(edits));
    }

    fn on_call<'a>(&'a mut self, call: &'a mut Call<'_>) -> Step<'a, Flow> {
        Step::of(self.call(call))
    }

    // nothing is sent: there is no response, and no end
}

//! What plugins say of a request that is only explained: `tollgate explain` asks them what they would do, and sends nothing.

use crate::{Call, Flow, Plugin, Request};

/// What a plugin says of a request besides what shows by itself: whether it refuses or answers it, who it says calls, the edits that it
/// makes, and the tags that it sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    says: Vec<String>,
    depends_on: Vec<String>,
    is_silent: bool,
}

impl Explanation {
    /// Says something, in a clause without a full stop: `the limit of this model is 4000`. Must hold no secret.
    pub fn say(&mut self, clause: impl Into<String>) {
        self.says.push(clause.into());
    }

    /// Says what the answer of a running gateway depends on besides settings and request, so that it is not known here: `what has been
    /// spent this month`.
    pub fn depends_on(&mut self, what: impl Into<String>) {
        self.depends_on.push(what.into());
    }

    /// The plugin was not asked: it does not take part in explanations.
    pub fn silent(&mut self) {
        self.is_silent = true;
    }

    /// What was said, in order.
    #[must_use]
    pub fn said(&self) -> &[String] {
        &self.says
    }

    /// What the answer depends on, in order.
    #[must_use]
    pub fn dependencies(&self) -> &[String] {
        &self.depends_on
    }

    /// Whether a hook was left out, since the plugin does not take part in explanations.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.is_silent
    }
}

/// The head of a request comes to a plugin as the gateway brings it: to what need not wait first.
pub async fn on_request<P: Plugin>(plugin: &P, state: &mut P::State, request: &mut Request<'_>) -> Flow {
    match plugin.try_on_request(state, request) {
        Some(flow) => flow,
        None => plugin.on_request(state, request).await,
    }
}

/// A call comes to a plugin as the gateway brings it: to what need not wait first.
pub async fn on_call<P: Plugin>(plugin: &P, state: &mut P::State, call: &mut Call<'_>) -> Flow {
    match plugin.try_on_call(state, call) {
        Some(flow) => flow,
        None => plugin.on_call(state, call).await,
    }
}

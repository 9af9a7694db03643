//! Makes one upstream call of embedding calls that come at the same time, and takes its answer apart again. Each caller has its own
//! limits, budget and row, as if it had asked alone.

mod answer;
mod discarded;
mod expiring;
mod figures;
mod group;
mod groups;
mod inputs;
mod key;
mod merged;
mod merging;
mod settings;
mod share;
#[cfg(test)]
mod tests;
mod timer;

use std::sync::Arc;
use std::time::Duration;

use plugin_api::{
    BuildContext, Bytes, Call, Common, ConfigProblem, Endpoint, Explanation, Flow, ModelCall, Needs, OutgoingCall,
    Plugin, Reply, Request,
};

use figures::Went;
use groups::{Joined, UnderWay};
use inputs::Inputs;
use key::{Caller, Key};
use merged::{Answered, Outcome};
use settings::Limits;

pub use merging::Merging;
pub use settings::Config;

/// The plugin.
#[derive(Debug)]
pub struct MergeEmbeddings {
    window: Duration,
    limits: Limits,
    merging: Arc<Merging>,
    common: Arc<Common>,
}

/// What a call remembers.
#[derive(Debug, Default)]
pub struct State {
    /// Whose it is, where no plugin knows its tenant.
    caller: Caller,
    /// Counts it as under way, if it went alone.
    under_way: Option<UnderWay>,
}

impl Plugin for MergeEmbeddings {
    const NAME: &'static str = "merge_embeddings";
    const NEEDS: Needs = Needs { body: true, send: true, ..Needs::NOTHING };
    const IS_PURE: bool = true;
    type Config = Config;
    type Shared = Merging;
    type State = State;

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        config.check()
    }

    fn build(config: &Config, context: &BuildContext<'_, Merging>) -> Result<Self, ConfigProblem> {
        config.check()?;
        let (merging, common) = (context.shared.clone(), context.common.clone());
        Ok(Self { window: config.window.get(), limits: config.limits(), merging, common })
    }

    fn try_on_request(&self, state: &mut State, request: &mut Request<'_>) -> Option<Flow> {
        if request.endpoint == Some(Endpoint::EMBEDDINGS) && request.context.principal().tenant.is_none() {
            state.caller = key::caller(request.head.headers);
        }
        Some(Flow::Continue)
    }

    async fn explain_call(&self, _: &mut State, call: &mut Call<'_>, explanation: &mut Explanation) -> Flow {
        if call.body.endpoint() == Endpoint::EMBEDDINGS {
            if Inputs::of(call.body.text(), &self.limits).is_some() {
                explanation.say("the call may go together with others like it");
                explanation.depends_on("which calls come at the same time");
            } else {
                explanation.say("the call goes alone, by its input or its size");
            }
        }
        Flow::Continue
    }

    fn sends(&self, _: &mut State, call: &ModelCall) -> bool {
        call.endpoint() == Endpoint::EMBEDDINGS
    }

    async fn on_send(&self, state: &mut State, call: &mut OutgoingCall<'_>) -> Flow {
        if call.call.endpoint() != Endpoint::EMBEDDINGS {
            return Flow::Continue;
        }
        let figures = &self.merging.figures;
        let Some((key, inputs)) = self.looked_at(state, call) else {
            figures.went(Went::Alone);
            return Flow::Continue;
        };
        let request = || call.request(Bytes::new());
        let (told, window) = match self.merging.groups.join(key, inputs, &self.limits, request) {
            Joined::Alone(under_way) => {
                state.under_way = under_way;
                figures.went(Went::Alone);
                return Flow::Continue;
            }
            Joined::Waits(told, window) => (told, window),
        };
        if let Some(window) = window {
            // it goes on if this call leaves: others may have come
            tokio::spawn(merged::run(window, self.window, self.merging.clone(), self.common.clone()));
        }
        let (went, flow) = match told.await {
            Ok(Outcome::Alone(under_way)) => {
                state.under_way = under_way;
                (Went::Alone, Flow::Continue)
            }
            Ok(Outcome::Again(discarded)) => {
                call.context.discarded_usage = discarded;
                (Went::Again, Flow::Continue)
            }
            // whoever was to send it is gone
            Err(_) => (Went::Again, Flow::Continue),
            Ok(Outcome::Answered(answered)) => {
                let Answered { status, headers, body, sent } = *answered;
                (Went::Merged, Reply::from_upstream(status, headers, body, sent).into())
            }
            Ok(Outcome::Failed(error)) => {
                let (protocol, id) = (call.call.protocol(), call.context.id);
                (Went::Merged, Reply::send_failed(protocol, &error, call.upstream, id).into())
            }
        };
        figures.went(went);
        flow
    }
}

impl MergeEmbeddings {
    /// The inputs of a call that may be merged, and what it has to have in common with others.
    fn looked_at(&self, state: &State, call: &OutgoingCall<'_>) -> Option<(Key, Inputs)> {
        call.call.call()?;
        let inputs = Inputs::of(call.call.text(), &self.limits)?;
        Some((Key::of(call, &inputs, &state.caller)?, inputs))
    }
}

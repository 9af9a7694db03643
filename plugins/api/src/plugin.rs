//! The trait that a plugin implements, and what its request hooks answer.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::path::Path;
use std::pin::Pin;
use std::task::{self, Poll};

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::part::is_text_of_an_api;
use crate::{
    BatchResult, BuildContext, Call, CheckContext, Chunk, Command, ConfigProblem, Explanation, ModelCall, Needs,
    OutgoingCall, Part, Quota, Record, Refusal, Replay, Reply, Request, Response, Shared, explanation,
};

/// One concern of the gateway: a limit, a cache, a log.
///
/// A plugin is built once for each route that names it and shared by all requests of that route. Each request gives it a
/// fresh [`State`](Plugin::State). The hooks run in the order in which they stand here: those of the request from the top
/// of the YAML list to its bottom, those of the response from bottom to top.
///
/// A hook returns no error: a plugin owns its failures. A cache that cannot read returns [`Flow::Continue`]; a limit that cannot
/// decide refuses. A hook that panics fails its own request, with a 500 while nothing has been sent, and no other.
///
/// Hooks that a plugin leaves out cost a call each, and no allocation. A hook that never waits has its place in
/// [`try_on_request`](Plugin::try_on_request), [`try_on_call`](Plugin::try_on_call) or [`try_on_response`](Plugin::try_on_response).
pub trait Plugin: Send + Sync + Sized + 'static {
    /// Its key in the YAML, and its name in logs and metrics.
    const NAME: &'static str;

    /// What the gateway has to do for it. A route pays only for what one of its plugins needs.
    const NEEDS: Needs = Needs::NOTHING;

    /// Whether it finds out who calls. Where only a route names it, it goes above the plugins for all routes, which may ask for its
    /// findings.
    const IDENTIFIES: bool = false;

    /// Whether it looks at messages whoever sends them, and at refusals of all others. Where only a route names it, it goes above the
    /// plugins for all routes, and above those that find out who calls.
    const OUTERMOST: bool = false;

    /// The plugins that a route must have beside it, by name: without them it would do nothing, or something wrong.
    const REQUIRES: &'static [&'static str] = &[];

    /// Whether its request hooks go by settings and request alone, and do nothing but decide: they wait for nobody, open nothing, and
    /// write nothing. `tollgate explain` runs them as they are.
    const IS_PURE: bool = false;

    /// Whether it holds callers to the limits that they have of their own ([`Grants::quota`](crate::Grants::quota)).
    const COUNTS_QUOTAS: bool = false;

    /// Its settings. Their doc comments become the schema; the first paragraph of the type's own explains the plugin.
    type Config: Clone + Debug + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static;

    /// State that outlives reloads: counters, caches, connections. `()` if there is none.
    type Shared: Shared;

    /// State of one request, from its first hook to its last; `()` if there is none. Dropped when the request ends, however it
    /// ends: what must be given back belongs here, with [`Drop`].
    type State: Default + Send + Sync + 'static;

    /// Checks settings as a whole, where their types cannot. Opens nothing.
    ///
    /// # Errors
    /// What makes no sense.
    fn check(_: &Self::Config) -> Result<(), ConfigProblem> {
        Ok(())
    }

    /// Checks the files that settings name, for `tollgate check`. Relative paths start from `base`. Keeps nothing open.
    ///
    /// # Errors
    /// What is wrong with them.
    fn check_files(_: &Self::Config, _base: &Path) -> Result<(), ConfigProblem> {
        Ok(())
    }

    /// Why settings cannot be used beside others of this plugin in the same file, if they cannot.
    fn conflict(_: &Self::Config, _other: &Self::Config, _: &CheckContext<'_>) -> Option<ConfigProblem> {
        None
    }

    /// The limits that settings give callers of their own, which a plugin of the same route has to count.
    fn grants_quotas(_: &Self::Config) -> Vec<Quota> {
        Vec::new()
    }

    /// A plugin that a route should have beside this one with these settings, and what is lacking without it: a warning of `tollgate
    /// check`. Plugins of the route give callers these limits of their own.
    fn companion(_: &Self::Config, _granted: &[Quota]) -> Option<(&'static str, &'static str)> {
        None
    }

    /// What is lacking on a route to an upstream without a credential of its own, where the plugin sends requests that carry no caller's: a
    /// warning of `tollgate check`.
    fn without_credential(_: &Self::Config) -> Option<&'static str> {
        None
    }

    /// The most bytes that plugins with these settings hold together, for the figure of `tollgate check`.
    fn memory(_: &[&Self::Config]) -> u64 {
        0
    }

    /// The models that settings name, some by patterns: these may be labels of metrics.
    fn model_names(_: &Self::Config) -> Vec<&str> {
        Vec::new()
    }

    /// The names that callers may ask for in the place of models, so that the plugin chooses one.
    fn routed_names(_: &Self::Config) -> Vec<&str> {
        Vec::new()
    }

    /// The name by which this build knows a model without settings, if it does: this may be a label of metrics.
    fn known_model(_: &str) -> Option<&'static str> {
        None
    }

    /// What chooses models of past calls by settings, for `tollgate usage replay`; `None` where the plugin chooses none.
    fn replay(_: &Self::Config) -> Option<Box<dyn Replay>> {
        None
    }

    /// The commands of `tollgate` that it brings.
    fn commands() -> Vec<Command<Self::Config>> {
        Vec::new()
    }

    /// The plugin with these settings. Nothing that outlives a reload changes yet: the file may still be refused for what is
    /// wrong elsewhere.
    ///
    /// # Errors
    /// What is wrong with the settings, or keeps the plugin from working.
    fn build(config: &Self::Config, context: &BuildContext<'_, Self::Shared>) -> Result<Self, ConfigProblem>;

    /// The plugin with these settings for `tollgate explain`: [`build`](Plugin::build) without what opens a file to write, a connection or
    /// a database. It gets no requests, and is never activated.
    ///
    /// # Errors
    /// As for [`build`](Plugin::build).
    fn build_to_explain(
        config: &Self::Config,
        context: &BuildContext<'_, Self::Shared>,
    ) -> Result<Self, ConfigProblem> {
        Self::build(config, context)
    }

    /// What the gateway has to do for it with these settings: [`NEEDS`](Plugin::NEEDS), where no setting says otherwise.
    fn needs(&self) -> Needs {
        Self::NEEDS
    }

    /// Called when its configuration takes effect, before its first request. Runs once for each route on the thread that reloads:
    /// be quick, never block.
    fn activate(&self) {}

    /// The head of a request has arrived; its body has not.
    fn on_request(&self, _: &mut Self::State, _: &mut Request<'_>) -> impl Future<Output = Flow> + Send {
        Pass::new()
    }

    /// [`on_request`](Plugin::on_request) as far as it need not wait: asked first, and what it decides stands, without the memory that a
    /// future takes. `None` leaves it to `on_request`, and nothing has changed then.
    fn try_on_request(&self, _: &mut Self::State, _: &mut Request<'_>) -> Option<Flow> {
        None
    }

    /// All plugins of the route have let the head pass, so it is known who calls: the place for edits of headers that depend on it. They come
    /// after those that any plugin made in [`on_request`](Plugin::on_request). Be quick, never block.
    fn on_forward(&self, _: &mut Self::State, _: &mut Request<'_>) {}

    /// The whole body of a call to a model has arrived. Runs only with [`Needs::body`], and only for the endpoints of
    /// [`Endpoint`](crate::Endpoint).
    fn on_call(&self, _: &mut Self::State, _: &mut Call<'_>) -> impl Future<Output = Flow> + Send {
        Pass::new()
    }

    /// [`on_call`](Plugin::on_call) as far as it need not wait: see [`try_on_request`](Plugin::try_on_request).
    fn try_on_call(&self, _: &mut Self::State, _: &mut Call<'_>) -> Option<Flow> {
        None
    }

    /// Whether [`on_send`](Plugin::on_send) may have to see this call, which all plugins have let pass: the gateway keeps nothing for it of
    /// others. Be quick.
    fn sends(&self, _: &mut Self::State, _: &ModelCall) -> bool {
        true
    }

    /// The call is about to go upstream: all plugins have let it pass, and the route's `models` have been followed. The plugin may answer in
    /// the upstream's place, mostly with what it gets there by [`Upstreams::send`](crate::Upstreams::send) (see [`Reply::from_upstream`]).
    /// Runs only with [`Needs::send`], where a plugin's [`sends`](Plugin::sends) says so, top to bottom, to the first that does not continue; then the response hooks of all plugins run, as for
    /// an answer of the upstream. It does not run for calls on a `WebSocket`.
    ///
    /// Where the client leaves, the future is dropped, unless the call goes on without its client.
    fn on_send(&self, _: &mut Self::State, _: &mut OutgoingCall<'_>) -> impl Future<Output = Flow> + Send {
        Pass::new()
    }

    /// What [`on_request`](Plugin::on_request) would do, for `tollgate explain`: the same decision, by the same code, without its effects.
    /// By default the hook itself, where the plugin [is pure](Plugin::IS_PURE).
    fn explain_request(
        &self,
        state: &mut Self::State,
        request: &mut Request<'_>,
        explanation: &mut Explanation,
    ) -> impl Future<Output = Flow> + Send {
        async move {
            if Self::IS_PURE {
                return explanation::on_request(self, state, request).await;
            }
            explanation.silent();
            Flow::Continue
        }
    }

    /// What [`on_call`](Plugin::on_call) would do, in the same way.
    fn explain_call(
        &self,
        state: &mut Self::State,
        call: &mut Call<'_>,
        explanation: &mut Explanation,
    ) -> impl Future<Output = Flow> + Send {
        async move {
            if Self::IS_PURE {
                return explanation::on_call(self, state, call).await;
            }
            explanation.silent();
            Flow::Continue
        }
    }

    /// Whether it wants to change the body of this response, part by part. Runs only with [`Needs::transform`], for responses
    /// that have a body, before any [`on_response`](Plugin::on_response). By default every successful one that is JSON, or a
    /// stream of events or lines, or does not say what it is.
    fn transforms(&self, _: &mut Self::State, response: &Response<'_>) -> bool {
        response.status.is_success() && is_text_of_an_api(response.headers)
    }

    /// The head of the response has arrived, from an upstream or from a plugin below this one.
    fn on_response(&self, _: &mut Self::State, _: &mut Response<'_>) -> impl Future<Output = ()> + Send {
        Pass::new()
    }

    /// [`on_response`](Plugin::on_response) as far as it need not wait: see [`try_on_request`](Plugin::try_on_request).
    fn try_on_response(&self, _: &mut Self::State, _: &mut Response<'_>) -> Option<()> {
        None
    }

    /// A part of a response that it wanted to change, in the place of [`on_chunk`](Plugin::on_chunk). In line with the stream: be
    /// quick, never block.
    fn on_part(&self, _: &mut Self::State, _: &mut Part<'_>) {}

    /// Bytes are passing to the client, in line with the stream: be quick, never block.
    fn on_chunk(&self, _: &mut Self::State, _: &mut Chunk<'_>) {}

    /// A download of a batch's results has come to this one. The record is that of the download so far. Runs only with
    /// [`Needs::batch_results`], in line with the stream: be quick, never block.
    fn on_batch_result(&self, _: &mut Self::State, _: &Record, _: &BatchResult) {}

    /// The last byte is about to be written. Persist here what must survive a crash once the client has its answer;
    /// [`on_complete`](Plugin::on_complete) reports whether delivery succeeded. Runs at most once, and not for requests
    /// whose end cannot be foreseen. In line with the stream: be quick, never block.
    fn before_last_byte(&self, _: &mut Self::State, _: &Record) {}

    /// The request is over. Runs exactly once for every request of the route, whatever became of it, in the worst case from
    /// a destructor: hence not async.
    fn on_complete(&self, _: &mut Self::State, _: &Record) {}
}

/// What happens after a request hook.
#[must_use]
#[derive(Debug, Default)]
pub enum Flow {
    /// On to the next plugin, in the end to the upstream.
    #[default]
    Continue,
    /// Answer now. Plugins below and the upstream are skipped; the response hooks of this plugin and of those above it
    /// still run.
    Answer(Box<Reply>),
    /// Refuse now, in the caller's dialect. Runs the same hooks as an answer.
    Refuse(Box<Refusal>),
}

impl From<Reply> for Flow {
    fn from(reply: Reply) -> Self {
        Self::Answer(Box::new(reply))
    }
}

impl From<Refusal> for Flow {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(Box::new(refusal))
    }
}

impl From<Result<(), Refusal>> for Flow {
    fn from(decided: Result<(), Refusal>) -> Self {
        decided.map_or_else(Self::from, |()| Self::Continue)
    }
}

/// A hook that a plugin leaves out: done at once. It has no size, so no memory is allocated for it where hooks are boxed.
struct Pass<T>(PhantomData<fn() -> T>);

impl<T> Pass<T> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Default> Future for Pass<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<T> {
        Poll::Ready(T::default())
    }
}

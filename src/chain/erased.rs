//! A plugin without its types, so that a route can hold any of them in one list.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use plugin_api::{
    BatchResult, Call, Chunk, Flow, ModelCall, Needs, OutgoingCall, Part, Plugin, Record, Request, Response,
};

use super::explained::{Explaining, ExplanationLog};

/// A plugin ready to take part in any number of requests.
pub struct PluginFactory {
    plugin: Box<dyn Factory>,
    needs: Needs,
}

impl PluginFactory {
    /// The factory of a plugin.
    #[must_use]
    pub fn new<P: Plugin>(plugin: P) -> Self {
        Self { needs: plugin.needs(), plugin: Box::new(Arc::new(plugin)) }
    }

    /// The factory of a plugin that only explains what it would do, and says so in `log`.
    #[must_use]
    pub fn explaining<P: Plugin>(plugin: P, log: Arc<ExplanationLog>) -> Self {
        Self { needs: plugin.needs(), plugin: Box::new(Explaining::new(plugin, log)) }
    }

    pub(super) fn needs(&self) -> Needs {
        self.needs
    }

    pub(super) fn activate(&self) {
        self.plugin.activate();
    }

    pub(super) fn instance(&self) -> Box<dyn Instance> {
        self.plugin.instance(self.needs)
    }
}

pub(super) trait Factory: Send + Sync {
    fn activate(&self);
    fn instance(&self, needs: Needs) -> Box<dyn Instance>;
}

impl<P: Plugin> Factory for Arc<P> {
    fn activate(&self) {
        (**self).activate();
    }

    fn instance(&self, needs: Needs) -> Box<dyn Instance> {
        Box::new(Typed { plugin: self.clone(), needs, state: P::State::default() })
    }
}

/// What a hook has come to.
pub(super) enum Step<'a, T> {
    /// To this.
    Done(T),
    /// To nothing yet: it waits.
    Waits(BoxFuture<'a, T>),
}

impl<'a, T> Step<'a, T> {
    /// A hook that may wait. One that the plugin leaves out has no size: boxing it allocates nothing, and it is done at once.
    pub(super) fn of(hook: impl Future<Output = T> + Send + 'a) -> Self {
        let is_empty = size_of_val(&hook) == 0;
        let mut hook = Box::pin(hook);
        let result = if is_empty { hook.as_mut().now_or_never() } else { None };
        result.map_or_else(|| Self::Waits(hook), Self::Done)
    }
}

/// A plugin's part in one request: the plugin and its state. A hook that is left out does nothing.
pub(super) trait Instance: Send + Sync {
    fn name(&self) -> &'static str;
    fn needs(&self) -> Needs;

    fn on_request<'a>(&'a mut self, _: &'a mut Request<'_>) -> Step<'a, Flow> {
        Step::Done(Flow::Continue)
    }

    fn on_forward(&mut self, _: &mut Request<'_>) {}

    fn on_call<'a>(&'a mut self, _: &'a mut Call<'_>) -> Step<'a, Flow> {
        Step::Done(Flow::Continue)
    }

    fn sends(&mut self, _: &ModelCall) -> bool {
        false
    }

    fn on_send<'a>(&'a mut self, _: &'a mut OutgoingCall<'_>) -> Step<'a, Flow> {
        Step::Done(Flow::Continue)
    }

    fn on_response<'a>(&'a mut self, _: &'a mut Response<'_>) -> Step<'a, ()> {
        Step::Done(())
    }

    fn transforms(&mut self, _: &Response<'_>) -> bool {
        false
    }

    fn on_part(&mut self, _: &mut Part<'_>) {}

    fn on_chunk(&mut self, _: &mut Chunk<'_>) {}

    fn on_batch_result(&mut self, _: &Record, _: &BatchResult) {}

    fn before_last_byte(&mut self, _: &Record) {}

    fn on_complete(&mut self, _: &Record) {}
}

struct Typed<P: Plugin> {
    plugin: Arc<P>,
    needs: Needs,
    state: P::State,
}

// a plugin has every hook
#[deny(clippy::missing_trait_methods)]
impl<P: Plugin> Instance for Typed<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn needs(&self) -> Needs {
        self.needs
    }

    fn on_request<'a>(&'a mut self, request: &'a mut Request<'_>) -> Step<'a, Flow> {
        match self.plugin.try_on_request(&mut self.state, request) {
            Some(flow) => Step::Done(flow),
            None => Step::of(self.plugin.on_request(&mut self.state, request)),
        }
    }

    fn on_forward(&mut self, request: &mut Request<'_>) {
        self.plugin.on_forward(&mut self.state, request);
    }

    fn on_call<'a>(&'a mut self, call: &'a mut Call<'_>) -> Step<'a, Flow> {
        match self.plugin.try_on_call(&mut self.state, call) {
            Some(flow) => Step::Done(flow),
            None => Step::of(self.plugin.on_call(&mut self.state, call)),
        }
    }

    fn sends(&mut self, call: &ModelCall) -> bool {
        self.plugin.sends(&mut self.state, call)
    }

    fn on_send<'a>(&'a mut self, call: &'a mut OutgoingCall<'_>) -> Step<'a, Flow> {
        Step::of(self.plugin.on_send(&mut self.state, call))
    }

    fn on_response<'a>(&'a mut self, response: &'a mut Response<'_>) -> Step<'a, ()> {
        match self.plugin.try_on_response(&mut self.state, response) {
            Some(()) => Step::Done(()),
            None => Step::of(self.plugin.on_response(&mut self.state, response)),
        }
    }

    fn transforms(&mut self, response: &Response<'_>) -> bool {
        self.plugin.transforms(&mut self.state, response)
    }

    fn on_part(&mut self, part: &mut Part<'_>) {
        self.plugin.on_part(&mut self.state, part);
    }

    fn on_chunk(&mut self, chunk: &mut Chunk<'_>) {
        self.plugin.on_chunk(&mut self.state, chunk);
    }

    fn on_batch_result(&mut self, record: &Record, result: &BatchResult) {
        self.plugin.on_batch_result(&mut self.state, record, result);
    }

    fn before_last_byte(&mut self, record: &Record) {
        self.plugin.before_last_byte(&mut self.state, record);
    }

    fn on_complete(&mut self, record: &Record) {
        self.plugin.on_complete(&mut self.state, record);
    }
}

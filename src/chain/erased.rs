//! A plugin without its types, so that a route can hold any of them in one list.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use plugin_api::{BatchResult, Call, Chunk, Flow, Needs, Part, Plugin, Record, Request, Response};

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

    pub(super) fn needs(&self) -> Needs {
        self.needs
    }

    pub(super) fn activate(&self) {
        self.plugin.activate();
    }

    pub(super) fn instance(&self) -> Box<dyn Instance> {
        self.plugin.instance()
    }
}

trait Factory: Send + Sync {
    fn activate(&self);
    fn instance(&self) -> Box<dyn Instance>;
}

impl<P: Plugin> Factory for Arc<P> {
    fn activate(&self) {
        (**self).activate();
    }

    fn instance(&self) -> Box<dyn Instance> {
        Box::new(Typed { plugin: self.clone(), state: P::State::default() })
    }
}

/// A plugin's part in one request: the plugin and its state. A hook that the plugin leaves out is a future without a size,
/// and boxing that allocates nothing.
pub(super) trait Instance: Send + Sync {
    fn name(&self) -> &'static str;
    fn needs(&self) -> Needs;
    fn on_request<'a>(&'a mut self, request: &'a mut Request<'_>) -> BoxFuture<'a, Flow>;
    fn on_call<'a>(&'a mut self, call: &'a mut Call<'_>) -> BoxFuture<'a, Flow>;
    fn on_response<'a>(&'a mut self, response: &'a mut Response<'_>) -> BoxFuture<'a, ()>;
    fn transforms(&mut self, response: &Response<'_>) -> bool;
    fn on_part(&mut self, part: &mut Part<'_>);
    fn on_chunk(&mut self, chunk: &mut Chunk<'_>);
    fn on_batch_result(&mut self, record: &Record, result: &BatchResult);
    fn before_last_byte(&mut self, record: &Record);
    fn on_complete(&mut self, record: &Record);
}

struct Typed<P: Plugin> {
    plugin: Arc<P>,
    state: P::State,
}

impl<P: Plugin> Instance for Typed<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn needs(&self) -> Needs {
        self.plugin.needs()
    }

    fn on_request<'a>(&'a mut self, request: &'a mut Request<'_>) -> BoxFuture<'a, Flow> {
        Box::pin(self.plugin.on_request(&mut self.state, request))
    }

    fn on_call<'a>(&'a mut self, call: &'a mut Call<'_>) -> BoxFuture<'a, Flow> {
        Box::pin(self.plugin.on_call(&mut self.state, call))
    }

    fn on_response<'a>(&'a mut self, response: &'a mut Response<'_>) -> BoxFuture<'a, ()> {
        Box::pin(self.plugin.on_response(&mut self.state, response))
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

//! Runs the plugins of a route: their order, their early answers, their panics. Knows none of them by name.

mod asked_model;
mod erased;
mod explained;
#[cfg(test)]
mod tests;
mod transform;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt;
use log::error;
use plugin_api::{
    BatchResult, Call, Chunk, Flow, LogLimit, ModelCall, Needs, OutgoingCall, Record, Refusal, Reply, Request, Response,
};

use asked_model::AskedModel;
use erased::{Instance, Step};

pub use erased::PluginFactory;
pub use explained::{Ended, ExplainedPlugin, ExplanationLog};
pub use transform::{Cut, Passed, Transform, TransformBody, TransformError};

/// The plugins of a route, top to bottom.
#[derive(Clone, Default)]
pub struct Chain {
    plugins: Arc<[PluginFactory]>,
    needs: Needs,
}

impl Chain {
    /// A chain of these, top to bottom.
    #[must_use]
    pub fn new(plugins: Vec<PluginFactory>) -> Self {
        let needs = plugins.iter().fold(Needs::NOTHING, |needs, plugin| needs.or(plugin.needs()));
        Self { needs, plugins: plugins.into() }
    }

    /// Whether there is no plugin in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plugins.is_empty()
    }

    /// What any of its plugins needs.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// Its configuration is in force.
    pub fn activate(&self) {
        self.plugins.iter().for_each(PluginFactory::activate);
    }

    /// Fresh instances for one request; they cost nothing if there are no plugins.
    #[must_use]
    pub fn instances(&self) -> Instances {
        let instances = self.plugins.iter().map(PluginFactory::instance).collect();
        Instances { instances, started: 0, may_transform: self.needs.transform }
    }
}

/// What ends a chain before the upstream is asked.
#[derive(Debug)]
pub enum EarlyExit {
    /// A plugin answered.
    Answer(Box<Reply>),
    /// A plugin refused.
    Refuse {
        /// Its name.
        plugin: &'static str,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// A plugin panicked; its name.
    Panic(&'static str),
}

/// The plugins of one request, each with its state.
#[derive(Default)]
pub struct Instances {
    instances: Vec<Box<dyn Instance>>,
    // how many have seen the request; only those see the response
    started: usize,
    may_transform: bool,
}

impl Instances {
    /// Has the answer name this model, which the client asked for, in the place of the one that the upstream says. Called once all have
    /// seen the call.
    pub fn restore_model(&mut self, asked: &str) {
        self.instances.push(Box::new(AskedModel::new(asked)));
        self.started = self.instances.len();
        self.may_transform = true;
    }

    /// Whether any of them may change the response.
    #[must_use]
    pub fn may_transform(&self) -> bool {
        self.may_transform
    }

    /// Runs `on_request`, top to bottom, to the first that answers or refuses. If none does, runs `on_forward` of all.
    ///
    /// # Errors
    /// The answer, the refusal, or the panic.
    pub async fn on_request(&mut self, request: &mut Request<'_>) -> Result<(), EarlyExit> {
        for instance in &mut self.instances {
            self.started += 1;
            let name = instance.name();
            proceed(name, outcome(name, || instance.on_request(request)).await)?;
        }
        let mut instances = self.instances.iter_mut();
        instances
            .try_for_each(|instance| run(&mut **instance, |instance| instance.on_forward(request)))
            .map_err(EarlyExit::Panic)
    }

    /// Runs `on_call` of those that need bodies, top to bottom, to the first that answers or refuses.
    ///
    /// # Errors
    /// The answer, the refusal, or the panic.
    pub async fn on_call(&mut self, call: &mut Call<'_>) -> Result<(), EarlyExit> {
        for (at, instance) in self.instances.iter_mut().enumerate() {
            if instance.needs().body {
                let name = instance.name();
                if let Err(exit) = proceed(name, outcome(name, || instance.on_call(call)).await) {
                    self.started = at + 1;
                    return Err(exit);
                }
            }
        }
        Ok(())
    }

    /// Whether any of those that may send calls may have to see this one.
    ///
    /// # Errors
    /// The name of the plugin that panicked.
    pub fn sends(&mut self, call: &ModelCall) -> Result<bool, EarlyExit> {
        let mut sends = false;
        for instance in self.instances.iter_mut().filter(|instance| instance.needs().send) {
            run(&mut **instance, |instance| sends |= instance.sends(call)).map_err(EarlyExit::Panic)?;
        }
        Ok(sends)
    }

    /// Runs `on_send` of those that may send calls, top to bottom, to the first that answers or refuses.
    ///
    /// # Errors
    /// The answer, the refusal, or the panic.
    pub async fn on_send(&mut self, call: &mut OutgoingCall<'_>) -> Result<(), EarlyExit> {
        for instance in self.instances.iter_mut().filter(|instance| instance.needs().send) {
            let name = instance.name();
            proceed(name, outcome(name, || instance.on_send(call)).await)?;
        }
        Ok(())
    }

    /// Runs `on_response` of those that have seen the request, bottom to top.
    ///
    /// # Errors
    /// The name of the plugin that panicked.
    pub async fn on_response(&mut self, response: &mut Response<'_>) -> Result<(), &'static str> {
        for instance in self.started().rev() {
            let name = instance.name();
            outcome(name, || instance.on_response(response)).await.ok_or(name)?;
        }
        Ok(())
    }

    /// Runs `on_chunk` of those that have seen the request, bottom to top.
    ///
    /// # Errors
    /// The name of the plugin that panicked.
    pub fn on_chunk(&mut self, chunk: &mut Chunk<'_>) -> Result<(), &'static str> {
        self.started().rev().try_for_each(|instance| run(&mut **instance, |instance| instance.on_chunk(chunk)))
    }

    /// Runs `on_batch_result` of those that need batch results, bottom to top.
    ///
    /// # Errors
    /// The name of the plugin that panicked.
    pub fn on_batch_result(&mut self, record: &Record, result: &BatchResult) -> Result<(), &'static str> {
        let wanting = self.started().rev().filter(|instance| instance.needs().batch_results);
        wanting
            .into_iter()
            .try_for_each(|instance| run(&mut **instance, |instance| instance.on_batch_result(record, result)))
    }

    /// Runs `before_last_byte` of all, top to bottom. A panic in one is reported by its name, and the others run all the same.
    pub fn before_last_byte(&mut self, record: &Record, panicked: impl FnMut(&'static str)) {
        self.run_all(|instance| instance.before_last_byte(record), panicked);
    }

    /// Runs `on_complete` of all, top to bottom. A panic in one is reported by its name, and the others run all the same.
    pub fn on_complete(&mut self, record: &Record, panicked: impl FnMut(&'static str)) {
        self.run_all(|instance| instance.on_complete(record), panicked);
    }

    fn run_all(&mut self, hook: impl Fn(&mut dyn Instance), mut panicked: impl FnMut(&'static str)) {
        for instance in &mut self.instances {
            if let Err(plugin) = run(&mut **instance, &hook) {
                panicked(plugin);
            }
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    fn started(&mut self) -> std::slice::IterMut<'_, Box<dyn Instance>> {
        self.instances[..self.started].iter_mut()
    }
}

/// Runs a hook.
///
/// # Errors
/// The plugin's name, if it panics.
fn run(instance: &mut dyn Instance, hook: impl FnOnce(&mut dyn Instance)) -> Result<(), &'static str> {
    let ran = catch_unwind(AssertUnwindSafe(|| hook(instance)));
    ran.map_err(|_| report_panic(instance.name()))
}

/// What an async hook came to; `None` if it panicked.
async fn outcome<'a, T>(plugin: &'static str, hook: impl FnOnce() -> Step<'a, T>) -> Option<T> {
    let result = match catch_unwind(AssertUnwindSafe(hook)) {
        Ok(Step::Done(result)) => Ok(result),
        Ok(Step::Waits(hook)) => AssertUnwindSafe(hook).catch_unwind().await,
        Err(panic) => Err(panic),
    };
    result.map_err(|_| report_panic(plugin)).ok()
}

fn proceed(plugin: &'static str, flow: Option<Flow>) -> Result<(), EarlyExit> {
    match flow {
        Some(Flow::Continue) => Ok(()),
        Some(Flow::Answer(reply)) => Err(EarlyExit::Answer(reply)),
        Some(Flow::Refuse(refusal)) => Err(EarlyExit::Refuse { plugin, refusal }),
        None => Err(EarlyExit::Panic(plugin)),
    }
}

fn report_panic(plugin: &'static str) -> &'static str {
    static PANICS: LogLimit<&str> = LogLimit::new();
    if let Some(suppressed) = PANICS.pass(plugin) {
        error!(plugin, suppressed; "plugin panicked; its request fails, the others go on");
    }
    plugin
}

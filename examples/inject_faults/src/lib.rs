//! Refuses a request, or panics in a hook, where a header of the request asks for it: to see what clients, rows and alerts make of
//! it. Shows every hook.

mod fault;

use plugin_api::http::HeaderName;
use plugin_api::{
    BatchResult, BuildContext, Call, Chunk, ConfigProblem, Flow, Needs, Part, Plugin, Record, Request, Response,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use fault::{Fault, Hook};

/// Refuses requests, or panics, where a header asks for it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The header that names the fault: `refuse 429`, `refuse 429 30` (seconds to wait), or `panic on_response`.
    pub header: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { header: "x-fault".into() }
    }
}

/// The plugin.
#[derive(Debug)]
pub struct InjectFaults {
    header: HeaderName,
}

impl InjectFaults {
    fn new(config: &Config) -> Result<Self, ConfigProblem> {
        let header = config.header.parse();
        Ok(Self { header: header.map_err(|_| format!("`{}` is no name of a header", config.header))? })
    }
}

impl Plugin for InjectFaults {
    const NAME: &'static str = "inject_faults";
    const NEEDS: Needs = Needs { body: true, batch_results: true, transform: true, ..Needs::NOTHING };
    type Config = Config;
    type Shared = ();
    type State = Option<Fault>;

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        Self::new(config).map(drop)
    }

    fn build(config: &Config, _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Self::new(config)
    }

    async fn on_request(&self, fault: &mut Option<Fault>, request: &mut Request<'_>) -> Flow {
        *fault = request.head.headers.get(&self.header).and_then(|value| value.to_str().ok()?.parse().ok());
        request.edits.remove(self.header.clone());
        strike(fault.as_ref(), Hook::Request);
        fault.as_ref().and_then(Fault::refusal).map_or(Flow::Continue, Flow::from)
    }

    fn on_forward(&self, fault: &mut Option<Fault>, _: &mut Request<'_>) {
        strike(fault.as_ref(), Hook::Forward);
    }

    async fn on_call(&self, fault: &mut Option<Fault>, _: &mut Call<'_>) -> Flow {
        strike(fault.as_ref(), Hook::Call);
        Flow::Continue
    }

    fn transforms(&self, fault: &mut Option<Fault>, _: &Response<'_>) -> bool {
        strike(fault.as_ref(), Hook::Transforms);
        // what it would change, it is not shown as chunks
        matches!(fault, Some(Fault::Panic(Hook::Part)))
    }

    async fn on_response(&self, fault: &mut Option<Fault>, _: &mut Response<'_>) {
        strike(fault.as_ref(), Hook::Response);
    }

    fn on_part(&self, fault: &mut Option<Fault>, _: &mut Part<'_>) {
        strike(fault.as_ref(), Hook::Part);
    }

    fn on_chunk(&self, fault: &mut Option<Fault>, _: &mut Chunk<'_>) {
        strike(fault.as_ref(), Hook::Chunk);
    }

    fn on_batch_result(&self, fault: &mut Option<Fault>, _: &Record, _: &BatchResult) {
        strike(fault.as_ref(), Hook::BatchResult);
    }

    fn before_last_byte(&self, fault: &mut Option<Fault>, _: &Record) {
        strike(fault.as_ref(), Hook::BeforeLastByte);
    }

    fn on_complete(&self, fault: &mut Option<Fault>, _: &Record) {
        strike(fault.as_ref(), Hook::Complete);
    }
}

/// Panics if this is the hook that is to panic.
#[expect(clippy::panic, reason = "it is what the plugin is for")]
fn strike(fault: Option<&Fault>, hook: Hook) {
    if matches!(fault, Some(Fault::Panic(wanted)) if *wanted == hook) {
        panic!("a fault was injected into {hook:?}");
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::Endpoint;
    use plugin_api::testing::{TestRequest, context};

    use super::*;

    #[tokio::test]
    async fn a_request_gets_the_refusal_that_it_asks_for_and_no_other_is_touched() {
        let plugin = InjectFaults::new(&Config::default()).unwrap();
        let (mut context, mut fault) = (context(), None);
        let plain = TestRequest::to(Endpoint::MESSAGES);
        assert!(matches!(plugin.on_request(&mut fault, &mut plain.request(&mut context)).await, Flow::Continue));
        let asking = plain.header("x-fault", "refuse 402");
        let flow = plugin.on_request(&mut fault, &mut asking.request(&mut context)).await;
        let Flow::Refuse(refusal) = flow else { panic!("{flow:?}") };
        assert_eq!((refusal.status().as_u16(), refusal.reason()), (402, "injected"));
    }

    #[test]
    fn only_the_hook_that_is_named_panics() {
        let fault: Fault = "panic on_chunk".parse().unwrap();
        strike(Some(&fault), Hook::Response);
        strike(None, Hook::Chunk);
        assert!(std::panic::catch_unwind(|| strike(Some(&fault), Hook::Chunk)).is_err());
    }

    #[test]
    fn a_header_has_a_name() {
        let problem = InjectFaults::check(&Config { header: "x fault".into() }).unwrap_err();
        assert_eq!(problem.message(), "`x fault` is no name of a header");
    }
}

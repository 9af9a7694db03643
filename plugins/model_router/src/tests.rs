//! What the router chooses, without sockets.

mod pinning;
mod recorded;

use std::path::Path;

use plugin_api::http::HeaderMap;
use plugin_api::testing::{self, TestCall, TestRequest, batch, context};
use plugin_api::{BudgetReader, Bytes, DeferredCost, Endpoint, Hashing, HeldCost, Principal, Spender};
use serde_json::{Value, json};

use super::*;

/// A gateway's router, over its reloads.
#[derive(Default)]
struct Host {
    shared: Arc<Shared>,
    common: Arc<Common>,
}

impl Host {
    fn router(&self, config: Value) -> ModelRouter {
        let config: Config = serde_json::from_value(config).unwrap();
        let secrets = Arc::from([]);
        let context =
            BuildContext { base: Path::new("."), shared: &self.shared, secrets: &secrets, common: &self.common };
        ModelRouter::build(&config, &context).unwrap()
    }
}

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
struct Routed {
    model: String,
    rule: Option<String>,
}

struct Caller<'a> {
    router: &'a ModelRouter,
    principal: Principal,
    request: TestRequest,
}

impl<'a> Caller<'a> {
    fn of(router: &'a ModelRouter) -> Self {
        Self { router, principal: Principal::default(), request: TestRequest::to(Endpoint::MESSAGES) }
    }

    fn session(mut self, session: &str) -> Self {
        self.principal.session = Some(session.into());
        self
    }

    fn key(mut self, key: &str) -> Self {
        self.principal.key_name = Some(key.into());
        self
    }

    /// Makes a call; what became of it, and how it goes on.
    async fn call(&self, call: &Value) -> (Routed, State, Context) {
        let text = Bytes::from(call.to_string());
        let (parsed, _) = protocols::parse(Endpoint::MESSAGES, &HeaderMap::new(), &text, Hashing::Nothing);
        let mut body = ModelCall::new(Endpoint::MESSAGES, text, None, parsed);
        let (mut state, mut context) = (State::default(), context());
        *context.principal_mut() = self.principal.clone();
        let flow = testing::on_request(self.router, &mut state, &mut self.request.request(&mut context)).await;
        assert!(matches!(flow, Flow::Continue));
        *context.principal_mut() = self.principal.clone();
        let mut on_call = Call { context: &mut context, body: &mut body };
        let flow = testing::on_call(self.router, &mut state, &mut on_call).await;
        assert!(matches!(flow, Flow::Continue));
        let sent: Value = serde_json::from_slice(body.text()).unwrap();
        let rule = context.tags.get(tags::RULE).map(ToString::to_string);
        (Routed { model: sent["model"].as_str().unwrap().to_owned(), rule }, state, context)
    }

    async fn model(&self, call: &Value) -> String {
        self.call(call).await.0.model
    }
}

fn says(text: &str) -> Value {
    json!({ "model": "auto", "max_tokens": 100, "messages": [{ "role": "user", "content": text }] })
}

fn goes_on(call: &Value, answer: &str, text: &str) -> Value {
    let mut call = call.clone();
    let messages = call["messages"].as_array_mut().unwrap();
    messages.push(json!({ "role": "assistant", "content": answer }));
    messages.push(json!({ "role": "user", "content": text }));
    call
}

fn auto(rules: &Value) -> Value {
    json!({ "auto": { "rules": rules, "otherwise": "medium" } })
}

#[tokio::test]
async fn the_first_rule_of_which_all_conditions_hold_decides() {
    let host = Host::default();
    let router = host.router(json!({ "auto": { "pin": "request", "otherwise": "medium", "rules": [
        { "when": { "tools": true, "turns": ">=2" }, "model": "tools" },
        { "name": "short", "when": { "input_tokens": "<400", "tools": false, "images": false, "max_tokens": "<=1000" }, "model": "small" },
        { "when": { "text": ["prove", "refactor*"] }, "model": "large" },
    ] } }));
    let caller = Caller::of(&router);
    let routed = |model: &str, rule: &str| Routed { model: model.to_owned(), rule: Some(rule.to_owned()) };
    assert_eq!(caller.call(&says("hi")).await.0, routed("small", "auto/short"));
    let mut long = says("Refactoring, please");
    long["max_tokens"] = json!(5000);
    assert_eq!(caller.call(&long).await.0, routed("large", "auto/3"));
    long["messages"][0]["content"] = json!("please");
    assert_eq!(caller.call(&long).await.0, routed("medium", "auto/otherwise"));
    let mut agent = goes_on(&says("hi"), "hello", "go on");
    agent["tools"] = json!([{ "name": "t" }]);
    assert_eq!(caller.call(&agent).await.0, routed("tools", "auto/1"));
    // without a limit of tokens, no comparison with it holds
    let unbounded = json!({ "model": "AUTO", "messages": [{ "role": "user", "content": "hi" }] });
    assert_eq!(caller.model(&unbounded).await, "medium");
}

#[tokio::test]
async fn other_models_pass_byte_for_byte() {
    let host = Host::default();
    let router = host.router(auto(&json!([])));
    let (routed, state, _) = Caller::of(&router).call(&json!({ "model": "autos", "messages": [] })).await;
    assert_eq!(routed, Routed { model: "autos".to_owned(), rule: None });
    assert!(state.chosen.is_none());
}

#[tokio::test]
async fn conditions_on_the_caller_and_its_headers_hold() {
    let host = Host::default();
    let router = host.router(json!({ "auto": { "pin": "request", "otherwise": "medium", "rules": [
        { "when": { "tenant": "team-*", "headers": { "X-Priority": "high*" } }, "model": "large" },
        { "when": { "key": ["bob", "eve"] }, "model": "small" },
        { "when": { "script": ["cyrillic", "han"] }, "model": "other" },
    ] } }));
    let mut caller = Caller::of(&router).key("bob");
    assert_eq!(caller.model(&says("hi")).await, "small");
    caller.principal.tenant = Some("team-a".into());
    caller.request = TestRequest::to(Endpoint::MESSAGES).header("x-priority", "Highest");
    assert_eq!(caller.model(&says("hi")).await, "large");
    assert_eq!(Caller::of(&router).model(&says("Докажи это")).await, "other");
}

#[derive(Debug)]
struct Spent(f64);

impl BudgetReader for Spent {
    fn hold(&self, _: &DeferredCost) -> Box<dyn HeldCost> {
        unreachable!("no call is deferred here")
    }

    fn highest_share(&self, spender: &Spender<'_>) -> Option<f64> {
        (spender.key == Some("bob")).then_some(self.0)
    }
}

#[tokio::test]
async fn a_caller_whose_budget_is_nearly_used_up_is_served_by_another_model() {
    let host = Host::default();
    let reader: Arc<dyn BudgetReader> = Arc::new(Spent(0.93));
    host.common.budget_use.set(&reader);
    let router = host.router(auto(&json!([{ "when": { "budget_used": ">90%" }, "model": "small" }])));
    assert_eq!(Caller::of(&router).key("bob").model(&says("hi")).await, "small");
    assert_eq!(Caller::of(&router).key("eve").model(&says("hi")).await, "medium");
}

#[tokio::test]
async fn a_batch_names_its_models_itself() {
    let host = Host::default();
    let router = host.router(auto(&json!([])));
    let mut body = batch(vec![TestCall::new().model("small"), TestCall::new().model("auto")]);
    let (mut state, mut context) = (State::default(), context());
    let flow = testing::on_call(&router, &mut state, &mut Call { context: &mut context, body: &mut body }).await;
    let Flow::Refuse(refusal) = flow else { panic!("{flow:?}") };
    assert_eq!(refusal.reason(), "routed_batch");
}

#[test]
fn what_makes_no_sense_is_an_error() {
    let problem = |config: Value| match serde_json::from_value::<Config>(config) {
        Ok(config) => config.check().unwrap_err().message().to_owned(),
        Err(error) => error.to_string(),
    };
    for (config, message) in [
        (json!({}), "no name is given"),
        (json!({ "auto": { "otherwise": "auto" } }), "`auto` may choose `auto`, which is routed itself"),
        (json!({ "auto": { "otherwise": "" } }), "a model has no name"),
        (
            json!({ "auto": { "otherwise": "a", "pin": "request", "escalate": [{ "on": "error", "to": "b" }] } }),
            "nothing to move",
        ),
        (json!({ "auto": { "otherwise": "a", "escalate": [{ "on": [], "to": "b" }] } }), "the list is empty"),
        (json!({ "auto": { "otherwise": "a", "escalate": [{ "on": "rain", "to": "b" }] } }), "nothing to escalate on"),
        (
            json!({ "auto": { "otherwise": "a", "rules": [{ "when": { "words": "x" }, "model": "b" }] } }),
            "unknown field",
        ),
        (
            json!({ "auto": { "otherwise": "a", "rules": [{ "when": { "turns": "2-3" }, "model": "b" }] } }),
            "no condition on a number",
        ),
        (
            json!({ "auto": { "otherwise": "a", "rules": [
            { "name": "x", "when": {}, "model": "b" }, { "name": "x", "when": {}, "model": "c" }] } }),
            "two rules of `auto` have the name `x`",
        ),
    ] {
        let problem = problem(config);
        assert!(problem.contains(message), "{problem}");
    }
}

proptest::proptest! {
    #[test]
    fn the_same_call_is_decided_the_same_twice(text in ".{0,80}", max_tokens in 1_u64..5000, tools: bool) {
        let host = Host::default();
        let router = host.router(json!({ "auto": { "pin": "request", "otherwise": "medium", "rules": [
            { "when": { "tools": true, "input_tokens": ">5" }, "model": "tools" },
            { "when": { "text": ["a*", "~ [0-9]+"], "max_tokens": "<2000" }, "model": "small" },
        ] } }));
        let mut call = says(&text);
        call["max_tokens"] = json!(max_tokens);
        if tools {
            call["tools"] = json!([{ "name": "t" }]);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let caller = Caller::of(&router);
        let (first, again) = runtime.block_on(async { (caller.call(&call).await.0, caller.call(&call).await.0) });
        proptest::prop_assert_eq!(first, again);
    }
}

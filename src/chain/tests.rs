//! Chains of plugins that write down what they see.

use std::sync::Mutex;
use std::time::SystemTime;

use plugin_api::http::StatusCode;
use plugin_api::testing::{TestCall, TestRequest, context};
use plugin_api::{BuildContext, Bytes, ConfigProblem, Context, Endpoint, Plugin, RefusalKind, Uuid};

use super::*;

/// Which hook of which plugin ran.
type Seen = Arc<Mutex<Vec<String>>>;

/// Writes down which of its hooks ran, and misbehaves in one of them.
struct Witness {
    name: &'static str,
    at: &'static str,
    does: Does,
    /// Whether its hooks need not wait.
    is_prompt: bool,
    seen: Seen,
}

#[derive(Clone, Copy, PartialEq)]
enum Does {
    Nothing,
    Answer,
    Refuse,
    Panic,
}

impl Witness {
    fn saw(&self, hook: &'static str) -> Flow {
        self.seen.lock().unwrap().push(format!("{} {hook}", self.name));
        if self.at != hook {
            return Flow::Continue;
        }
        match self.does {
            Does::Nothing => Flow::Continue,
            Does::Answer => Reply::json(StatusCode::OK, "{}").into(),
            Does::Refuse => Refusal::new(RefusalKind::Forbidden, "not_here", "No").into(),
            Does::Panic => panic!("told to"),
        }
    }
}

impl Plugin for Witness {
    const NAME: &'static str = "witness";
    const NEEDS: Needs = Needs { body: true, batch_results: true, ..Needs::NOTHING };
    type Config = ();
    type Shared = ();
    type State = ();

    fn build((): &(), _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Err("made by tests alone".into())
    }

    fn try_on_request(&self, (): &mut (), request: &mut Request<'_>) -> Option<Flow> {
        self.is_prompt.then(|| {
            request.context.tags.set(self.name, "seen");
            self.saw("request")
        })
    }

    async fn on_request(&self, (): &mut (), request: &mut Request<'_>) -> Flow {
        assert!(!self.is_prompt, "it has been decided");
        tokio::task::yield_now().await;
        request.context.tags.set(self.name, "seen");
        self.saw("request")
    }

    fn on_forward(&self, (): &mut (), _: &mut Request<'_>) {
        let _ = self.saw("forward");
    }

    fn try_on_call(&self, (): &mut (), _: &mut Call<'_>) -> Option<Flow> {
        self.is_prompt.then(|| self.saw("call"))
    }

    async fn on_call(&self, (): &mut (), _: &mut Call<'_>) -> Flow {
        assert!(!self.is_prompt, "it has been decided");
        self.saw("call")
    }

    fn try_on_response(&self, (): &mut (), _: &mut Response<'_>) -> Option<()> {
        self.is_prompt.then(|| drop(self.saw("response")))
    }

    async fn on_response(&self, (): &mut (), _: &mut Response<'_>) {
        assert!(!self.is_prompt, "it has been seen");
        let _ = self.saw("response");
    }

    fn on_chunk(&self, (): &mut (), _: &mut Chunk<'_>) {
        let _ = self.saw("chunk");
    }

    fn before_last_byte(&self, (): &mut (), _: &Record) {
        let _ = self.saw("last byte");
    }

    fn on_complete(&self, (): &mut (), _: &Record) {
        let _ = self.saw("complete");
    }
}

/// A plugin with no hooks.
struct Silent;

impl Plugin for Silent {
    const NAME: &'static str = "silent";
    type Config = ();
    type Shared = ();
    type State = ();

    fn build((): &(), _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Ok(Self)
    }
}

/// What the hooks saw, what ended the chain, and who panicked behind it.
type Ran = (Vec<String>, Option<EarlyExit>, Vec<&'static str>, Context);

/// Runs a request through the witnesses `a`, `b` and `c`, with a silent plugin between them. `b` does this in this hook, and whether
/// that need not wait makes no difference.
async fn run(at: &'static str, does: Does) -> Ran {
    let waiting = run_through(at, does, false).await;
    let prompt = run_through(at, does, true).await;
    assert_eq!((&prompt.0, &prompt.2), (&waiting.0, &waiting.2));
    assert_eq!(format!("{:?}", prompt.1), format!("{:?}", waiting.1));
    prompt
}

async fn run_through(at: &'static str, does: Does, is_prompt: bool) -> Ran {
    let seen = Seen::default();
    let witness = |name| {
        let (does, is_prompt) = if name == "b" { (does, is_prompt) } else { (Does::Nothing, !is_prompt) };
        PluginFactory::new(Witness { name, at, does, is_prompt, seen: seen.clone() })
    };
    let chain = Chain::new(vec![witness("a"), PluginFactory::new(Silent), witness("b"), witness("c")]);
    assert_eq!(chain.needs(), Witness::NEEDS);
    let mut instances = chain.instances();
    let mut context = context();
    let request = TestRequest::to(Endpoint::MESSAGES);
    let mut exit = instances.on_request(&mut request.request(&mut context)).await.err();
    if exit.is_none() {
        let mut body = TestCall::new().to(Endpoint::MESSAGES);
        exit = instances.on_call(&mut Call { context: &mut context, body: &mut body }).await.err();
    }
    let mut panics = Vec::new();
    if !matches!(exit, Some(EarlyExit::Panic(_))) {
        let headers = Default::default();
        let mut response = request.response(&mut context, StatusCode::OK, &headers);
        panics.extend(instances.on_response(&mut response).await.err());
        let bytes = Bytes::new();
        let mut chunk = Chunk { context: &context, bytes: &bytes, last: true, complete: false };
        panics.extend(instances.on_chunk(&mut chunk).err());
    }
    let record = Record::begun(Uuid::nil(), SystemTime::now());
    instances.before_last_byte(&record, |plugin| panics.push(plugin));
    instances.on_complete(&record, |plugin| panics.push(plugin));
    (std::mem::take(&mut seen.lock().unwrap()), exit, panics, context)
}

/// What a request passes before its call.
const BEGIN: [&str; 6] = ["a request", "b request", "c request", "a forward", "b forward", "c forward"];
const END: [&str; 6] = ["a last byte", "b last byte", "c last byte", "a complete", "b complete", "c complete"];

#[tokio::test]
async fn requests_run_top_to_bottom_and_responses_bottom_to_top() {
    let (seen, exit, panics, context) = run("", Does::Nothing).await;
    let expected =
        ["a call", "b call", "c call", "c response", "b response", "a response", "c chunk", "b chunk", "a chunk"];
    assert_eq!(seen, [&BEGIN, &expected[..], &END].concat());
    assert!(exit.is_none() && panics.is_empty());
    let tags: Vec<_> = context.tags.iter().map(|(name, _)| name).collect();
    assert_eq!(tags, ["a", "b", "c"], "all see one context");
}

#[tokio::test]
async fn an_early_answer_skips_those_below_and_ends_as_any_other() {
    for does in [Does::Answer, Does::Refuse] {
        let (seen, exit, ..) = run("request", does).await;
        let expected = ["a request", "b request", "b response", "a response", "b chunk", "a chunk"];
        assert_eq!(seen, [&expected[..], &END].concat());
        assert!(matches!(exit, Some(EarlyExit::Answer(_))) == (does == Does::Answer), "{exit:?}");
        let (seen, ..) = run("call", does).await;
        let expected = ["a call", "b call", "b response", "a response", "b chunk", "a chunk"];
        assert_eq!(seen, [&BEGIN, &expected[..], &END].concat());
    }
}

#[tokio::test]
async fn a_refusal_says_which_plugin_refused_and_why() {
    for at in ["request", "call"] {
        let Some(EarlyExit::Refuse { plugin, refusal }) = run(at, Does::Refuse).await.1 else { panic!("{at}") };
        assert_eq!((plugin, refusal.reason(), refusal.status().as_u16()), ("witness", "not_here", 403));
    }
}

#[tokio::test]
async fn a_panic_in_any_hook_is_caught_and_keeps_no_other_plugin_from_the_end() {
    for (at, in_chain, behind) in [
        ("request", true, false),
        ("forward", true, false),
        ("call", true, false),
        ("response", false, true),
        ("chunk", false, true),
        ("last byte", false, true),
        ("complete", false, true),
    ] {
        let (seen, exit, panics, _) = run(at, Does::Panic).await;
        assert_eq!(matches!(exit, Some(EarlyExit::Panic("witness"))), in_chain, "{at}");
        assert_eq!(panics, if behind { vec!["witness"] } else { vec![] }, "{at}");
        assert_eq!(seen[seen.len() - END.len()..], END, "{at}");
    }
}

#[test]
fn a_hook_that_a_plugin_leaves_out_needs_no_memory() {
    let (request, mut context) = (TestRequest::to(Endpoint::MESSAGES), context());
    assert_eq!(size_of_val(&Silent.on_request(&mut (), &mut request.request(&mut context))), 0);
    let mut body = TestCall::new().to(Endpoint::MESSAGES);
    assert_eq!(size_of_val(&Silent.on_call(&mut (), &mut Call { context: &mut context, body: &mut body })), 0);
}

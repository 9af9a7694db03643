//! What the choice of a model costs a call: read from its text, judged by rules, looked up and kept, put into the call.
//! `cargo bench -p model_router --bench decision`. The call is read and hashed by the gateway before; that is not in it.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench that fails is of no use")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model_router::{Config, ModelRouter};
use plugin_api::http::HeaderMap;
use plugin_api::testing::context;
use plugin_api::{BuildContext, Bytes, Call, Endpoint, Flow, Hashing, ModelCall, Plugin};
use serde_json::json;

const ROUNDS: usize = 2000;

fn main() {
    let config: Config = serde_json::from_value(json!({ "auto": {
        "rules": [
            { "when": { "tools": true, "turns": ">=20" }, "model": "claude-sonnet-4-5" },
            { "name": "short", "when": { "input_tokens": "<400", "tools": false, "images": false, "max_tokens": "<=1000" }, "model": "claude-haiku-4-5" },
            { "when": { "system": ["~ you are (a|the) (lawyer|judge)"] }, "model": "claude-opus-4-1" },
            { "when": { "script": ["han", "kana"] }, "model": "gpt-5" },
            { "when": { "text": ["prove", "refactor*", "step by step", "architecture"] }, "model": "claude-opus-4-1" },
        ],
        "otherwise": "claude-sonnet-4-5",
    } }))
    .expect("the settings are right");
    println!("{:>14} {:>10} {:>12} {:>12} {:>12}", "call", "bytes", "first, p50", "first, p99", "pinned, p50");
    for (name, messages) in [("a question", 1), ("a chat", 9), ("an agent", 41), ("a long agent", 121)] {
        let text = |number: usize| {
            let words = "Read the file and tell me what it does, then go on. ".repeat(12);
            let message = |at: usize| {
                let role = if usize::is_multiple_of(at, 2) { "user" } else { "assistant" };
                let text = if at == 0 { format!("{words} {number}") } else { words.clone() };
                json!({ "role": role, "content": [{ "type": "text", "text": text }] })
            };
            let all: Vec<_> = (0..messages).map(message).collect();
            let call = json!({ "model": "auto", "max_tokens": 4000, "system": "You are helpful.", "messages": all });
            Bytes::from(call.to_string())
        };
        let (shared, common) = (Arc::default(), Arc::default());
        let secrets = Arc::from([]);
        let build = BuildContext { base: Path::new("."), shared: &shared, secrets: &secrets, common: &common };
        let router = ModelRouter::build(&config, &build).expect("a router");
        let decide = |text: &Bytes| {
            let (parsed, _) = protocols::parse(Endpoint::MESSAGES, &HeaderMap::new(), text, Hashing::Nothing);
            let mut body = ModelCall::new(Endpoint::MESSAGES, text.clone(), None, parsed);
            let (mut state, mut context) = (Default::default(), context());
            let mut call = Call { context: &mut context, body: &mut body };
            let began = Instant::now();
            let flow = router.try_on_call(&mut state, &mut call);
            let took = began.elapsed();
            assert!(matches!(flow, Some(Flow::Continue)), "it is decided at once");
            took
        };
        let texts: Vec<Bytes> = (0..ROUNDS).map(text).collect();
        let first = sorted(texts.iter().map(decide).collect());
        let pinned = sorted(texts.iter().map(decide).collect());
        let at = |times: &[Duration], part: usize| times[(times.len() - 1) * part / 100];
        println!(
            "{name:>14} {:>10} {:>12.1?} {:>12.1?} {:>12.1?}",
            texts[0].len(),
            at(&first, 50),
            at(&first, 99),
            at(&pinned, 50)
        );
    }
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort_unstable();
    times
}

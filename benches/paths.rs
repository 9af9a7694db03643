//! The paths that every request takes, one at a time, for a count of their instructions: `benches/instructions` runs this
//! under callgrind and compares the counts with those of `benches/instructions.json`. Measures nothing itself.
#![expect(clippy::expect_used, reason = "a benchmark that cannot begin need not go on")]

#[path = "../plugins/response_cache/benches/sample/conversation.rs"]
mod conversation;
#[path = "../plugins/usage_log/benches/sample/exchange.rs"]
mod exchange;
#[path = "../plugins/usage_log/benches/sample/folder.rs"]
mod folder;
#[path = "../plugins/usage_log/benches/sample/metrics.rs"]
mod metrics;
#[path = "sample/pool.rs"]
mod pool;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use plugin_api::http::{HeaderMap, Method, StatusCode};
use plugin_api::testing::TestCall;
use plugin_api::{
    BuildContext, Call, ConnectionInfo, Context, Endpoint, Flow, Hashing, Outcome, Plugin as _, Record, Uuid,
};
use protocols::AnswerReader;
use rate_limit::RateLimit;
use serde_json::json;
use tollgate::balance::SelectParams;
use tollgate::dialect::read;
use tollgate::routes::{RouteRequest, RouteSettings, Router};
use usage_log::{Config, Database, Ledgers, UsageLog};

/// Runs a path so many times.
type Run = fn(u32);

const PATHS: &[(&str, Run)] = &[
    ("route", route),
    ("body_scan", body_scan),
    ("server_choice", server_choice),
    ("stream_tap", stream_tap),
    ("journal_append", journal_append),
    ("cache_key", cache_key),
    ("limit_check", limit_check),
];
/// A body larger than that is not read.
const MAX: usize = 32 << 20;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (name, times) = (arguments.next(), arguments.next().and_then(|times| times.parse().ok()));
    match (name, times) {
        (Some(name), Some(times)) => {
            let (_, run) = PATHS.iter().find(|(path, _)| *path == name).expect("a path of the list");
            run(times);
        }
        _ => PATHS.iter().for_each(|(name, _)| println!("{name}")),
    }
}

/// What callgrind counts: it begins to collect when this is entered, and ends when it is left.
#[inline(never)]
fn counted(mut run: impl FnMut(u32), times: u32) {
    (0..times).for_each(&mut run);
}

/// Runs a path a few times before it is counted: what happens once is not its cost.
fn repeat(times: u32, mut run: impl FnMut(u32)) {
    const WARM_UP: u32 = 20;
    (0..WARM_UP).for_each(&mut run);
    counted(|turn| run(WARM_UP + turn), times);
}

/// The last of a thousand routes, found by its host.
fn route(times: u32) {
    let list: Vec<_> = (0..1000).map(|at| json!({ "hosts": [format!("h{at}.test")], "upstream": "x" })).collect();
    let settings: Vec<RouteSettings> = serde_json::from_value(list.into()).expect("the settings are right");
    let router = Router::new(settings.iter());
    let headers = HeaderMap::new();
    let request = RouteRequest {
        host: "h999.test",
        path: "/v1/messages",
        method: &Method::POST,
        headers: &headers,
        query: None,
        connection: &ConnectionInfo::UNKNOWN,
    };
    repeat(times, |_| {
        let found = black_box(router.find(black_box(&request)));
        assert_eq!(found.map(|found| found.index), Some(999));
    });
}

/// A call of 50 KB, read for its facts, its conversation and its messages' digest.
fn body_scan(times: u32) {
    let (body, headers) = (conversation::conversation(50_000, 0), HeaderMap::new());
    repeat(times, |_| {
        drop(black_box(read(
            Endpoint::MESSAGES,
            &headers,
            black_box(body.clone()),
            MAX,
            Hashing::ConversationAndDigest,
        )));
    });
}

/// A lease among a hundred servers, taken and given back.
fn server_choice(times: u32) {
    let pool = pool::pool(&json!("least_conn"), 100);
    let now = Instant::now();
    repeat(times, |_| drop(black_box(pool.lease(&SelectParams { tokens: 1000, ..SelectParams::at(now) }))));
}

/// An event of a stream that passes, read for its usage.
fn stream_tap(times: u32) {
    let event = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" a few words of it\"}}\n\n";
    let mut reader = AnswerReader::new(Endpoint::MESSAGES, StatusCode::OK, &HeaderMap::new());
    repeat(times, |_| reader.feed(black_box(event.as_bytes())));
    black_box(reader.into_answer());
}

/// The end of a request: its row made, written to the journal and handed over. The database cannot be made: the shipper comes to
/// the journal's end, from where on rows are handed over to it, fails, and takes no part in what is counted.
fn journal_append(times: u32) {
    let (folder, ledgers) = (folder::Folder::new(), Arc::new(Ledgers::default()));
    let mut config = Config { database: Database::Sqlite("/dev/null/no.db".into()), ..Config::default() };
    config.journal.path = Some("journal".into());
    let context =
        BuildContext { base: folder.path(), shared: &ledgers, secrets: &Arc::default(), common: &Arc::default() };
    let plugin = UsageLog::build(&config, &context).expect("a journal");
    plugin.activate();
    metrics::Metrics::new(&ledgers).until("tollgate_ledger_store_errors_total", 1);
    repeat(times, |turn| exchange::end(&plugin, turn.into()));
}

/// The cache's key of a call of 50 KB whose messages were hashed as it was read.
fn cache_key(times: u32) {
    let (body, headers) = (conversation::conversation(50_000, 0), HeaderMap::new());
    let (_, hashes) = protocols::parse(Endpoint::MESSAGES, &headers, &body, Hashing::ConversationAndDigest);
    repeat(times, |_| {
        let key = response_cache::call_digest(Endpoint::MESSAGES, black_box(&body), hashes.digest.as_ref());
        assert!(black_box(key).is_some());
    });
}

/// A call held to limits of requests, tokens and calls in progress, from its reservation to its settlement.
fn limit_check(times: u32) {
    let config = json!({ "limits": [
        { "by": "key", "requests": "1000000/s" },
        { "by": "key", "tokens": "1000000000000/m", "concurrent": 1000 },
        { "by": ["tenant", "model"], "tokens": "1000000000000/m" },
    ] });
    let config: rate_limit::Config = serde_json::from_value(config).expect("these are settings");
    let context = BuildContext {
        base: Path::new("."),
        shared: &Arc::default(),
        secrets: &Arc::default(),
        common: &Arc::default(),
    };
    let limits = RateLimit::build(&config, &context).expect("they can be used");
    let mut body = TestCall::new().model("claude-sonnet-4-5").max_tokens(1000).to(Endpoint::MESSAGES);
    let mut context = Context::new(Uuid::from_u128(1));
    context.principal_mut().key_name = Some("alice".into());
    context.principal_mut().tenant = Some("team".into());
    let mut record = Record::begun(Uuid::from_u128(1), SystemTime::now());
    record.outcome = Outcome::Completed;
    repeat(times, |_| {
        let mut state = rate_limit::State::default();
        let flow = limits.try_on_call(&mut state, &mut Call { context: &mut context, body: &mut body });
        assert!(matches!(flow, Some(Flow::Continue)), "{flow:?}");
        limits.on_complete(&mut state, &record);
    });
}

//! How long the dashboard's queries take over many rows, while rows are written, and what writing a row takes the call then. `cargo bench -p usage_log --bench dashboard --
//! URL [ROWS [ROWS_A_SECOND]]`, against an empty database that is not needed any more, or with 0 rows against one that was filled so. Rows
//! are of 30 days, of 2,000 users with 300 keys of 20 tenants, on 40 hosts.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench that fails is of no use")]

#[path = "sample/exchange.rs"]
mod exchange;
#[path = "sample/folder.rs"]
mod folder;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use plugin_api::{AdminBody, AdminRequest, AdminRoute, BuildContext, Plugin as _, Shared as _};
use usage_log::{
    Config, Cost, Database, Ledgers, Record, Row, Store, StoreMetrics, Timestamp, Tokens, UsageLog, UsageSource,
};
use uuid::{NoContext, Uuid};

use exchange::end;
use folder::Folder;

const SPAN: Duration = Duration::from_secs(30 * 86_400);
const BATCH: usize = 2000;
/// As often each view is asked for.
const TIMES: usize = 40;
const TICK: Duration = Duration::from_millis(5);
/// How long rows are written before the first query.
const ALONE: Duration = Duration::from_secs(10);

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let url = arguments.next().expect("the URL of an empty database");
    let mut number = |or: usize| arguments.next().map_or(or, |number| number.parse().expect("a number"));
    let (rows, rate) = (number(1_000_000), number(2000));
    let database: Database = url.parse().expect("a URL");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if rows > 0 {
        runtime.block_on(fill(&database, rows));
    }

    let folder = Folder::new();
    let ledgers = Arc::new(Ledgers::default());
    let config = Config { database, ..Config::default() };
    let context = BuildContext {
        base: folder.path(),
        shared: &ledgers,
        secrets: &Default::default(),
        common: &Default::default(),
    };
    let plugin = Arc::new(UsageLog::build(&config, &context).expect("a journal"));
    plugin.activate();
    let begin_writing = || {
        let (plugin, stop) = (plugin.clone(), Arc::new(AtomicBool::new(false)));
        let until = stop.clone();
        (stop, thread::spawn(move || write(&plugin, &until, rate)))
    };
    let (stop, writing) = begin_writing();
    // the minutes that are shown have what is written now
    thread::sleep(ALONE);
    stop.store(true, Ordering::Relaxed);
    let alone = writing.join().expect("rows");
    let (stop, writing) = begin_writing();
    runtime.block_on(ask(&ledgers.admin_routes()));
    stop.store(true, Ordering::Relaxed);
    let beside = writing.join().expect("rows");
    println!("{:<50} {:>8} {:>8} {:>8} {:>8}", "microseconds that a row takes its call", "rows", "p50", "p99", "p99.9");
    for (when, mut took) in [("without queries", alone), ("beside them", beside)] {
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took.get((took.len() as f64 * share) as usize).copied().unwrap_or_default();
        println!("{when:<50} {:>8} {:>8.1} {:>8.1} {:>8.1}", took.len(), at(0.5), at(0.99), at(0.999));
    }
    ledgers.finish(Instant::now() + Duration::from_secs(60));
}

/// Fills an empty database.
async fn fill(database: &Database, rows: usize) {
    let config = Config { database: database.clone(), ..Config::default() };
    let metrics = StoreMetrics::new().expect("metrics");
    let mut store = Store::connect(&config.store_settings(".".as_ref()), &metrics).await.expect("a database");
    store.migrate().await.expect("a schema");
    let (instance, began) = (Uuid::now_v7(), Instant::now());
    let start = SystemTime::now() - SPAN;
    let each = SPAN / u32::try_from(rows).expect("fewer rows");
    let mut made = 0;
    while made < rows {
        let batch = (made..rows.min(made + BATCH))
            .map(|number| row(instance, number, start + each * u32::try_from(number).unwrap_or(0)));
        let records: Vec<Record> = batch.map(|row| Record::Request(Box::new(row))).collect();
        store.write(&records).await.expect("a batch is written");
        made += records.len();
    }
    println!("{rows} rows in {:.0} s", began.elapsed().as_secs_f64());
    store.close().await;
}

fn row(instance: Uuid, number: usize, at: SystemTime) -> Row {
    let n = i64::try_from(number).unwrap_or(0);
    let created_at = Timestamp::from(at);
    let micros = created_at.micros().unsigned_abs();
    let time = uuid::Timestamp::from_unix(
        NoContext,
        micros / 1_000_000,
        u32::try_from(micros % 1_000_000 * 1000).unwrap_or(0),
    );
    // 500 conversations at a time, of 12 turns each
    let conversation = number / 6000 * 500 + number % 500;
    let user = conversation.wrapping_mul(2_654_435_761) % 2000;
    let key = user % 300;
    let model =
        ["claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001", "claude-opus-4-5-20251101"][conversation % 7 % 3];
    let is_rare = number % 100_000 == 7;
    Row {
        id: Uuid::new_v7(time),
        created_at,
        instance,
        sequence: n + 1,
        domain: format!("team-{}.example.com", key % 40).into(),
        method: "POST".into(),
        path: "/v1/messages".into(),
        endpoint: Some("messages".into()),
        model: Some(model.into()),
        served_model: Some(model.into()),
        request_type: "inference".into(),
        conversation_id: Some(Uuid::from_u128(u128::try_from(conversation).unwrap_or(0) << 32 | 7)),
        session_id: Some(format!("session-{conversation}").into()),
        tenant: Some(format!("tenant-{}", key % 20).into()),
        key_name: Some(format!("key-{key}").into()),
        user_id: Some(format!("user-{user}").into()),
        response_status: Some(if is_rare { 529 } else { 200 }),
        response_time_ms: 2000 + n % 9000,
        first_byte_ms: Some(300),
        first_token_ms: Some(400),
        streaming: Some(true),
        tokens: Tokens { input: Some(n % 5000), output: Some(n % 900), cache_read: Some(20_000), ..Tokens::default() },
        usage_source: UsageSource::Reported,
        cost_usd: Some(Cost::from_picos(12_345_678_000 + i128::from(n))),
        upstream: Some("anthropic".into()),
        server: Some("https://api.anthropic.com".into()),
        attempts: 1,
        outcome: if is_rare { "upstream_failed" } else { "completed" }.into(),
        error_type: is_rare.then(|| "overloaded_error".into()),
        request_bytes: 50_000,
        response_bytes: 8000,
        ..Row::default()
    }
}

/// Ends so many calls a second; the microseconds that each took.
fn write(plugin: &UsageLog, stop: &AtomicBool, rate: usize) -> Vec<f64> {
    let (began, mut took) = (Instant::now(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * rate as f64) as usize;
        while took.len() < due {
            let begins = Instant::now();
            end(plugin, took.len() as u64);
            took.push(begins.elapsed().as_secs_f64() * 1e6);
        }
        thread::sleep(TICK);
    }
    took
}

async fn get(routes: &[AdminRoute], view: &str, query: &str) -> AdminBody {
    let path = format!("/dashboard/api/{view}");
    let route = routes.iter().find(|route| route.path == path).expect("a route");
    let answer = (route.handler)(AdminRequest { query: query.to_owned() }).await;
    assert!(answer.status.is_success(), "{path}?{query}: {:?}", answer.body);
    answer.body
}

async fn ask(routes: &[AdminRoute]) {
    let mut page = serde_json::Value::Null;
    // rows of an earlier run, of no tenant, may be in front
    while page["calls"].as_array().is_none_or(Vec::is_empty) {
        let after = page["next"].as_str().map_or_else(String::new, |next| format!("&after={next}"));
        let AdminBody::Json(next) = get(routes, "calls", &format!("limit=1&tenant=tenant-3{after}")).await else {
            return;
        };
        page = next;
    }
    let call = &page["calls"][0];
    let (id, conversation) =
        (call["id"].as_str().expect("a call"), call["conversation"].as_str().expect("a conversation"));
    let views = [
        ("now", String::new()),
        ("spend", String::new()),
        ("spend", "by=tenant,model".into()),
        ("spend", "by=key,model".into()),
        ("spend", "by=user,model&sort=tokens".into()),
        ("spend", "by=day,model&sort=group".into()),
        ("spend", "by=user&tenant=tenant-3".into()),
        ("spend", "by=user,model&format=csv".into()),
        ("spend_options", String::new()),
        ("conversations", String::new()),
        ("conversations", "tenant=tenant-3".into()),
        ("conversations", "user=nobody".into()),
        ("conversation", format!("id={conversation}")),
        ("calls", "limit=15".into()),
        ("calls", "limit=200".into()),
        ("calls", "model=claude-opus-4-5-20251101".into()),
        ("calls", "errors=true".into()),
        ("calls", "user=nobody".into()),
        ("call", format!("id={id}")),
    ];
    println!("{:<50} {:>8} {:>8} {:>8}", "milliseconds", "p50", "p95", "most");
    for (view, query) in views {
        let mut took = Vec::new();
        for _ in 0..TIMES {
            let began = Instant::now();
            get(routes, view, &query).await;
            took.push(began.elapsed().as_secs_f64() * 1e3);
            if view == "now" {
                // an answer serves others for half a second
                tokio::time::sleep(Duration::from_millis(600)).await;
            }
        }
        took.sort_by(f64::total_cmp);
        let at = |percent: usize| took[(TIMES * percent).div_ceil(100) - 1];
        println!("{:<50} {:>8.1} {:>8.1} {:>8.1}", format!("{view} {query}"), at(50), at(95), at(100));
    }
}

//! How many rows a second the database takes, and what that costs the gateway. `cargo bench -p usage_log --bench store --
//! URL [ROWS [BATCH]]`, against an empty database that is not needed any more.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench that fails is of no use")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::resource::{UsageWho, getrusage};
use usage_log::{
    Config, Cost, Database, Record, Row, Store, StoreMetrics, StoreSettings, Timestamp, Tokens, UsageSource,
};
use uuid::Uuid;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let url = arguments.next().expect("the URL of an empty database");
    let rows: usize = arguments.next().map_or(200_000, |rows| rows.parse().expect("a number of rows"));
    let batch: usize = arguments.next().map_or(2000, |rows| rows.parse().expect("a number of rows"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(url.parse().expect("a URL"), rows, batch));
}

async fn run(database: Database, rows: usize, batch: usize) {
    let config = Config { database, ..Config::default() };
    let settings: StoreSettings = config.store_settings(".".as_ref());
    let metrics = StoreMetrics::new().expect("metrics");
    let mut store = Store::connect(&settings, &metrics).await.expect("a database");
    store.migrate().await.expect("a schema");
    let instance = Uuid::now_v7();
    let (mut written, mut made) = (0, Duration::ZERO);
    let (begun, cpu) = (Instant::now(), cpu());
    while written < rows {
        let making = self::cpu();
        let records: Vec<Record> = (0..batch).map(|n| record(instance, written + n)).collect();
        made += self::cpu() - making;
        let new = store.write(&records).await.expect("a batch is written").new;
        assert_eq!(new, batch as u64);
        written += batch;
    }
    let (took, cpu) = (begun.elapsed(), self::cpu() - cpu - made);
    let per_row = cpu.as_secs_f64() / written as f64;
    println!(
        "{written} rows in batches of {batch}: {:.0} rows/s, {:.1} µs of the writer's CPU per row, {:.1} % of a core at 10,000 rows/s",
        written as f64 / took.as_secs_f64(),
        per_row * 1e6,
        per_row * 1e6,
    );
    // the same again, as after a crash
    let again: Vec<Record> = (0..batch).map(|n| record(instance, n)).collect();
    let begun = Instant::now();
    store.write(&again).await.expect("a batch is written");
    let first = begun.elapsed();
    let begun = Instant::now();
    let known = store.write(&again).await.expect("a batch is written").known;
    println!("a batch again: {:?}; with nothing new: {:?} ({known} known)", first, begun.elapsed());
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("what it used");
    let time = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec().cast_unsigned(), 1000 * u32::try_from(time.tv_usec()).unwrap_or(0))
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// A row as a busy gateway makes it.
fn record(instance: Uuid, number: usize) -> Record {
    let n = i64::try_from(number).unwrap_or(0);
    Record::Request(Box::new(Row {
        id: Uuid::now_v7(),
        created_at: Timestamp::from(SystemTime::now()),
        instance,
        sequence: n + 1,
        domain: format!("team-{}.example.com", number % 40).into(),
        method: "POST".into(),
        path: "/v1/messages".into(),
        endpoint: Some("messages".into()),
        model: Some("claude-sonnet-4-5-20250929".into()),
        served_model: Some("claude-sonnet-4-5-20250929".into()),
        request_type: "inference".into(),
        conversation_id: Some(Uuid::from_u128((number / 12) as u128)),
        turn_hash: Some(hash(number)),
        previous_turn_hash: Some(hash(number.saturating_sub(1))),
        api_key_hash: Some(format!("{:032x}", number % 300).into()),
        response_status: Some(200),
        response_time_ms: 2000 + n % 9000,
        first_byte_ms: Some(300),
        first_token_ms: Some(400),
        streaming: Some(true),
        tokens: Tokens { input: Some(n % 5000), output: Some(n % 900), cache_read: Some(20_000), ..Tokens::default() },
        usage_source: UsageSource::Reported,
        usage_data: Some(r#"{"input_tokens":25,"cache_creation_input_tokens":0,"cache_read_input_tokens":20000,"output_tokens":150,"service_tier":"standard"}"#.into()),
        cost_usd: Some(Cost::from_picos(12_345_678_000 + i128::from(n))),
        upstream: Some("anthropic".into()),
        server: Some("https://api.anthropic.com".into()),
        attempts: 1,
        outcome: "completed".into(),
        stop_reason: Some("end_turn".into()),
        request_bytes: 50_000,
        response_bytes: 8000,
        client_ip: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 3, 17))),
        upstream_request_id: Some(format!("req_{number:024}").into()),
        answer_id: Some(format!("msg_{number:024}").into()),
        ..Row::default()
    }))
}

fn hash(number: usize) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    hash
}

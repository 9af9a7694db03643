//! Whoever asks what was used and what it cost is told the same, to the token and the picodollar: SQL, `tollgate usage`, the dashboard
//! and the metrics, after calls of all kinds.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Client, Folder, Gateway, Script, answer, body, eventually, gateway, h2c, origin, postgres, sse};
use crate::ledger::book::Book;

/// The keys of two callers, of `sk-alice-0123456789` and `sk-bob-0123456789`.
const ALICE: &str = "767ce15891988db0e684a53b3a796188526d8ba43dc03acd89e7fdf3c126cdcc";
const BOB: &str = "7abecd79d98aa79deaacf9745bb505d7d72abe4dd36edc1b977d1345863ad3b5";
const KEYS: [&str; 2] = ["sk-alice-0123456789", "sk-bob-0123456789"];
/// The third has no price, and the last one has no answer.
const MODELS: [&str; 4] = ["m1", "m2", "m3", "m4"];
/// What becomes of a call.
const KINDS: [&str; 7] = ["whole", "stream", "cached", "failing", "breaking", "unreported", "refused"];
const CALLS: usize = 420;
const PICOS: f64 = 1e12;

/// What was used, by tenant and model: requests, tokens by class, and picodollars where they are known.
type Used = BTreeMap<(String, String), ([i64; 5], Option<i64>)>;

fn fate(kind: &str, model: &str, number: usize) -> Script {
    let usage = format!(
        r#"{{"input_tokens":{},"output_tokens":{},"cache_read_input_tokens":{},"cache_creation_input_tokens":{}}}"#,
        7 + number,
        1 + number * 3,
        number * 11,
        number % 5
    );
    let start = format!(r#"{{"type":"message_start","message":{{"model":"{model}","usage":{usage}}}}}"#);
    let message = |usage: &str| format!(r#"{{"id":"m","type":"message","model":"{model}","content":[]{usage}}}"#);
    let json = |text: String| answer(200).header("content-type", "application/json").body(text);
    match kind {
        "stream" => sse()
            .event(&start)
            .event(r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#)
            .event(r#"{"type":"message_stop"}"#)
            .end(),
        "breaking" => sse().event(&start).close(),
        "failing" => answer(500).body("no"),
        "unreported" => json(message("")),
        _ => json(message(&format!(r#","stop_reason":"end_turn","usage":{usage}"#))),
    }
}

/// Makes a call. Cached ones are alike for each caller and model.
async fn call(client: &mut Client, number: usize) {
    let model = MODELS[number / KINDS.len() % MODELS.len()];
    let kind = if model == "m4" { ["failing", "refused"][number % 2] } else { KINDS[number % KINDS.len()] };
    let max_tokens = if kind == "refused" { 9000 } else { 10 };
    let text = if kind == "cached" { 0 } else { number };
    let json = format!(
        r#"{{"model":"{model}","max_tokens":{max_tokens},"stream":{},"messages":[{{"role":"user","content":"{text}"}}]}}"#,
        kind == "stream" || kind == "breaking"
    );
    let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
    let request = request.header("x-api-key", KEYS[number / 50 % 2]).header("x-kind", kind);
    let request = request.header("x-number", number.to_string()).body(body(json)).unwrap();
    if let Ok(mut streaming) = client.send(request).await {
        drop(streaming.rest().await);
    }
}

/// What SQL sums up.
fn by_sql(book: &Book) -> Used {
    let cost = match book {
        Book::Postgres(_) => "trim_scale(cost_usd * 1000000000000)",
        Book::Sqlite(_) => "cost_picos",
    };
    // nothing that is known beside something that is not is unknown
    let unknown = "CASE WHEN attempts > 0 AND cost_usd IS NULL THEN 1 ELSE 0 END";
    let tokens = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
    let tokens = tokens.map(|column| format!("coalesce(sum({column}), 0)")).join(", ");
    let lines = book.sql(&format!(
        "SELECT coalesce(tenant, ''), coalesce(served_model, model), count(*), {tokens},
            coalesce(CAST(CASE WHEN sum({cost}) <> 0 OR sum({unknown}) = 0 THEN coalesce(sum({cost}), 0) END AS text), '')
         FROM api_requests GROUP BY 1, 2"
    ));
    let used = lines.lines().map(|line| {
        let mut fields = line.split('|');
        let mut next = || fields.next().unwrap().to_owned();
        let group = (next(), next());
        let counts = [(); 5].map(|()| next().parse().unwrap());
        (group, (counts, next().parse().ok()))
    });
    used.collect()
}

/// What lines of JSON say, whose names of columns are the same everywhere. A group is found by `name`.
fn by_json(lines: &[Value], name: impl Fn(&Value, usize) -> Value) -> Used {
    let used = lines.iter().map(|line| {
        let group = |at| name(line, at).as_str().unwrap_or_default().to_owned();
        let columns =
            ["requests", "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
        let counts = columns.map(|column| line[column].as_i64().unwrap_or_else(|| panic!("{column}: {line}")));
        let cost = line["cost_usd"].as_str().map(picodollars);
        ((group(0), group(1)), (counts, cost))
    });
    used.collect()
}

/// An amount in US dollars as text, exactly.
fn picodollars(text: &str) -> i64 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{part:0<12}").parse().unwrap()
}

fn by_command(gateway: &Gateway) -> Used {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let output = command.args(["usage", "--by", "tenant,model", "--format", "json", "-c"]).arg(gateway.file()).output();
    let lines: Vec<Value> = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    by_json(&lines, |line, at| line[["tenant", "model"][at]].clone())
}

async fn by_dashboard(gateway: &Gateway) -> Used {
    let answer = gateway.ask("GET", "/dashboard/api/spend?by=tenant,model").await;
    let spend: Value = serde_json::from_str(&answer.text()).unwrap();
    by_json(spend["rows"].as_array().unwrap(), |line, at| line["group"][at].clone())
}

/// Compares the metrics with what was used. A model that is not known is `other` in them.
async fn metrics_agree(gateway: &Gateway, used: &Used) {
    let metrics = gateway.metrics().await;
    for (model, label) in MODELS.into_iter().zip(["m1", "m2", "other", "m4"]) {
        let of_model = || used.iter().filter(|((_, own), _)| own == model).map(|(_, used)| used);
        for (at, class) in ["input", "output", "cache_read", "cache_creation"].into_iter().enumerate() {
            let tokens: i64 = of_model().map(|(counts, _)| counts[at + 1]).sum();
            let shown = metrics.sum("claude_tokens_total", &[("model", label), ("type", class)]);
            assert_eq!(shown, tokens as f64, "{model} {class}");
        }
    }
    for ((tenant, model), (_, cost)) in used.iter().filter(|((_, model), _)| ["m1", "m2"].contains(&&**model)) {
        let shown = metrics.sum("tollgate_cost_usd_total", &[("tenant", tenant), ("model", model)]);
        let cost = cost.unwrap() as f64 / PICOS;
        assert!((shown - cost).abs() < 1e-9 && cost > 0.0, "{tenant} {model}: {shown} and {cost}");
    }
}

async fn all_agree(book: Book) {
    let origin = origin().await;
    origin.answers_with(|request| {
        let header = |name| request.header(name).unwrap_or_default();
        let number: usize = header("x-number").parse().unwrap_or_default();
        let model = MODELS[number / KINDS.len() % MODELS.len()];
        fate(header("x-kind"), model, number)
    });
    let plugins = format!(
        "plugins:\n  - api_keys: {{ keys: [{{ name: alice, sha256: {ALICE}, tenant: a }}, {{ name: bob, sha256: {BOB}, tenant: b }}] }}\n  \
         - max_tokens: {{ limit: 4000 }}\n  - response_cache: {{}}\n  - usage_log:\n      database: \"{}\"\n      journal: {{ path: {:?} \
         }}\n      tenant_labels: 5\n      prices:\n        m1: {{ input: 3, output: 15, cache_read: 0.3, cache_write: 3.75 }}\n        \
         m2: {{ input: 0.000333, output: 1, cache_read: 0.1, cache_write: 1 }}\n",
        book.url(),
        book.journal()
    );
    let gateway = gateway().upstream(&origin).upstream_settings("eject: { on: [] }").settings(&plugins).start().await;
    let shared = h2c(gateway.address()).await;
    let clients = (0..6).map(|first| {
        let mut client = shared.share();
        tokio::spawn(async move {
            for number in (first..CALLS).step_by(6) {
                call(&mut client, number).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    drop(shared);
    gateway.idle().await;
    book.has_rows(CALLS).await;
    eventually("no row waits", async || gateway.metrics().await.sum("tollgate_ledger_queue_rows", &[]) == 0.0).await;

    let used = by_sql(&book);
    assert_eq!(used.values().map(|(counts, _)| counts[0]).sum::<i64>(), CALLS as i64, "{used:?}");
    assert_eq!(used.len(), KEYS.len() * MODELS.len(), "{used:?}");
    assert!(used.iter().all(|((_, model), (_, cost))| cost.is_some() == ["m1", "m2"].contains(&&**model)), "{used:?}");
    assert_eq!(by_command(&gateway), used, "the command and SQL");
    assert_eq!(by_dashboard(&gateway).await, used, "the dashboard and SQL");
    metrics_agree(&gateway, &used).await;
    let cached = book.sql("SELECT count(*) FROM api_requests WHERE outcome = 'cached'").parse::<usize>().unwrap();
    assert!(cached > 0 && origin.count() < CALLS);
    book.sums_agree();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_told_the_same_sums_of_a_file() {
    all_agree(Book::Sqlite(Folder::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_told_the_same_sums_of_a_server() {
    all_agree(Book::Postgres(Box::new(postgres().await))).await;
}

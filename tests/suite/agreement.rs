//! Limits and budgets have counted what the ledger says, to the token and to the picodollar, after whatever has happened to calls and
//! gateways. `TOLLGATE_AGREEMENT_CALLS` is how many calls that takes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{
    Answer, Client, Folder, Gateway, Origin, Script, answer, body, eventually, gateway, h2c, http1, origin, postgres,
    sse,
};
use crate::ledger::book::Book;

const ANSWER: &str = r#"{"id":"m","type":"message","model":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":20,"output_tokens":100,"cache_read_input_tokens":7}}"#;
/// Tokens a month, for all.
const LIMIT: u64 = 100_000_000_000;
/// US dollars a month, for all.
const BUDGET: u64 = 100_000;
const CLIENTS: usize = 20;

/// What becomes of a call.
const KINDS: [&str; 8] = ["fine", "failing", "breaking", "silent", "unreported", "cached", "leaving", "panicking"];
/// Where the gateway panics.
const HOOKS: [&str; 5] = ["on_request", "on_call", "on_response", "on_chunk", "on_complete"];

/// How many calls there are.
fn calls() -> usize {
    std::env::var("TOLLGATE_AGREEMENT_CALLS").map_or(800, |calls| calls.parse().unwrap())
}

fn fate(kind: &str, failure: u16) -> Script {
    let json = |text: &str| answer(200).header("content-type", "application/json").body(text);
    match kind {
        "failing" => answer(failure).body("no"),
        "breaking" => {
            let usage = r#"{"input_tokens":7,"output_tokens":1}"#;
            sse().event(&format!(r#"{{"type":"message_start","message":{{"model":"m","usage":{usage}}}}}"#)).close()
        }
        "silent" => sse().event(r#"{"type":"ping"}"#).close(),
        "unreported" => json(r#"{"id":"m","type":"message","model":"m","content":[]}"#),
        _ => json(ANSWER),
    }
}

async fn origins() -> [Origin; 2] {
    let origins = [origin().await, origin().await];
    for (server, failure) in origins.iter().zip([503, 500]) {
        server.answers_with(move |request| fate(request.header("x-user").unwrap_or_default(), failure));
    }
    origins
}

fn plugins(book: &Book, requests: usize) -> String {
    format!(
        "plugins:\n  - response_cache: {{}}\n  - rate_limit:\n      reserve: max_tokens\n      limits:\n        - {{ by: all, tokens: {LIMIT}/month }}\n        \
         - {{ by: all, requests: {requests}/month }}\n        - {{ by: [user, header:x-user], tokens: {LIMIT}/d }}\n  \
         - budget: {{ limits: [{{ by: all, usd: {BUDGET}/month }}], refresh: 200ms }}\n  - usage_log:\n      database: \"{}\"\n      \
         journal: {{ path: {:?} }}\n      prices: {{ m: {{ input: 1, output: 1, cache_read: 0.1, cache_write: 1 }} }}\n  - inject_faults: {{}}\n",
        book.url(),
        book.journal()
    )
}

async fn start(origins: &[Origin; 2], book: &Book) -> Gateway {
    let retry = "balance: round_robin\neject: { on: [] }\n\
                 retry: { attempts: 2, on: [connect, error, http_503, non_idempotent], budget: 100% }";
    let [one, other] = origins;
    let builder = gateway().with_examples().upstream(one).upstream(other).upstream_settings(retry);
    builder.settings(&plugins(book, 1_000_000_000)).start().await
}

fn call(kind: &str, number: usize) -> String {
    let tokens = if kind == "cached" { 50 } else { 100 + number };
    let is_stream = matches!(kind, "breaking" | "silent");
    format!(r#"{{"model":"m","max_tokens":{tokens},"stream":{is_stream},"messages":[]}}"#)
}

async fn send(client: &mut Client, kind: &str, number: usize) {
    let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
    let request = request.header("x-api-key", "k").header("x-user", kind);
    let request = match kind {
        "panicking" => request.header("x-fault", format!("panic {}", HOOKS[number / KINDS.len() % HOOKS.len()])),
        _ => request,
    };
    let sent = client.send(request.body(body(call(kind, number))).unwrap());
    if kind == "leaving" {
        let _ = tokio::time::timeout(Duration::from_micros(300 * (number as u64 % 8)), sent).await;
    } else if let Ok(mut streaming) = sent.await {
        let _ = streaming.rest().await;
    }
}

/// So many calls, at once, of all kinds.
async fn storm(address: SocketAddr, calls: usize) {
    let (next, shared) = (Arc::new(AtomicUsize::new(0)), h2c(address).await);
    let clients = (0..CLIENTS).map(|_| {
        let (next, mut shared) = (next.clone(), shared.share());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= calls {
                    return;
                }
                match KINDS[number % KINDS.len()] {
                    // these may end their connection
                    kind @ ("leaving" | "panicking") => send(&mut http1(address).await, kind, number).await,
                    kind => send(&mut shared, kind, number).await,
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

/// Calls at once until the gateway is gone.
async fn until_it_is_killed(address: SocketAddr) {
    let shared = h2c(address).await;
    let clients = (0..CLIENTS).map(|client| {
        let mut shared = shared.share();
        tokio::spawn(async move {
            // many resets would end the connection
            let kind = ["fine", "unreported"][client % 2];
            loop {
                let request = shared.request("POST", "/v1/messages").header("content-type", "application/json");
                let request = request.header("x-user", kind).body(body(call(kind, client))).unwrap();
                match shared.send(request).await {
                    Ok(mut streaming) => drop(streaming.rest().await),
                    Err(_) => return,
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

async fn ask(client: &mut Client, tokens: u64) -> Answer {
    let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
    let call = format!(r#"{{"model":"m","max_tokens":{tokens},"messages":[]}}"#);
    client.call(request.header("x-user", "fine").body(body(call)).unwrap()).await
}

/// What the limit on tokens has counted: a call that wants all of it is refused, and tells what is left.
async fn counted_tokens(gateway: &Gateway) -> u64 {
    let refused = ask(&mut http1(gateway.address()).await, LIMIT).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    LIMIT - refused.header("anthropic-ratelimit-tokens-remaining").unwrap().parse::<u64>().unwrap()
}

async fn all_is_stored(gateway: &Gateway) {
    gateway.idle().await;
    eventually("an empty journal", async || gateway.metrics().await.sum("tollgate_ledger_queue_rows", &[]) == 0.0)
        .await;
}

/// The tokens, the requests and the picodollars in the ledger.
fn in_the_ledger(book: &Book) -> (u64, usize, f64) {
    let cost = match book {
        Book::Postgres(_) => "coalesce(assumed_cost_usd, cost_usd) * 1000000000000",
        Book::Sqlite(_) => "coalesce(assumed_cost_picos, cost_picos)",
    };
    let sums = book.sql(&format!("SELECT sum(limit_tokens), count(limit_tokens), sum({cost}) FROM api_requests"));
    let mut sums = sums.split('|');
    let mut sum = || sums.next().unwrap().to_owned();
    (sum().parse().unwrap(), sum().parse().unwrap(), sum().parse().unwrap())
}

async fn they_agree(gateway: &Gateway, book: &Book) -> usize {
    all_is_stored(gateway).await;
    let (tokens, requests, picos) = in_the_ledger(book);
    assert_eq!(counted_tokens(gateway).await, tokens);
    let counted = async || {
        let metrics = gateway.metrics().await;
        assert_eq!(metrics.sum("tollgate_budget_drift_usd", &[]), 0.0);
        metrics.sum("tollgate_budget_used_ratio", &[("limit", "all")]) * (BUDGET as f64) * 1e12
    };
    // the first answer after a start is still to come
    eventually("the sum of the budget", async || (counted().await - picos).abs() < 1e4).await;
    println!("{requests} requests, {tokens} tokens, ${} agree", picos / 1e12);
    requests
}

async fn after_all_that_happens_they_agree(book: Book) {
    let origins = origins().await;
    let gateway = start(&origins, &book).await;
    let storming = tokio::spawn(storm(gateway.address(), calls() / 2));
    for _ in 0..3 {
        assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    }
    storming.await.unwrap();
    they_agree(&gateway, &book).await;
    // one of them may be ejected by now
    let seen_by_all = || origins.iter().map(Origin::count).sum::<usize>();
    let seen = seen_by_all();
    let asking = tokio::spawn(until_it_is_killed(gateway.address()));
    eventually("some calls", async || seen_by_all() > seen + 50).await;
    gateway.signal(Signal::SIGKILL);
    asking.await.unwrap();
    drop(gateway);
    let gateway = start(&origins, &book).await;
    they_agree(&gateway, &book).await;
    let storming = tokio::spawn(storm(gateway.address(), calls() / 2));
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    storming.await.unwrap();
    let requests = they_agree(&gateway, &book).await;
    // two requests more, and no third
    let yaml = std::fs::read_to_string(gateway.file()).unwrap();
    gateway.rewrite(yaml.replace("requests: 1000000000/", &format!("requests: {}/", requests + 2)));
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    let mut client = http1(gateway.address()).await;
    for status in [200, 200, 429] {
        assert_eq!(ask(&mut client, 77_000 + u64::from(status)).await.status, status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_and_sums_are_those_of_a_file_after_all_that_happens_to_calls_and_a_kill() {
    after_all_that_happens_they_agree(Book::Sqlite(Folder::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_and_sums_are_those_of_a_server_after_all_that_happens_to_calls_and_a_kill() {
    after_all_that_happens_they_agree(Book::Postgres(Box::new(postgres().await))).await;
}

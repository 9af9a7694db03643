//! Budgets: what is spent stays within them, and what counts is what the ledger has, over kills, outages and other gateways.

mod alerts;
mod gateways;
mod outages;
mod upgrades;

use std::path::Path;

use nix::sys::signal::Signal;

use crate::harness::{
    Answer, Client, Folder, Gateway, Origin, answer, body, eventually, gate, gateway, h2c, http1, origin, postgres, sse,
};
use crate::ledger::book::Book;

/// What an answer reports: 120 tokens, at a microdollar each.
const ANSWER: &str = r#"{"id":"m","type":"message","model":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":20,"output_tokens":100}}"#;
/// What it costs, in microdollars.
const COST: i64 = 120;

/// The plugins of a gateway: these budgets, and the ledger in this book, at a microdollar for each token of the model `m`.
fn plugins(book: &Book, settings: &str) -> String {
    plugins_at(&book.url(), &book.journal(), settings)
}

/// The same in this database and with this journal.
fn plugins_at(database: &str, journal: &Path, settings: &str) -> String {
    format!(
        "plugins:\n  - budget: {{ {settings} }}\n  - usage_log:\n      database: \"{database}\"\n      journal: {{ path: {journal:?} }}\n      \
         prices: {{ m: {{ input: 1, output: 1, cache_write: 1 }} }}\n"
    )
}

/// An origin whose answers cost [`COST`] each.
async fn priced_origin() -> Origin {
    let origin = origin().await;
    origin.answers(answer(200).header("content-type", "application/json").body(ANSWER));
    origin
}

async fn start(origin: &Origin, book: &Book, settings: &str) -> Gateway {
    gateway().upstream(origin).settings(&plugins(book, settings)).start().await
}

const CALL: &str = r#"{"model":"m","max_tokens":100,"messages":[]}"#;

/// A call by a user.
async fn call(client: &mut Client, user: &str) -> Answer {
    let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
    client.call(request.header("x-user", user).body(body(CALL)).unwrap()).await
}

/// Calls until one is refused: how many passed, and the refusal.
async fn used_up(client: &mut Client, user: &str) -> (i64, Answer) {
    let mut passed = 0;
    loop {
        let answer = call(client, user).await;
        match answer.status.as_u16() {
            200 => passed += 1,
            // calls that ended a moment ago may still hold something
            429 if answer.header("x-should-retry").is_none() => tokio::task::yield_now().await,
            429 => return (passed, answer),
            status => panic!("{status}: {}", answer.text()),
        }
    }
}

/// Waits until the journal is empty, and gives the sum in the database, in microdollars.
async fn in_the_ledger(gateway: &Gateway, book: &Book) -> i64 {
    eventually("an empty journal", async || gateway.metrics().await.sum("tollgate_ledger_queue_rows", &[]) == 0.0)
        .await;
    let column = match book {
        Book::Postgres(_) => "(coalesce(assumed_cost_usd, cost_usd) * 1000000)::bigint",
        Book::Sqlite(_) => "coalesce(assumed_cost_picos, cost_picos) / 1000000",
    };
    book.sql(&format!("SELECT coalesce(sum({column}), 0) FROM api_requests")).parse().unwrap()
}

/// What is left of a budget, in microdollars, as a refusal says it.
fn left(refusal: &Answer) -> i64 {
    let message = refusal.json()["error"]["message"].as_str().unwrap().to_owned();
    let Some((_, rest)) = message.split_once("has $") else {
        assert!(message.contains("is used up"), "{message}");
        return 0;
    };
    let (left, _) = rest.split_once(' ').unwrap();
    (left.parse::<f64>().unwrap() * 1e6).round() as i64
}

async fn nothing_is_reserved(gateway: &Gateway) {
    eventually("nothing reserved", async || gateway.metrics().await.sum("tollgate_budget_reserved_usd", &[]) == 0.0)
        .await;
}

/// Waits until the database has answered once more.
async fn refreshed(gateway: &Gateway) {
    let age = async || gateway.metrics().await.sum("tollgate_budget_refresh_age_seconds", &[]);
    eventually("an answer of some age", async || age().await > 0.02).await;
    eventually("a new answer", async || age().await < 0.02).await;
}

/// What a budget of $0.06 for all has counted, in microdollars, once the database has answered: without drift.
async fn spent_of_six_cents(gateway: &Gateway) -> i64 {
    refreshed(gateway).await;
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_budget_drift_usd", &[]), 0.0);
    (metrics.sum("tollgate_budget_used_ratio", &[("limit", "all")]) * 60_000.0).round() as i64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_five_hundred_calls_at_once_no_more_is_spent_than_the_budget_has() {
    const BUDGET: i64 = 12_345;
    let (origin, book) = (priced_origin().await, Book::Sqlite(Folder::new()));
    let gateway =
        start(&origin, &book, "limits: [{ by: all, usd: 0.012345/month }], reserve: max_tokens, refresh: 100ms").await;
    let shared = h2c(gateway.address()).await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..500 {
        let mut client = if number % 2 == 0 { shared.share() } else { http1(gateway.address()).await };
        calls.spawn(async move { call(&mut client, "a").await.status.as_u16() });
    }
    let statuses = calls.join_all().await;
    let admitted = statuses.iter().filter(|status| **status == 200).count() as i64;
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)));
    assert!(admitted > 0 && admitted * COST <= BUDGET, "{admitted}");
    assert_eq!(origin.count() as i64, admitted);
    nothing_is_reserved(&gateway).await;
    let (more, refused) = used_up(&mut http1(gateway.address()).await, "a").await;
    let spent = (admitted + more) * COST;
    assert_eq!((in_the_ledger(&gateway, &book).await, BUDGET - left(&refused)), (spent, spent));
    refreshed(&gateway).await;
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_budget_drift_usd", &[]), 0.0);
    let ratio = metrics.sum("tollgate_budget_used_ratio", &[("limit", "all"), ("subject", "")]);
    assert!((ratio * BUDGET as f64 - spent as f64).abs() < 1e-6, "{ratio}");
    assert!(metrics.sum("tollgate_limit_rejections_total", &[("limit", "all"), ("reason", "budget")]) >= 1.0);
}

#[tokio::test]
async fn a_used_up_budget_says_whose_it_is_and_when_it_resets_in_the_callers_dialect() {
    let (origin, book) = (priced_origin().await, Book::Sqlite(Folder::new()));
    let gateway = start(&origin, &book, "limits: [{ by: user, usd: 0.00012/day, name: daily }]").await;
    for (mut client, other) in [(http1(gateway.address()).await, "bob"), (h2c(gateway.address()).await, "carol")] {
        let (_, refused) = used_up(&mut client, "alice").await;
        assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(
            message.starts_with("Budget `daily` is used up: $0.00012 per day for user alice. It resets at 2"),
            "{message}"
        );
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=86_400).contains(&wait) && refused.header("x-should-retry") == Some("false"), "{wait}");
        let request = client.request("POST", "/v1/chat/completions").header("x-user", "alice");
        let refused = client.call(request.body(body(CALL)).unwrap()).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (429, &"rate_limit_exceeded".into()));
        assert_eq!(call(&mut client, other).await.status, 200);
    }
    gateway.logged(|line| line["plugin"] == "budget" && line["reason"] == "budget").await;
}

#[tokio::test]
async fn a_budget_without_a_ledger_on_its_route_is_an_error_with_its_place() {
    let exit = gateway().server("http://127.0.0.1:1").settings("plugins: [{ budget: {} }]").start_fails().await;
    assert!(exit.stderr.contains("`budget` needs `usage_log` on each of its routes"), "{}", exit.stderr);
}

#[tokio::test]
async fn a_running_stream_is_never_cut_however_much_it_costs() {
    let (origin, book, open) = (priced_origin().await, Book::Sqlite(Folder::new()), gate());
    let gateway = start(&origin, &book, "limits: [{ by: all, usd: 0.001/day }], reserve: expected").await;
    let begin = r#"{"type":"message_start","message":{"model":"m","usage":{"input_tokens":5,"output_tokens":1}}}"#;
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9000}}"#;
    origin.answers(sse().event(begin).wait(&open).event(end).event(r#"{"type":"message_stop"}"#).end());
    let mut client = http1(gateway.address()).await;
    let stream = r#"{"model":"m","max_tokens":10,"stream":true,"messages":[]}"#;
    let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
    let mut streaming = client.send(request.body(body(stream)).unwrap()).await.unwrap();
    streaming.until("message_start").await;
    open.open();
    assert!(String::from_utf8(streaming.rest().await.0).unwrap().contains("message_stop"));
    let (passed, refused) = used_up(&mut client, "a").await;
    assert_eq!((passed, left(&refused), in_the_ledger(&gateway, &book).await), (0, 0, 9005));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_aborts_failures_retries_cache_hits_and_reloads_the_budget_is_what_the_ledger_has() {
    const BUDGET: i64 = 2_000_000;
    let (busy, origin) = (origin().await, priced_origin().await);
    // whichever server a call goes to first, some of them are tried again on the other
    for (server, failure) in [(&busy, 503), (&origin, 500)] {
        server.answers_with(move |request| match request.header("x-user").unwrap_or_default() {
            "failing" => answer(failure).body("no"),
            "breaking" => {
                let usage = r#"{"input_tokens":7,"output_tokens":1}"#;
                let event = format!(r#"{{"type":"message_start","message":{{"model":"m","usage":{usage}}}}}"#);
                sse().event(&event).close()
            }
            _ => answer(200).header("content-type", "application/json").body(ANSWER),
        });
    }
    for book in [Book::Sqlite(Folder::new()), Book::Postgres(Box::new(postgres().await))] {
        let settings = "limits: [{ by: all, usd: 2/month }, { by: [user, model], usd: 2/day }], refresh: 100ms";
        let yaml = plugins(&book, settings).replace("  - usage_log", "  - response_cache: {}\n  - usage_log");
        let retry = "balance: round_robin\neject: { on: [] }\n\
                     retry: { attempts: 2, on: [connect, error, http_503, non_idempotent], budget: 100% }";
        let builder = gateway().upstream(&busy).upstream(&origin).upstream_settings(retry).settings(&yaml);
        let gateway = builder.start().await;
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..20 {
            let address = gateway.address();
            let shared = h2c(address).await;
            calls.spawn(async move {
                for round in 0..100 {
                    let kind = (number + round) % 5;
                    let user = ["fine", "failing", "breaking", "cached", "leaving"][kind];
                    let tokens = if user == "cached" { 50 } else { 100 + number * 1000 + round };
                    let call = format!(
                        r#"{{"model":"m","max_tokens":{tokens},"stream":{},"messages":[]}}"#,
                        user == "breaking"
                    );
                    // one that leaves has a connection of its own: too many resets end one that is shared
                    let mut client = if user == "leaving" { http1(address).await } else { shared.share() };
                    let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
                    let request = request.header("x-api-key", "k").header("x-user", user).body(body(call)).unwrap();
                    if user == "leaving" {
                        let sent = tokio::time::timeout(std::time::Duration::from_millis(1), client.send(request));
                        let _ = sent.await;
                    } else {
                        let _ = client.send(request).await.unwrap().rest().await;
                    }
                }
            });
        }
        for _ in 0..5 {
            assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
        }
        calls.join_all().await;
        gateway.idle().await;
        nothing_is_reserved(&gateway).await;
        let spent = in_the_ledger(&gateway, &book).await;
        assert!(spent > 100 * COST, "{spent}");
        refreshed(&gateway).await;
        let metrics = gateway.metrics().await;
        assert_eq!(metrics.sum("tollgate_budget_drift_usd", &[]), 0.0);
        let ratio = metrics.sum("tollgate_budget_used_ratio", &[("limit", "all")]);
        assert!((ratio * BUDGET as f64 - spent as f64).abs() < 1e-3, "{ratio} {spent}");
        let apart = metrics.sum("tollgate_budget_used_ratio", &[("limit", "user+model")]);
        assert!((apart - ratio).abs() < 1e-9, "{apart} {ratio}");
        gateway.signal(Signal::SIGKILL);
    }
}

#[tokio::test]
async fn another_journal_for_the_same_database_counts_nothing_twice() {
    const BUDGET: i64 = 60_000;
    let settings = "limits: [{ by: all, usd: 0.06/month }], reserve: max_tokens, refresh: 100ms";
    for book in Book::both().await {
        let origin = priced_origin().await;
        let gateway = start(&origin, &book, settings).await;
        let mut client = http1(gateway.address()).await;
        for _ in 0..100 {
            assert_eq!(call(&mut client, "a").await.status, 200);
        }
        refreshed(&gateway).await;
        let yaml = std::fs::read_to_string(gateway.file()).unwrap();
        let other = book.journal().with_file_name("other_journal");
        gateway.rewrite(yaml.replace(&format!("{:?}", book.journal()), &format!("{other:?}")));
        assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
        for _ in 0..100 {
            assert_eq!(call(&mut client, "a").await.status, 200);
        }
        refreshed(&gateway).await;
        let (_, refused) = used_up(&mut client, "a").await;
        assert_eq!(BUDGET - left(&refused), in_the_ledger(&gateway, &book).await);
        refreshed(&gateway).await;
        let (passed, refused) = used_up(&mut client, "a").await;
        assert_eq!((passed, BUDGET - left(&refused)), (0, in_the_ledger(&gateway, &book).await));
        assert_eq!(gateway.metrics().await.sum("tollgate_budget_drift_usd", &[]), 0.0);
        gateway.signal(Signal::SIGKILL);
    }
}

#[tokio::test]
async fn another_address_of_the_same_database_counts_nothing_twice() {
    const BUDGET: i64 = 60_000;
    let settings = "limits: [{ by: all, usd: 0.06/month }], reserve: max_tokens, refresh: 100ms";
    for book in Book::both().await {
        let origin = priced_origin().await;
        let mut gateway = start(&origin, &book, settings).await;
        let mut client = http1(gateway.address()).await;
        for _ in 0..100 {
            assert_eq!(call(&mut client, "a").await.status, 200);
        }
        assert_eq!(in_the_ledger(&gateway, &book).await, 100 * COST);
        gateway.signal(Signal::SIGKILL);
        gateway.wait_exit(std::time::Duration::from_secs(10)).await;
        // what another run spent is known from the database alone
        let gateway = start(&origin, &book, settings).await;
        refreshed(&gateway).await;
        let url = book.url();
        let other = match &book {
            Book::Postgres(_) => url.replace("127.0.0.1", "localhost"),
            Book::Sqlite(folder) => {
                let name = folder.path().file_name().unwrap().to_str().unwrap();
                url.replace(&format!("/{name}/"), &format!("/{name}/../{name}/"))
            }
        };
        assert_ne!(url, other);
        gateway.reload(std::fs::read_to_string(gateway.file()).unwrap().replace(&url, &other)).await;
        refreshed(&gateway).await;
        let mut client = http1(gateway.address()).await;
        let (passed, refused) = used_up(&mut client, "a").await;
        assert_eq!(BUDGET - left(&refused), (100 + passed) * COST);
        assert_eq!(in_the_ledger(&gateway, &book).await, (100 + passed) * COST);
        refreshed(&gateway).await;
        assert_eq!(used_up(&mut client, "a").await.0, 0);
        assert_eq!(gateway.metrics().await.sum("tollgate_budget_drift_usd", &[]), 0.0);
        gateway.signal(Signal::SIGKILL);
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_end_of_a_stream_pays_for_what_it_got_also_after_a_restart() {
    let (origin, book, open) = (priced_origin().await, Book::Sqlite(Folder::new()), gate());
    let settings = "limits: [{ by: all, usd: 0.06/month }], refresh: 100ms";
    let begin = r#"{"type":"message_start","message":{"model":"m","usage":{"input_tokens":5,"output_tokens":1}}}"#;
    let text = "x".repeat(64_000);
    let delta = format!(r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":"{text}"}}}}"#);
    origin.answers(sse().event(begin).event(&delta).event("ninety per cent").wait(&open).end());
    let mut gateway = start(&origin, &book, settings).await;
    let mut client = http1(gateway.address()).await;
    let stream = r#"{"model":"m","max_tokens":9000,"stream":true,"messages":[]}"#;
    let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
    let mut streaming = client.send(request.body(body(stream)).unwrap()).await.unwrap();
    streaming.until("ninety per cent").await;
    drop((streaming, client));
    gateway.idle().await;
    let counted = in_the_ledger(&gateway, &book).await;
    assert!((1000..1100).contains(&counted), "{counted}");
    assert_eq!(book.sql("SELECT cost_picos / 1000000 FROM api_requests"), "6", "what is known stays what it is");
    assert_eq!(spent_of_six_cents(&gateway).await, counted);
    gateway.signal(Signal::SIGKILL);
    gateway.wait_exit(std::time::Duration::from_secs(10)).await;
    let gateway = start(&origin, &book, settings).await;
    assert_eq!(spent_of_six_cents(&gateway).await, counted);
}

#[tokio::test]
async fn a_call_whose_cost_never_becomes_known_counts_what_was_reserved_and_does_so_after_a_restart() {
    let (origin, book) = (priced_origin().await, Book::Sqlite(Folder::new()));
    let settings = "limits: [{ by: all, usd: 0.06/month }], refresh: 100ms";
    origin.answers(answer(200).header("content-type", "application/json").body(r#"{"type":"message","model":"m"}"#));
    let mut gateway = start(&origin, &book, settings).await;
    assert_eq!(call(&mut http1(gateway.address()).await, "a").await.status, 200);
    let counted = in_the_ledger(&gateway, &book).await;
    assert!(counted > 100, "its input, and an answer of the length that it asked for: {counted}");
    assert_eq!(
        book.sql("SELECT count(*) FROM api_requests WHERE cost_usd IS NULL AND assumed_cost_usd IS NOT NULL"),
        "1"
    );
    assert_eq!(spent_of_six_cents(&gateway).await, counted);
    gateway.signal(Signal::SIGKILL);
    gateway.wait_exit(std::time::Duration::from_secs(10)).await;
    let gateway = start(&origin, &book, settings).await;
    assert_eq!(spent_of_six_cents(&gateway).await, counted);
}

//! Limits by day and month over restarts: what was counted comes back from the ledger's journal and the file beside it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{ANSWER, COST};
use crate::harness::{
    Answer, Client, Folder, Gateway, Origin, answer, body, eventually, gateway, h2c, http1, origin, postgres,
};
use crate::ledger::book::Book;

/// Tokens a day for each team.
const LIMIT: u64 = 60_000;

async fn start(origin: &Origin, book: &Book) -> Gateway {
    let plugins = format!(
        "plugins:\n  - rate_limit:\n      reserve: max_tokens\n      limits:\n        - {{ by: header:x-team, tokens: {LIMIT}/d }}\n        \
         - {{ by: all, requests: 100000/month }}\n  - usage_log: {{ database: \"{}\", journal: {{ path: {:?} }} }}\n",
        book.url(),
        book.journal()
    );
    gateway().upstream(origin).settings(&plugins).start().await
}

async fn counted_origin() -> Origin {
    let origin = origin().await;
    origin.answers(answer(200).header("content-type", "application/json").body(ANSWER));
    origin
}

async fn ask(client: &mut Client, team: &str, max_tokens: u64) -> Answer {
    let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
    client.call(request.header("x-team", team).body(body(super::call(max_tokens))).unwrap()).await
}

/// What a team has used of its day: a call that wants all of it is refused as soon as there is anything, and tells what is left.
async fn used(client: &mut Client, team: &str) -> u64 {
    let refused = ask(client, team, LIMIT).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    LIMIT - refused.header("anthropic-ratelimit-tokens-remaining").unwrap().parse::<u64>().unwrap()
}

/// What the ledger says that all teams used.
async fn in_the_ledger(gateway: &Gateway, book: &Book) -> u64 {
    eventually("an empty journal", async || gateway.metrics().await.sum("tollgate_ledger_queue_rows", &[]) == 0.0)
        .await;
    book.sql("SELECT coalesce(sum(limit_tokens), 0) FROM api_requests").parse().unwrap()
}

/// Calls at once until the gateway is gone.
async fn until_it_is_killed(address: SocketAddr) {
    let shared = h2c(address).await;
    let asking = (0..10).map(|number| {
        let mut client = shared.share();
        tokio::spawn(async move {
            let team = if number % 2 == 0 { "blue" } else { "red" };
            loop {
                let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
                let request = request.header("x-team", team).body(body(super::call(100))).unwrap();
                if client.send(request).await.is_err() {
                    return;
                }
            }
        })
    });
    for asking in asking.collect::<Vec<_>>() {
        asking.await.unwrap();
    }
}

async fn no_kill_makes_a_limit_larger(book: Book) {
    let origin = counted_origin().await;
    for _ in 0..4 {
        let gateway = start(&origin, &book).await;
        let asking = tokio::spawn(until_it_is_killed(gateway.address()));
        let before = origin.count();
        eventually("some calls", async || origin.count() > before + 60 || origin.count() >= 900).await;
        gateway.signal(Signal::SIGKILL);
        asking.await.unwrap();
    }
    let gateway = start(&origin, &book).await;
    let mut client = http1(gateway.address()).await;
    let (blue, red) = (used(&mut client, "blue").await, used(&mut client, "red").await);
    assert_eq!(blue + red, in_the_ledger(&gateway, &book).await, "blue {blue}, red {red}");
    // what is left can be used, and no more
    while ask(&mut client, "blue", 100).await.status == 200 {}
    let used = used(&mut client, "blue").await;
    assert!(used <= LIMIT && used + 2 * COST > LIMIT, "{used}");
    assert_eq!(used + red, in_the_ledger(&gateway, &book).await);
}

#[tokio::test]
async fn no_kill_makes_a_days_limit_larger_with_a_file() {
    no_kill_makes_a_limit_larger(Book::Sqlite(Folder::new())).await;
}

#[tokio::test]
async fn no_kill_makes_a_days_limit_larger_with_a_server() {
    no_kill_makes_a_limit_larger(Book::Postgres(Box::new(postgres().await))).await;
}

#[tokio::test]
async fn a_start_before_a_frozen_database_goes_on_with_all_that_was_counted_and_delays_nobody() {
    let (origin, book) = (counted_origin().await, Book::Postgres(Box::new(postgres().await)));
    let Book::Postgres(server) = &book else { unreachable!() };
    let gateway = start(&origin, &book).await;
    let mut client = http1(gateway.address()).await;
    for _ in 0..100 {
        assert_eq!(ask(&mut client, "blue", 100).await.status, 200);
    }
    assert_eq!(in_the_ledger(&gateway, &book).await, 100 * COST);
    // these do not come into the database any more
    server.freeze();
    for _ in 0..50 {
        assert_eq!(ask(&mut client, "blue", 100).await.status, 200);
    }
    gateway.signal(Signal::SIGKILL);
    drop((gateway, client));
    let mut gateway = start(&origin, &book).await;
    let mut client = http1(gateway.address()).await;
    let begun = Instant::now();
    assert_eq!(used(&mut client, "blue").await, 150 * COST);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    server.thaw();
    assert_eq!(in_the_ledger(&gateway, &book).await, 150 * COST);
    assert_eq!(used(&mut client, "blue").await, 150 * COST);
    // an orderly stop changes nothing
    drop(client);
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait_exit(Duration::from_secs(20)).await.status.code(), Some(0));
    let gateway = start(&origin, &book).await;
    assert_eq!(used(&mut http1(gateway.address()).await, "blue").await, 150 * COST);
}

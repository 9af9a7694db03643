//! Kills, and databases that do not answer: the sum goes on, and no request waits.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{
    CALL, COST, call, in_the_ledger, left, nothing_is_reserved, plugins, priced_origin, refreshed, start, used_up,
};
use crate::harness::{Folder, body, eventually, gateway, h2c, http1, postgres};
use crate::ledger::book::Book;

const SETTINGS: &str = "limits: [{ by: all, usd: 0.06/month }], reserve: max_tokens, unknown: refuse, refresh: 200ms";
/// That in microdollars.
const BUDGET: i64 = 60_000;

/// Calls at once until the gateway is gone.
async fn until_it_is_killed(address: std::net::SocketAddr) {
    let shared = h2c(address).await;
    let asking = (0..10).map(|_| {
        let mut client = shared.share();
        tokio::spawn(async move {
            loop {
                let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
                if client.send(request.body(body(CALL)).unwrap()).await.is_err() {
                    return;
                }
            }
        })
    });
    for asking in asking.collect::<Vec<_>>() {
        asking.await.unwrap();
    }
}

async fn no_kill_makes_a_budget_larger(book: Book) {
    let origin = priced_origin().await;
    for _ in 0..4 {
        let gateway = start(&origin, &book, SETTINGS).await;
        let asking = tokio::spawn(until_it_is_killed(gateway.address()));
        let before = origin.count();
        eventually("some calls", async || origin.count() > before + 40 || origin.count() >= 400).await;
        gateway.signal(Signal::SIGKILL);
        asking.await.unwrap();
    }
    let gateway = start(&origin, &book, SETTINGS).await;
    let mut client = http1(gateway.address()).await;
    eventually("a budget that is known", async || call(&mut client, "a").await.status != 503).await;
    // a batch that was stored when the kill came may count twice until the database has answered
    refreshed(&gateway).await;
    let (_, refused) = used_up(&mut http1(gateway.address()).await, "a").await;
    nothing_is_reserved(&gateway).await;
    let spent = in_the_ledger(&gateway, &book).await;
    assert_eq!(left(&refused), BUDGET - spent);
    assert!(spent <= BUDGET && spent > BUDGET - 2 * COST, "{spent}");
}

#[tokio::test]
async fn no_kill_makes_a_budget_larger_in_a_file() {
    no_kill_makes_a_budget_larger(Book::Sqlite(Folder::new())).await;
}

#[tokio::test]
async fn no_kill_makes_a_budget_larger_on_a_server() {
    no_kill_makes_a_budget_larger(Book::Postgres(Box::new(postgres().await))).await;
}

#[tokio::test]
async fn a_start_before_a_frozen_database_goes_on_with_the_checkpoint_and_delays_nobody() {
    let (origin, book) = (priced_origin().await, Book::Postgres(Box::new(postgres().await)));
    let Book::Postgres(server) = &book else { unreachable!() };
    let gateway = start(&origin, &book, SETTINGS).await;
    let mut client = http1(gateway.address()).await;
    eventually("a budget that is known", async || call(&mut client, "a").await.status != 503).await;
    for _ in 0..100 {
        assert_eq!(call(&mut client, "a").await.status, 200);
    }
    let spent = in_the_ledger(&gateway, &book).await;
    // these do not come into the database any more
    server.freeze();
    for _ in 0..50 {
        assert_eq!(call(&mut client, "a").await.status, 200);
    }
    gateway.signal(Signal::SIGKILL);
    drop((gateway, client));
    let gateway = start(&origin, &book, SETTINGS).await;
    let mut client = http1(gateway.address()).await;
    let begun = Instant::now();
    assert_eq!(call(&mut client, "a").await.status, 200, "it is known at once what is left");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let (passed, refused) = used_up(&mut client, "a").await;
    assert_eq!(BUDGET - left(&refused), spent + (50 + 1 + passed) * COST);
    server.thaw();
    let all = in_the_ledger(&gateway, &book).await;
    assert_eq!(BUDGET - left(&used_up(&mut client, "a").await.1), all);
}

#[tokio::test]
async fn without_a_database_and_a_checkpoint_the_yaml_decides() {
    let (origin, folder) = (priced_origin().await, Folder::new());
    // no file can be opened where a folder is
    std::fs::create_dir(folder.path().join("ledger.db")).unwrap();
    let book = Book::Sqlite(folder);
    for (unknown, status) in [("allow", 200), ("refuse", 503)] {
        let settings = format!("limits: [{{ by: all, usd: 1/day }}], unknown: {unknown}");
        let gateway = gateway().upstream(&origin).settings(&plugins(&book, &settings)).start().await;
        let mut client = http1(gateway.address()).await;
        let answer = call(&mut client, "a").await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        if status == 503 {
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert!(answer.text().contains("not known yet"), "{}", answer.text());
        }
        gateway.signal(Signal::SIGKILL);
    }
}

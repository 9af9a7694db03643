//! Gateways that are killed, stopped and restarted, and databases that are not there: every answer that a client has in full has
//! its row, once.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::book::Book;
use crate::harness::{
    DEADLINE, Folder, Gateway, Origin, Script, answer, body, eventually, gate, gateway, h2c, http1, origin, postgres,
    sse,
};

const CLIENTS: usize = 50;

async fn before(origin: &Origin, book: &Book) -> Gateway {
    gateway().upstream(origin).settings(&usage_log(book)).start().await
}

/// The ledger, whose journal outlives the gateway.
fn usage_log(book: &Book) -> String {
    let (database, journal) = (book.url(), book.journal());
    format!("plugins: [{{ usage_log: {{ database: \"{database}\", journal: {{ path: {journal:?} }} }} }}]")
}

/// Waits until the database has every row.
async fn shipped(gateway: &Gateway) {
    eventually("an empty journal", async || gateway.metrics().await.sum("tollgate_ledger_queue_rows", &[]) == 0.0)
        .await;
}

fn paths(book: &Book) -> Vec<String> {
    book.sql("SELECT path FROM api_requests").lines().map(str::to_owned).collect()
}

/// Asks again and again on one connection until it breaks: the paths whose answers came whole, up to `end`.
async fn ask(address: SocketAddr, path: String, end: &'static str) -> Vec<String> {
    let mut received = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address).await else { return received };
    for number in 0.. {
        let path = format!("{path}/{number}");
        let request = format!("POST {path} HTTP/1.1\r\nhost: a.example\r\ncontent-length: 2\r\n\r\n{{}}");
        let (mut came, mut bytes) = (Vec::new(), [0; 1024]);
        if stream.write_all(request.as_bytes()).await.is_err() {
            break;
        }
        while !came.ends_with(end.as_bytes()) {
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return received,
                Ok(length) => came.extend_from_slice(&bytes[..length]),
            }
        }
        received.push(path);
    }
    received
}

/// Clients that ask a gateway until it is gone, all at a time: whole answers and streams by turns.
fn asking(origin: &Origin, gateway: &Gateway, round: u32) -> Vec<JoinHandle<Vec<String>>> {
    let (script, end): (Script, _) = if round.is_multiple_of(2) {
        (answer(200).body("the whole answer"), "\r\n\r\nthe whole answer")
    } else {
        (sse().event("one").event("two").end(), "\r\n0\r\n\r\n")
    };
    origin.answers(script);
    let ask = |client| tokio::spawn(ask(gateway.address(), format!("/{round}/{client}"), end));
    (0..CLIENTS).map(ask).collect()
}

/// A moment that no test chose, once every client has had answers: what the last bits of an id say.
async fn a_moment(gateway: &Gateway) {
    let answered = async || gateway.metrics().await.sum("tollgate_requests_total", &[]);
    let enough = answered().await + 3.0 * CLIENTS as f64;
    eventually("three answers for each client", async || answered().await >= enough).await;
    let moment = u64::from(plugin_api::Uuid::now_v7().as_bytes()[15]);
    sleep(Duration::from_millis(moment)).await;
}

/// Kills the gateway: the paths whose answers came whole.
async fn killed(gateway: Gateway, asking: Vec<JoinHandle<Vec<String>>>) -> Vec<String> {
    gateway.signal(Signal::SIGKILL);
    let mut received = Vec::new();
    for client in asking {
        received.extend(client.await.unwrap());
    }
    received
}

/// Starts a gateway once more, and sees that every answer that was received has its row, once, and nothing else has but what
/// was written before its client could have it.
async fn booked(origin: &Origin, book: &Book, received: &[String], rounds: u32) {
    let gateway = before(origin, book).await;
    shipped(&gateway).await;
    let rows = paths(book);
    let unique: HashSet<&String> = rows.iter().collect();
    assert_eq!(unique.len(), rows.len(), "a row stands twice");
    let missing: Vec<_> = received.iter().filter(|path| !unique.contains(path)).collect();
    assert!(missing.is_empty(), "{} of {} rows are missing: {missing:?}", missing.len(), received.len());
    assert!(received.len() > CLIENTS * rounds as usize, "{} answers are too few to tell", received.len());
    assert!(rows.len() - received.len() <= CLIENTS * rounds as usize, "{} rows of {}", rows.len(), received.len());
    book.sums_agree();
}

async fn no_kill_at_any_moment_loses_or_doubles_the_row_of_an_answer(book: Book, rounds: u32) {
    let (origin, mut received) = (origin().await, Vec::new());
    for round in 0..rounds {
        let gateway = before(&origin, &book).await;
        let asking = asking(&origin, &gateway, round);
        a_moment(&gateway).await;
        received.extend(killed(gateway, asking).await);
    }
    booked(&origin, &book, &received, rounds).await;
}

#[tokio::test]
async fn no_kill_at_any_moment_loses_or_doubles_the_row_of_an_answer_in_a_file() {
    no_kill_at_any_moment_loses_or_doubles_the_row_of_an_answer(Book::Sqlite(Folder::new()), 12).await;
}

#[tokio::test]
async fn no_kill_at_any_moment_loses_or_doubles_the_row_of_an_answer_on_a_server() {
    let book = Book::Postgres(Box::new(postgres().await));
    no_kill_at_any_moment_loses_or_doubles_the_row_of_an_answer(book, 6).await;
}

#[tokio::test]
async fn gateways_that_are_killed_before_a_frozen_server_lose_and_double_no_row() {
    const ROUNDS: u32 = 3;
    let (origin, book, mut received) = (origin().await, Book::Postgres(Box::new(postgres().await)), Vec::new());
    let Book::Postgres(server) = &book else { unreachable!() };
    for round in 0..ROUNDS {
        // it freezes in the midst of a batch, which it may yet have taken when it goes on
        let gateway = before(&origin, &book).await;
        let first = asking(&origin, &gateway, 2 * round);
        a_moment(&gateway).await;
        server.freeze();
        a_moment(&gateway).await;
        received.extend(killed(gateway, first).await);
        // the next one starts before a server that does not answer, and finds rows in the journal
        let gateway = before(&origin, &book).await;
        let second = asking(&origin, &gateway, 2 * round + 1);
        a_moment(&gateway).await;
        received.extend(killed(gateway, second).await);
        server.thaw();
    }
    booked(&origin, &book, &received, 2 * ROUNDS).await;
}

#[tokio::test]
async fn the_row_of_a_stream_outlives_a_kill_once_its_client_has_the_last_event() {
    const DONE: &str = "data: [DONE]\n\n";
    let usage = r#"data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":7}}"#;
    for cache in ["", "  - response_cache: {}\n"] {
        for http2 in [false, true] {
            let (origin, book) = (origin().await, Book::Sqlite(Folder::new()));
            let (database, journal) = (book.url(), book.journal());
            let plugins = format!(
                "plugins:\n{cache}  - usage_log: {{ database: \"{database}\", journal: {{ path: {journal:?} }} }}"
            );
            let gateway = gateway().upstream(&origin).settings(&plugins).start().await;
            origin.answers(sse().data(format!("{usage}\n\n")).data(DONE).silence());
            let mut client = if http2 { h2c(gateway.address()).await } else { http1(gateway.address()).await };
            let call = r#"{"model":"gpt-5","stream":true,"messages":[]}"#;
            let request = client.request("POST", "/v1/chat/completions").header("authorization", "Bearer a");
            let mut streaming = client.send(request.body(body(call)).unwrap()).await.unwrap();
            streaming.until(DONE).await;
            gateway.signal(Signal::SIGKILL);
            drop(gateway);
            let gateway = before(&origin, &book).await;
            shipped(&gateway).await;
            assert_eq!(
                book.sql("SELECT outcome, response_status, input_tokens, output_tokens, revision FROM api_requests"),
                "completed|200|11|7|0"
            );
        }
    }
}

#[tokio::test]
async fn a_stream_whose_client_leaves_at_the_last_event_has_one_row_that_needs_no_correction() {
    let (origin, book) = (origin().await, Book::Sqlite(Folder::new()));
    let gateway = before(&origin, &book).await;
    let first = "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\"}}\n\n";
    let last = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    origin.answers(sse().data(first).data(last).pause(Duration::from_millis(50)).end());
    for number in 0..10 {
        let mut client = if number % 2 == 0 { http1(gateway.address()).await } else { h2c(gateway.address()).await };
        let request = client.request("POST", "/v1/messages").body(body("{}")).unwrap();
        let mut streaming = client.send(request).await.unwrap();
        streaming.until(last).await;
        drop((streaming, client));
    }
    gateway.idle().await;
    shipped(&gateway).await;
    assert_eq!(
        book.sql("SELECT count(*), count(DISTINCT id), min(outcome), max(outcome), max(revision) FROM api_requests"),
        "10|10|completed|completed|0"
    );
}

#[tokio::test]
async fn a_graceful_stop_leaves_nothing_behind() {
    let (origin, book) = (origin().await, Book::Sqlite(Folder::new()));
    let mut gateway = before(&origin, &book).await;
    let mut client = http1(gateway.address()).await;
    for number in 0..20 {
        assert_eq!(client.get(&format!("/{number}")).await.status, 200);
    }
    gateway.signal(Signal::SIGTERM);
    drop(client);
    let exit = gateway.wait_exit(DEADLINE).await;
    assert!(exit.status.success() && exit.stderr.contains("shipped every row"), "{}", exit.stderr);
    assert_eq!(
        book.sql("SELECT count(*), count(DISTINCT id), count(domain), count(request_type) FROM api_requests"),
        "20|20|20|20"
    );
}

#[tokio::test]
async fn what_a_forced_stop_cuts_is_shipped_by_the_next_start() {
    let (origin, book, last) = (origin().await, Book::Sqlite(Folder::new()), gate());
    let mut gateway = before(&origin, &book).await;
    origin.answers(sse().event("first").wait(&last).end());
    let mut client = http1(gateway.address()).await;
    let mut streaming = client.send(client.request("POST", "/v1/messages").body(body("{}")).unwrap()).await.unwrap();
    assert_eq!(streaming.until("\n\n").await, "data: first\n\n");
    gateway.signal(Signal::SIGINT);
    gateway.wait_exit(DEADLINE).await;
    let gateway = before(&origin, &book).await;
    shipped(&gateway).await;
    assert_eq!(
        book.sql("SELECT path, outcome, error_type, revision FROM api_requests"),
        "/v1/messages|aborted|aborted|0"
    );
}

#[tokio::test]
async fn a_journal_has_one_gateway_at_a_time() {
    let (origin, book) = (origin().await, Book::Sqlite(Folder::new()));
    let first = before(&origin, &book).await;
    let plugins = usage_log(&book);
    let exit = gateway().upstream(&origin).settings(&plugins).start_fails().await;
    assert!(exit.stderr.contains("in use by another process; each needs its own"), "{}", exit.stderr);
    drop(first);
    before(&origin, &book).await;
}

#[tokio::test]
async fn a_database_that_is_not_there_costs_no_request_anything_and_gets_its_rows_later() {
    let (origin, folder) = (origin().await, Folder::new());
    // no file can be opened where a folder is
    let file = folder.path().join("ledger.db");
    fs::create_dir(&file).unwrap();
    let book = Book::Sqlite(folder);
    let gateway = before(&origin, &book).await;
    let mut client = http1(gateway.address()).await;
    for number in 0..20 {
        assert_eq!(client.get(&format!("/{number}")).await.status, 200);
    }
    gateway.says("they wait in the journal").await;
    assert!(gateway.metrics().await.sum("tollgate_ledger_queue_rows", &[]) >= 20.0);
    fs::remove_dir(&file).unwrap();
    shipped(&gateway).await;
    assert_eq!(book.sql("SELECT count(*), count(DISTINCT id) FROM api_requests"), "20|20");
    gateway.says("takes rows again").await;
    assert_eq!(gateway.metrics().await.sum("tollgate_ledger_lost_total", &[]), 0.0);
}

#[tokio::test]
async fn a_reload_keeps_the_ledger_and_no_row_comes_twice() {
    let (origin, book) = (origin().await, Book::Sqlite(Folder::new()));
    let gateway = before(&origin, &book).await;
    let mut client = http1(gateway.address()).await;
    for number in 0..10 {
        assert_eq!(client.get(&format!("/{number}")).await.status, 200);
        assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    }
    shipped(&gateway).await;
    assert_eq!(
        book.sql("SELECT count(*), count(DISTINCT id), count(DISTINCT instance), max(sequence) FROM api_requests"),
        "10|10|1|10"
    );
}

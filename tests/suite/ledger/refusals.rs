//! Errors that the gateway itself answers with: the row of each gives the type that the client was told.

use serde_json::Value;

use super::book::Book;
use crate::harness::{Client, Gateway, Script, answer, connect, eventually, gate, gateway, h2c, http1, origin, sse};
use crate::payloads::call;

const CALL: &str = r#"{"model":"m","max_tokens":5,"messages":[]}"#;

/// The type in an error object of either dialect.
fn told(body: &Value) -> String {
    body["error"]["type"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

/// Asks in both dialects, and remembers the paths with the status and the type that came.
async fn ask(gateway: &Gateway, name: &str, body: impl AsRef<[u8]>, status: u16, told_of: &mut Vec<(String, String)>) {
    let mut clients: [Client; 2] = [http1(gateway.address()).await, h2c(gateway.address()).await];
    for (client, endpoint) in clients.iter_mut().zip(["messages", "chat/completions"]) {
        let path = format!("/{name}/v1/{endpoint}");
        let answer = client.post(&path, body.as_ref().to_vec()).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        told_of.push((path, format!("{status}|{}", told(&answer.json()))));
    }
}

/// Sees that the rows say what the clients were told.
async fn booked(book: &Book, mut told_of: Vec<(String, String)>) {
    told_of.sort();
    let lines: Vec<String> = told_of.iter().map(|(path, told)| format!("{path}|{told}")).collect();
    eventually("a row for each", async || {
        let count = book.ask("SELECT count(*) FROM api_requests WHERE response_status >= 400");
        count.is_ok_and(|count| count == lines.len().to_string())
    })
    .await;
    let rows = book
        .sql("SELECT path, response_status, error_type FROM api_requests WHERE response_status >= 400 ORDER BY path");
    let mut rows: Vec<&str> = rows.lines().collect();
    rows.sort_unstable();
    assert_eq!(rows, lines);
}

fn plugins(book: &Book, more: &str) -> String {
    let (database, journal) = (book.url(), book.journal());
    format!("plugins: [{{ usage_log: {{ database: \"{database}\", journal: {{ path: {journal:?} }} }} }}{more}]")
}

#[tokio::test]
async fn the_row_of_an_error_that_is_made_here_gives_its_type() {
    for book in Book::both().await {
        let (origin, mut all) = (origin().await, Vec::new());
        let settings = plugins(&book, ", { max_tokens: { limit: 10 } }");
        let gateway = gateway()
            .upstream(&origin)
            .settings(&format!("server: {{ max_body: 1KiB, body_timeout: 2s }}\n{settings}"))
            .text();
        // only the server that is silent is given up early
        let silent = "routes:\n  - { paths: [/silent/], upstream: origin, timeouts: { first_byte: 300ms } }\n";
        let gateway = crate::harness::gateway().yaml(gateway.replace("routes:\n", silent)).start().await;
        ask(&gateway, "too_many", r#"{"model":"m","max_tokens":5000,"messages":[]}"#, 400, &mut all).await;
        ask(&gateway, "too_large", call(5_000, 1), 413, &mut all).await;
        origin.answers(Script::closing());
        ask(&gateway, "no_answer", CALL, 502, &mut all).await;
        origin.answers(Script::silent());
        ask(&gateway, "silent", CALL, 504, &mut all).await;
        // a client that does not send its body, in the time that it has
        for endpoint in ["messages", "chat/completions"] {
            let (path, mut raw) = (format!("/late/v1/{endpoint}"), connect(gateway.address()).await);
            raw.send(format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{{")).await;
            let answer = raw.answer().await;
            assert_eq!(answer.status, 408);
            all.push((path, format!("408|{}", told(&serde_json::from_str(&answer.text()).unwrap()))));
        }
        // what a provider says stays as it is
        origin.answers(answer(529).body(r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#));
        ask(&gateway, "overloaded", CALL, 529, &mut all).await;
        booked(&book, all).await;
    }
}

#[tokio::test]
async fn a_refusal_in_words_of_its_own_has_the_type_that_its_status_has() {
    let (origin, book) = (origin().await, Book::Sqlite(crate::harness::Folder::new()));
    let settings = plugins(&book, ", { max_tokens: { limit: 10, error_format: plain } }");
    let gateway = gateway().upstream(&origin).settings(&settings).start().await;
    let answer = http1(gateway.address()).await.post("/v1/messages", CALL.replace('5', "5000")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (400, &Value::from("max_tokens too high")));
    booked(&book, vec![("/v1/messages".into(), "400|invalid_request_error".into())]).await;
}

#[tokio::test]
async fn a_call_for_which_no_server_has_room_says_so_in_its_row() {
    let (origin, book, last) = (origin().await, Book::Sqlite(crate::harness::Folder::new()), gate());
    origin.answers(sse().event("one").wait(&last).end());
    let server = format!("{} max_conns: 1", origin.server());
    let yaml = gateway().server(server).settings(&plugins(&book, "")).text();
    let gateway = gateway().yaml(yaml.replace(" max_conns: 1\" }", "\", max_conns: 1 }")).start().await;
    let mut first = http1(gateway.address()).await;
    let request = first.request("POST", "/first/v1/messages").body(crate::harness::body(CALL)).unwrap();
    let mut streaming = first.send(request).await.unwrap();
    streaming.until("\n\n").await;
    let mut all = Vec::new();
    ask(&gateway, "full", CALL, 503, &mut all).await;
    last.open();
    drop(streaming);
    booked(&book, all).await;
}

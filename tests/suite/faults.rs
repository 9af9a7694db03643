//! Every kind of refusal, and a panic in every hook, by the example plugin `inject_faults`: what the client gets, what the row says,
//! what is counted.

use serde_json::{Value, json};

use crate::harness::{
    Answer, Folder, Gateway, Origin, Streaming, answer, body, eventually, gateway, h2c, http1, origin,
};
use crate::ledger::book::Book;

const CALL: &str = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
const ANSWER: &str = r#"{"id":"m","type":"message","model":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":5}}"#;
/// The endpoints, one of each dialect.
const ENDPOINTS: [&str; 2] = ["messages", "chat/completions"];

/// A gateway with a ledger and the plugin.
async fn faulty(origin: &Origin, book: &Book) -> Gateway {
    let (database, journal) = (book.url(), book.journal());
    let ledger = format!("usage_log: {{ database: \"{database}\", journal: {{ path: {journal:?} }} }}");
    gateway()
        .with_examples()
        .upstream(origin)
        .settings(&format!("plugins:\n  - {ledger}\n  - inject_faults: {{}}\n"))
        .start()
        .await
}

const PROTOCOLS: [&str; 2] = ["http1", "h2"];

/// Sends a call that asks for a fault, on a connection of its own: the fault may end it.
async fn send(
    gateway: &Gateway,
    protocol: &str,
    (method, path): (&str, &str),
    fault: &str,
) -> hyper::Result<Streaming> {
    let address = gateway.address();
    let mut client = if protocol == "h2" { h2c(address).await } else { http1(address).await };
    let call = body(if method == "POST" { CALL } else { "" });
    client.send(client.request(method, path).header("x-fault", fault).body(call).unwrap()).await
}

/// The same, for its whole answer.
async fn ask(gateway: &Gateway, protocol: &str, path: &str, fault: &str) -> Answer {
    send(gateway, protocol, ("POST", path), fault).await.unwrap().whole().await
}

/// What a dialect says of an error: the status, the type, and what else it holds.
fn told(answer: &Answer) -> (u16, Value, Value) {
    let mut object = answer.json();
    let error = object["error"].take();
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    if object.get("type").is_some() {
        assert_eq!(object["request_id"].as_str(), answer.header("x-request-id"), "{object}");
    }
    (answer.status.as_u16(), error["type"].clone(), error["code"].clone())
}

/// The rows whose paths begin like this, as lines of these columns.
async fn rows(book: &Book, path: &str, count: usize, columns: &str) -> Vec<String> {
    let query = format!("SELECT {columns} FROM api_requests WHERE path LIKE '{path}%' ORDER BY path");
    let mut found = Vec::new();
    eventually("a row for each request", async || {
        found = book.ask(&query).unwrap_or_default().lines().map(str::to_owned).collect();
        found.len() >= count
    })
    .await;
    found
}

#[tokio::test]
async fn every_kind_of_refusal_has_its_status_words_row_and_count_in_both_dialects_and_protocols() {
    let (origin, book) = (origin().await, Book::Sqlite(Folder::new()));
    let gateway = faulty(&origin, &book).await;
    let mut asked = 0;
    for (status, wait, anthropic, openai, code) in [
        (400, None, "invalid_request_error", "invalid_request_error", json!(null)),
        (401, None, "authentication_error", "invalid_request_error", json!("invalid_api_key")),
        (402, Some("3600"), "billing_error", "insufficient_quota", json!("insufficient_quota")),
        (403, None, "permission_error", "invalid_request_error", json!("permission_denied")),
        (413, None, "request_too_large", "invalid_request_error", json!("request_too_large")),
        (429, Some("30"), "rate_limit_error", "requests", json!("rate_limit_exceeded")),
        (503, Some("1"), "api_error", "server_error", json!("service_unavailable")),
    ] {
        // HTTP/2 takes no value that ends with a space
        let fault = format!("refuse {status} {}", wait.unwrap_or_default()).trim_end().to_owned();
        for protocol in PROTOCOLS {
            for (endpoint, error_type, code) in [(ENDPOINTS[0], anthropic, &Value::Null), (ENDPOINTS[1], openai, &code)]
            {
                let path = format!("/{status}/{protocol}/v1/{endpoint}");
                let answer = ask(&gateway, protocol, &path, &fault).await;
                assert_eq!(told(&answer), (status, json!(error_type), code.clone()), "{path}");
                assert_eq!(answer.header("retry-after"), wait, "{path}");
                let is_final = !matches!(status, 429 | 503);
                assert_eq!(answer.header("x-should-retry"), is_final.then_some("false"), "{path}");
                asked += 1;
            }
        }
        let row = |error_type: &str| format!("{status}|{error_type}|refused|inject_faults|injected|0");
        let columns = "response_status, error_type, outcome, plugin, reason, attempts";
        let wanted = [row(openai), row(anthropic), row(openai), row(anthropic)];
        assert_eq!(rows(&book, &format!("/{status}/"), 4, columns).await, wanted, "{status}");
    }
    let counted =
        gateway.metrics().await.sum("tollgate_refusals_total", &[("plugin", "inject_faults"), ("reason", "injected")]);
    assert_eq!(counted, f64::from(asked));
    let lines = gateway.access_log();
    let is_named = |line: &&Value| line["plugin"] == "inject_faults" && line["reason"] == "injected";
    assert_eq!(lines.iter().filter(is_named).count(), 28, "{lines:?}");
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_panic_before_the_head_of_the_answer_is_a_500_in_dialect_with_its_row() {
    let (origin, book) = (origin().await, Book::Sqlite(Folder::new()));
    origin.answers(answer(200).header("content-type", "application/json").body(ANSWER));
    let gateway = faulty(&origin, &book).await;
    for (number, hook) in ["on_request", "on_forward", "on_call", "transforms", "on_response"].into_iter().enumerate() {
        for protocol in PROTOCOLS {
            for (endpoint, error_type) in [(ENDPOINTS[0], "api_error"), (ENDPOINTS[1], "server_error")] {
                let path = format!("/{hook}/{protocol}/v1/{endpoint}");
                let answer = ask(&gateway, protocol, &path, &format!("panic {hook}")).await;
                assert_eq!(told(&answer), (500, json!(error_type), Value::Null), "{path}");
                assert!(!answer.text().contains("fault was injected"), "{}", answer.text());
            }
        }
        let wanted = ["server_error", "api_error", "server_error", "api_error"];
        let wanted =
            wanted.map(|error_type| format!("500|{error_type}|aborted|inject_faults|{}", usize::from(number > 2)));
        let columns = "response_status, error_type, outcome, plugin, attempts";
        assert_eq!(rows(&book, &format!("/{hook}/"), 4, columns).await, wanted, "{hook}");
    }
    serves_on(&gateway, 20).await;
}

#[tokio::test]
async fn a_panic_amid_the_answer_breaks_it_off_and_has_its_row() {
    let (origin, book) = (origin().await, Book::Sqlite(Folder::new()));
    let batch = json!({ "custom_id": "a", "result": { "type": "succeeded", "message": serde_json::from_str::<Value>(ANSWER).unwrap() } });
    origin.answers_with(move |request| match request.target.ends_with("results") {
        true => answer(200).header("content-type", "application/x-jsonl").body(format!("{batch}\n")),
        false => answer(200).header("content-type", "application/json").body(ANSWER),
    });
    let gateway = faulty(&origin, &book).await;
    for (hook, method, target) in [
        ("on_chunk", "POST", "v1/messages"),
        ("on_part", "POST", "v1/messages"),
        ("on_batch_result", "GET", "v1/messages/batches/msgbatch_1/results"),
    ] {
        for protocol in PROTOCOLS {
            let path = format!("/{hook}/{protocol}/{target}");
            // the head may have gone out by then; what follows is no whole answer
            match send(&gateway, protocol, (method, &path), &format!("panic {hook}")).await {
                Ok(mut streaming) if streaming.status == 500 => drop(streaming.rest().await),
                Ok(mut streaming) => assert!(!streaming.rest().await.1, "{path}"),
                Err(_) => {}
            }
        }
        let found = rows(&book, &format!("/{hook}/"), 2, "outcome, plugin").await;
        assert_eq!(found, ["aborted|inject_faults"; 2], "{hook}");
    }
    serves_on(&gateway, 6).await;
}

#[tokio::test]
async fn a_panic_at_the_end_costs_neither_the_answer_nor_the_row() {
    let (origin, book) = (origin().await, Book::Sqlite(Folder::new()));
    origin.answers(answer(200).header("content-type", "application/json").body(ANSWER));
    let gateway = faulty(&origin, &book).await;
    for hook in ["before_last_byte", "on_complete"] {
        for protocol in PROTOCOLS {
            let path = format!("/{hook}/{protocol}/v1/messages");
            let answer = ask(&gateway, protocol, &path, &format!("panic {hook}")).await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, ANSWER), "{path}");
        }
        let found = rows(&book, &format!("/{hook}/"), 2, "response_status, error_type, outcome, output_tokens").await;
        assert_eq!(found, ["200||completed|5", "200||completed|5"], "{hook}");
    }
    serves_on(&gateway, 4).await;
}

/// Sees that every panic was counted, that each cost its own request only, and that nothing of them is left.
async fn serves_on(gateway: &Gateway, panics: u32) {
    eventually("every panic counted", async || {
        gateway.metrics().await.sum("tollgate_plugin_panics_total", &[("plugin", "inject_faults")]) == f64::from(panics)
    })
    .await;
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", CALL).await.text(), ANSWER);
    gateway.idle().await;
}

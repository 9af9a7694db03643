//! A WebSocket: each message that asks for an answer is a call like any other, and no byte of the rest changes.

mod budget;
mod callers;
mod client;
mod closing;
mod events;
mod frames;
mod limits;
mod models;
mod peer;
mod reload;

use std::net::SocketAddr;

use serde_json::{Value, json};
use tollgate::simulate::{self, Settings};

use crate::harness::{Gateway, connect, eventually, gateway, http1, origin};

use client::{handshake, socket};
use peer::peer;

/// Output tokens of the simulator's answers.
const TOKENS: u64 = 10;

/// A simulated upstream of this test's own.
fn simulator() -> SocketAddr {
    let listener = simulate::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(simulate::serve(listener, Settings { tokens: TOKENS, ..Settings::default() }));
    address
}

/// A gateway before a simulator, with these plugins.
async fn simulated(plugins: &str) -> (SocketAddr, Gateway) {
    let simulator = simulator();
    let gateway = gateway().server(format!("http://{simulator}")).settings(&format!("plugins:\n{plugins}"));
    (simulator, gateway.start().await)
}

/// How many calls have reached a simulator.
async fn calls(simulator: SocketAddr) -> u64 {
    http1(simulator).await.get("/stats").await.json()["calls"].as_u64().unwrap()
}

fn create(model: &str, limit: u64) -> Value {
    json!({ "type": "response.create", "model": model, "max_output_tokens": limit, "input": "hello" })
}

/// The line of a call in the access log, by its place among the calls.
async fn call_line(gateway: &Gateway, place: usize) -> Value {
    let lines = || gateway.access_log().into_iter().filter(|line| line["endpoint"].is_string()).collect::<Vec<_>>();
    eventually("the line", async || lines().len() > place).await;
    lines()[place].clone()
}

const USAGE_LOG: &str = "  - usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal } }\n";

#[tokio::test]
async fn calls_that_name_the_answer_before_them_are_one_conversation() {
    let (_, gateway) = simulated(USAGE_LOG).await;
    let mut client = socket(&gateway, "/v1/responses", &[]).await;
    // as Codex does: the list of messages once, and then what is new
    let mut earlier = Value::Null;
    for text in ["hello", "and?", "and?", "anew"] {
        let mut message = create("gpt-5", 1000);
        message["input"] = json!([{ "type": "message", "role": "user", "content": text }]);
        if text != "anew" && !earlier.is_null() {
            message["previous_response_id"] = earlier;
        }
        client.send(&message).await;
        earlier = client.until("response.completed").await["response"]["id"].clone();
    }
    let ledger = gateway.folder().join("ledger.db");
    let rows = || {
        let script = "import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute(\
                      'SELECT conversation_id FROM api_requests WHERE model IS NOT NULL ORDER BY created_at'): print(*row)";
        let output = std::process::Command::new("python3").args(["-c", script]).arg(&ledger).output();
        String::from_utf8(output.unwrap().stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("all rows", async || rows().len() == 4).await;
    let conversations = rows();
    assert!(conversations[..3].iter().all(|id| *id == conversations[0]), "{conversations:?}");
    assert_ne!(conversations[3], conversations[0]);
}

#[tokio::test]
async fn each_call_and_the_handshake_have_a_row_a_line_and_a_count() {
    let (_, gateway) = simulated(USAGE_LOG).await;
    let mut client = socket(&gateway, "/v1/responses", &[("x-session-id", "s1")]).await;
    for model in ["gpt-5", "gpt-4o"] {
        client.send(&create(model, 1000)).await;
        let last = client.until("response.completed").await;
        assert_eq!(last["response"]["usage"]["output_tokens"], TOKENS);
    }
    client.close().await;
    gateway.logged(|line| line["status"] == 101).await;
    let told = |line: &Value| {
        let keys = ["path", "protocol", "status", "outcome", "endpoint", "model", "output_tokens", "session_id"];
        keys.map(|key| line[key].as_str().map_or_else(|| line[key].to_string(), str::to_owned)).join("|")
    };
    let lines: Vec<_> = gateway.access_log().iter().filter(|line| line["path"] == "/v1/responses").map(told).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], "/v1/responses|websocket|200|completed|responses|gpt-5|10|s1");
    assert_eq!(lines[1], "/v1/responses|websocket|200|completed|responses|gpt-4o|10|s1");
    assert_eq!(lines[2], "/v1/responses|websocket|101|completed|null|null|null|s1");
    let counted = async |status: &str| {
        let metrics = gateway.metrics().await;
        metrics.sum("http_request_duration_seconds_count", &[("status", status)])
    };
    assert_eq!((counted("101").await, counted("200").await), (1.0, 2.0));
    let ledger = gateway.folder().join("ledger.db");
    let rows = || {
        let statement = "SELECT protocol, endpoint, model, response_status, outcome, output_tokens, usage_source, \
                         cost_usd IS NOT NULL FROM api_requests ORDER BY created_at";
        let script =
            "import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]): print(*row, sep='|')";
        let output = std::process::Command::new("python3").args(["-c", script]).arg(&ledger).arg(statement).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    eventually("all rows", async || rows().lines().count() == 3).await;
    assert_eq!(
        rows(),
        "websocket|None|None|101|completed|None|none|0\n\
         websocket|responses|gpt-5|200|completed|10|reported|1\n\
         websocket|responses|gpt-4o|200|completed|10|reported|1\n"
    );
}

#[tokio::test]
async fn a_call_over_the_limit_is_refused_by_an_error_event_and_the_connection_stays() {
    let (simulator, gateway) = simulated("  - max_tokens: { limit: 100 }\n").await;
    for (path, over, under) in [
        ("/v1/responses", create("m", 101), create("m", 100)),
        (
            "/v1/realtime?model=m",
            json!({ "type": "response.create", "event_id": "e1", "response": { "max_output_tokens": 101 } }),
            json!({ "type": "response.create", "response": { "max_output_tokens": 100 } }),
        ),
        (
            "/v1/realtime?model=m",
            json!({ "type": "response.create", "event_id": "e1", "response": { "max_response_output_tokens": 101 } }),
            json!({ "type": "response.create" }),
        ),
    ] {
        let before = calls(simulator).await;
        let mut client = socket(&gateway, path, &[]).await;
        client.send(&over).await;
        let event = client.event().await;
        assert_eq!((&event["type"], &event["error"]["type"]), (&json!("error"), &json!("invalid_request_error")));
        assert!(event["error"]["message"].as_str().unwrap().contains("Maximum allowed tokens is 100"), "{event}");
        assert_eq!(event["error"]["event_id"].as_str(), over["event_id"].as_str());
        assert_eq!(event["status"].as_u64(), over["event_id"].is_null().then_some(400));
        assert_eq!(calls(simulator).await, before);
        client.send(&under).await;
        client.until(if path.contains("realtime") { "response.done" } else { "response.completed" }).await;
        assert_eq!(calls(simulator).await, before + 1);
    }
    let line = gateway.logged(|line| line["outcome"] == "refused").await;
    let told = ["protocol", "plugin", "reason", "endpoint", "model"].map(|key| line[key].as_str().unwrap_or_default());
    assert_eq!((told, line["status"].as_u64()), (["websocket", "max_tokens", "too_high", "responses", "m"], Some(400)));
}

#[tokio::test]
async fn a_number_that_is_clamped_changes_and_no_other_byte_does() {
    let (peer, gateway) = peer("  - max_tokens: { limit: 50, mode: clamp, default: 20 }\n", "").await;
    let (mut client, mut server) = peer.open(&gateway, "/v1/realtime?model=m").await;
    for (sent, wanted) in [
        (
            r#"{"type" : "response.create", "response": { "max_output_tokens": 51, "x": 1e400 }, "y":[]}"#,
            r#"{"type" : "response.create", "response": { "max_output_tokens": 50, "x": 1e400 }, "y":[]}"#,
        ),
        (r#"{"type":"response.create"}"#, r#"{"response":{"max_output_tokens":20},"type":"response.create"}"#),
        (
            r#"{"type":"response.create", "response": null}"#,
            r#"{"type":"response.create", "response": {"max_output_tokens":20}}"#,
        ),
    ] {
        client.send_text(sent).await;
        assert_eq!(server.text().await, wanted);
    }
}

#[tokio::test]
async fn a_key_is_held_to_its_models_in_each_message() {
    let key = "secret-of-alice-1234";
    let digest = {
        let script = "import hashlib, sys; print(hashlib.sha256(sys.argv[1].encode()).hexdigest())";
        let output = std::process::Command::new("python3").args(["-c", script, key]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let keys = format!("  - api_keys: {{ keys: [{{ name: alice, sha256: [\"{digest}\"], models: [\"gpt-5*\"] }}] }}\n");
    let (simulator, gateway) = simulated(&keys).await;
    assert_eq!(handshake(&gateway, "/v1/responses", &[]).await.unwrap_err().0, 401);
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", &*authorization)];
    let mut client = socket(&gateway, "/v1/responses", &headers).await;
    client.send(&create("gpt-4o", 10)).await;
    let refused = client.event().await;
    assert_eq!((refused["status"].as_u64(), &refused["error"]["code"]), (Some(403), &json!("permission_denied")));
    client.send_text(r#"{"type":"response.create"}"#).await;
    assert_eq!(client.event().await["status"], 403);
    client.send(&create("gpt-5-mini", 10)).await;
    client.until("response.completed").await;
    assert_eq!(calls(simulator).await, 1);
    assert_eq!(call_line(&gateway, 2).await["key_name"], "alice");
    // a session is for the model of its address
    assert_eq!(handshake(&gateway, "/v1/realtime?model=gpt-realtime", &headers).await.unwrap_err().0, 403);
    for (before, behind) in
        [("", "&mod%65l=gpt-4o"), ("", "&MODEL=gpt-4o"), ("", ";model=gpt-4o"), ("model[]=gpt-4o&", "")]
    {
        let target = format!("/v1/realtime?{before}model=gpt-5-realtime{behind}");
        assert_eq!(handshake(&gateway, &target, &headers).await.unwrap_err().0, 403, "{target}");
    }
    let mut session = socket(&gateway, "/v1/realtime?model=gpt-5-realtime", &headers).await;
    session.send_text(r#"{"type":"response.create"}"#).await;
    session.until("response.done").await;
}

#[tokio::test]
async fn an_answer_that_the_server_begins_is_a_call_and_is_cancelled_beyond_a_limit() {
    let limits = "  - rate_limit: { limits: [{ by: all, requests: 1/month }] }\n";
    let (peer, gateway) = peer(limits, "").await;
    let (mut client, mut server) = peer.open(&gateway, "/v1/realtime?model=m").await;
    let created = |id: &str| json!({ "type": "response.created", "response": { "id": id } });
    let done = |id: &str| {
        json!({ "type": "response.done", "response": { "id": id, "status": "completed",
            "usage": { "total_tokens": 30, "input_tokens": 20, "output_tokens": 10 } } })
    };
    for event in [created("r1"), done("r1")] {
        server.send_text(&event.to_string()).await;
        assert_eq!(client.event().await, event);
    }
    let line = call_line(&gateway, 0).await;
    let told = |line: &Value| ["endpoint", "outcome", "model"].map(|key| line[key].as_str().unwrap().to_owned());
    assert_eq!(told(&line), ["realtime", "completed", "m"]);
    server.send_text(&created("r2").to_string()).await;
    assert_eq!(client.event().await, created("r2"));
    assert_eq!(client.event().await["error"]["code"], "rate_limit_exceeded");
    let cancel: Value = serde_json::from_str(&server.text().await).unwrap();
    assert_eq!(cancel, json!({ "type": "response.cancel", "response_id": "r2" }));
    server.send_text(&done("r2").to_string()).await;
    client.until("response.done").await;
    assert_eq!(told(&call_line(&gateway, 1).await), ["realtime", "refused", "m"]);
}

#[tokio::test]
async fn a_client_that_leaves_and_a_server_that_breaks_are_told_apart_in_the_row_of_the_call() {
    let (peer, gateway) = peer("  - rate_limit: { limits: [{ by: all, concurrent: 1 }] }\n", "").await;
    let begun = async || {
        let (mut client, mut server) = peer.open(&gateway, "/v1/responses").await;
        client.send(&create("m", 10)).await;
        server.text().await;
        server.send_text(r#"{"type":"response.created","response":{"id":"r"}}"#).await;
        client.event().await;
        (client, server)
    };
    let (client, _server) = begun().await;
    drop(client);
    let line = call_line(&gateway, 0).await;
    assert_eq!((&line["outcome"], &line["error"]), (&json!("client_gone"), &json!("client_gone")), "{line}");
    let (mut client, server) = begun().await;
    drop(server);
    client.end().await;
    let line = call_line(&gateway, 1).await;
    assert_eq!((&line["outcome"], &line["error"]), (&json!("upstream_failed"), &json!("broken_answer")), "{line}");
    eventually("nothing held", async || gateway.metrics().await.sum("tollgate_limit_reserved", &[]) == 0.0).await;
    assert_eq!(gateway.metrics().await.sum("tollgate_requests_in_flight", &[]), 0.0);
}

#[tokio::test]
async fn a_call_that_the_server_does_not_answer_is_over() {
    let (peer, gateway) = peer("  - rate_limit: { limits: [{ by: all, concurrent: 1 }] }\n", "").await;
    let (mut client, mut server) = peer.open(&gateway, "/v1/responses").await;
    for _ in 0..2 {
        client.send(&create("m", 10)).await;
        server.text().await;
        server
            .send_text(r#"{"type":"error","status":400,"error":{"type":"invalid_request_error","message":"no"}}"#)
            .await;
        assert_eq!(client.event().await["error"]["message"], "no");
    }
    let line = call_line(&gateway, 1).await;
    assert_eq!((&line["outcome"], &line["model"]), (&json!("upstream_failed"), &json!("m")));
}

#[tokio::test]
async fn a_route_that_ignores_websockets_sends_a_handshake_on_as_a_plain_request() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).route_settings("websocket: ignore").start().await;
    let upgrade = "connection: upgrade, x-hop\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (n, (end, body)) in [("\r\n", ""), ("content-length: 4\r\n\r\n", "body")].into_iter().enumerate() {
        let mut client = connect(gateway.address()).await;
        client.send(format!("GET /v1/responses HTTP/1.1\r\nhost: a\r\n{upgrade}{end}{body}")).await;
        assert_eq!(client.answer().await.status, 200);
        let seen = origin.request(n).await;
        assert_eq!((seen.header("upgrade"), seen.body.as_slice()), (None, body.as_bytes()));
        let connection = seen.header("connection").unwrap_or_default().to_ascii_lowercase();
        assert!(!connection.contains("upgrade"), "{connection}");
    }
    let line = gateway.logged(|line| line["path"] == "/v1/responses").await;
    assert_eq!((&line["status"], &line["protocol"]), (&json!(200), &json!("http/1.1")));
}

#[tokio::test]
async fn a_route_without_websockets_answers_426_in_the_callers_words() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).route_settings("websocket: off").start().await;
    for path in ["/v1/responses", "/socket"] {
        let (status, body) = handshake(&gateway, path, &[]).await.unwrap_err();
        let error: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &error["error"]["code"]), (426, &json!("websocket_off")));
    }
    assert_eq!(http1(gateway.address()).await.post("/v1/responses", "{}").await.status, 200);
    assert_eq!(origin.count(), 1);
    let line = gateway.logged(|line| line["status"] == 426).await;
    assert_eq!((&line["error"], &line["outcome"]), (&json!("websocket_off"), &json!("refused")));
}

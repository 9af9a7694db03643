//! A budget that is used up by the calls of a WebSocket.

use serde_json::{Value, json};

use super::client::{Socket, socket};
use super::{calls, create, simulated};
use crate::harness::eventually;

/// In microdollars, of which each token costs one.
const BUDGET: u64 = 1000;
const PLUGINS: &str = "  - budget: { limits: [{ by: all, usd: 0.001/month }], reserve: max_tokens, refresh: 100ms }\n  \
     - usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal }, \
     prices: { m: { input: 1, output: 1, cache_write: 1 } } }\n";

/// Makes a call: what it has cost, or the event by which it is refused.
async fn made(client: &mut Socket, call: &Value) -> Result<u64, Value> {
    client.send(call).await;
    loop {
        let event = client.event().await;
        match event["type"].as_str().unwrap() {
            "error" => return Err(event),
            "response.completed" | "response.done" => {
                let usage = &event["response"]["usage"];
                return Ok(usage["input_tokens"].as_u64().unwrap() + usage["output_tokens"].as_u64().unwrap());
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_used_up_budget_refuses_calls_by_an_event_and_has_the_sum_of_the_ledger() {
    let (simulator, gateway) = simulated(PLUGINS).await;
    let mut session = socket(&gateway, "/v1/realtime?model=m", &[]).await;
    let mut client = socket(&gateway, "/v1/responses", &[]).await;
    let ask = json!({ "type": "response.create", "event_id": "e", "response": { "max_output_tokens": 10 } });
    let (mut spent, mut passed) = (0, 0);
    let mut used_up = async |client: &mut Socket, call: &Value| loop {
        match made(client, call).await {
            Ok(cost) => (spent, passed) = (spent + cost, passed + 1),
            Err(event) => return event,
        }
    };
    let refused = used_up(&mut client, &create("m", 10)).await;
    assert_eq!(
        (&refused["status"], &refused["error"]["type"]),
        (&json!(429), &json!("usage_limit_reached")),
        "{refused}"
    );
    assert!(refused["error"]["message"].as_str().unwrap().starts_with("Budget `all`"), "{refused}");
    let refused = used_up(&mut session, &ask).await;
    assert_eq!((refused["status"].as_u64(), &refused["error"]["event_id"]), (None, &json!("e")), "{refused}");
    assert_eq!(refused["error"]["code"], "rate_limit_exceeded");
    assert!(passed > 2 && spent <= BUDGET, "{passed} {spent}");
    assert_eq!(calls(simulator).await, passed);
    // both connections are still there
    assert!(made(&mut session, &ask).await.is_err() && made(&mut client, &create("m", 10)).await.is_err());
    eventually("an empty journal", async || gateway.metrics().await.sum("tollgate_ledger_queue_rows", &[]) == 0.0)
        .await;
    let script = "import sqlite3, sys\nprint(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])";
    let output = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(gateway.folder().join("ledger.db"))
        .arg("SELECT sum(cost_picos) / 1000000 FROM api_requests")
        .output();
    let sum: u64 = String::from_utf8(output.unwrap().stdout).unwrap().trim().parse().unwrap();
    let metrics = gateway.metrics().await;
    let ratio = metrics.sum("tollgate_budget_used_ratio", &[("limit", "all"), ("subject", "")]);
    let counted = (ratio * BUDGET as f64).round() as u64;
    assert_eq!((sum, counted, metrics.sum("tollgate_budget_reserved_usd", &[])), (spent, spent, 0.0));
}

//! Metric series: bounded by the configuration, whatever names clients and upstreams make up.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::harness::{Gateway, answer, body, eventually, gateway, http1, origin};

/// So many requests, each with a name of its own wherever a client or an upstream chooses one.
const REQUESTS: usize = 10_000;
const CLIENTS: usize = 8;
/// Statuses that nobody has registered, two of each class that an answer may have.
const STATUSES: [u16; 6] = [231, 257, 452, 456, 532, 555];

/// How many lines `/metrics` has that are samples.
async fn series(gateway: &Gateway) -> usize {
    let shown = gateway.ask("GET", "/metrics").await;
    let text = String::from_utf8(shown.body).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).count()
}

/// Makes up a host, a path, a key, a model, a user, a session, and now and then a method, from each of these numbers.
async fn ask(address: SocketAddr, numbers: impl Iterator<Item = usize>) {
    let mut client = http1(address).await;
    for number in numbers {
        let method = if number % 5 == 0 { format!("M{number}") } else { "POST".to_owned() };
        let mut call = String::new();
        write!(call, r#"{{"model":"made-up-{number}","messages":[],"metadata":{{"user_id":"id-{number}"}}}}"#).unwrap();
        let request = hyper::Request::builder()
            .method(&*method)
            .uri(format!("/made-up-{number}/v1/messages?query={number}"))
            .header("host", format!("h{number}.example"))
            .header("x-api-key", format!("key-{number}"))
            .header("x-user", format!("user-{number}"))
            .header("x-claude-code-session-id", format!("session-{number}"))
            .body(body(call));
        assert!(client.call(request.unwrap()).await.status.as_u16() > 200);
    }
}

#[tokio::test]
async fn ten_thousand_made_up_names_add_no_series() {
    let origin = origin().await;
    origin.answers_with(|asked| {
        // the model that answers is made up, too
        let model = asked.target.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
        let number: usize = model.trim_start_matches("made-up-").parse().unwrap();
        let usage = r#""usage":{"input_tokens":3,"output_tokens":5}"#;
        answer(STATUSES[number / 5 % STATUSES.len()]).body(format!(
            r#"{{"id":"m","type":"message","model":"{model}","content":[],"stop_reason":"end_turn",{usage}}}"#
        ))
    });
    let plugins = "plugins:\n  - max_tokens: { models: { \"known-*\": 1000 } }\n  \
                   - rate_limit: { limits: [{ by: user, requests: 1000/s }, { by: session, tokens: 1000000/m }] }\n  - response_cache: {}\n  \
                   - usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal }, tenant_labels: 5 }\n";
    let gateway = gateway().upstream(&origin).upstream_settings("eject: { on: [] }").settings(plugins).start().await;
    // each status with each method
    let first = 10 * STATUSES.len();
    ask(gateway.address(), 0..first).await;
    let counted = async |number: usize| {
        let metrics = gateway.metrics().await;
        let count = metrics.sum("tollgate_requests_total", &[]);
        count as usize >= number && metrics.sum("tollgate_ledger_queue_rows", &[]) == 0.0
    };
    eventually("the first are counted", async || counted(first).await).await;
    let before = series(&gateway).await;
    let clients = (0..CLIENTS).map(|client| {
        let address = gateway.address();
        tokio::spawn(async move { ask(address, (first + client..REQUESTS).step_by(CLIENTS)).await })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    eventually("all are counted", async || counted(REQUESTS).await).await;
    let metrics = gateway.metrics().await;
    assert_eq!(series(&gateway).await, before);
    assert!(metrics.has("claude_tokens_total", &[("domain", "other"), ("model", "other")]));
    let name = "http_request_duration_seconds_count";
    assert!(metrics.has(name, &[("method", "OTHER"), ("endpoint", "other"), ("status", "5xx")]));
    assert!(metrics.has(name, &[("method", "POST"), ("endpoint", "messages"), ("status", "4xx")]));
    assert!(metrics.has("tollgate_errors_total", &[("reason", "http_4xx")]));
}

//! Metric series: bounded by the configuration, whatever names clients and upstreams make up.

use std::fmt::Write as _;

use crate::harness::{Gateway, answer, body, eventually, gateway, http1, origin};

/// So many requests, each with names of its own in four places.
const REQUESTS: usize = 2_500;

/// How many lines `/metrics` has that are samples.
async fn series(gateway: &Gateway) -> usize {
    let shown = gateway.ask("GET", "/metrics").await;
    let text = String::from_utf8(shown.body).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).count()
}

/// Makes up a host, a path, a key, a model and now and then a method, from each of these numbers.
async fn ask(gateway: &Gateway, numbers: std::ops::Range<usize>) {
    let mut client = http1(gateway.address()).await;
    for number in numbers {
        let method = if number % 5 == 0 { format!("M{number}") } else { "POST".to_owned() };
        let mut call = String::new();
        write!(call, r#"{{"model":"made-up-{number}","messages":[]}}"#).unwrap();
        let request = hyper::Request::builder()
            .method(&*method)
            .uri(format!("/made-up-{number}/v1/messages"))
            .header("host", format!("h{number}.example"))
            .header("x-api-key", format!("key-{number}"))
            .body(body(call));
        assert_eq!(client.call(request.unwrap()).await.status, 200);
    }
}

#[tokio::test]
async fn ten_thousand_made_up_names_add_no_series() {
    let origin = origin().await;
    origin.answers_with(|asked| {
        // the model that answers is made up, too
        let model = asked.target.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
        let usage = r#""usage":{"input_tokens":3,"output_tokens":5}"#;
        answer(200).body(format!(
            r#"{{"id":"m","type":"message","model":"{model}","content":[],"stop_reason":"end_turn",{usage}}}"#
        ))
    });
    let plugins = "plugins:\n  - max_tokens: { models: { \"known-*\": 1000 } }\n  - response_cache: {}\n  \
                   - usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal } }\n";
    let gateway = gateway().upstream(&origin).settings(plugins).start().await;
    ask(&gateway, 0..6).await;
    let counted = async |number: usize| {
        let metrics = gateway.metrics().await;
        let count = metrics.sum("tollgate_requests_total", &[]);
        count as usize >= number && metrics.sum("tollgate_ledger_queue_rows", &[]) == 0.0
    };
    eventually("the first are counted", async || counted(6).await).await;
    let before = series(&gateway).await;
    ask(&gateway, 6..REQUESTS).await;
    eventually("all are counted", async || counted(REQUESTS).await).await;
    let metrics = gateway.metrics().await;
    assert_eq!(series(&gateway).await, before);
    assert!(metrics.has("claude_tokens_total", &[("domain", "other"), ("model", "other")]));
    assert!(metrics.has("http_request_duration_seconds_count", &[("method", "OTHER")]));
}

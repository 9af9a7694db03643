//! What a plugin refuses: who did it and why, in the answer, the row, the metric and the access log.

use crate::harness::{Answer, Client, answer, eventually, gateway, h2c, http1, origin};

const PLUGINS: &str = "plugins:\n  - max_tokens: { limit: 4000 }\n  \
                       - usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal } }\n";

/// Asks for more than the limit, and for what cannot be read, in both dialects.
async fn refused(client: &mut Client) -> Vec<Answer> {
    let mut answers = Vec::new();
    for path in ["/v1/messages", "/v1/chat/completions"] {
        for call in [r#"{"model":"m","max_tokens":4001}"#, r#"{"max_tokens":4001"#] {
            answers.push(client.post(path, call).await);
        }
    }
    answers
}

#[tokio::test]
async fn a_refusal_tells_who_refused_and_why_wherever_it_is_looked_for() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(PLUGINS).start().await;
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        for (number, answer) in refused(&mut client).await.into_iter().enumerate() {
            assert_eq!(answer.status, 400, "{number}");
            assert_eq!(answer.json()["error"]["type"], "invalid_request_error", "{number}");
            assert_eq!(answer.header("x-should-retry"), Some("false"), "{number}");
            assert_eq!(answer.json().get("request_id").is_some(), number < 2, "{number}");
        }
    }
    assert_eq!(origin.connections(), 0);
    eventually("a line for each", async || gateway.access_log().len() == 8).await;
    for reason in ["too_high", "unreadable"] {
        let lines = gateway.access_log();
        let of_reason = lines.iter().filter(|line| line["plugin"] == "max_tokens" && line["reason"] == reason);
        assert_eq!(of_reason.filter(|line| line["outcome"] == "refused").count(), 4, "{reason}: {lines:?}");
        let series = format!("tollgate_refusals_total{{plugin=\"max_tokens\",reason=\"{reason}\"}} 4\n");
        let shown = String::from_utf8(gateway.ask("GET", "/metrics").await.body).unwrap();
        assert!(shown.contains(&series), "{shown}");
    }
}

#[tokio::test]
async fn what_no_plugin_refused_names_none() {
    let origin = origin().await;
    origin.answers(answer(429).body("{}"));
    let gateway = gateway().upstream(&origin).settings(PLUGINS).start().await;
    let mut client = http1(gateway.address()).await;
    assert_eq!(client.post("/v1/messages", r#"{"model":"m","max_tokens":1}"#).await.status, 429);
    eventually("its line", async || gateway.access_log().len() == 1).await;
    let line = &gateway.access_log()[0];
    assert!(line.get("plugin").is_none() && line.get("reason").is_none(), "{line}");
    let shown = String::from_utf8(gateway.ask("GET", "/metrics").await.body).unwrap();
    assert!(!shown.contains("tollgate_refusals_total{"), "{shown}");
}

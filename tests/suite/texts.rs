//! Texts of strangers, of any length, in what the gateway writes down.

use crate::harness::{answer, connect, eventually, gateway, origin};

#[tokio::test]
async fn a_text_of_any_length_is_noted_in_bounded_length_and_matched_in_full() {
    let origin = origin().await;
    let long = "x".repeat(3000);
    let said = format!(
        r#"{{"id":"{long}","type":"message","model":"{long}","stop_reason":"{long}","content":[],"usage":{{"input_tokens":1}}}}"#
    );
    origin.answers(answer(200).header("content-type", "application/json").header("request-id", &long).body(said));
    let settings = "plugins: [{ max_tokens: { limit: 10 } }, { usage_log: { database: \"sqlite://ledger.db\" } }]\n";
    let gateway = gateway().upstream(&origin).settings(settings).start().await;
    // the end of the path says that it is a call, and stands behind what is noted of it
    let path = format!("/{}/v1/messages", "p".repeat(10_000));
    for (tokens, status) in [(11, 400), (1, 200)] {
        let call = format!(r#"{{"model":"m","max_tokens":{tokens},"messages":[]}}"#);
        let mut raw = connect(gateway.address()).await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: {long}\r\ncontent-length: {}\r\n\r\n", call.len());
        raw.send(head + &call).await;
        assert_eq!(raw.answer().await.status, status);
    }
    assert_eq!(origin.request(0).await.target, path);
    eventually("both lines", async || gateway.access_log().len() == 2).await;
    for line in gateway.access_log() {
        assert_eq!(line["endpoint"], "messages");
        for (key, most) in [("path", 2048), ("host", 255), ("served_model", 512), ("stop_reason", 512)] {
            let Some(text) = line[key].as_str() else { continue };
            assert!(text.len() <= most && text.contains('…'), "{key}: {text}");
        }
    }
    assert!(!gateway.stderr().contains(&long));
}

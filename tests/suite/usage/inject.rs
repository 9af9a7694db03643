//! A stream of `OpenAI`'s whose usage was asked for by a plugin: the client gets the very bytes that it would have got.

use serde_json::{Value, json};

use super::{line, told};
use crate::harness::{Gateway, Origin, Script, answer, body, eventually, gateway, h2c, http1, origin, sse};

/// A gateway whose plugin asks for usage.
async fn injecting(origin: &Origin) -> Gateway {
    let plugin = "plugins: [{ usage_log: { openai_stream_usage: inject, database: \"sqlite://usage.db\" } }]";
    gateway().upstream(origin).settings(plugin).start().await
}

const CALL: &str = r#"{ "model":"m", "stream":true, "big":1e400, "messages":[] }"#;
const CLIENTS: &str = concat!(
    "data: {\"id\":\"c\",\"model\":\"m-1\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":null é\"}}],\"obfuscation\":\"abc\"}\n\n",
    ": keep-alive\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
);

/// What the provider sends to whoever asks for usage.
fn with_usage() -> String {
    let extra = r#"data: {"id":"c","model":"m-1","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":7}}"#;
    CLIENTS
        .replace("}]}\n", "}],\"usage\":null}\n")
        .replace("],\"obf", "],\"usage\":null,\"obf")
        .replace("data: [DONE]", &format!("{extra}\n\ndata: [DONE]"))
}

#[tokio::test]
async fn the_client_sees_nothing_of_it_and_the_cost_is_known() {
    for cut in [1, 11, 100_000] {
        for path in ["/v1/chat/completions", "/v1/completions"] {
            let origin = origin().await;
            let gateway = injecting(&origin).await;
            for (number, mut client) in
                [http1(gateway.address()).await, h2c(gateway.address()).await].into_iter().enumerate()
            {
                let mut script = sse();
                for piece in with_usage().as_bytes().chunks(cut) {
                    script = script.data(piece);
                }
                origin.answers(script.end());
                let request =
                    client.request("POST", path).header("accept-encoding", "gzip, br").body(body(CALL)).unwrap();
                let got = client.call(request).await;
                assert_eq!(got.text(), CLIENTS, "{cut}");
                let sent = origin.request(number).await;
                let wanted = CALL.replacen('{', r#"{"stream_options":{"include_usage":true},"#, 1);
                assert_eq!(String::from_utf8_lossy(&sent.body), wanted);
                assert_eq!(sent.header("accept-encoding"), Some("identity"));
                let told_of = gateway.logged(|line| line["response_bytes"] == CLIENTS.len()).await;
                assert_eq!(told(&told_of), json!(["m-1", "reported", 12, null, null, 7, null]));
            }
        }
    }
}

#[tokio::test]
async fn a_stream_of_known_length_gets_shorter_and_one_that_breaks_stays_broken() {
    let origin = origin().await;
    let gateway = injecting(&origin).await;
    let mut client = http1(gateway.address()).await;
    origin.answers(answer(200).header("content-type", "text/event-stream").body(with_usage()));
    let got = client.post("/v1/chat/completions", CALL).await;
    assert_eq!((got.text().as_str(), got.header("content-length")), (CLIENTS, None));
    origin.answers(sse().data(&with_usage()[..300]).close());
    let request = client.request("POST", "/v1/chat/completions").body(body(CALL)).unwrap();
    let (got, clean) = client.send(request).await.unwrap().rest().await;
    assert!(!clean && CLIENTS.as_bytes().starts_with(&got) && !got.is_empty());
}

#[tokio::test]
async fn who_asks_itself_gets_it_and_other_answers_are_left_alone() {
    let asks = CALL.replacen('{', r#"{"stream_options":{"include_usage":true},"#, 1);
    let refusal = r#"{"error":{"message":"\"usage\":null","type":"invalid_request_error"},"usage":null}"#;
    let plain = CALL.replace("true", "false");
    let whole = r#"{"choices":[],"usage":null}"#;
    for (call, status, kind, text) in [
        (asks.as_str(), 200, "text/event-stream", with_usage().as_str()),
        (CALL, 400, "application/json", refusal),
        (CALL, 200, "application/json", whole),
        (plain.as_str(), 200, "application/json", whole),
    ] {
        let origin = origin().await;
        let gateway = injecting(&origin).await;
        origin.answers(answer(status).header("content-type", kind).body(text));
        let mut client = http1(gateway.address()).await;
        let got = client.post("/v1/chat/completions", call.to_owned()).await;
        assert_eq!((got.text().as_str(), got.header("content-length")), (text, Some(text.len().to_string().as_str())));
        let line: Value = line(&gateway).await;
        assert_eq!(line["status"], status);
    }
}

#[tokio::test]
async fn a_client_that_closes_at_done_has_its_answer_and_its_cost_is_known() {
    let origin = origin().await;
    let gateway = injecting(&origin).await;
    for (number, http2) in [(0, false), (1, true)] {
        let script = with_usage().as_bytes().chunks(7).fold(sse(), Script::data);
        origin.answers(script.pause(std::time::Duration::from_millis(20)).end());
        let mut client = if http2 { h2c(gateway.address()).await } else { http1(gateway.address()).await };
        let request = client.request("POST", "/v1/chat/completions").body(body(CALL)).unwrap();
        let mut streaming = client.send(request).await.unwrap();
        assert!(streaming.until("[DONE]\n\n").await.ends_with("data: [DONE]\n\n"));
        drop((streaming, client));
        eventually("its row", async || gateway.access_log().len() == number + 1).await;
        let row = &gateway.access_log()[number];
        assert_eq!((&row["outcome"], &row["response_bytes"]), (&json!("completed"), &json!(CLIENTS.len())), "{row}");
        assert_eq!(told(row), json!(["m-1", "reported", 12, null, null, 7, null]));
    }
}

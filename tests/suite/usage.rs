//! What answers cost, read as they pass: every endpoint in both of its forms, whatever encodes or breaks the answer, and not
//! a byte of it changed. Seen in the access log and in the metrics.

mod inject;

use std::io::Write as _;

use serde_json::{Value, json};

use crate::harness::{
    Answer, Gateway, Origin, Script, answer, body, eventually, feed, gateway, h2c, http1, origin, sse,
};

/// A gateway that reads what answers cost, before this origin.
async fn reading(origin: &Origin) -> Gateway {
    gateway().upstream(origin).settings("access_log: { usage: true }").start().await
}

/// Sends a call, and checks that its answer is this one to the byte.
async fn call(gateway: &Gateway, path: &str, call: &str, wanted: &[u8]) -> Answer {
    let mut client = http1(gateway.address()).await;
    let answer = client.post(path, call.to_owned()).await;
    assert_eq!(String::from_utf8_lossy(&answer.body), String::from_utf8_lossy(wanted));
    answer
}

/// The line of the only request so far.
async fn line(gateway: &Gateway) -> Value {
    eventually("a line", async || gateway.access_log().len() == 1).await;
    gateway.access_log().remove(0)
}

/// Model, source and figures of a line: input, cache read, cache creation, output, reasoning.
fn told(line: &Value) -> Value {
    json!([
        line["served_model"],
        line["usage_source"],
        line["input_tokens"],
        line["cache_read_input_tokens"],
        line["cache_creation_input_tokens"],
        line["output_tokens"],
        line["reasoning_tokens"],
    ])
}

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","model":"claude-s","content":[{"type":"text","text":"\"usage\""}],"stop_reason":"end_turn","usage":{"input_tokens":3,"cache_read_input_tokens":40,"cache_creation_input_tokens":500,"output_tokens":7,"output_tokens_details":{"thinking_tokens":2}}}"#;
const MESSAGE_STREAM: &str = concat!(
    "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-s\",",
    "\"usage\":{\"input_tokens\":3000,\"cache_creation_input_tokens\":500,\"output_tokens\":1}}}\r\n\r\n",
    ": keep-alive\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"hi é\"}}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":",
    "{\"input_tokens\":3,\"cache_read_input_tokens\":40,\"output_tokens\":7,\"output_tokens_details\":{\"thinking_tokens\":2}}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"        }\n\n",
);
const OPENAI_USAGE: &str = r#"{"prompt_tokens":543,"completion_tokens":7,"total_tokens":550,"prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":500},"completion_tokens_details":{"reasoning_tokens":2}}"#;

fn chat(usage: &str) -> String {
    format!(
        r#"{{"id":"c","model":"claude-s","choices":[{{"index":0,"message":{{"content":"hi"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
    )
}

fn chat_stream(usage: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"model\":\"claude-s\",\"choices\":[{{\"delta\":{{\"content\":\"hi\"}},\"text\":\"hi\",\"finish_reason\":\"stop\"}}],\
         \"usage\":null}}\n\ndata: {{\"id\":\"c\",\"model\":\"claude-s\",\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n"
    )
}

fn response() -> String {
    let usage = OPENAI_USAGE.replace("prompt_", "input_").replace("completion_", "output_");
    format!(r#"{{"id":"r","status":"completed","model":"claude-s","output":[],"usage":{usage}}}"#)
}

fn response_stream() -> String {
    format!(
        "event: response.created\ndata: {{\"type\":\"response.created\",\"response\":{{\"id\":\"r\",\"usage\":null}}}}\n\n\
         event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}}\n\n\
         event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{}}}\n\n",
        response()
    )
}

#[tokio::test]
async fn every_endpoint_tells_its_cost_in_both_forms() {
    let all = json!(["claude-s", "reported", 3, 40, 500, 7, 2]);
    let embedding = r#"{"data":[{"embedding":[0.5]}],"model":"e","usage":{"prompt_tokens":7,"total_tokens":7}}"#;
    for (path, whole, stream, wanted) in [
        ("/v1/messages", MESSAGE.to_owned(), MESSAGE_STREAM.to_owned(), all.clone()),
        ("/v1/chat/completions", chat(OPENAI_USAGE), chat_stream(OPENAI_USAGE), all.clone()),
        ("/v1/completions", chat(OPENAI_USAGE), chat_stream(OPENAI_USAGE), all.clone()),
        ("/v1/responses", response(), response_stream(), all),
        ("/v1/embeddings", embedding.into(), String::new(), json!(["e", "reported", 7, null, null, null, null])),
        (
            "/v1/messages/count_tokens",
            r#"{"input_tokens":9}"#.into(),
            String::new(),
            json!([null, "none", null, null, null, null, null]),
        ),
    ] {
        for (text, streams) in [(whole, false), (stream, true)] {
            if text.is_empty() {
                continue;
            }
            let origin = origin().await;
            let gateway = reading(&origin).await;
            // cut within events, and within their characters
            let mut script =
                if streams { sse() } else { answer(200).header("content-type", "application/json").chunked() };
            for piece in text.as_bytes().chunks(13) {
                script = script.data(piece);
            }
            origin.answers(script.end());
            call(&gateway, path, r#"{"model":"asked"}"#, text.as_bytes()).await;
            let line = line(&gateway).await;
            assert_eq!(told(&line), wanted, "{path} {streams}");
            assert_eq!(line["first_token_ms"].is_number(), streams, "{path}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_a_content_type_is_read_by_its_first_bytes() {
    for text in [response(), response_stream()] {
        let origin = origin().await;
        let gateway = reading(&origin).await;
        origin.answers(answer(200).body(&text));
        call(&gateway, "/v1/responses", "{}", text.as_bytes()).await;
        assert_eq!(told(&line(&gateway).await), json!(["claude-s", "reported", 3, 40, 500, 7, 2]));
    }
}

#[tokio::test]
async fn an_encoded_stream_passes_as_it_is_and_is_read_event_by_event() {
    let origin = origin().await;
    let gateway = reading(&origin).await;
    let events = feed();
    origin.answers(sse_encoded("zstd").feed(&events).end());
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    let (begin, end) = MESSAGE_STREAM.split_once("event: message_delta").unwrap();
    let mut encoded = |text: &str| {
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.flush().unwrap();
        std::mem::take(encoder.get_mut())
    };
    let mut client = h2c(gateway.address()).await;
    let request = client.request("POST", "/v1/messages").body(body("{}")).unwrap();
    events.send(encoded(begin));
    let mut streaming = client.send(request).await.unwrap();
    assert_eq!(streaming.headers["content-encoding"], "zstd");
    let mut got = streaming.piece().await.unwrap().unwrap().to_vec();
    events.send(encoded(&format!("event: message_delta{end}")));
    events.end();
    let (rest, clean) = streaming.rest().await;
    got.extend(rest);
    assert!(clean);
    assert_eq!(
        zstd::stream::decode_all(&*[got, encoder.finish().unwrap()].concat()).unwrap(),
        MESSAGE_STREAM.as_bytes()
    );
    assert_eq!(told(&line(&gateway).await), json!(["claude-s", "reported", 3, 40, 500, 7, 2]));
}

fn sse_encoded(encoding: &str) -> Script {
    answer(200).header("content-type", "text/event-stream").header("content-encoding", encoding).chunked()
}

#[tokio::test]
async fn an_encoding_that_cannot_be_read_costs_the_client_nothing() {
    for (encoding, text) in [("gzip", &b"no gzip at all, whatever its head says"[..]), ("x-mine", MESSAGE.as_bytes())] {
        let origin = origin().await;
        let gateway = reading(&origin).await;
        origin.answers(answer(200).header("content-encoding", encoding).body(text));
        call(&gateway, "/v1/messages", "{}", text).await;
        let line = line(&gateway).await;
        assert_eq!((&line["usage_source"], &line["outcome"]), (&json!("none"), &json!("completed")));
    }
}

#[tokio::test]
async fn what_was_known_when_the_client_left_or_the_answer_broke_is_partial() {
    let begin = &MESSAGE_STREAM[..MESSAGE_STREAM.find("event: message_delta").unwrap()];
    let wanted = json!(["claude-s", "partial", 3000, null, 500, 1, null]);
    for breaks in [true, false] {
        let origin = origin().await;
        let gateway = reading(&origin).await;
        let events = feed();
        origin.answers(if breaks { sse().data(begin).close() } else { sse().feed(&events).end() });
        events.send(begin);
        let mut client = http1(gateway.address()).await;
        let request = client.request("POST", "/v1/messages").body(body("{}")).unwrap();
        let mut streaming = client.send(request).await.unwrap();
        streaming.until("content_block_delta").await;
        if breaks {
            assert!(!streaming.rest().await.1);
        }
        drop((streaming, client));
        let line = line(&gateway).await;
        assert_eq!(told(&line), wanted, "{breaks}");
        assert_eq!(line["outcome"], if breaks { "upstream_failed" } else { "client_gone" });
    }
}

#[tokio::test]
async fn what_is_read_to_its_end_without_the_client_is_all_known() {
    let origin = origin().await;
    let gateway = gateway()
        .upstream(&origin)
        .route_settings("on_client_disconnect: drain")
        .settings("access_log: { usage: true }")
        .start()
        .await;
    let events = feed();
    origin.answers(sse().feed(&events).end());
    let (begin, end) = MESSAGE_STREAM.split_at(MESSAGE_STREAM.find("event: message_delta").unwrap());
    events.send(begin);
    let mut client = http1(gateway.address()).await;
    let request = client.request("POST", "/v1/messages").body(body("{}")).unwrap();
    let mut streaming = client.send(request).await.unwrap();
    streaming.until("content_block_delta").await;
    drop((streaming, client));
    events.send(end);
    events.end();
    let line = line(&gateway).await;
    assert_eq!(told(&line), json!(["claude-s", "reported", 3, 40, 500, 7, 2]));
    assert_eq!(line["outcome"], "client_gone");
}

#[tokio::test]
async fn an_error_in_a_stream_is_told_with_what_was_billed_before_it() {
    let begin = &MESSAGE_STREAM[..MESSAGE_STREAM.find("event: message_delta").unwrap()];
    let text =
        format!("{begin}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"overloaded_error\"}}}}\n\n");
    let origin = origin().await;
    let gateway = reading(&origin).await;
    origin.answers(sse().data(&text).end());
    call(&gateway, "/v1/messages", "{}", text.as_bytes()).await;
    let line = line(&gateway).await;
    assert_eq!((&line["error_type"], &line["usage_source"]), (&json!("overloaded_error"), &json!("partial")));
    assert_eq!((&line["outcome"], &line["status"]), (&json!("upstream_failed"), &json!(200)));
}

#[tokio::test]
async fn of_two_attempts_only_the_one_that_was_answered_counts() {
    let (failing, working) = (origin().await, origin().await);
    let settings = "retry: { attempts: 2, on: [http_529] }\nbalance: round_robin";
    let gateway = gateway()
        .upstream(&failing)
        .upstream(&working)
        .upstream_settings(settings)
        .settings("access_log: { usage: true }")
        .start()
        .await;
    failing.answers(answer(529).body(MESSAGE.replace("claude-s", "claude-failed")));
    working.answers(answer(200).body(MESSAGE));
    call(&gateway, "/v1/messages", "{}", MESSAGE.as_bytes()).await;
    let line = line(&gateway).await;
    assert_eq!(told(&line), json!(["claude-s", "reported", 3, 40, 500, 7, 2]));
    let metrics = gateway.metrics().await;
    assert!(!metrics.has("claude_tokens_total", &[("model", "claude-failed")]));
}

#[tokio::test]
async fn the_metrics_add_up_what_all_answers_cost() {
    let origin = origin().await;
    let settings = "access_log: { usage: true }\nplugins: [{ max_tokens: { models: { claude-s: 64000 } } }]";
    let gateway = gateway().upstream(&origin).settings(settings).start().await;
    for _ in 0..3 {
        origin.answers(answer(200).body(MESSAGE));
        call(&gateway, "/v1/messages", "{}", MESSAGE.as_bytes()).await;
        origin.answers(sse().data(MESSAGE_STREAM).end());
        call(&gateway, "/v1/messages", "{}", MESSAGE_STREAM.as_bytes()).await;
    }
    eventually("six lines", async || gateway.access_log().len() == 6).await;
    let metrics = gateway.metrics().await;
    for (kind, tokens) in [("input", 18.0), ("cache_read", 240.0), ("cache_creation", 3000.0), ("output", 42.0)] {
        let labels = [("domain", "other"), ("model", "claude-s"), ("type", kind)];
        assert_eq!(metrics.sum("claude_tokens_total", &labels), tokens, "{kind}");
    }
    let output = [("gen_ai_token_type", "output"), ("gen_ai_provider_name", "anthropic")];
    assert_eq!(metrics.sum("gen_ai_client_token_usage_sum", &output), 42.0);
    assert_eq!(metrics.sum("gen_ai_server_time_to_first_token_count", &[]), 3.0);
}

#[tokio::test]
async fn nothing_is_read_where_nobody_wants_to_know() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    origin.answers(answer(200).body(MESSAGE));
    call(&gateway, "/v1/messages", "{}", MESSAGE.as_bytes()).await;
    assert!(line(&gateway).await.get("usage_source").is_none());
    assert!(!gateway.metrics().await.has("claude_tokens_total", &[]));
}

//! Answers that are given again, from memory and from Redis, and calls that are shared while they are under way.

mod answers;
mod booked;
mod coalescing;
mod dying;
mod encoded;
mod ending;
mod memory;
mod purging;
mod redis;
mod tenants;
mod varying;

pub use encoded::gzip;

use crate::harness::{Answer, Client, Gateway, Script, Streaming, answer, body, http1, sse};

/// What the plugin is called in the YAML, with these settings of its own.
fn plugin(settings: &str) -> String {
    format!("plugins: [{{ response_cache: {{ {settings} }} }}]")
}

/// A call of a tenant for a text.
fn asks(text: &str, stream: bool) -> String {
    format!(
        r#"{{"model":"claude-opus-5","max_tokens":64,"stream":{stream},"messages":[{{"role":"user","content":"{text}"}}]}}"#
    )
}

/// The answer of Anthropic's API with this text.
fn message(text: &str) -> String {
    format!(
        r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-5","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":11,"output_tokens":7}}}}"#
    )
}

/// An answer in JSON, with headers of the moment.
fn json(text: &str) -> Script {
    let head = answer(200).header("content-type", "application/json").header("request-id", "req_original");
    let head = head.header("anthropic-ratelimit-requests-remaining", "41").header("set-cookie", "a=b");
    head.header("date", "Tue, 24 Nov 2026 12:00:00 GMT").body(message(text))
}

/// The events of an answer with these pieces of text.
fn events(pieces: &[&str]) -> Vec<String> {
    let event = |name: &str, data: &str| format!("event: {name}\ndata: {data}\n\n");
    let start = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-5","content":[],"stop_reason":null,"usage":{"input_tokens":11,"output_tokens":1}}}"#;
    let block = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    let mut events = vec![event("message_start", start), event("content_block_start", block)];
    events.extend(pieces.iter().map(|piece| {
        let data =
            format!(r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{piece}"}}}}"#);
        event("content_block_delta", &data)
    }));
    let delta = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#;
    events.push(event("content_block_stop", r#"{"type":"content_block_stop","index":0}"#));
    events.push(event("message_delta", delta));
    events.push(event("message_stop", r#"{"type":"message_stop"}"#));
    events
}

/// A whole stream of such events.
fn streamed(pieces: &[&str]) -> Script {
    events(pieces).iter().fold(sse(), Script::data).end()
}

/// Sends a call with this key, and waits for the head of its answer.
async fn send(client: &mut Client, key: &str, call: &str, headers: &[(&str, &str)]) -> Streaming {
    let mut request = client.request("POST", "/v1/messages").header("content-type", "application/json");
    request = request.header("x-api-key", key).header("anthropic-version", "2023-06-01");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.send(request.body(body(call.to_owned())).unwrap()).await.unwrap()
}

/// The whole answer to a call with this key, on a connection of its own.
async fn ask(gateway: &Gateway, key: &str, call: &str) -> Answer {
    send(&mut http1(gateway.address()).await, key, call, &[]).await.whole().await
}

/// What the cache did for an answer.
fn mark(answer: &Answer) -> &str {
    answer.header("x-cache").unwrap_or("-")
}

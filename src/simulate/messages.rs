//! Anthropic's Messages: the answer as one object and as events, and the count of a prompt's tokens.

use serde::Serialize;

use super::call::{Call, Output};
use super::plan::Plan;
use super::sse::{Script, event, json};
use super::words::Words;

/// The answer to `POST /v1/messages`.
pub(super) fn whole(call: &Call<'_>, plan: &Plan) -> Vec<u8> {
    let output = call.output(plan.tokens);
    let text = Words::new(plan.draws, 0).text(output.tokens);
    let block = Block { kind: "text", text: &text };
    // Of nothing to say there is no block.
    let content = if text.is_empty() { &[][..] } else { std::slice::from_ref(&block) };
    let mut out = Vec::with_capacity(512 + text.len());
    let id = plan.draws.id("msg_");
    let usage = Usage::new(call.input_tokens(), output.tokens, plan.in_batch);
    json(&mut out, &Message::new(call.model(), &id, content, Some(stop_reason(output)), usage));
    out
}

/// The same answer as a stream.
pub(super) fn stream(call: &Call<'_>, plan: &Plan) -> Script {
    let output = call.output(plan.tokens);
    let id = plan.draws.id("msg_");
    let mut head = Vec::with_capacity(1024);
    // Only the last count is true: what stands here is a placeholder, with the provider as well.
    let usage = Usage::new(call.input_tokens(), output.tokens.min(1), plan.in_batch);
    let message = Message::new(call.model(), &id, &[], None, usage);
    event(&mut head, "message_start", &MessageStart { kind: "message_start", message });
    let mut tail = Vec::with_capacity(512);
    if output.tokens > 0 {
        let content_block = Block { kind: "text", text: "" };
        let start = BlockStart { kind: "content_block_start", index: 0, content_block };
        event(&mut head, "content_block_start", &start);
        event(&mut tail, "content_block_stop", &BlockStop { kind: "content_block_stop", index: 0 });
    }
    event(&mut head, "ping", &Bare { kind: "ping" });
    let delta = Delta { stop_reason: stop_reason(output), stop_sequence: None };
    let usage = DeltaUsage::new(call.input_tokens(), output.tokens);
    event(&mut tail, "message_delta", &MessageDelta { kind: "message_delta", delta, usage });
    event(&mut tail, "message_stop", &Bare { kind: "message_stop" });

    let words = Words::new(plan.draws, 0);
    let token = Box::new(move |out: &mut Vec<u8>, index| {
        out.extend_from_slice(BEFORE_WORD);
        out.extend_from_slice(words.get(index).as_bytes());
        out.extend_from_slice(b"\"}}\n\n");
    });
    Script { head, token, tokens: output.tokens, tail }
}

/// What stands before the word of a `content_block_delta`: ready made, as it is most of every stream.
const BEFORE_WORD: &[u8] = b"event: content_block_delta\n\
    data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"";

/// The answer to `POST /v1/messages/count_tokens`.
pub(super) fn count(call: &Call<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    json(&mut out, &InputTokens { input_tokens: call.input_tokens() });
    out
}

fn stop_reason(output: Output) -> &'static str {
    if output.cut { "max_tokens" } else { "end_turn" }
}

#[derive(Serialize)]
struct Message<'a> {
    model: &'a str,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    content: &'a [Block<'a>],
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'static str>,
    usage: Usage,
}

impl<'a> Message<'a> {
    fn new(
        model: &'a str,
        id: &'a str,
        content: &'a [Block<'a>],
        stop_reason: Option<&'static str>,
        usage: Usage,
    ) -> Self {
        Self { model, id, kind: "message", role: "assistant", content, stop_reason, stop_sequence: None, usage }
    }
}

#[derive(Serialize)]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct Usage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation: CacheCreation,
    output_tokens: u64,
    service_tier: &'static str,
}

impl Usage {
    fn new(input_tokens: u64, output_tokens: u64, in_batch: bool) -> Self {
        Self {
            input_tokens,
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: 0,
            cache_creation: CacheCreation { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
            output_tokens,
            service_tier: if in_batch { "batch" } else { "standard" },
        }
    }
}

#[derive(Serialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

/// The usage at the end of a stream: without what does not change.
#[derive(Serialize)]
struct DeltaUsage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
}

impl DeltaUsage {
    fn new(input_tokens: u64, output_tokens: u64) -> Self {
        Self { input_tokens, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens }
    }
}

#[derive(Serialize)]
struct MessageStart<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: Message<'a>,
}

#[derive(Serialize)]
struct BlockStart<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: u32,
    content_block: Block<'a>,
}

#[derive(Serialize)]
struct BlockStop {
    #[serde(rename = "type")]
    kind: &'static str,
    index: u32,
}

#[derive(Serialize)]
struct MessageDelta {
    #[serde(rename = "type")]
    kind: &'static str,
    delta: Delta,
    usage: DeltaUsage,
}

#[derive(Serialize)]
struct Delta {
    stop_reason: &'static str,
    stop_sequence: Option<&'static str>,
}

/// An event that says nothing but its type.
#[derive(Serialize)]
struct Bare {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct InputTokens {
    input_tokens: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::settings::Settings;
    use super::*;

    const REQUEST: &[u8] =
        br#"{"model":"claude-opus-4-6","max_tokens":5,"messages":[{"role":"user","content":"12345678"}]}"#;

    fn plan() -> Plan {
        Plan::draw(&Settings::default(), 0)
    }

    fn types(events: &[Value]) -> Vec<&str> {
        events.iter().map(|event| event["type"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_message_says_as_many_words_as_it_bills() {
        let body: Value = serde_json::from_slice(&whole(&Call::parse(REQUEST).unwrap(), &plan())).unwrap();
        assert_eq!(body["model"], "claude-opus-4-6");
        assert_eq!(body["stop_reason"], "max_tokens");
        assert_eq!(body["usage"]["input_tokens"], 2);
        assert_eq!(body["usage"]["output_tokens"], 5);
        assert_eq!(body["content"][0]["text"].as_str().unwrap().split(' ').count(), 5);
    }

    #[test]
    fn a_stream_adds_up_to_the_message_and_its_usage() {
        let call = Call::parse(REQUEST).unwrap();
        let message: Value = serde_json::from_slice(&whole(&call, &plan())).unwrap();
        let events = stream(&call, &plan()).play();
        let mut expected = vec!["message_start", "content_block_start", "ping"];
        expected.extend(["content_block_delta"; 5]);
        expected.extend(["content_block_stop", "message_delta", "message_stop"]);
        assert_eq!(types(&events), expected);
        let text: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
        assert_eq!(text, message["content"][0]["text"].as_str().unwrap());
        assert_eq!(events[0]["message"]["id"], message["id"]);
        assert_eq!(events[0]["message"]["usage"]["input_tokens"], 2);
        let delta = &events[events.len() - 2];
        assert_eq!(delta["usage"]["output_tokens"], 5);
        assert_eq!(delta["delta"]["stop_reason"], "max_tokens");
    }

    #[test]
    fn a_limit_of_zero_leaves_no_block() {
        let call = Call::parse(br#"{"max_tokens":0}"#).unwrap();
        let message: Value = serde_json::from_slice(&whole(&call, &plan())).unwrap();
        assert_eq!((message["content"].as_array().unwrap().len(), &message["usage"]["output_tokens"]), (0, &0.into()));
        let events = stream(&call, &plan()).play();
        assert_eq!(types(&events), ["message_start", "ping", "message_delta", "message_stop"]);
        assert_eq!(events[0]["message"]["usage"]["output_tokens"], 0);
    }
}

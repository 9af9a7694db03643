//! Anthropic's messages.

use serde_json::{Value, json};

use super::Events;

pub(super) fn write(events: &mut Events, mut message: Value) -> Option<()> {
    let object = message.as_object_mut()?;
    let content = object.insert("content".to_owned(), json!([]))?;
    let stop_reason = object.insert("stop_reason".to_owned(), Value::Null);
    let stop_sequence = object.insert("stop_sequence".to_owned(), Value::Null);
    let usage = object.get("usage")?.clone();
    events.named(&json!({ "type": "message_start", "message": message }));
    for (index, block) in content.as_array()?.iter().enumerate() {
        self::block(events, index, block);
    }
    let delta = json!({ "stop_reason": stop_reason, "stop_sequence": stop_sequence });
    events.named(&json!({ "type": "message_delta", "delta": delta, "usage": usage }));
    events.named(&json!({ "type": "message_stop" }));
    Some(())
}

/// A block of content: what comes bit by bit in a stream comes in one, all else with the start.
fn block(events: &mut Events, index: usize, block: &Value) {
    let mut start = block.clone();
    let mut deltas = Vec::new();
    let mut take = |field: &str, empty: Value| match start.get_mut(field) {
        Some(value) if !value.is_null() => Some(std::mem::replace(value, empty)),
        _ => None,
    };
    match block["type"].as_str().unwrap_or_default() {
        "text" => {
            for citation in take("citations", json!([])).as_ref().and_then(Value::as_array).into_iter().flatten() {
                deltas.push(json!({ "type": "citations_delta", "citation": citation }));
            }
            deltas.extend(take("text", json!("")).map(|text| json!({ "type": "text_delta", "text": text })));
        }
        "thinking" => {
            deltas
                .extend(take("thinking", json!("")).map(|text| json!({ "type": "thinking_delta", "thinking": text })));
            let signature = take("signature", json!(""));
            deltas.extend(signature.map(|signature| json!({ "type": "signature_delta", "signature": signature })));
        }
        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
            let input = take("input", json!({}));
            deltas.extend(input.map(|input| json!({ "type": "input_json_delta", "partial_json": input.to_string() })));
        }
        _ => {}
    }
    events.named(&json!({ "type": "content_block_start", "index": index, "content_block": start }));
    for delta in deltas {
        events.named(&json!({ "type": "content_block_delta", "index": index, "delta": delta }));
    }
    events.named(&json!({ "type": "content_block_stop", "index": index }));
}

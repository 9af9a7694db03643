//! The API that a call is of, by the shape of its JSON.

use serde_json::Value;

const MESSAGES: &str = "/v1/messages";
const CHAT: &str = "/v1/chat/completions";

/// The path to which such a call is sent.
pub(super) fn path_of_body(call: &Value) -> &'static str {
    let has = |key: &str| call.get(key).is_some();
    if has("requests") {
        "/v1/messages/batches"
    } else if has("messages") {
        if is_chat(call) { CHAT } else { MESSAGES }
    } else if has("input") {
        let model = call.get("model").and_then(Value::as_str).unwrap_or_default();
        let embeds = model.contains("embed") || has("dimensions") || has("encoding_format");
        if embeds { "/v1/embeddings" } else { "/v1/responses" }
    } else if has("prompt") {
        "/v1/completions"
    } else {
        MESSAGES
    }
}

/// Whether a call with messages is one of `OpenAI`'s. Anthropic's must say `max_tokens`, and have no message of the system's.
fn is_chat(call: &Value) -> bool {
    const OF_CHAT: [&str; 8] = [
        "max_completion_tokens",
        "response_format",
        "stream_options",
        "reasoning_effort",
        "n",
        "frequency_penalty",
        "presence_penalty",
        "parallel_tool_calls",
    ];
    const OF_MESSAGES: [&str; 4] = ["system", "thinking", "anthropic_version", "stop_sequences"];
    let has_any = |keys: &[&str]| keys.iter().any(|key| call.get(key).is_some());
    let of_list = |key: &str| call.get(key).and_then(Value::as_array).into_iter().flatten();
    let role = |message: &Value| message.get("role").and_then(Value::as_str).map(str::to_owned);
    let has_role = |roles: &[&str]| of_list("messages").filter_map(role).any(|role| roles.contains(&&*role));
    let has_function = of_list("tools").any(|tool| tool.get("function").is_some());
    has_any(&OF_CHAT)
        || has_function
        || has_role(&["system", "developer", "tool"])
        || call.get("max_tokens").is_none() && !has_any(&OF_MESSAGES)
}

#[cfg(test)]
mod tests {
    use plugin_api::Endpoint;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_goes_to_the_api_that_it_looks_like() {
        let user = json!([{ "role": "user", "content": "hi" }]);
        for (call, path) in [
            (json!({ "model": "claude-haiku-4-5", "max_tokens": 10, "messages": user }), MESSAGES),
            (json!({ "model": "auto", "max_tokens": 10, "system": "x", "messages": user }), MESSAGES),
            (json!({ "model": "gpt-5", "messages": user }), CHAT),
            (json!({ "model": "auto", "max_completion_tokens": 5, "messages": user }), CHAT),
            (json!({ "max_tokens": 5, "messages": [{ "role": "system", "content": "x" }] }), CHAT),
            (json!({ "max_tokens": 5, "messages": user, "tools": [{ "type": "function", "function": {} }] }), CHAT),
            (json!({ "model": "gpt-5", "input": "hi" }), "/v1/responses"),
            (json!({ "model": "text-embedding-3-small", "input": ["hi"] }), "/v1/embeddings"),
            (json!({ "model": "x", "prompt": "hi" }), "/v1/completions"),
            (json!({ "requests": [] }), "/v1/messages/batches"),
        ] {
            assert_eq!(path_of_body(&call), path, "{call}");
            assert!(Endpoint::of(path).is_some(), "{path}");
        }
    }
}

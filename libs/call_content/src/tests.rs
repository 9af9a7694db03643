use serde_json::{Value, json};

use super::*;

fn read<T>(endpoint: Endpoint, call: &Value, look: impl FnOnce(&Content<'_>) -> T) -> T {
    look(&Content::read(endpoint, &call.to_string()))
}

#[test]
fn turns_are_what_the_user_says_and_not_what_tools_show() {
    let call = json!({
        "system": [{ "type": "text", "text": "Be \"brief\"" }],
        "messages": [
            { "role": "user", "content": "first" },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "1", "name": "t", "input": { "a": 1 } }] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "1", "content": "prove" }] },
            { "role": "assistant", "content": "ok" },
            { "role": "user", "content": [{ "type": "text", "text": "se\ncond" }, { "type": "text", "text": "half" }] },
        ],
    });
    read(Endpoint::MESSAGES, &call, |content| {
        assert_eq!((content.turns, &*content.last_user(), &*content.system()), (2, "se\ncond\nhalf", "Be \"brief\""));
    });
}

#[test]
fn every_api_is_read() {
    let chat = json!({ "messages": [
        { "role": "system", "content": "be brief" },
        { "role": "user", "content": [{ "type": "text", "text": "what is it?" }, { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } }] },
    ], "reasoning_effort": "high" });
    read(Endpoint::CHAT_COMPLETIONS, &chat, |content| {
        assert_eq!((content.turns, content.images, content.thinking), (1, 1, true));
        assert_eq!((&*content.last_user(), &*content.system()), ("what is it?", "be brief"));
    });
    let responses = json!({ "instructions": "be brief", "input": [
        { "role": "user", "content": [{ "type": "input_text", "text": "hi" }, { "type": "input_file", "file_id": "f" }] },
        { "type": "function_call_output", "call_id": "c", "output": "42" },
    ], "reasoning": { "effort": "none" } });
    read(Endpoint::RESPONSES, &responses, |content| {
        assert_eq!((content.turns, content.documents, content.thinking), (1, 1, false));
        assert_eq!((&*content.last_user(), &*content.system()), ("hi", "be brief"));
    });
    read(Endpoint::RESPONSES, &json!({ "input": "hello" }), |content| {
        assert_eq!((content.turns, &*content.last_user()), (1, "hello"));
    });
    read(Endpoint::COMPLETIONS, &json!({ "prompt": "once" }), |content| {
        assert_eq!((content.turns, &*content.last_user()), (1, "once"));
    });
}

#[test]
fn an_image_counts_the_same_whatever_its_size() {
    let call = |data: &str| {
        let image = json!({ "type": "image", "source": { "type": "base64", "data": data } });
        json!({ "messages": [{ "role": "user", "content": [image, { "type": "text", "text": "abcd" }] }] })
    };
    let tokens = |call: &Value| read(Endpoint::MESSAGES, call, |content| content.input_tokens());
    assert_eq!(tokens(&call("AAAA")), 1601);
    assert_eq!(tokens(&call(&"A".repeat(100_000))), 1601);
}

#[test]
fn thinking_is_what_the_call_asks_for() {
    let thinks =
        |member: &str, value: Value| read(Endpoint::MESSAGES, &json!({ member: value }), |content| content.thinking);
    assert!(thinks("thinking", json!({ "type": "enabled", "budget_tokens": 2000 })));
    assert!(thinks("thinking", json!({ "type": "adaptive" })));
    assert!(!thinks("thinking", json!({ "type": "disabled" })));
    assert!(thinks("reasoning", json!({ "effort": "low" })));
    assert!(thinks("reasoning", json!({ "max_tokens": 100 })));
    assert!(!thinks("reasoning", Value::Null));
    assert!(!thinks("reasoning_effort", json!("none")));
}

proptest::proptest! {
    #[test]
    fn whatever_it_is_it_is_read_to_an_end(text in ".{0,200}", call in "\\{\"messages\":[\\[{\"a-z:,\\]}]{0,60}") {
        let _ = Content::read(Endpoint::MESSAGES, &text).input_tokens();
        let _ = Content::read(Endpoint::MESSAGES, &call).last_user();
    }
}

#[test]
fn results_of_tools_in_results_of_tools_are_counted_and_not_followed() {
    let depth = 100_000;
    let open = r#"{"type":"tool_result","content":["#.repeat(depth);
    let nested = format!(r#"{{"messages":[{{"role":"user","content":[{open}{}]}}]}}"#, "]}".repeat(depth));
    let content = Content::read(Endpoint::MESSAGES, &nested);
    assert_eq!(content.turns, 0);
    let shown = json!({ "messages": [{ "role": "user", "content": [
        { "content": [{ "type": "image", "source": {} }, { "type": "text", "text": "abcd" }], "type": "tool_result" },
        { "type": "tool_result", "content": "abcd" },
    ] }] });
    read(Endpoint::MESSAGES, &shown, |content| {
        assert_eq!((content.turns, content.images, content.input_tokens()), (0, 1, 1602));
    });
}

//! The streams that are made of whole answers, as their readers understand them.

use http::{HeaderMap, HeaderValue, StatusCode};
use plugin_api::{Answer, AnswerState, Endpoint};
use protocols::AnswerReader;
use serde_json::{Value, json};

use super::*;

fn read(endpoint: Endpoint, stream: &[u8]) -> Answer {
    let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))]);
    let mut reader = AnswerReader::new(endpoint, StatusCode::OK, &headers);
    reader.feed(stream);
    reader.finish();
    reader.into_answer()
}

fn events(stream: &Bytes) -> Vec<Value> {
    let text = std::str::from_utf8(stream).unwrap();
    let data = text.split("\n\n").filter_map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
}

#[test]
fn a_message_is_a_stream_of_its_blocks() {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
        "content": [
            { "type": "thinking", "thinking": "hm", "signature": "sig" },
            { "type": "text", "text": "hi \u{1F600}" },
            { "type": "tool_use", "id": "toolu_1", "name": "f", "input": { "a": [1] } },
            { "type": "redacted_thinking", "data": "x" },
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": { "input_tokens": 3, "output_tokens": 5, "service_tier": "batch" },
    });
    let stream = stream(Api::Messages, message.to_string().as_bytes(), false).unwrap();
    let answer = read(Endpoint::MESSAGES, &stream);
    let tokens = answer.usage.unwrap().tokens;
    assert_eq!((answer.state, answer.stop_reason.as_deref()), (AnswerState::Complete, Some("tool_use")));
    assert_eq!((tokens.input, tokens.output), (Some(3), Some(5)));
    let events = events(&stream);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("message_start", "message_stop"));
    assert_eq!(events[0]["message"]["content"], json!([]));
    let deltas: Vec<&Value> =
        events.iter().map(|event| &event["delta"]).filter(|delta| delta.get("type").is_some()).collect();
    assert_eq!(
        deltas,
        [
            &json!({ "type": "thinking_delta", "thinking": "hm" }),
            &json!({ "type": "signature_delta", "signature": "sig" }),
            &json!({ "type": "text_delta", "text": "hi \u{1F600}" }),
            &json!({ "type": "input_json_delta", "partial_json": "{\"a\":[1]}" }),
        ]
    );
    let starts: Vec<&Value> = events.iter().filter_map(|event| event.get("content_block")).collect();
    assert_eq!(starts[2]["input"], json!({}));
    assert_eq!(starts[3], &message["content"][3]);
}

#[test]
fn a_completion_is_a_stream_of_chunks_with_usage_where_that_was_asked_for() {
    let completion = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5",
        "choices": [
            { "index": 0, "message": { "role": "assistant", "content": "hi" }, "logprobs": null, "finish_reason": "stop" },
            { "index": 1, "message": { "role": "assistant", "content": null, "tool_calls": [
                { "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "{}" } },
            ] }, "logprobs": null, "finish_reason": "tool_calls" },
        ],
        "usage": { "prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8 },
    });
    let with = stream(Api::Chat, completion.to_string().as_bytes(), true).unwrap();
    let answer = read(Endpoint::CHAT_COMPLETIONS, &with);
    assert_eq!(answer.state, AnswerState::Complete);
    assert_eq!(answer.usage.unwrap().tokens.output, Some(5));
    let chunks = events(&with);
    assert_eq!(chunks.last().unwrap(), "[DONE]");
    assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk["object"] == "chat.completion.chunk"));
    assert_eq!(chunks[1]["choices"][0]["delta"]["tool_calls"][0]["index"], 0);
    let without = stream(Api::Chat, completion.to_string().as_bytes(), false).unwrap();
    assert!(events(&without).iter().all(|chunk| chunk.get("usage").is_none()));
}

#[test]
fn a_response_is_a_stream_of_numbered_events_of_which_the_last_has_it_all() {
    let response = json!({
        "id": "resp_1", "object": "response", "status": "completed", "model": "gpt-5",
        "output": [
            { "id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [
                { "type": "output_text", "text": "hi", "annotations": [] },
            ] },
            { "id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "f", "arguments": "{}" },
        ],
        "usage": { "input_tokens": 3, "output_tokens": 5, "total_tokens": 8 },
    });
    let stream = stream(Api::Responses, response.to_string().as_bytes(), false).unwrap();
    let answer = read(Endpoint::RESPONSES, &stream);
    assert_eq!((answer.state, answer.usage.unwrap().tokens.input), (AnswerState::Complete, Some(3)));
    let events = events(&stream);
    assert!(events.iter().enumerate().all(|(number, event)| event["sequence_number"] == number));
    assert_eq!(events.last().unwrap()["response"], response);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"response.output_text.delta") && kinds.contains(&"response.function_call_arguments.done"));
}

#[test]
fn an_error_of_several_lines_is_one_event() {
    let object = b"{\r\n  \"error\": {\n    \"message\": \"a\\nb\"\n  }\n}\n";
    for api in [Api::Messages, Api::Chat] {
        let event = String::from_utf8(error(api, object).to_vec()).unwrap();
        let data = event.trim_end().lines().last().unwrap().strip_prefix("data: ").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["error"]["message"], "a\nb");
        assert!(event.ends_with("\n\n"));
    }
}

//! What is no whole answer of its endpoint is never given again, by whatever name it says so.

use super::*;
use crate::harness::{gateway, origin};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

/// Bodies under a status of 200 that are no whole answers to chat.
const NONE_OF_CHAT: [&str; 13] = [
    r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
    r#"{"base_resp":{"status_code":1002,"status_msg":"m"}}"#,
    r#"{"detail":"m"}"#,
    r#"{"error":"m"}"#,
    r#"{"errors":[{"message":"m"}]}"#,
    r#"{"code":"Throttling","message":"m"}"#,
    r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]"#,
    r#"{"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":0}}"#,
    r#"{"id":"c","choices":[{"index":0,"message":{"content":"x"},"finish_reason":""}]}"#,
    r#"{"id":"c","choices":[{"index":0,"message":{"content":"x"},"finish_reason":null}]}"#,
    r#"{"id":"c","choices":[{"finish_reason":"stop"},{"finish_reason":" "}]}"#,
    r#"{"status":"ok"}"#,
    "{}",
];

/// The same to messages.
const NONE_OF_MESSAGES: [&str; 4] = [
    r#"{"id":"m","type":"message","content":[{"type":"text","text":"x"}],"stop_reason":"","usage":{"input_tokens":1}}"#,
    r#"{"id":"m","type":"message","content":[{"type":"text","text":"x"}],"stop_reason":null,"usage":{"input_tokens":1}}"#,
    r#"{"id":"m","content":[],"stop_reason":"end_turn","container":{"id":"c","expires_at":"2026-12-01T00:00:00Z"}}"#,
    r#"{"message":"Too many requests"}"#,
];

/// Streams that are no whole answers to chat.
fn torsos() -> Vec<String> {
    let chunk = |stop: &str| {
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"x\"}},\"finish_reason\":{stop}}}]}}\n\n")
    };
    vec![
        chunk("null"),
        chunk("\"\""),
        chunk("\" \""),
        "data: [DONE]\n\n".to_owned(),
        chunk("null") + "data: {\"object\":\"error\",\"message\":\"m\"}\n\ndata: [DONE]\n\n",
        chunk("null") + "event: error\ndata: gone\n\ndata: [DONE]\n\n",
        chunk("null") + "data: {\"base_resp\":{\"status_code\":1002}}\n\ndata: [DONE]\n\n",
    ]
}

async fn post(gateway: &Gateway, path: &str, call: &str) -> Answer {
    let mut client = http1(gateway.address()).await;
    let request = client.request("POST", path).header("authorization", "Bearer a").body(body(call.to_owned()));
    client.call(request.unwrap()).await
}

#[tokio::test]
async fn only_what_is_for_certain_an_answer_is_given_again() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let json = |text: &str| answer(200).header("content-type", "application/json").body(text);
    let scripts = NONE_OF_CHAT.iter().map(|text| (CHAT, json(text)));
    let scripts = scripts.chain(NONE_OF_MESSAGES.iter().map(|text| (MESSAGES, json(text))));
    let scripts = scripts.chain(torsos().into_iter().map(|text| (CHAT, sse().data(text).end())));
    for (number, (path, script)) in scripts.enumerate() {
        let call = asks(&number.to_string(), false);
        for _ in 0..2 {
            origin.answers_next(script.clone());
            let told = post(&gateway, path, &call).await;
            assert_eq!((mark(&told), told.status.as_u16()), ("MISS", 200), "{number}: {}", told.text());
        }
    }
    let whole = r#"{"id":"c","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],"base_resp":{"status_code":0}}"#;
    for (mark, number) in [("MISS", 1), ("HIT", 2)] {
        origin.answers(json(whole));
        assert_eq!(super::mark(&post(&gateway, CHAT, &asks("whole", false)).await), mark, "{number}");
    }
}

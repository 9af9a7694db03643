use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{AnswerState, Endpoint, Hashing, ParsedBody, TokenLimitValue};

const RESPONSES: Endpoint = Endpoint::RESPONSES_WEBSOCKET;
const REALTIME: Endpoint = Endpoint::REALTIME;

fn call(endpoint: Endpoint, text: &str) -> Option<CallMessage> {
    match ClientMessage::read(endpoint, text.as_bytes(), Some("of-the-session"), Hashing::Nothing) {
        ClientMessage::Call(call) => Some(*call),
        ClientMessage::Other => None,
    }
}

fn facts(call: &CallMessage) -> (Option<&str>, Vec<TokenLimitValue>) {
    let ParsedBody::Calls(calls) = &call.parsed else { panic!("{:?}", call.parsed) };
    (calls[0].model.as_deref(), calls[0].token_limits.iter().map(|limit| limit.asked).collect())
}

#[test]
fn a_path_names_its_websocket_as_it_names_its_endpoint() {
    for (path, endpoint) in [
        ("/v1/responses", Some(RESPONSES)),
        ("/openai/v1//Responses/", Some(RESPONSES)),
        ("/v1/realtime", Some(REALTIME)),
        ("/v1/chat/completions", None),
        ("/socket", None),
    ] {
        assert_eq!(Endpoint::of_websocket(path), endpoint, "{path}");
    }
    assert_eq!(Endpoint::of("/v1/realtime"), None);
}

#[test]
fn messages_that_ask_for_an_answer_are_calls_in_whatever_spelling() {
    for text in [
        r#"{"type":"response.create","model":"m"}"#,
        r#"{"model":"m","type":"response.create"}"#,
        r#" { "t\u0079pe" : "response\u002ecreate" } "#,
        r#"{"type":"response.cancel","type":"response.create"}"#,
        r#"{"type":"response.create","type":"response.cancel"}"#,
        r#"{"TYPE":"Response.Create"}"#,
        "{\"type\":\"response.create\"",
        "{'type':'response.create'}",
        "/* */ {\"type\":\"response.create\"}",
    ] {
        assert!(call(RESPONSES, text).is_some(), "{text}");
        assert!(call(REALTIME, text).is_some(), "{text}");
    }
    for text in [
        "",
        "ping",
        "[]",
        r#"{"type":"response.cancel"}"#,
        r#"{"type":"session.update","session":{"type":"response.create"}}"#,
        r#"{"type":["response.create"]}"#,
        r#"{"event_id":"response.create"}"#,
    ] {
        assert!(call(RESPONSES, text).is_none() && call(REALTIME, text).is_none(), "{text}");
    }
    assert!(call(RESPONSES, r#"{"type":"response.append"}"#).is_some());
    assert!(matches!(
        ClientMessage::read(RESPONSES, b"{\"type\":\"\xFF\"}", None, Hashing::Nothing),
        ClientMessage::Call(call) if matches!(call.parsed, ParsedBody::Unreadable(_))
    ));
}

#[test]
fn the_call_of_a_response_is_the_message_itself() {
    let text = r#"{"type":"response.create","model":"gpt-5","max_output_tokens":20,"input":[]}"#;
    let read = call(RESPONSES, text).unwrap();
    assert_eq!(facts(&read), (Some("gpt-5"), vec![TokenLimitValue::Tokens(20)]));
    let message = Bytes::from_static(text.as_bytes());
    assert_eq!(read.call(&message), message);
    assert_eq!(read.with_call(RESPONSES, &message, b"{}"), b"{}");
    let null = call(RESPONSES, r#"{"type":"response.create","model":"gpt-5","response":null}"#).unwrap();
    assert_eq!(facts(&null), (Some("gpt-5"), vec![]));
    let nested = call(RESPONSES, r#"{"type":"response.create","response":{"max_output_tokens":20}}"#).unwrap();
    assert!(matches!(nested.parsed, ParsedBody::Unreadable(_)));
}

#[test]
fn the_call_of_a_session_is_a_member_and_has_the_models_name_from_the_address() {
    let text = r#"{"type":"response.create","event_id":"e1","response":{"max_output_tokens":"inf"}}"#;
    let read = call(REALTIME, text).unwrap();
    assert_eq!(facts(&read), (Some("of-the-session"), vec![TokenLimitValue::NotANumber]));
    assert_eq!(read.event_id.as_deref(), Some("e1"));
    let message = Bytes::from_static(text.as_bytes());
    assert_eq!(read.call(&message), r#"{"max_output_tokens":"inf"}"#);
    let lower = read.with_call(REALTIME, &message, br#"{"max_output_tokens":5}"#);
    assert_eq!(lower, br#"{"type":"response.create","event_id":"e1","response":{"max_output_tokens":5}}"#);
    for (text, wanted) in [
        (r#"{"type":"response.create"}"#, r#"{"response":{"a":1},"type":"response.create"}"#),
        (r#"{"type":"response.create", "response" : null }"#, r#"{"type":"response.create", "response" : {"a":1} }"#),
        (r#"{"response":null,"type":"response.create"}"#, r#"{"response":{"a":1},"type":"response.create"}"#),
    ] {
        let read = call(REALTIME, text).unwrap();
        assert_eq!(read.call(&Bytes::from_static(text.as_bytes())), "{}");
        assert_eq!(read.with_call(REALTIME, text.as_bytes(), br#"{"a":1}"#), wanted.as_bytes());
    }
    for text in [
        r#"{"type":"response.create","response":{},"response":{}}"#,
        r#"{"type":"response.create","response":null,"response":null}"#,
        r#"{"type":"response.create","response":null,"response":{}}"#,
        r#"{"type":"response.create","response":{},"response":null}"#,
        r#"{"type":"response.create","Response":{}}"#,
        r#"{"type":"response.create","Response":null}"#,
        r#"{"type":"response.create","response":7}"#,
    ] {
        assert!(matches!(call(REALTIME, text).unwrap().parsed, ParsedBody::Unreadable(_)), "{text}");
    }
}

#[test]
fn a_call_has_the_model_of_its_session_whatever_else_it_names() {
    for (response, others) in [
        (r#"{"model":"cheap"}"#, vec![Some("cheap")]),
        (r#"{"model":"a","MODEL":"b"}"#, vec![Some("b"), Some("a")]),
        (r#"{"model":7}"#, vec![None]),
        (r#"{"model":null}"#, vec![]),
        ("{}", vec![]),
        ("null", vec![]),
    ] {
        let read = call(REALTIME, &format!(r#"{{"type":"response.create","response":{response}}}"#)).unwrap();
        let ParsedBody::Calls(calls) = &read.parsed else { panic!("{response}") };
        let named: Vec<_> = calls[0].other_models.iter().map(Option::as_deref).collect();
        assert_eq!((calls[0].model.as_deref(), named), (Some("of-the-session"), others), "{response}");
    }
}

/// The kinds of events, and the answer that all of them tell of.
fn told(endpoint: Endpoint, messages: &[Value], cut: usize) -> (Vec<EventKind>, crate::Answer) {
    let (mut reader, mut answer) = (ServerMessages::new(endpoint), AnswerEvents::new(endpoint));
    let kinds = messages.iter().map(|message| {
        for piece in message.to_string().as_bytes().chunks(cut) {
            reader.feed(piece);
        }
        reader.end(|event| {
            answer.read(event);
            event.kind()
        })
    });
    (kinds.collect(), answer.into_answer())
}

#[test]
fn the_last_event_of_an_answer_has_its_usage_by_class() {
    let usage = json!({ "input_tokens": 100, "input_tokens_details": { "cached_tokens": 30 }, "output_tokens": 7,
        "output_tokens_details": { "reasoning_tokens": 3 }, "total_tokens": 107 });
    let response =
        |status: &str| json!({ "id": "resp_1", "model": "gpt-5", "status": status, "output": [{}], "usage": usage });
    for (last, state) in [
        ("response.completed", AnswerState::Complete),
        ("response.incomplete", AnswerState::Complete),
        ("response.failed", AnswerState::Failed),
    ] {
        let events = [
            json!({ "type": "response.created", "response": { "id": "resp_1", "usage": null } }),
            json!({ "type": "response.output_text.delta", "delta": "x" }),
            json!({ "type": last, "response": response("completed") }),
        ];
        for cut in [1, 7, 1000] {
            let (kinds, answer) = told(RESPONSES, &events, cut);
            assert_eq!(kinds, [EventKind::Created, EventKind::Content, EventKind::Ended]);
            let tokens = answer.usage.unwrap().tokens;
            assert_eq!(
                (tokens.input, tokens.cache_read, tokens.output, tokens.reasoning),
                (Some(70), Some(30), Some(7), Some(3))
            );
            assert_eq!(
                (answer.state, answer.id.as_deref(), answer.model.as_deref()),
                (state, Some("resp_1"), Some("gpt-5"))
            );
        }
    }
}

#[test]
fn a_session_ends_its_answers_by_one_event_whose_status_says_how() {
    let done = |status: &str| {
        json!({ "type": "response.done", "event_id": "e", "response": { "id": "r", "status": status,
            "status_details": { "type": status, "reason": "turn_detected", "error": { "type": "server_error" } },
            "usage": { "total_tokens": 30, "input_tokens": 20, "output_tokens": 10,
                "input_token_details": { "text_tokens": 5, "audio_tokens": 15, "cached_tokens": 8 },
                "output_token_details": { "text_tokens": 2, "audio_tokens": 8 } } } })
    };
    for (status, state) in [
        ("completed", AnswerState::Complete),
        ("incomplete", AnswerState::Complete),
        ("cancelled", AnswerState::Complete),
        ("failed", AnswerState::Failed),
    ] {
        let (kinds, answer) = told(REALTIME, &[done(status)], 9);
        let tokens = answer.usage.unwrap().tokens;
        assert_eq!((kinds, answer.state), (vec![EventKind::Ended], state), "{status}");
        assert_eq!((tokens.input, tokens.cache_read, tokens.output), (Some(12), Some(8), Some(10)));
        assert_eq!(answer.error_type.as_deref(), (status == "failed").then_some("server_error"));
    }
}

#[test]
fn an_error_names_the_message_that_it_is_about() {
    let mut reader = ServerMessages::new(REALTIME);
    for (error, about) in [
        (json!({ "type": "error", "error": { "type": "x", "event_id": "e1" } }), Some("e1")),
        (json!({ "type": "error", "error": { "type": "x", "event_id": null } }), None),
        (json!({ "type": "error" }), None),
    ] {
        reader.feed(error.to_string().as_bytes());
        let (kind, named) = reader.end(|event| (event.kind(), event.failed_message()));
        assert_eq!((kind, named.as_deref()), (EventKind::Error, about));
    }
    reader.feed(b"{\"type\":\"response.created\"");
    assert_eq!(reader.end(|event| event.kind()), EventKind::Other, "half an event is none");
}

#[test]
fn a_refusal_is_an_error_event_in_the_protocols_own_form() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("12"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let body = br#"{"error":{"message":"Slower","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
    let status = StatusCode::TOO_MANY_REQUESTS;
    let refusal = EventError { status, headers: &headers, body, event_id: Some("e1"), request_id: "7" };
    let event: Value = serde_json::from_str(&error_event(RESPONSES, &refusal)).unwrap();
    let error = json!({ "message": "Slower", "type": "requests", "param": null, "code": "rate_limit_exceeded" });
    assert_eq!(event, json!({ "type": "error", "status": 429, "error": error, "headers": { "retry-after": "12" } }));
    let event: Value = serde_json::from_str(&error_event(REALTIME, &refusal)).unwrap();
    assert_eq!((&event["event_id"], &event["error"]["event_id"]), (&json!("event_7"), &json!("e1")));
    let until = EventError { body: br#"{"error":{"message":"Used up","resets_at":9}}"#, ..refusal };
    let event: Value = serde_json::from_str(&error_event(RESPONSES, &until)).unwrap();
    assert_eq!(event["error"], json!({ "message": "Used up", "resets_at": 9 }));
    let plain = EventError { body: br#"{"error":"max_tokens too high","message":"At most 5"}"#, ..refusal };
    let event: Value = serde_json::from_str(&error_event(RESPONSES, &plain)).unwrap();
    assert_eq!(
        (&event["error"]["message"], &event["error"]["code"]),
        (&json!("At most 5"), &json!("max_tokens too high"))
    );
}

proptest! {
    #[test]
    fn no_bytes_are_too_much_for_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for endpoint in [RESPONSES, REALTIME] {
            drop(ClientMessage::read(endpoint, &bytes, None, Hashing::Conversation));
            let (mut reader, mut answer) = (ServerMessages::new(endpoint), AnswerEvents::new(endpoint));
            reader.feed(&bytes);
            reader.end(|event| answer.read(event));
            drop(answer.into_answer());
        }
    }
}

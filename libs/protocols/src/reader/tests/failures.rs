//! Errors under a status that says that all is well, by whatever name.

use super::*;

/// The bodies and the streams that tell of an error, and what it is called.
const FAILURES: [(&str, &str); 16] = [
    (r#"{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}"#, "BadRequestError"),
    (r#"{"object":"error","message":"m"}"#, "error"),
    (r#"{"base_resp":{"status_code":1002,"status_msg":"rate limit"},"choices":null}"#, "1002"),
    (r#"{"detail":"Not Found"}"#, "error"),
    (r#"{"error":"model 'x' not found"}"#, "error"),
    (r#"{"error":"rate_limited"}"#, "rate_limited"),
    (r#"{"error":{"message":"m","type":"server_error"}}"#, "server_error"),
    (r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#, "429"),
    (r#"{"errors":[{"code":10000,"message":"m"}],"success":false,"result":null}"#, "10000"),
    (r#"{"code":"InvalidApiKey","message":"m","request_id":"r"}"#, "InvalidApiKey"),
    (r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, "overloaded_error"),
    (r#"{"throttlingException":{"message":"m"}}"#, "throttlingException"),
    (r#"{"__type":"com.amazon.coral.service#ThrottlingException","message":"m"}"#, "ThrottlingException"),
    (r#"{"message":"API rate limit exceeded"}"#, "error"),
    (r#"{"code":503}"#, "503"),
    (r#"{"error":{}, "errors":["m"]}"#, "error"),
];

const CALLS: [Endpoint; 5] =
    [Endpoint::MESSAGES, Endpoint::CHAT_COMPLETIONS, Endpoint::COMPLETIONS, Endpoint::RESPONSES, Endpoint::EMBEDDINGS];

#[test]
fn a_body_that_tells_of_an_error_has_failed_at_every_endpoint() {
    for (body, kind) in FAILURES {
        for endpoint in CALLS.into_iter().chain([Endpoint::COUNT_TOKENS, Endpoint::IMAGE_GENERATIONS]) {
            let answer = read(endpoint, body);
            assert_eq!(
                (answer.state, answer.error_type.as_deref()),
                (AnswerState::Failed, Some(kind)),
                "{endpoint:?} {body}"
            );
        }
        let listed = read(Endpoint::CHAT_COMPLETIONS, &format!("[{body}]\n"));
        assert_eq!((listed.state, listed.error_type.as_deref()), (AnswerState::Failed, Some(kind)), "[{body}]");
    }
}

#[test]
fn a_stream_that_tells_of_an_error_has_failed_whatever_comes_behind_it() {
    let chunk = r#"{"id":"c","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
    let last = r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    for (event, kind) in FAILURES {
        for events in [&[chunk, event, "[DONE]"][..], &[chunk, event], &[event], &[chunk, event, last, "[DONE]"]] {
            let answer = read(Endpoint::CHAT_COMPLETIONS, &unnamed(events));
            assert_eq!((answer.state, answer.error_type.as_deref()), (AnswerState::Failed, Some(kind)), "{events:?}");
        }
    }
}

#[test]
fn an_event_that_is_called_error_is_one_whatever_it_holds() {
    for (event, kind) in [
        ("event: error\ndata: upstream went away\n\n", "error"),
        ("event:error\r\ndata: {\"message\":\"m\",\"code\":\"busy\"}\r\n\r\n", "busy"),
        ("data: {\"type\":\"overloaded\"}\nevent: error\n\n", "error"),
        ("event: ping\nevent: error\ndata: {}\n\n", "error"),
        ("event: error\n\n", "error"),
    ] {
        for endpoint in CALLS {
            let answer = read(endpoint, event);
            assert_eq!(
                (answer.state, answer.error_type.as_deref()),
                (AnswerState::Failed, Some(kind)),
                "{endpoint:?} {event}"
            );
        }
    }
    for event in [
        "event: errors\ndata: {}\n\n",
        "event: error\nevent: ping\ndata: {}\n\n",
        ": event: error\n\n",
        "eventerror\n\n",
    ] {
        assert_eq!(read(Endpoint::MESSAGES, event).state, AnswerState::Partial, "{event}");
    }
}

#[test]
fn what_only_looks_like_an_error_is_none() {
    for body in [
        r#"{"choices":[{"index":0,"finish_reason":"stop"}],"error":null,"base_resp":{"status_code":0,"status_msg":""}}"#,
        r#"{"choices":[{"index":0,"finish_reason":"stop"}],"error":{},"errors":[],"code":200,"message":"ok","detail":"x"}"#,
        r#"{"object":"chat.completion","choices":[{"finish_reason":"stop","message":{"error":"x"}}],"error":"","code":0}"#,
    ] {
        let answer = read(Endpoint::CHAT_COMPLETIONS, body);
        assert_eq!((answer.state, answer.error_type), (AnswerState::Complete, None), "{body}");
    }
    for chunk in [r#"{"choices":[],"usage":{"prompt_tokens":1},"code":0}"#, r#"{"id":"x","prompt_filter_results":[]}"#]
    {
        assert_eq!(read(Endpoint::CHAT_COMPLETIONS, &unnamed(&[chunk])).state, AnswerState::Partial, "{chunk}");
    }
}

#[test]
fn an_error_that_groq_tells_beside_a_chunk_is_one() {
    let chunk = r#"{"choices":[],"x_groq":{"id":"r","error":{"type":"over_capacity"}}}"#;
    let answer = read(Endpoint::CHAT_COMPLETIONS, &unnamed(&[chunk]));
    assert_eq!((answer.state, answer.error_type.as_deref()), (AnswerState::Failed, Some("over_capacity")));
}

#[test]
fn a_choice_that_stopped_for_a_failure_is_no_answer() {
    for (end, kind) in [
        (r#""finish_reason":"error","error":{"code":502,"message":"m"}"#, "502"),
        (r#""error":{"code":502,"message":"m"},"finish_reason":"stop""#, "502"),
        (r#""finish_reason":"error""#, "error"),
        (r#""finish_reason":"abort""#, "abort"),
        (r#""finish_reason":"insufficient_system_resource""#, "insufficient_system_resource"),
        (r#""finish_reason":"network_error""#, "network_error"),
    ] {
        let whole = format!(r#"{{"id":"c","choices":[{{"index":0,"message":{{"content":"a"}},{end}}}]}}"#);
        let begun = r#"{"id":"c","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
        let last = format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{{}},{end}}}]}}"#);
        for body in [whole, unnamed(&[begun, &last, "[DONE]"]), unnamed(&[begun, &last])] {
            let answer = read(Endpoint::CHAT_COMPLETIONS, &body);
            assert_eq!((answer.state, answer.error_type.as_deref()), (AnswerState::Failed, Some(kind)), "{body}");
        }
    }
    let sound = r#"{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop","error":null}]}"#;
    assert_eq!(read(Endpoint::CHAT_COMPLETIONS, sound).state, AnswerState::Complete);
}

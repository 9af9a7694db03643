//! `OpenAI`'s answers.

use super::*;

const CHAT: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","model":"gpt-a","service_tier":"default","choices":[{"index":0,"delta":{DELTA},"finish_reason":STOP}],"usage":null,"obfuscation":"x"}"#;

fn chunk(delta: &str, stop: &str) -> String {
    CHAT.replace("DELTA", delta).replace("STOP", stop)
}

const USAGE: &str = r#"{"id":"chatcmpl-1","model":"gpt-a","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":10,"total_tokens":1010,"prompt_tokens_details":{"cached_tokens":300,"cache_write_tokens":200},"completion_tokens_details":{"reasoning_tokens":4}}}"#;

#[test]
fn what_was_cached_is_taken_out_of_the_prompt() {
    let body = unnamed(&[
        &chunk(r#""role":"assistant","content":"""#, "null"),
        &chunk(r#""content":"hi""#, "null"),
        &chunk("", r#""stop""#),
        USAGE,
        "[DONE]",
    ]);
    let answer = read(Endpoint::CHAT_COMPLETIONS, &body);
    assert_eq!(answer.state, AnswerState::Complete);
    assert_eq!((answer.id.as_deref(), answer.model.as_deref()), (Some("chatcmpl-1"), Some("gpt-a")));
    assert_eq!(answer.stop_reason.as_deref(), Some("stop"));
    let wanted = Tokens {
        input: Some(500),
        cache_read: Some(300),
        cache_creation: Some(200),
        cache_creation_1h: None,
        output: Some(10),
        reasoning: Some(4),
    };
    assert_eq!(usage(&answer).tokens, wanted);
    assert_eq!(usage(&answer).service_tier.as_deref(), Some("default"));
    assert!(usage(&answer).raw.as_ref().unwrap().get().starts_with(r#"{"prompt_tokens":1000,"#));
}

#[test]
fn a_stream_that_tells_no_usage_has_none() {
    let answer = read(Endpoint::CHAT_COMPLETIONS, &unnamed(&[&chunk(r#""content":"hi""#, r#""length""#), "[DONE]"]));
    assert_eq!((answer.state, answer.usage.is_none()), (AnswerState::Complete, true));
    // servers that leave `[DONE]` out have still said why they stopped
    let answer = read(Endpoint::CHAT_COMPLETIONS, &unnamed(&[&chunk("", r#""stop""#)]));
    assert_eq!(answer.state, AnswerState::Complete);
    let answer = read(Endpoint::CHAT_COMPLETIONS, &unnamed(&[&chunk(r#""content":"hi""#, "null")]));
    assert_eq!(answer.state, AnswerState::Partial);
}

#[test]
fn a_stream_of_several_choices_is_whole_only_when_it_says_so() {
    let other = |stop: &str| chunk("", stop).replace(r#""index":0"#, r#""index":1"#);
    let chunks = [chunk("", "null"), other("null"), chunk("", r#""stop""#), other("null")];
    let mut all: Vec<&str> = chunks.iter().map(String::as_str).collect();
    assert_eq!(read(Endpoint::CHAT_COMPLETIONS, &unnamed(&all)).state, AnswerState::Partial);
    all.push("[DONE]");
    assert_eq!(read(Endpoint::CHAT_COMPLETIONS, &unnamed(&all)).state, AnswerState::Complete);
}

#[test]
fn an_object_with_something_behind_it_is_not_whole_however_it_is_cut() {
    for (behind, state) in [(" \n", AnswerState::Complete), ("x", AnswerState::Partial), ("\n{}", AnswerState::Partial)]
    {
        let body = format!(
            r#"{{"id":"chatcmpl-1","model":"gpt-a","choices":[{{"index":0,"finish_reason":"stop"}}]}}{behind}"#
        );
        assert_eq!(read(Endpoint::CHAT_COMPLETIONS, &body).state, state, "{behind:?}");
    }
}

#[test]
fn of_usage_in_every_chunk_the_last_counts() {
    let usage_of = |tokens: u64| {
        chunk(r#""content":"x""#, "null")
            .replace(r#""usage":null"#, &format!(r#""usage":{{"prompt_tokens":5,"completion_tokens":{tokens}}}"#))
    };
    let answer =
        read(Endpoint::CHAT_COMPLETIONS, &unnamed(&[&usage_of(1), &usage_of(2), &usage_of(3), &chunk("", "null")]));
    assert_eq!(usage(&answer).tokens, tokens(5, 3));
}

#[test]
fn the_first_chunk_may_have_an_empty_name_and_no_choice() {
    let azure = r#"{"choices":[],"model":"","id":"","prompt_filter_results":[]}"#;
    let answer = read(Endpoint::CHAT_COMPLETIONS, &unnamed(&[azure, &chunk("", r#""stop""#)]));
    assert_eq!((answer.id.as_deref(), answer.model.as_deref()), (Some("chatcmpl-1"), Some("gpt-a")));
}

#[test]
fn errors_are_known_in_every_form() {
    for (status, body, kind) in [
        (
            200,
            unnamed(&[
                &chunk("", "null"),
                r#"{"error":{"message":"m","type":"server_error","param":null,"code":null}}"#,
            ]),
            Some("server_error"),
        ),
        (200, unnamed(&[r#"{"error":{"message":"m","type":null,"code":502}}"#]), Some("502")),
        (200, r#"{"error":"no object"}"#.to_owned(), Some("error")),
        (
            404,
            r#"{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#
                .to_owned(),
            Some("invalid_request_error"),
        ),
        (422, r#"{"detail":[{"loc":["body"]}]}"#.to_owned(), Some("error")),
    ] {
        let (answer, _) = read_in(Endpoint::CHAT_COMPLETIONS, status, body.as_bytes(), 11);
        assert_eq!((answer.state, answer.error_type.as_deref()), (AnswerState::Failed, kind), "{body}");
    }
}

#[test]
fn completions_and_embeddings_are_read_like_chat() {
    let body = unnamed(&[
        r#"{"id":"cmpl-1","model":"b","choices":[{"text":"","finish_reason":null}],"usage":null}"#,
        r#"{"id":"cmpl-1","model":"b","choices":[{"text":" fib","finish_reason":"length"}],"usage":null}"#,
        r#"{"id":"cmpl-1","model":"b","choices":[],"usage":{"prompt_tokens":31,"completion_tokens":25,"total_tokens":56}}"#,
        "[DONE]",
    ]);
    let answer = read(Endpoint::COMPLETIONS, &body);
    assert_eq!((usage(&answer).tokens, answer.stop_reason.as_deref()), (tokens(31, 25), Some("length")));
    let body = r#"{"object":"list","data":[{"embedding":[0.1,-2e-3]}],"model":"e","usage":{"prompt_tokens":7,"total_tokens":7}}"#;
    let answer = read(Endpoint::EMBEDDINGS, body);
    assert_eq!(usage(&answer).tokens, Tokens { input: Some(7), ..Tokens::default() });
    assert_eq!((answer.state, answer.model.as_deref()), (AnswerState::Complete, Some("e")));
}

#[test]
fn content_is_seen_with_the_first_chunk_that_has_some() {
    let seen = |chunk: &str| read_in(Endpoint::CHAT_COMPLETIONS, 200, unnamed(&[chunk]).as_bytes(), 8).1;
    let long = format!(r#""content":"{}""#, "x".repeat(9000));
    for delta in [r#""content":"a""#, r#""tool_calls":[{"id":"c"}]"#, r#""reasoning_content":"a""#, &long] {
        assert!(seen(&chunk(delta, "null")), "{delta}");
    }
    for delta in ["", r#""role":"assistant","content":"","refusal":null,"tool_calls":[]"#] {
        assert!(!seen(&chunk(delta, "null")), "{delta}");
    }
    assert!(!seen(USAGE));
}

const RESPONSE: &str = r#"{"id":"resp_1","object":"response","status":"STATUS","error":ERROR,"incomplete_details":DETAILS,"model":"gpt-r","output":[{"usage":1}],"usage":{"input_tokens":18,"input_tokens_details":{"cached_tokens":8},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":23}}"#;

fn response(status: &str, error: &str, details: &str) -> String {
    RESPONSE.replace("STATUS", status).replace("ERROR", error).replace("DETAILS", details)
}

#[test]
fn a_response_says_all_in_its_last_event_or_in_one_object() {
    for (status, error, details, state, stop, kind) in [
        ("completed", "null", "null", AnswerState::Complete, "completed", None),
        ("incomplete", "null", r#"{"reason":"max_output_tokens"}"#, AnswerState::Complete, "max_output_tokens", None),
        (
            "failed",
            r#"{"code":"server_error","message":"m"}"#,
            "null",
            AnswerState::Failed,
            "failed",
            Some("server_error"),
        ),
    ] {
        let whole = response(status, error, details);
        let last = format!(r#"{{"type":"response.{status}","sequence_number":7,"response":{whole}}}"#);
        let created = r#"{"type":"response.created","response":{"id":"resp_1","model":"gpt-r","usage":null}}"#;
        let stream = named(&[created, r#"{"type":"response.output_text.delta","delta":"hi"}"#, &last]);
        for body in [&whole, &stream] {
            let answer = read(Endpoint::RESPONSES, body);
            assert_eq!((answer.state, answer.stop_reason.as_deref()), (state, Some(stop)), "{body}");
            assert_eq!((answer.error_type.as_deref(), answer.model.as_deref()), (kind, Some("gpt-r")));
            let wanted = Tokens { cache_read: Some(8), reasoning: Some(3), ..tokens(10, 5) };
            assert_eq!(usage(&answer).tokens, wanted);
        }
        assert!(read_in(Endpoint::RESPONSES, 200, stream.as_bytes(), 30).1);
    }
}

#[test]
fn a_last_event_of_half_a_megabyte_is_read_like_any_other() {
    let whole = response("completed", "null", "null")
        .replace(r#"{"usage":1}"#, &format!(r#"{{"b64":"{}"}}"#, "A".repeat(500_000)));
    let stream = named(&[&format!(r#"{{"type":"response.completed","response":{whole}}}"#)]);
    assert_eq!(usage(&read_in(Endpoint::RESPONSES, 200, stream.as_bytes(), 4096).0).tokens.output, Some(5));
}

#[test]
fn a_response_that_goes_on_elsewhere_or_breaks_off_is_partial() {
    let answer = read(Endpoint::RESPONSES, &response("in_progress", "null", "null"));
    assert_eq!((answer.state, answer.stop_reason), (AnswerState::Partial, None));
    let created = r#"{"type":"response.created","response":{"id":"resp_1","model":"gpt-r","usage":null}}"#;
    let answer = read(Endpoint::RESPONSES, &named(&[created]));
    assert_eq!((answer.state, answer.model.as_deref()), (AnswerState::Partial, Some("gpt-r")));
    for error in
        [r#"{"type":"error","code":"rate_limit","message":"m"}"#, r#"{"type":"error","error":{"code":"rate_limit"}}"#]
    {
        let answer = read(Endpoint::RESPONSES, &named(&[created, error]));
        assert_eq!((answer.state, answer.error_type.as_deref()), (AnswerState::Failed, Some("rate_limit")));
    }
}

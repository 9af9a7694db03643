//! Anthropic's answers.

use super::*;

const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-a",
"content":[],"stop_reason":null,"usage":{"input_tokens":25,"cache_read_input_tokens":300,"cache_creation_input_tokens":40,
"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":30},"output_tokens":1,"service_tier":"standard"}}}"#;
const TEXT: &str = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\"usage\":{\"output_tokens\":9}"}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn start() -> String {
    START.replace('\n', "")
}

fn stream(events: &[&str]) -> Answer {
    let start = start();
    let mut all = vec![&*start];
    all.extend(events);
    read(Endpoint::MESSAGES, &named(&all))
}

fn delta(usage: &str) -> String {
    format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn","stop_sequence":null}},"usage":{usage}      }}"#
    )
}

#[test]
fn a_message_says_all_at_once() {
    let usage_text = r#"{ "input_tokens":3,"cache_creation_input_tokens":453, "cache_creation":{"ephemeral_5m_input_tokens":53,"ephemeral_1h_input_tokens":400},"cache_read_input_tokens":82371,"output_tokens":186,"output_tokens_details":{"thinking_tokens":100},"service_tier":"batch","inference_geo":"","speed":"fast","server_tool_use":{"web_search_requests":2},"unheard_of":[1]}"#;
    let body = format!(
        r#"{{"id":"msg_1","type":"message","model":"claude-a","content":[{{"usage":{{"input_tokens":9}}}}],"stop_reason":"tool_use","usage":{usage_text}}}"#
    );
    let answer = read(Endpoint::MESSAGES, &body);
    assert_eq!(answer.state, AnswerState::Complete);
    assert_eq!((answer.id.as_deref(), answer.model.as_deref()), (Some("msg_1"), Some("claude-a")));
    assert_eq!((answer.stop_reason.as_deref(), &answer.error_type), (Some("tool_use"), &None));
    let usage = usage(&answer);
    let tokens = Tokens {
        input: Some(3),
        cache_read: Some(82371),
        cache_creation: Some(453),
        cache_creation_1h: Some(400),
        output: Some(186),
        reasoning: Some(100),
    };
    assert_eq!(usage.tokens, tokens);
    assert_eq!((usage.web_search_requests, usage.web_fetch_requests), (Some(2), None));
    let words = [&usage.service_tier, &usage.inference_geo, &usage.speed].map(|word| word.as_deref());
    assert_eq!(words, [Some("batch"), Some(""), Some("fast")]);
    assert_eq!(usage.raw.as_ref().unwrap().get(), usage_text);
}

#[test]
fn a_delta_overrides_what_was_before_and_null_does_not() {
    let answer = stream(&[
        TEXT,
        &delta(
            r#"{"output_tokens":15,"input_tokens":2000,"cache_read_input_tokens":null,"server_tool_use":{"web_search_requests":1}}"#,
        ),
        &delta(r#"{"output_tokens":0,"input_tokens":7,"cache_creation_input_tokens":45}"#),
        STOP,
    ]);
    assert_eq!((answer.state, answer.stop_reason.as_deref()), (AnswerState::Complete, Some("end_turn")));
    let tokens = Tokens {
        input: Some(7),
        cache_read: Some(300),
        cache_creation: Some(45),
        cache_creation_1h: Some(30),
        output: Some(0),
        reasoning: None,
    };
    assert_eq!(usage(&answer).tokens, tokens);
    assert_eq!(usage(&answer).web_search_requests, Some(1));
    assert_eq!(
        usage(&answer).raw.as_ref().unwrap().get(),
        r#"{"input_tokens":7,"cache_read_input_tokens":300,"cache_creation_input_tokens":45,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":30},"output_tokens":0,"service_tier":"standard","server_tool_use":{"web_search_requests":1}}"#
    );
}

#[test]
fn the_part_kept_for_an_hour_is_never_more_than_all_that_was_written() {
    let answer = stream(&[&delta(r#"{"output_tokens":1,"cache_creation_input_tokens":20}"#)]);
    let tokens = usage(&answer).tokens;
    assert_eq!((tokens.cache_creation, tokens.cache_creation_1h), (Some(20), Some(20)));
}

#[test]
fn usage_that_is_null_or_missing_says_nothing() {
    for silent in
        [delta("null"), r#"{"type":"message_delta","delta":{"stop_reason":"refusal"}}"#.to_owned(), delta("7")]
    {
        let answer = stream(&[&silent, STOP]);
        assert_eq!((usage(&answer).tokens.input, usage(&answer).tokens.output), (Some(25), Some(1)), "{silent}");
    }
    let body = named(&[r#"{"type":"message_start","message":{"usage":null}}"#, &delta(r#"{"output_tokens":3}"#), STOP]);
    let answer = read(Endpoint::MESSAGES, &body);
    assert_eq!(usage(&answer).tokens, Tokens { output: Some(3), ..Tokens::default() });
    let answer = read(Endpoint::MESSAGES, &named(&[r#"{"type":"message_start","message":{}}"#, STOP]));
    assert!(answer.usage.is_none() && answer.state == AnswerState::Complete);
}

#[test]
fn only_the_first_start_counts_and_unknown_events_never() {
    let answer = stream(&[
        r#"{"type":"message_start","message":{"id":"msg_2","model":"claude-b","usage":{"input_tokens":9999,"output_tokens":9}}}"#,
        r#"{"type":"telemetry","usage":{"input_tokens":5,"output_tokens":5},"model":"claude-c"}"#,
        r#"{"type":"ping","usage":{"output_tokens":5}}"#,
        r#"{"usage":{"output_tokens":5},"type":"content_block_stop"}"#,
        "no JSON",
        STOP,
    ]);
    assert_eq!((answer.id.as_deref(), answer.model.as_deref()), (Some("msg_1"), Some("claude-a")));
    assert_eq!((usage(&answer).tokens.input, usage(&answer).tokens.output), (Some(25), Some(1)));
}

#[test]
fn whoever_answers_in_the_end_is_the_model() {
    let answer = stream(&[
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"fallback","from":{"model":"claude-a"},"to":{"model":"claude-b"}}}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":"","to":{"model":"claude-c"}}}"#,
        &delta(r#"{"output_tokens":70,"iterations":[{"type":"message","model":"claude-a","input_tokens":10,"output_tokens":40},
            {"type":"fallback_message","model":"claude-b","input_tokens":12,"output_tokens":30},{"input_tokens":1}]}"#)
        .replace('\n', ""),
        STOP,
    ]);
    assert_eq!(answer.model.as_deref(), Some("claude-b"));
    let iteration = |kind: &str, model: Option<&str>, tokens| Iteration {
        kind: kind.to_owned(),
        model: model.map(str::to_owned),
        tokens,
    };
    assert_eq!(
        usage(&answer).iterations,
        [
            iteration("message", Some("claude-a"), tokens(10, 40)),
            iteration("fallback_message", Some("claude-b"), tokens(12, 30)),
            iteration("", None, Tokens { input: Some(1), ..Tokens::default() }),
        ]
    );
}

#[test]
fn a_stream_that_breaks_off_is_partial_and_one_with_an_error_has_failed() {
    let answer = stream(&[TEXT, &delta(r#"{"output_tokens":15}"#)]);
    assert_eq!((answer.state, usage(&answer).tokens.output), (AnswerState::Partial, Some(15)));
    let error = r#"{"type":"error","error":{"details":null,"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}"#;
    let answer = stream(&[TEXT, error, STOP]);
    assert_eq!((answer.state, answer.error_type.as_deref()), (AnswerState::Failed, Some("overloaded_error")));
    assert_eq!(usage(&answer).tokens.input, Some(25));
    // the last event has no blank line behind it
    let cut = named(&[&start(), STOP]);
    assert_eq!(read(Endpoint::MESSAGES, &cut[..cut.len() - 1]).state, AnswerState::Partial);
}

#[test]
fn an_error_is_told_with_its_type() {
    let body = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"request_id":"r"}"#;
    for status in [200, 429] {
        let (answer, _) = read_in(Endpoint::MESSAGES, status, body.as_bytes(), 10);
        assert_eq!((answer.state, answer.error_type.as_deref()), (AnswerState::Failed, Some("rate_limit_error")));
    }
    let (answer, _) = read_in(Endpoint::MESSAGES, 502, b"<html>bad gateway</html>", 10);
    assert_eq!((answer.state, answer.error_type), (AnswerState::Failed, None));
}

#[test]
fn a_count_is_no_usage() {
    for body in [r#"{"input_tokens":14}"#, r#"{"input_tokens":14,"usage":{"input_tokens":14}}"#] {
        let answer = read(Endpoint::COUNT_TOKENS, body);
        assert!(answer.usage.is_none() && answer.state == AnswerState::Complete);
    }
    let created = r#"{"id":"msgbatch_1","type":"message_batch","processing_status":"in_progress"}"#;
    let answer = read(Endpoint::MESSAGE_BATCHES, created);
    assert_eq!((answer.id.as_deref(), answer.usage.is_some()), (Some("msgbatch_1"), false));
}

#[test]
fn an_object_that_breaks_off_is_partial_though_its_usage_was_seen() {
    let answer = read(Endpoint::MESSAGES, r#"{"id":"msg_1","usage":{"input_tokens":1,"output_tokens":2},"content":["#);
    assert_eq!((answer.state, usage(&answer).tokens), (AnswerState::Partial, tokens(1, 2)));
    let answer = read(Endpoint::MESSAGES, r#"{"id":"msg_1","usage":{"input_tokens":1"#);
    assert!(answer.usage.is_none() && answer.id.is_some());
}

#[test]
fn figures_that_are_none_are_not_there() {
    let body = r#"{"usage":{"input_tokens":-1,"output_tokens":1e400,"cache_read_input_tokens":"7","cache_creation":{"ephemeral_5m_input_tokens":4}}}"#;
    let answer = read(Endpoint::MESSAGES, body);
    assert_eq!(usage(&answer).tokens, Tokens { cache_creation: Some(4), ..Tokens::default() });
}

#[test]
fn content_is_seen_with_its_first_piece() {
    let stream =
        named(&[&start(), r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#, TEXT]);
    assert!(read_in(Endpoint::MESSAGES, 200, stream.as_bytes(), 9).1);
    let before = stream.len() - TEXT.len();
    assert!(!read_in(Endpoint::MESSAGES, 200, &stream.as_bytes()[..before], 9).1);
}

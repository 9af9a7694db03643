//! What makes an answer a whole one of its endpoint, and where servers put its usage.

use super::*;

fn chunk(index: u64, stop: &str) -> String {
    format!(
        r#"{{"id":"c","model":"m","choices":[{{"index":{index},"delta":{{"content":"x"}},"finish_reason":{stop}}}]}}"#
    )
}

fn chat(events: &[String]) -> Answer {
    read(Endpoint::CHAT_COMPLETIONS, &unnamed(&events.iter().map(String::as_str).collect::<Vec<_>>()))
}

#[test]
fn only_a_word_is_a_reason_to_stop() {
    for (stop, state) in [
        (r#""stop""#, AnswerState::Complete),
        (r#""""#, AnswerState::Partial),
        (r#"" ""#, AnswerState::Partial),
        (r#""\n\u0020""#, AnswerState::Partial),
        ("null", AnswerState::Partial),
        ("7", AnswerState::Partial),
        ("{}", AnswerState::Partial),
    ] {
        let answer = chat(&[chunk(0, "null"), chunk(0, stop)]);
        assert_eq!((answer.state, answer.stop_reason.is_some()), (state, state == AnswerState::Complete), "{stop}");
        let whole = |endpoint, body: &str| read(endpoint, &body.replace("STOP", stop)).state;
        assert_eq!(
            whole(Endpoint::CHAT_COMPLETIONS, r#"{"choices":[{"message":{},"finish_reason":STOP}],"usage":{}}"#),
            state
        );
        assert_eq!(
            whole(Endpoint::MESSAGES, r#"{"type":"message","content":[],"stop_reason":STOP,"usage":{}}"#),
            state
        );
        let some = r#"{"choices":[{"finish_reason":"stop"},{"finish_reason":STOP}]}"#;
        assert_eq!(whole(Endpoint::CHAT_COMPLETIONS, some), state, "{stop}");
        let delta =
            format!(r#"{{"type":"message_delta","delta":{{"stop_reason":{stop}}},"usage":{{"output_tokens":1}}}}"#);
        let torso = named(&[r#"{"type":"message_start","message":{"id":"m"}}"#, &delta]);
        assert_eq!(read(Endpoint::MESSAGES, &torso).state, AnswerState::Partial, "{stop}");
    }
}

#[test]
fn a_blank_reason_takes_nothing_from_a_stream_that_says_that_it_is_done() {
    let answer = chat(&[chunk(0, r#""stop""#), chunk(0, r#""""#), "[DONE]".into()]);
    assert_eq!((answer.state, answer.stop_reason.as_deref()), (AnswerState::Complete, Some("stop")));
}

#[test]
fn some_of_the_choices_are_not_all() {
    let both = |first: &str, second: &str| {
        format!(r#"{{"choices":[{{"index":1,"finish_reason":{first}}},{{"index":0,"finish_reason":{second}}}]}}"#)
    };
    assert_eq!(chat(&[both("null", r#""stop""#)]).state, AnswerState::Partial);
    assert_eq!(chat(&[chunk(0, r#""stop""#), chunk(1, "null")]).state, AnswerState::Partial);
    assert_eq!(chat(&[both("null", r#""stop""#), "[DONE]".into()]).state, AnswerState::Complete);
}

#[test]
fn an_end_without_an_answer_is_none() {
    let azure = r#"{"choices":[],"prompt_filter_results":[]}"#.to_owned();
    let done = "[DONE]".to_owned();
    for events in [std::slice::from_ref(&done), &[azure, done.clone()]] {
        assert_eq!(chat(events).state, AnswerState::Unrecognized, "{events:?}");
    }
    let stop = named(&[r#"{"type":"message_stop"}"#]);
    assert_eq!(read(Endpoint::MESSAGES, &stop).state, AnswerState::Unrecognized);
    let delta = named(&[r#"{"type":"response.output_text.delta","delta":"x"}"#]);
    assert_eq!(read(Endpoint::RESPONSES, &(delta + "data: [DONE]\n\n")).state, AnswerState::Partial);
}

#[test]
fn json_that_is_no_answer_of_its_endpoint_is_not_taken_for_one() {
    for (endpoint, body) in [
        (Endpoint::MESSAGES, r#"{"id":"msg_1","usage":{"input_tokens":1}}"#),
        (Endpoint::MESSAGES, r#"{"content":[{"type":"text"}],"usage":{"input_tokens":1}}"#),
        (Endpoint::CHAT_COMPLETIONS, r#"{"id":"c","choices":[],"usage":{"prompt_tokens":1}}"#),
        (Endpoint::CHAT_COMPLETIONS, r#"{"choices":[{"message":{}}],"usage":{"prompt_tokens":1}}"#),
        (Endpoint::RESPONSES, r#"{"id":"r","output":[],"usage":{"input_tokens":1}}"#),
        (Endpoint::RESPONSES, r#"{"id":"r","status":"completed","usage":{"input_tokens":1}}"#),
        (Endpoint::EMBEDDINGS, r#"{"data":[],"usage":{"prompt_tokens":1}}"#),
    ] {
        let answer = read(endpoint, body);
        assert_eq!((answer.state, usage(&answer).tokens.input), (AnswerState::Unrecognized, Some(1)), "{body}");
    }
    assert_eq!(read(Endpoint::COUNT_TOKENS, "{}").state, AnswerState::Unrecognized);
}

#[test]
fn usage_is_found_wherever_a_server_puts_it() {
    let of = |place: &str| chat(&[chunk(0, "null"), place.to_owned(), "[DONE]".into()]).usage.map(|usage| usage.tokens);
    let told = r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}"#;
    for place in [
        format!(r#"{{"choices":[],"usage":{told}}}"#),
        format!(
            r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"x_groq":{{"id":"r","usage":{told}}}}}"#
        ),
        format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop","usage":{told}}}]}}"#),
        format!(r#"{{"choices":[],"x_groq":{{"usage":{told}}},"usage":null}}"#),
        format!(r#"{{"choices":[{{"usage":{{"prompt_tokens":9}}}}],"usage":{told}}}"#),
    ] {
        assert_eq!(of(&place), Some(tokens(3, 4)), "{place}");
    }
}

#[test]
fn state_on_the_server_is_noticed() {
    let container = r#""container":{"id":"c","expires_at":"2026-12-01T00:00:00Z"}"#;
    let whole = format!(r#"{{"content":[],"stop_reason":"end_turn",{container}}}"#);
    let start = format!(r#"{{"type":"message_start","message":{{"id":"m",{container}}}}}"#);
    let delta = format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn",{container}}}}}"#);
    let plain = r#"{"type":"message_start","message":{"id":"m","container":null}}"#;
    for body in [whole, named(&[&start]), named(&[plain, &delta])] {
        assert!(read(Endpoint::MESSAGES, &body).server_state, "{body}");
    }
    assert!(!read(Endpoint::MESSAGES, &named(&[plain])).server_state);
}

#[test]
fn pictures_and_recordings_tell_their_usage() {
    let told = r#"{"total_tokens":100,"input_tokens":50,"output_tokens":50,"input_tokens_details":{"text_tokens":10,"image_tokens":40}}"#;
    for (endpoint, body) in [
        (
            Endpoint::IMAGE_GENERATIONS,
            format!(r#"{{"created":1,"data":[{{"b64_json":"{}"}}],"usage":{told}}}"#, "A".repeat(9000)),
        ),
        (
            Endpoint::IMAGE_EDITS,
            named(&[&format!(r#"{{"type":"image_edit.completed","b64_json":"A","usage":{told}}}"#)]),
        ),
        (Endpoint::TRANSCRIPTIONS, format!(r#"{{"text":"hi","usage":{{"type":"tokens",{}}}"#, &told[1..])),
        (
            Endpoint::TRANSCRIPTIONS,
            named(&[
                r#"{"type":"transcript.text.delta","delta":"h"}"#,
                &format!(r#"{{"type":"transcript.text.done","text":"hi","usage":{told}}}"#),
            ]),
        ),
        (Endpoint::SPEECH, named(&[&format!(r#"{{"type":"speech.audio.done","usage":{told}}}"#)])),
    ] {
        let answer = read(endpoint, &body);
        assert_eq!((answer.state, usage(&answer).tokens), (AnswerState::Complete, tokens(50, 50)), "{body}");
    }
    let answer = read(Endpoint::TRANSCRIPTIONS, r#"{"text":"hi","usage":{"type":"duration","seconds":9}}"#);
    assert_eq!((answer.state, usage(&answer).tokens), (AnswerState::Complete, Tokens::default()));
    assert_eq!(
        read(Endpoint::MODERATIONS, r#"{"id":"modr-1","results":[{"flagged":false}]}"#).state,
        AnswerState::Complete
    );
}

#[test]
fn samplings_without_end_are_summed_up_and_none_is_lost() {
    let one = r#"{"type":"message","model":"claude-a","input_tokens":2,"output_tokens":3}"#;
    let body = |all: &[String]| {
        format!(
            r#"{{"content":[],"stop_reason":"end_turn","usage":{{"input_tokens":1,"iterations":[{}]}}}}"#,
            all.join(",")
        )
    };
    let answer = read_in(Endpoint::MESSAGES, 200, body(&vec![one.to_owned(); 1000]).as_bytes(), 4096).0;
    let sum: u64 = usage(&answer).iterations.iter().filter_map(|one| one.tokens.output).sum();
    assert_eq!((usage(&answer).iterations.len(), sum), (256, 3000));
    let each = (0..1000).map(|number| format!(r#"{{"model":"m{number}","output_tokens":3}}"#)).collect::<Vec<_>>();
    let answer = read_in(Endpoint::MESSAGES, 200, body(&each).as_bytes(), 4096).0;
    let sum: u64 = usage(&answer).iterations.iter().filter_map(|one| one.tokens.output).sum();
    assert_eq!((usage(&answer).iterations.len(), sum), (256, 3000));
    assert_eq!(usage(&answer).iterations[255].model.as_deref(), Some(""));
}

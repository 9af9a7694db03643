//! What the model says in an answer, and what of it a client sends back.

use super::*;
use crate::ConversationHash;
use crate::words::Words;

fn heard(endpoint: Endpoint, body: &str, cut: usize) -> Answer {
    let mut reader = AnswerReader::new(endpoint, StatusCode::OK, &HeaderMap::new()).with_words();
    body.as_bytes().chunks(cut).for_each(|piece| reader.feed(piece));
    reader.finish();
    reader.into_answer()
}

/// The answer, which must be the same however it is cut.
fn said(endpoint: Endpoint, body: &str) -> Answer {
    let whole = heard(endpoint, body, body.len());
    for cut in (1..body.len()).step_by(1 + body.len() / 100) {
        assert_eq!(format!("{:?}", heard(endpoint, body, cut)), format!("{whole:?}"), "{cut}");
    }
    assert_eq!(read(endpoint, body).words, None);
    whole
}

/// The words of messages that a client sends back.
fn sent_back(messages: &[&str]) -> Option<[u8; 32]> {
    let mut words = Words::default();
    messages.iter().for_each(|message| words.message(message));
    words.hash()
}

fn events(events: &[&str]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// Anthropic's events with these between the first and the last ones.
fn anthropic(blocks: &[&str]) -> String {
    let first = [r#"{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":1}}}"#];
    let last = [
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    events(&[&first[..], blocks, &last].concat())
}

const TOOL: &str = r#"{"role":"assistant","content":[{"type":"text","text":"It is\n\"so\""},{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls"}}]}"#;

#[test]
fn a_stream_of_anthropics_says_what_its_client_sends_back() {
    let body = anthropic(&[
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"It is\n"}}"#,
        r#"{"type":"ping"}"#,
        r#"{"delta":{"text":"\"so\" ","type":"text_delta"},"index":1,"type":"content_block_delta"}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"Bash","input":{}}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"command\":\"ls\"}"}}"#,
        r#"{"type":"content_block_stop","index":2}"#,
    ]);
    let answer = said(Endpoint::MESSAGES, &body);
    assert_eq!(answer.words, sent_back(&[TOOL]));
    assert!(answer.words.is_some() && answer.tasks.is_empty() && answer.state == AnswerState::Complete);
    let whole = TOOL.replace(
        r#"{"role""#,
        r#"{"id":"m","model":"c","stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1},"role""#,
    );
    assert_eq!(said(Endpoint::MESSAGES, &whole).words, answer.words);
}

#[test]
fn a_task_for_a_subagent_is_known_by_its_first_message() {
    let prompt = "Look at \"it\".\nAll of it, é.";
    let task = ConversationHash::of_first_message(prompt).unwrap();
    let input = serde_json::json!({ "description": "Look", "prompt": prompt, "subagent_type": "general-purpose" });
    for name in ["Task", "Agent"] {
        let text = input.to_string();
        let (first, rest) = text.split_at(40);
        let piece = |text: &str| serde_json::json!({ "type": "input_json_delta", "partial_json": text });
        let delta =
            |text| serde_json::json!({ "type": "content_block_delta", "index": 0, "delta": piece(text) }).to_string();
        let start = format!(
            r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","id":"t1","name":"{name}","input":{{}}}}}}"#
        );
        let second = start.replace("t1", "t2").replace("{}", &text);
        let body =
            anthropic(&[&start, &delta(""), &delta(first), &delta(rest), r#"{"type":"content_block_stop"}"#, &second]);
        let answer = said(Endpoint::MESSAGES, &body);
        assert_eq!(answer.tasks, [task, task], "{name}");
        let block = format!(r#"{{"type":"tool_use","id":"t1","name":"{name}","input":{text}}}"#);
        let whole = format!(r#"{{"id":"m","model":"c","stop_reason":"tool_use","usage":{{}},"content":[{block}]}}"#);
        assert_eq!(said(Endpoint::MESSAGES, &whole).tasks, [task], "{name}");
    }
    let other = r#"{"id":"m","model":"c","stop_reason":"x","usage":{},"content":[{"type":"tool_use","name":"Task","input":{"prompt":7}},{"type":"text","text":"\"Task\""}]}"#;
    assert!(said(Endpoint::MESSAGES, other).tasks.is_empty());
}

#[test]
fn answers_of_openais_say_what_their_clients_send_back() {
    let message = r#"{"role":"assistant","content":"Sunny, 20 °C","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"call_2","type":"function"}]}"#;
    let words = sent_back(&[message]);
    let chunk = |delta: &str| format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#);
    let body = events(&[
        &chunk(r#"{"role":"assistant","content":""}"#),
        &chunk(r#"{"content":"Sunny, "}"#),
        &chunk(r#"{"content":"20 \u00b0C"}"#),
        &chunk(r#"{"tool_calls":[{"index":0,"id":"call_1","function":{"name":"f","arguments":""}}]}"#),
        &chunk(r#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#),
        &chunk(r#"{"tool_calls":[{"index":0,"id":"call_1","function":{"arguments":"{}"}},{"index":1,"id":"call_2"}]}"#),
        r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        "[DONE]",
    ]);
    assert_eq!(said(Endpoint::CHAT_COMPLETIONS, &body).words, words);
    let whole = format!(r#"{{"id":"c","choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}]}}"#);
    assert_eq!(said(Endpoint::CHAT_COMPLETIONS, &whole).words, words);
    // which of several a client goes on with is not known
    let two = format!(
        r#"{{"id":"c","choices":[{{"index":0,"message":{message},"finish_reason":"stop"}},{{"index":1,"message":{message},"finish_reason":"stop"}}]}}"#
    );
    assert_eq!(said(Endpoint::CHAT_COMPLETIONS, &two).words, None);
    let items = [
        r#"{"type":"reasoning","id":"rs_1","summary":[]}"#,
        r#"{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"Sunny"}]}"#,
        r#"{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{}"}"#,
    ];
    let response = format!(r#"{{"id":"r","status":"completed","output":[{}]}}"#, items.join(","));
    let body = events(&[
        r#"{"type":"response.created","response":{"id":"r","output":[]}}"#,
        r#"{"type":"response.output_text.delta","delta":"Sunny"}"#,
        &format!(r#"{{"type":"response.completed","response":{response}}}"#),
    ]);
    for body in [&body, &response] {
        let answer = said(Endpoint::RESPONSES, body);
        assert_eq!(answer.words, sent_back(&items));
        assert!(answer.words.is_some());
    }
}

#[test]
fn members_behind_the_text_change_no_word_and_hide_none() {
    let behind = ["", r#","at":1"#, r#","at":22,"by":"x""#, r#","at":{"type":"y"}"#, r#","at":3"#, r#","at":4"#];
    let delta = |(at, behind)| {
        format!(r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":" word{at}"}}{behind}}}"#)
    };
    let events: Vec<_> = behind.into_iter().enumerate().map(delta).collect();
    let events: Vec<&str> = events.iter().map(|event| &**event).collect();
    let words = r#"{"content":"word0 word1 word2 word3 word4 word5"}"#;
    assert_eq!(said(Endpoint::MESSAGES, &anthropic(&events)).words, sent_back(&[words]));
    // of two types the last one counts
    let stop = r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"x"},"type":"error"}"#;
    let events = [events[0], events[1], stop];
    assert_eq!(said(Endpoint::MESSAGES, &anthropic(&events)).state, AnswerState::Failed);
}

#[test]
fn a_long_answer_is_known_by_its_beginning_and_its_tools() {
    let delta =
        |text: &str| format!(r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":"{text}"}}}}"#);
    let long: Vec<_> = (0..900).map(|number| delta(&format!("word{number} "))).collect();
    let text: String = (0..900).map(|number| format!("word{number} ")).collect();
    let tool =
        r#"{"type":"content_block_start","content_block":{"type":"tool_use","id":"toolu_1","name":"Task","input":{}}}"#;
    let input =
        r#"{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{\"prompt\":\"go\"}"}}"#;
    let pieces: Vec<&str> = long.iter().map(|piece| &**piece).chain([tool, input]).collect();
    let answer = said(Endpoint::MESSAGES, &anthropic(&pieces));
    let message = format!(r#"{{"content":[{{"type":"text","text":"{text}"}},{{"type":"tool_use","id":"toolu_1"}}]}}"#);
    assert_eq!(answer.words, sent_back(&[&message]));
    assert_eq!(answer.tasks.len(), 1);
}

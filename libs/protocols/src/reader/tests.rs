//! Answers as providers give them, cut anywhere, and what they say of themselves. Written after the API's documentation.

use crate::{Answer, AnswerState, BatchReader, Endpoint, Iteration, Protocol, Tokens, Usage, batch_of_results};
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::*;

mod anthropic;
mod failures;
mod ollama;
mod openai;
mod stops;
mod words;

fn read_in(endpoint: Endpoint, status: u16, body: &[u8], cut: usize) -> (Answer, bool) {
    let mut reader = AnswerReader::new(endpoint, StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
    body.chunks(cut).for_each(|piece| reader.feed(piece));
    reader.finish();
    let has_content = reader.has_content();
    (reader.into_answer(), has_content)
}

/// The answer, which must be the same however it is cut.
fn read(endpoint: Endpoint, body: &str) -> Answer {
    let told = |cut| format!("{:?}", read_in(endpoint, 200, body.as_bytes(), cut));
    let whole = told(body.len());
    for cut in (1..body.len()).step_by(1 + body.len() / 100) {
        assert_eq!(told(cut), whole, "{cut}");
    }
    read_in(endpoint, 200, body.as_bytes(), body.len()).0
}

fn usage(answer: &Answer) -> &Usage {
    answer.usage.as_ref().unwrap()
}

fn tokens(input: u64, output: u64) -> Tokens {
    Tokens { input: Some(input), output: Some(output), ..Tokens::default() }
}

/// A stream of events with these data, each under its type's name, as Anthropic and responses have it.
fn named(events: &[&str]) -> String {
    let event = |data: &&str| {
        let name: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
        format!("event: {}\ndata: {data}\n\n", name["type"].as_str().unwrap_or("none"))
    };
    events.iter().map(event).collect()
}

/// The same without names, as chat has it.
fn unnamed(events: &[&str]) -> String {
    events.iter().map(|data| format!("data: {data}\n\n")).collect()
}

fn batch(body: &[u8], cut: usize) -> Vec<String> {
    let mut reader = BatchReader::new(Protocol::ANTHROPIC, "b_1", &HeaderMap::new());
    let mut seen = Vec::new();
    let mut keep = |result: crate::BatchResult| {
        let raw = result.usage.raw.as_ref().map(ToString::to_string).unwrap_or_default();
        seen.push(format!(
            "{} {} {:?} {} {raw}",
            result.batch,
            result.custom_id,
            result.model,
            result.usage.tokens.output.unwrap()
        ));
    };
    body.chunks(cut).for_each(|piece| reader.feed(piece, &mut keep));
    reader.finish(&mut keep);
    seen
}

#[test]
fn each_result_of_a_batch_is_told_with_its_cost() {
    let body = concat!(
        r#"{"custom_id":"a","result":{"type":"succeeded","message":{"id":"m","model":"c","usage":{"output_tokens":1}}}}"#,
        "\r\n\n",
        r#"{"custom_id":"b","result":{"type":"errored","error":{"type":"error"}}}"#,
        "\nno JSON\n",
        r#"{"custom_id":"c","result":{"type":"expired"}}"#,
        "\n",
        r#"{"result":{"message":{"usage":{"output_tokens":4},"content":[{"usage":{}}]},"type":"succeeded"},"custom_id":"d"}"#,
    );
    let wanted = [r#"b_1 a Some("c") 1 {"output_tokens":1}"#, r#"b_1 d None 4 {"output_tokens":4}"#];
    for cut in 1..=body.len() {
        assert_eq!(batch(body.as_bytes(), cut), wanted);
    }
    // one that broke off is none
    assert_eq!(batch(&body.as_bytes()[..body.len() - 1], 50), wanted[..1]);
}

#[test]
fn results_are_known_by_their_path() {
    assert_eq!(batch_of_results("/v1/messages/batches/msgbatch_1/results"), Some((Protocol::ANTHROPIC, "msgbatch_1")));
    assert_eq!(batch_of_results("/anthropic/v1/messages/batches/b/results"), Some((Protocol::ANTHROPIC, "b")));
    for other in ["/v1/messages/batches/b", "/v1/messages/batches//results", "/v1/batches/b/results", "/results", ""] {
        assert_eq!(batch_of_results(other), None, "{other}");
    }
}

#[test]
fn what_is_encoded_is_read_as_it_passes_and_what_cannot_be_decoded_is_not() {
    let body = br#"{"id":"msg_1","model":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}"#;
    let packed = zstd::encode_all(&body[..], 3).unwrap();
    for (encoding, state) in
        [("zstd", AnswerState::Complete), ("gzip", AnswerState::Partial), ("x-unknown", AnswerState::Partial)]
    {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(encoding))]);
        let mut reader = AnswerReader::new(Endpoint::MESSAGES, StatusCode::OK, &headers);
        packed.chunks(5).for_each(|piece| reader.feed(piece));
        reader.finish();
        let answer = reader.into_answer();
        assert_eq!((answer.state, answer.usage.is_some()), (state, state == AnswerState::Complete), "{encoding}");
    }
}

#[test]
fn three_megabytes_before_the_usage_fill_no_memory() {
    let body = format!(
        r#"{{"id":"msg_1","content":[{{"type":"text","text":"{}"}}],"model":"m","stop_reason":"end_turn","usage":{{"input_tokens":1,"output_tokens":2}}}}"#,
        "\\\"usage\\\":{\\u00e9 ".repeat(200_000)
    );
    let mut reader = AnswerReader::new(Endpoint::MESSAGES, StatusCode::OK, &HeaderMap::new());
    body.as_bytes().chunks(16 << 10).for_each(|piece| reader.feed(piece));
    let answer = reader.into_answer();
    assert_eq!((answer.state, usage(&answer).tokens), (AnswerState::Complete, tokens(1, 2)));
}

const ENDPOINTS: [Endpoint; 9] = [
    Endpoint::MESSAGES,
    Endpoint::COUNT_TOKENS,
    Endpoint::MESSAGE_BATCHES,
    Endpoint::CHAT_COMPLETIONS,
    Endpoint::COMPLETIONS,
    Endpoint::RESPONSES,
    Endpoint::EMBEDDINGS,
    Endpoint::IMAGE_GENERATIONS,
    Endpoint::OLLAMA,
];

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(
        parts in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..9),
            prop::sample::select(vec!["data: ", "\n\n", "{", "}", "[", "\"type\":", "\"message_start\"", "\"usage\":",
                "\"output_tokens\":", "1e999", "-1", ",", "null", "\"choices\":", "[DONE]", "\"response\":", "\"error\":",
                "\"cache_creation\":", "\"iterations\":", "\"delta\":", "\"message_delta\"", "\"custom_id\":\"a\"", "\\",
                "event: error\n", "\n", "\"done\":true", "\"eval_count\":", "\"finish_reason\":\"\"", "\"base_resp\":", "\"x_groq\":", "\"code\":1"])
                .prop_map(|part| part.as_bytes().to_vec()),
        ], 0..40),
        cut in 1..30_usize,
    ) {
        let body = parts.concat();
        for endpoint in ENDPOINTS {
            let (cut, whole) = (read_in(endpoint, 200, &body, cut), read_in(endpoint, 200, &body, body.len().max(1)));
            prop_assert_eq!(format!("{cut:?}"), format!("{whole:?}"));
        }
        batch(&body.into_iter().filter(|byte| *byte != b'1').collect::<Vec<_>>(), cut);
    }
}

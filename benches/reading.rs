//! What it costs to read calls and answers from a copy of their bytes: `cargo bench --bench reading`.

#[path = "../plugins/response_cache/benches/sample/conversation.rs"]
mod sample;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use plugin_api::{Endpoint, Hashing};
use protocols::{AnswerReader, StreamUsageFilter};
use tollgate::dialect::read;

use sample::conversation;

const MAX: usize = 32 << 20;

fn main() {
    answers();
    calls();
}

fn answers() {
    let delta = r#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" a few words of it"}      }

"#;
    let chunk = r#"data: {"id":"chatcmpl-CNsW6uCy1a3Tn6Yx0uEYGpgLWwhcu","object":"chat.completion.chunk","created":1760000000,"model":"gpt-5-nano-2025-08-07","service_tier":"default","system_fingerprint":null,"choices":[{"index":0,"delta":{"content":" words"},"finish_reason":null}],"usage":null,"obfuscation":"Yx0uEY"}

"#;
    let response = r#"event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":7,"item_id":"msg_1","output_index":0,"content_index":0,"delta":" words","logprobs":[],"obfuscation":"Yx0uEY"}

"#;
    for (name, endpoint, event) in [
        ("Anthropic", Endpoint::MESSAGES, delta),
        ("chat", Endpoint::CHAT_COMPLETIONS, chunk),
        ("responses", Endpoint::RESPONSES, response),
    ] {
        let mut reader = AnswerReader::new(endpoint, StatusCode::OK, &HeaderMap::new());
        per(&format!("{name} event of {} bytes", event.len()), 100_000, || reader.feed(black_box(event.as_bytes())));
        black_box(reader.into_answer());
    }
    let mut filter = StreamUsageFilter::default();
    per("chat event with its usage taken out", 100_000, || drop(black_box(filter.feed(black_box(chunk.as_bytes())))));

    let usage =
        r#""stop_reason":"end_turn","usage":{"input_tokens":3,"cache_read_input_tokens":82371,"output_tokens":186}}"#;
    for (text, times) in [(20, 20_000), (150_000, 200)] {
        let content = "an answer, \\\"quoted\\\" ".repeat(text);
        let body =
            format!(r#"{{"id":"msg_1","model":"claude","content":[{{"type":"text","text":"{content}"}}],{usage}"#);
        per(&format!("JSON answer of {} bytes", body.len()), times, || {
            let mut reader = AnswerReader::new(Endpoint::MESSAGES, StatusCode::OK, &HeaderMap::new());
            body.as_bytes().chunks(16 << 10).for_each(|piece| reader.feed(black_box(piece)));
            reader.finish();
            assert!(black_box(reader.into_answer()).usage.is_some());
        });
    }
}

fn calls() {
    for (bytes, times) in [(50_000, 2000), (1_000_000, 200)] {
        let body = conversation(bytes, 0);
        let call = |endpoint, hashing| {
            move |body: &Bytes| {
                drop(black_box(read(endpoint, &HeaderMap::new(), black_box(body.clone()), MAX, hashing)));
            }
        };
        // the endpoint of responses has no `messages`, and skips them
        for (what, run) in [
            ("its messages skipped", call(Endpoint::RESPONSES, Hashing::Nothing)),
            ("its facts read", call(Endpoint::MESSAGES, Hashing::Nothing)),
            ("its conversation hash too", call(Endpoint::MESSAGES, Hashing::Conversation)),
            ("and the digest of its messages", call(Endpoint::MESSAGES, Hashing::ConversationAndDigest)),
        ] {
            per(&format!("call of {} bytes, {what}", body.len()), times, || run(&body));
        }
    }
}

/// Prints what one run takes: the best of seven rounds.
fn per(what: &str, times: u32, mut run: impl FnMut()) {
    let mut round = || {
        let began = Instant::now();
        (0..times).for_each(|_| run());
        began.elapsed() / times
    };
    let best = (0..7).map(|_| round()).min().unwrap_or(Duration::ZERO);
    println!("{best:>12.1?}  {what}");
}

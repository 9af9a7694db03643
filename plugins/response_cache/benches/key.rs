//! What the JSON of a call costs where both its conversation and its cache key are wanted: `cargo bench -p response_cache`.
//! `key BYTES TIMES` runs one size alone, for a count of its instructions.
#![expect(clippy::unwrap_used, reason = "a benchmark that fails ends")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use http::HeaderMap;
use plugin_api::{Endpoint, Hashing};

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    if let [bytes, times] = numbers[..] {
        let body = conversation(bytes);
        (0..times).for_each(|_| run(&body, true));
        return;
    }
    for (bytes, times) in [(300, 20_000), (50_000, 1000), (1_000_000, 50)] {
        let body = conversation(bytes);
        for (what, conversation) in [("cache key", false), ("cache key and conversation", true)] {
            let round = || {
                let began = Instant::now();
                (0..times).for_each(|_| run(&body, conversation));
                began.elapsed() / times
            };
            let best = (0..7).map(|_| round()).min().unwrap_or(Duration::ZERO);
            println!("{best:>12.1?}  call of {} bytes, {what}", body.len());
        }
    }
}

fn run(body: &str, conversation: bool) {
    let hashing = if conversation { Hashing::ConversationAndDigest } else { Hashing::Nothing };
    let body = black_box(body.as_bytes());
    let (_, hashes) = black_box(protocols::parse(Endpoint::MESSAGES, &HeaderMap::new(), body, hashing));
    assert_eq!(hashes.digest.is_some(), conversation);
    assert!(black_box(response_cache::call_digest(Endpoint::MESSAGES, body, hashes.digest.as_ref())).is_some());
}

/// A call as an agent makes it, of about so many bytes: tools and a system prompt take some of a large one, messages of about 2 kB,
/// with text and tool results, the rest.
fn conversation(bytes: usize) -> String {
    let text = "fn main() {\\n    println!(\\\"a line of some program\\\");\\n}\\n".repeat((bytes / 64).min(30));
    let tool = r#"{"name":"f","description":"Reads a file from the disk and gives its lines with their numbers.","input_schema":{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}}"#;
    let tools = vec![tool; (bytes / 2500).min(40)].join(",");
    let mut body = format!(
        r#"{{"model":"claude","max_tokens":4000,"stream":true,"tools":[{tools}],"system":[{{"type":"text","text":"be"}}],"messages":["#
    );
    for turn in 0.. {
        let message = if turn % 2 == 0 {
            format!(
                r#"{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t{turn}","content":"{text}"}}]}}"#
            )
        } else {
            format!(
                r#"{{"role":"assistant","content":[{{"type":"text","text":"{text}"}},{{"type":"tool_use","id":"t{turn}","name":"f","input":{{"path":"a/b","n":[1,2]}}}}]}}"#
            )
        };
        body.push_str(&message);
        if body.len() + 2 >= bytes {
            break;
        }
        body.push(',');
    }
    body.push_str("]}");
    assert!(serde_json::from_str::<serde_json::Value>(&body).unwrap()["messages"].is_array());
    body
}

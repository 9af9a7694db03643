//! What the JSON of a call costs where both its conversation and its cache key are wanted: `cargo bench -p response_cache`.
//! `key BYTES TIMES` runs one size alone, for a count of its instructions.

#[path = "sample/conversation.rs"]
mod sample;

use std::hint::black_box;
use std::time::{Duration, Instant};

use http::HeaderMap;
use plugin_api::{Endpoint, Hashing};

use sample::conversation;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    if let [bytes, times] = numbers[..] {
        let body = conversation(bytes, tools(bytes));
        (0..times).for_each(|_| run(&body, true));
        return;
    }
    for (bytes, times) in [(300, 20_000), (50_000, 1000), (1_000_000, 50)] {
        let body = conversation(bytes, tools(bytes));
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

/// How many tools a call of so many bytes has: they take some of a large one.
fn tools(bytes: usize) -> usize {
    (bytes / 2500).min(40)
}

fn run(body: &[u8], conversation: bool) {
    let hashing = if conversation { Hashing::ConversationAndDigest } else { Hashing::Nothing };
    let body = black_box(body);
    let (_, hashes) = black_box(protocols::parse(Endpoint::MESSAGES, &HeaderMap::new(), body, hashing));
    assert_eq!(hashes.digest.is_some(), conversation);
    assert!(black_box(response_cache::call_digest(Endpoint::MESSAGES, body, hashes.digest.as_ref())).is_some());
}

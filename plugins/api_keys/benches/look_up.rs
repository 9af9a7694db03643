//! What it costs to find the key of a request among a thousand and a million: the SHA-256 of what came, and the look-up. Run by
//! `cargo bench -p api_keys`; prints nanoseconds and megabytes, measures nothing else.
#![expect(clippy::expect_used, reason = "a benchmark that cannot begin need not go on")]

use std::fs;
use std::hint::black_box;
use std::time::Instant;

use api_keys::{Digest, KeySet, KeySetBuilder, KeySettings};

const LOOK_UPS: usize = 1_000_000;

fn main() {
    for count in [1_000, 1_000_000] {
        let before = resident();
        let keys = set(count);
        let megabytes = resident().saturating_sub(before) / 1000;
        // as far apart as keys of clients are, so that no cache of the processor has them all
        let secrets: Vec<_> = (0..LOOK_UPS).map(|n| secret(n.wrapping_mul(7_919) % count)).collect();
        let began = Instant::now();
        for secret in &secrets {
            black_box(keys.find(&Digest::of(secret.as_bytes())).expect("every key is known"));
        }
        let known = began.elapsed().as_nanos() / LOOK_UPS as u128;
        let began = Instant::now();
        for secret in &secrets {
            assert!(black_box(keys.find(&Digest::of(&secret.as_bytes()[1..]))).is_none());
        }
        let unknown = began.elapsed().as_nanos() / LOOK_UPS as u128;
        println!("{count:>8} keys: {known:>4} ns for a known one, {unknown:>4} ns for another; {megabytes} MB");
    }
}

fn secret(n: usize) -> String {
    format!("tg_{n:06}abcdefghijklmnopqrstuvwxyz012345")
}

fn set(count: usize) -> KeySet {
    let mut builder = KeySetBuilder::new(usize::MAX);
    for n in 0..count {
        let digest = Digest::of(secret(n).as_bytes());
        let json = format!(r#"{{"name":"key-{n}","sha256":"{digest}","tenant":"team-{}"}}"#, n % 100);
        let key: KeySettings = serde_json::from_str(&json).expect("it is a key");
        builder.add(&key).expect("it is new");
    }
    builder.build()
}

/// What the process takes, in kB.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

//! How long appending takes in the thread of a request, and how fast what was appended is read back. Prints figures, holds nobody
//! to them: `cargo test --release -p usage_log --lib -- --ignored --nocapture measure`.

use std::time::{Duration, Instant};

use super::tests::{Folder, PLENTY};
use super::*;
use crate::Row;

fn row(number: i64) -> Record {
    Record::Request(Box::new(Row {
        id: Uuid::now_v7(),
        sequence: number,
        domain: "api.example.com".into(),
        method: "POST".into(),
        path: "/v1/messages".into(),
        model: Some("claude-opus-5".into()),
        served_model: Some("claude-opus-5".into()),
        request_type: "inference".into(),
        api_key_hash: Some("2bb80d537b1da3e38bd30361aa855686".into()),
        turn_hash: Some([7; 32]),
        previous_turn_hash: Some([8; 32]),
        usage_data: Some(r#"{"input_tokens":1000,"output_tokens":200,"cache_read_input_tokens":5000}"#.into()),
        upstream: Some("anthropic".into()),
        server: Some("https://api.anthropic.com".into()),
        outcome: "completed".into(),
        ..Row::default()
    }))
}

#[test]
#[ignore = "measures"]
fn measure() {
    const EACH: usize = 50_000;
    for (threads, syncing) in [(1, false), (2, false), (4, false), (8, false), (2, true)] {
        let folder = Folder::new();
        let (journal, mut reader) = folder.open(PLENTY);
        let began = Instant::now();
        let mut took = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..threads)
                .map(|_| {
                    let journal = &journal;
                    scope.spawn(move || {
                        let mut took = Vec::with_capacity(EACH);
                        for number in 0..EACH {
                            let mut record = row(i64::try_from(number).unwrap());
                            let began = Instant::now();
                            journal.keep(&mut record);
                            took.push(began.elapsed());
                        }
                        took
                    })
                })
                .collect();
            let mut took = Vec::new();
            if syncing {
                while writers.iter().any(|writer| !writer.is_finished()) {
                    std::thread::sleep(Duration::from_millis(100));
                    journal.sync().unwrap();
                }
            }
            writers.into_iter().for_each(|writer| took.extend(writer.join().unwrap()));
            took
        });
        let all = began.elapsed();
        took.sort_unstable();
        let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
        println!(
            "{threads} threads{}: p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}; {:.0} rows/s, {} bytes each",
            if syncing { ", synced ten times a second" } else { "" },
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
            took.len() as f64 / all.as_secs_f64(),
            journal.bytes() / took.len() as u64,
        );
        let (began, mut rows) = (Instant::now(), 0);
        while let Some(batch) = reader.next_batch(2_000, 8 << 20).unwrap() {
            rows += batch.records.len();
            reader.done(&batch).unwrap();
        }
        println!("    read back at {:.0} rows/s", rows as f64 / began.elapsed().as_secs_f64());
    }
}

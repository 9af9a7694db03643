mod draining;
mod released;

use std::fs;
use std::path::PathBuf;

use uuid::Uuid;

use super::*;
use crate::{BatchRow, Body, Row};

/// A folder of its own, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("tollgate-ledger-journal-{}", Uuid::now_v7())))
    }

    fn open(&self, max_bytes: u64) -> (LedgerJournal, Reader) {
        LedgerJournal::open(&self.0, max_bytes, Arc::new(LedgerMetrics::new())).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PLENTY: u64 = 1 << 30;

fn record(number: i64) -> Record {
    Record::Request(Box::new(Row {
        id: Uuid::from_u128(1),
        request_bytes: number,
        path: "/v1/messages".into(),
        ..Row::default()
    }))
}

fn with_body(number: i64, length: usize) -> Record {
    let Record::Request(mut row) = record(number) else { unreachable!() };
    row.response_body = Some(Body { bytes: vec![b'x'; length], ..Body::default() });
    Record::Request(row)
}

fn append(journal: &LedgerJournal, numbers: impl IntoIterator<Item = i64>) {
    numbers.into_iter().for_each(|number| {
        journal.append(&mut record(number));
    });
}

fn numbers(records: &[Record]) -> Vec<i64> {
    let number = |record: &Record| match record {
        Record::Request(row) => row.request_bytes,
        Record::Batch(_) => -1,
    };
    records.iter().map(number).collect()
}

/// All that waits, read and done with in batches.
fn drain(reader: &mut Reader) -> Vec<i64> {
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch(7, usize::MAX).unwrap() {
        all.extend(numbers(&batch.records));
        reader.done(&batch).unwrap();
    }
    all
}

fn lost(journal: &LedgerJournal, kind: &str) -> u64 {
    journal.metrics.lost_so_far(kind)
}

#[test]
fn every_column_comes_back_as_it_was() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(PLENTY);
    let mut records = vec![
        with_body(1, 300_000),
        Record::Batch(Box::new(BatchRow { batch: "b".into(), custom_id: "é\u{1F600}".into(), ..BatchRow::default() })),
        Record::Request(Box::new(Row {
            turn_hash: Some([7; 32]),
            client_ip: Some("2001:db8::1".parse().unwrap()),
            cost_usd: Some(crate::Cost::from_picos(i128::MAX)),
            ..Row::default()
        })),
    ];
    records.iter_mut().for_each(|record| {
        journal.append(record);
    });
    assert_eq!(reader.next_batch(9, usize::MAX).unwrap().unwrap().records, records);
}

#[test]
fn where_space_is_short_bodies_go_first_and_rows_only_at_the_end() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(100_000);
    for number in 0..10 {
        journal.append(&mut with_body(number, 10_000));
    }
    let bodies = lost(&journal, "body");
    assert!((1..=3).contains(&bodies), "{bodies}");
    assert_eq!(lost(&journal, "row"), 0);
    let mut number = 10;
    while lost(&journal, "row") == 0 {
        journal.append(&mut record(number));
        number += 1;
    }
    assert!(number > 100, "{number} rows in what was left");
    // a body alone too large for what is left costs the body only
    let kept = drain(&mut reader);
    assert_eq!(kept, (0..number - 1).collect::<Vec<_>>());
}

#[test]
fn once_there_is_space_again_rows_are_kept_again() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(2_000);
    append(&journal, 0..100);
    let lost_rows = lost(&journal, "row");
    let kept = 100 - i64::try_from(lost_rows).unwrap();
    assert!((1..100).contains(&kept));
    assert_eq!(drain(&mut reader), (0..kept).collect::<Vec<_>>());
    append(&journal, [7, 8, 9]);
    assert_eq!((drain(&mut reader), lost(&journal, "row")), (vec![7, 8, 9], lost_rows));
}

mod blows;
mod damage;
mod disk;
mod released;

use std::fs;

use super::*;
use crate::row::{BatchRow, Body, Row};

/// A folder of its own, gone when dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tollgate-journal-{}", Uuid::now_v7()));
        Self(path)
    }

    pub(super) fn open(&self, max_bytes: u64) -> (Arc<Journal>, Reader) {
        Journal::open(&self.0, max_bytes, Arc::new(Figures::new())).unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        segment::list(&self.0).unwrap().into_iter().map(|number| segment::path(&self.0, number)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) const PLENTY: u64 = 1 << 30;

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

fn keep(journal: &Journal, numbers: impl IntoIterator<Item = i64>) {
    numbers.into_iter().for_each(|number| journal.keep(&mut record(number)));
}

fn numbers(records: &[Record]) -> Vec<i64> {
    let number = |record: &Record| match record {
        Record::Request(row) => row.request_bytes,
        Record::Batch(_) => -1,
    };
    records.iter().map(number).collect()
}

/// All that waits, read and let go of in batches.
fn drain(reader: &mut Reader) -> Vec<i64> {
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch(7, usize::MAX).unwrap() {
        all.extend(numbers(&batch.records));
        reader.done(&batch).unwrap();
    }
    all
}

fn lost(journal: &Journal, kind: &str) -> u64 {
    journal.figures().lost_so_far(kind)
}

#[test]
fn what_is_kept_comes_back_in_order_and_only_once() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(PLENTY);
    keep(&journal, 1..=20);
    assert_eq!(journal.waiting(), 20);
    let batch = reader.next_batch(5, usize::MAX).unwrap().unwrap();
    assert_eq!(numbers(&batch.records), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&reader.next_batch(3, usize::MAX).unwrap().unwrap().records), [1, 2, 3], "it is not done with");
    reader.done(&batch).unwrap();
    assert_eq!(drain(&mut reader), (6..=20).collect::<Vec<_>>());
    assert_eq!(journal.waiting(), 0);
    keep(&journal, 21..=22);
    assert_eq!(drain(&mut reader), [21, 22]);
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
    records.iter_mut().for_each(|record| journal.keep(record));
    assert_eq!(reader.next_batch(9, usize::MAX).unwrap().unwrap().records, records);
}

#[test]
fn what_another_run_left_comes_first_but_for_what_it_was_done_with() {
    let folder = Folder::new();
    {
        let (journal, mut reader) = folder.open(PLENTY);
        keep(&journal, 1..=9);
        let batch = reader.next_batch(4, usize::MAX).unwrap().unwrap();
        reader.done(&batch).unwrap();
    }
    let (journal, mut reader) = folder.open(PLENTY);
    keep(&journal, 10..=11);
    assert_eq!(reader.count_old(), 5);
    assert_eq!(journal.waiting(), 7);
    assert_eq!(drain(&mut reader), (5..=11).collect::<Vec<_>>());
    assert_eq!(folder.segments().len(), 1, "the old segment is gone");
    drop((journal, reader));
    let (_, mut reader) = folder.open(PLENTY);
    assert_eq!(drain(&mut reader), Vec::<i64>::new());
}

#[test]
fn segments_end_at_their_size_and_go_when_they_are_done_with() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(PLENTY);
    for number in 0..80 {
        journal.keep(&mut with_body(number, 1 << 20));
    }
    assert!(folder.segments().len() >= 4);
    let before = journal.bytes();
    assert_eq!(before, folder.segments().iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>());
    // memory is bounded by the size of a batch
    assert_eq!(reader.next_batch(1000, 3 << 20).unwrap().unwrap().records.len(), 3);
    assert_eq!(drain(&mut reader), (0..80).collect::<Vec<_>>());
    assert_eq!(folder.segments().len(), 1);
    assert!(journal.bytes() <= SEGMENT + (2 << 20));
}

#[test]
fn a_second_owner_is_refused_until_the_first_is_gone() {
    let folder = Folder::new();
    let first = folder.open(PLENTY);
    let error = Journal::open(&folder.0, PLENTY, Arc::new(Figures::new())).unwrap_err();
    assert!(error.contains("in use by another process"), "{error}");
    drop(first);
    folder.open(PLENTY);
}

#[test]
fn a_folder_that_cannot_be_had_is_told_of() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    let file = folder.0.join("file");
    fs::write(&file, "").unwrap();
    let error = Journal::open(&file, PLENTY, Arc::new(Figures::new())).unwrap_err();
    assert!(error.contains("cannot be kept in"), "{error}");
}

#[test]
fn where_space_is_short_bodies_go_first_and_rows_only_at_the_end() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(100_000);
    for number in 0..10 {
        journal.keep(&mut with_body(number, 10_000));
    }
    let bodies = lost(&journal, "body");
    assert!((1..=3).contains(&bodies), "{bodies}");
    assert_eq!(lost(&journal, "row"), 0);
    let mut number = 10;
    while lost(&journal, "row") == 0 {
        journal.keep(&mut record(number));
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
    keep(&journal, 0..100);
    let lost_rows = lost(&journal, "row");
    let kept = 100 - i64::try_from(lost_rows).unwrap();
    assert!((1..100).contains(&kept));
    assert_eq!(drain(&mut reader), (0..kept).collect::<Vec<_>>());
    keep(&journal, [7, 8, 9]);
    assert_eq!((drain(&mut reader), lost(&journal, "row")), (vec![7, 8, 9], lost_rows));
}

#[test]
fn a_reader_and_many_writers_at_once_lose_nothing() {
    // a segment holds some ten rows: one ends every few microseconds, whatever the reader is at
    const SMALL: u64 = 16_000;
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(SMALL);
    let (threads, each) = (8, 2_000);
    let writing = AtomicU64::new(threads.try_into().unwrap());
    let mut seen = std::thread::scope(|scope| {
        for thread in 0..threads {
            let (journal, writing) = (&journal, &writing);
            scope.spawn(move || {
                for number in thread * each..(thread + 1) * each {
                    while journal.bytes() > SMALL / 2 {
                        std::thread::yield_now();
                    }
                    keep(journal, [number]);
                }
                writing.fetch_sub(1, Ordering::Release);
            });
        }
        let mut seen = Vec::new();
        loop {
            let over = writing.load(Ordering::Acquire) == 0;
            seen.extend(drain(&mut reader));
            if over {
                break seen;
            }
        }
    });
    seen.sort_unstable();
    assert_eq!((lost(&journal, "row"), journal.waiting()), (0, 0));
    assert_eq!(seen, (0..threads * each).collect::<Vec<_>>());
}

//! What is appended comes back in order, and the limits of the journal hold.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::journal::SEGMENT;

#[test]
fn what_is_appended_comes_back_in_order_and_only_once() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(PLENTY);
    append_all(&journal, 1..=20);
    assert_eq!(journal.waiting(), 20);
    let batch = reader.next_batch(5, usize::MAX).unwrap().unwrap();
    assert_eq!(values(&batch.records), [1, 2, 3, 4, 5]);
    assert_eq!(values(&reader.next_batch(3, usize::MAX).unwrap().unwrap().records), [1, 2, 3], "it is not done with");
    reader.done(&batch).unwrap();
    assert_eq!(drain(&mut reader), (6..=20).collect::<Vec<_>>());
    assert_eq!(journal.waiting(), 0);
    append_all(&journal, 21..=22);
    assert_eq!(drain(&mut reader), [21, 22]);
}

#[test]
fn a_record_of_any_kind_and_length_comes_back_as_it_was() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(PLENTY);
    let mut records = vec![
        with_body(1, 300_000),
        Record { kind: Kind::Unnumbered, ..with_body(2, 0) },
        Record { kind: Kind::Amendment, number: 1, ..record(3) },
        record(i64::MIN),
    ];
    records.iter_mut().for_each(|record| append(&journal, record));
    assert_eq!(reader.next_batch(9, usize::MAX).unwrap().unwrap().records, records);
    assert_eq!(records.iter().map(|record| record.number).collect::<Vec<_>>(), [1, 0, 1, 2]);
}

#[test]
fn what_another_run_left_comes_first_but_for_what_it_was_done_with() {
    let folder = Folder::new();
    {
        let (journal, mut reader) = folder.open(PLENTY);
        append_all(&journal, 1..=9);
        let batch = reader.next_batch(4, usize::MAX).unwrap().unwrap();
        reader.done(&batch).unwrap();
    }
    let (journal, mut reader) = folder.open(PLENTY);
    append_all(&journal, 10..=11);
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
        append(&journal, &mut with_body(number, 1 << 20));
    }
    assert!(folder.segments().len() >= 4);
    let before = journal.bytes();
    assert_eq!(before, folder.segments().iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>());
    // memory is bounded by the size of a batch
    let batch = reader.next_batch(1000, 3 << 20).unwrap().unwrap();
    assert_eq!((batch.records.len(), batch.is_full), (3, true));
    assert_eq!(drain(&mut reader), (0..80).collect::<Vec<_>>());
    assert_eq!(folder.segments().len(), 1);
    assert!(journal.bytes() <= SEGMENT + (2 << 20));
}

#[test]
fn a_second_owner_is_refused_until_the_first_is_gone() {
    let folder = Folder::new();
    let first = folder.open(PLENTY);
    let second = Journal::open(&folder.0, Options { max_bytes: PLENTY }, decode, Box::new(Silent));
    assert!(second.unwrap_err().to_string().contains("in use by another process"));
    drop(first);
    folder.open(PLENTY);
}

#[test]
fn a_folder_that_cannot_be_had_is_an_error() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    let file = folder.0.join("file");
    fs::write(&file, "").unwrap();
    let error = Journal::open(&file, Options { max_bytes: PLENTY }, decode, Box::new(Silent)).unwrap_err();
    assert!(error.to_string().contains("cannot be kept in"), "{error}");
}

#[test]
fn a_full_journal_takes_records_again_once_there_is_space() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(2_000);
    let kept = (0..100).take_while(|number| append_as(&journal, &mut record(*number), FORMAT).is_ok()).count();
    assert!((1..100).contains(&kept));
    assert!(matches!(append_as(&journal, &mut record(0), FORMAT), Err(AppendError::Full)));
    assert_eq!(drain(&mut reader).len(), kept);
    append_all(&journal, [7, 8, 9]);
    assert_eq!(drain(&mut reader), [7, 8, 9]);
}

#[test]
fn a_number_that_was_skipped_is_given_to_no_record() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(PLENTY);
    append_all(&journal, [0]);
    assert_eq!(journal.skip_number(), 2);
    let mut last = record(1);
    append(&journal, &mut last);
    assert_eq!(last.number, 3);
    assert_eq!((drain(&mut reader), folder.lost()), (vec![0, 1], 0));
}

#[test]
fn a_reader_and_many_writers_at_once_lose_nothing() {
    // a segment holds some ten records: one ends every few microseconds, whatever the reader is at
    const SMALL: u64 = 12_000;
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
                    append_all(journal, [number]);
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
    assert_eq!((folder.lost(), journal.waiting()), (0, 0));
    assert_eq!(seen, (0..threads * each).collect::<Vec<_>>());
}

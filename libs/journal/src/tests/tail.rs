//! Records that are handed over in memory come as those that are read, in their order and once, whatever comes between.

use proptest::prelude::*;

use super::*;

/// Appends a record and hands it over, with a value that tells that it did not come from the disk.
fn hand_over(journal: &Journal<Record>, value: i64) {
    let appended = append_placed(journal, &mut record(value));
    let record = Record { number: appended.number.unwrap(), ..with_body(value, 1) };
    journal.hand_over(appended.place, Decoded { record, amends: None });
}

fn append_placed(journal: &Journal<Record>, record: &mut Record) -> Appended {
    let encode = |bytes: &mut Vec<u8>| {
        bytes.extend_from_slice(&record.value.to_le_bytes());
        bytes.extend_from_slice(&record.number.to_le_bytes());
        bytes.extend_from_slice(&record.body);
    };
    journal.append_placed(record.kind, FORMAT, encode).unwrap()
}

/// Values, and which of them came from memory.
type Came = Vec<(i64, bool)>;

/// The next batch, and what came in it.
fn next(reader: &mut Reader<Record>, most: usize) -> Option<(Batch<Record>, Came)> {
    let batch = reader.next_batch(most, usize::MAX).unwrap()?;
    let from = batch.records.iter().map(|record| (record.value, record.body.len() == 1)).collect();
    Some((batch, from))
}

#[test]
fn what_is_handed_over_need_not_be_read_once_the_reader_keeps_up() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(PLENTY);
    hand_over(&journal, 1);
    let (batch, came) = next(&mut reader, 9).unwrap();
    assert_eq!(came, [(1, false)], "the reader had yet to come to the end");
    reader.done(&batch).unwrap();
    assert!(next(&mut reader, 9).is_none());
    hand_over(&journal, 2);
    append_all(&journal, [3]);
    hand_over(&journal, 4);
    let (batch, came) = next(&mut reader, 9).unwrap();
    assert_eq!(came, [(2, true), (3, false), (4, true)]);
    assert_eq!(batch.records.iter().map(|record| record.number).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(reader.stored_with(&batch), Some(4));
    // it was not stored: it comes again, from the disk
    hand_over(&journal, 5);
    let (batch, came) = next(&mut reader, 9).unwrap();
    assert_eq!(came, [(2, false), (3, false), (4, false), (5, true)]);
    reader.done(&batch).unwrap();
    assert_eq!((journal.waiting(), folder.lost()), (0, 0));
}

#[test]
fn a_reader_that_falls_behind_takes_no_more_memory_and_misses_nothing() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(PLENTY);
    assert!(next(&mut reader, 9).is_none());
    (0..10_000).for_each(|value| hand_over(&journal, value));
    let mut all = Vec::new();
    while let Some((batch, came)) = next(&mut reader, 700) {
        reader.done(&batch).unwrap();
        all.extend(came);
    }
    assert_eq!(all.iter().map(|(value, _)| *value).collect::<Vec<_>>(), (0..10_000).collect::<Vec<_>>());
    let kept = all.iter().filter(|(_, in_memory)| *in_memory).count();
    assert!((1..=crate::tail::RECORDS).contains(&kept), "{kept}");
    // it keeps up again
    hand_over(&journal, 7);
    assert_eq!(next(&mut reader, 9).unwrap().1, [(7, true)]);
}

#[tokio::test]
async fn a_reader_is_woken_when_as_many_wait_as_it_wants() {
    let folder = Folder::new();
    let (journal, _reader) = folder.open(PLENTY);
    append_all(&journal, 0..3);
    let wait = tokio::spawn({
        let journal = journal.clone();
        async move { journal.appended(5).await }
    });
    tokio::task::yield_now().await;
    append_all(&journal, [3]);
    tokio::task::yield_now().await;
    assert!(!wait.is_finished());
    append_all(&journal, [4]);
    wait.await.unwrap();
    // one that was given up wakes no other
    tokio::select! { biased; () = journal.appended(6) => panic!("there are five"), () = async {} => {} }
    append_all(&journal, [5]);
    tokio::select! { biased; () = journal.appended(9) => panic!("there are six"), () = async {} => {} }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_handed_over_all_comes_once_and_in_order(
        steps in proptest::collection::vec((0_u8..6, 1_usize..60), 1..60),
    ) {
        let folder = Folder::new();
        // segments of some twenty records
        let (journal, mut reader) = folder.open(8 * 2_000);
        let (mut appended, mut done) = (0, 0);
        for (step, many) in steps {
            for _ in 0..many {
                match step {
                    0 if journal.bytes() < 9_000 => {
                        hand_over(&journal, appended);
                        appended += 1;
                    }
                    1 if journal.bytes() < 9_000 => {
                        append_all(&journal, [appended]);
                        appended += 1;
                    }
                    _ => {}
                }
            }
            if step < 2 {
                continue;
            }
            let batch = next(&mut reader, many);
            let wanted = (appended - done).min(many as i64);
            prop_assert_eq!(batch.as_ref().map_or(0, |(_, came)| came.len() as i64), wanted);
            let Some((batch, came)) = batch else { continue };
            let values: Vec<i64> = came.iter().map(|(value, _)| *value).collect();
            prop_assert_eq!(&values, &(done..done + wanted).collect::<Vec<_>>());
            if step > 2 {
                prop_assert_eq!(reader.stored_with(&batch), Some((done + wanted) as u64));
                reader.done(&batch).unwrap();
                done += wanted;
                prop_assert_eq!(journal.waiting(), (appended - done) as u64);
            }
        }
        prop_assert_eq!(drain(&mut reader).len() as i64, appended - done);
        prop_assert_eq!((journal.waiting(), folder.lost()), (0, 0));
    }
}

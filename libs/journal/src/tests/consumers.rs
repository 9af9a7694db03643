//! What reads the journal beside its reader.

use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::*;

/// Segments of some ten records.
const SMALL: u64 = 8_000;

fn consumer(journal: &Arc<Journal<Record>>, name: &str) -> Consumer<Record> {
    journal.consumer(name, decode).unwrap()
}

/// What a consumer reads to the end, and how much it has lost on the way.
fn read(consumer: &mut Consumer<Record>) -> (Vec<i64>, u64) {
    let (mut all, mut lost) = (Vec::new(), 0);
    loop {
        let batch = consumer.next_batch(7, usize::MAX, |_| true).unwrap();
        all.extend(values(&batch.records));
        lost += batch.lost;
        if !batch.more {
            return (all, lost);
        }
    }
}

#[test]
fn a_consumer_goes_on_behind_what_it_committed_and_gets_the_rest_again() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(SMALL);
    let mut out = consumer(&journal, "out");
    append_all(&journal, 0..20);
    let first = out.next_batch(15, usize::MAX, |_| true).unwrap();
    assert_eq!((values(&first.records), journal.lag("out")), ((0..15).collect(), 20));
    out.commit().unwrap();
    assert_eq!(journal.lag("out"), 5);
    assert_eq!(read(&mut out), ((15..20).collect(), 0));
    // the database is further, and the process ends without a commit
    assert_eq!(drain(&mut reader), (0..20).collect::<Vec<_>>());
    drop((journal, reader, out));
    let (journal, _reader) = folder.open(SMALL);
    assert_eq!(journal.lag("out"), 5, "they are known before the consumer is there");
    let mut out = consumer(&journal, "out");
    append_all(&journal, 20..30);
    assert_eq!((read(&mut out), journal.lag("out")), (((15..30).collect(), 0), 15));
    out.commit().unwrap();
    assert_eq!(journal.lag("out"), 0);
}

#[test]
fn a_segment_stays_until_the_reader_and_every_consumer_are_done_with_it() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(SMALL);
    let (mut one, mut other) = (consumer(&journal, "one"), consumer(&journal, "other"));
    append_all(&journal, 0..100);
    let all = folder.segments().len();
    assert!(all > 5);
    read(&mut one);
    one.commit().unwrap();
    assert_eq!(folder.segments().len(), all, "the reader has yet to come");
    drain(&mut reader);
    assert_eq!(folder.segments().len(), all, "the other one has");
    assert!(journal.held_bytes() > 4 * SMALL / crate::journal::PART);
    assert!(journal.bytes() < 2 * SMALL / crate::journal::PART, "it is not counted as waiting for the reader");
    assert_eq!(read(&mut other), ((0..100).collect(), 0));
    assert_eq!(folder.segments().len(), all);
    other.commit().unwrap();
    assert_eq!((folder.segments().len(), journal.held_bytes()), (1, 0));
}

#[test]
fn what_is_kept_for_a_consumer_takes_no_room_from_records_and_is_bounded() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(SMALL);
    journal.set_held_max_bytes(3 * SMALL);
    let mut out = consumer(&journal, "out");
    for value in 0..1000 {
        append(&journal, &mut record(value));
        drain(&mut reader);
    }
    let held = journal.held_bytes();
    assert!(held > 2 * SMALL && held <= 3 * SMALL, "{held}");
    assert_eq!(journal.lag("out"), 1000);
    let (got, lost) = read(&mut out);
    assert_eq!(got, (i64::try_from(lost).unwrap()..1000).collect::<Vec<_>>(), "the oldest are lost, and counted");
    assert!(lost > 500);
    out.commit().unwrap();
    assert_eq!((journal.lag("out"), folder.lost()), (0, 0), "the reader has lost nothing");
    journal.set_held_max_bytes(0);
    for value in 1000..1100 {
        append(&journal, &mut record(value));
        drain(&mut reader);
    }
    assert_eq!((journal.held_bytes(), read(&mut out).0.last().copied()), (0, Some(1099)));
}

#[test]
fn losses_are_counted_across_processes() {
    let folder = Folder::new();
    for run in 0..4 {
        let (journal, mut reader) = folder.open(SMALL);
        let mut out = consumer(&journal, "out");
        append_all(&journal, run * 100..(run + 1) * 100);
        drain(&mut reader);
        if run == 0 {
            out.next_batch(30, usize::MAX, |_| true).unwrap();
            out.commit().unwrap();
        }
        if run == 3 {
            assert_eq!(journal.lag("out"), 370);
            journal.set_held_max_bytes(2_000);
            let (got, lost) = read(&mut out);
            assert_eq!(got.len() as u64 + lost, 370);
            assert!(lost >= 270, "{lost}");
            out.commit().unwrap();
            assert_eq!(journal.lag("out"), 0);
        }
    }
    let (journal, _reader) = folder.open(SMALL);
    let runs =
        fs::read_dir(&folder.0).unwrap().flatten().filter(|entry| entry.path().extension() == Some("run".as_ref()));
    assert!(runs.count() <= 2, "runs that all have read are gone");
    assert_eq!(journal.lag("out"), 0);
}

#[test]
fn a_damaged_record_costs_a_consumer_that_record() {
    let folder = Folder::new();
    let (journal, _reader) = folder.open(PLENTY);
    let mut out = consumer(&journal, "out");
    append_all(&journal, 0..10);
    let segment = fs::File::options().write(true).open(&folder.segments()[0]).unwrap();
    let length = (segment.metadata().unwrap().len() - 24) / 10;
    segment.write_all_at(&[0; 8], 24 + 4 * length + 20).unwrap();
    assert_eq!(read(&mut out), ([0, 1, 2, 3, 5, 6, 7, 8, 9].into(), 1));
}

#[test]
fn a_segment_that_is_gone_costs_a_consumer_its_records() {
    let folder = Folder::new();
    let (journal, _reader) = folder.open(SMALL);
    let mut out = consumer(&journal, "out");
    append_all(&journal, 0..100);
    fs::remove_file(&folder.segments()[2]).unwrap();
    let (got, lost) = read(&mut out);
    assert_eq!(got.len() as u64 + lost, 100);
    assert!(lost > 5 && lost < 20, "{lost}");
}

#[test]
fn a_consumer_that_no_configuration_names_keeps_nothing() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(SMALL);
    let (mut kept, gone) = (consumer(&journal, "kept"), consumer(&journal, "gone"));
    append_all(&journal, 0..100);
    drain(&mut reader);
    read(&mut kept);
    kept.commit().unwrap();
    assert!(journal.held_bytes() > 0);
    journal.keep_consumers(|name| name == "kept").unwrap();
    assert_eq!((journal.held_bytes(), journal.lag("gone")), (0, 0));
    drop((journal, reader, kept, gone));
    let (journal, mut reader) = folder.open(SMALL);
    append_all(&journal, 100..200);
    drain(&mut reader);
    // a new one begins where the reader is
    assert_eq!(read(&mut consumer(&journal, "gone")), (vec![], 0));
    assert_eq!(read(&mut consumer(&journal, "kept")), ((100..200).collect(), 0));
}

#[test]
fn what_is_not_wanted_is_not_decoded() {
    let folder = Folder::new();
    let (journal, _reader) = folder.open(SMALL);
    let mut out = journal.consumer("out", |_| panic!("decoded")).unwrap();
    append_all(&journal, 0..20);
    let batch = out.next_batch(usize::MAX, usize::MAX, |entry| {
        assert!(entry.record.ends_with(b"/v1/messages"));
        false
    });
    let batch = batch.unwrap();
    assert_eq!((batch.records.len(), batch.passed, batch.more), (0, 20, false));
    out.commit().unwrap();
    assert_eq!(journal.lag("out"), 0);
}

#[test]
fn records_of_a_later_release_reach_a_consumer_once_that_release_is_started() {
    let folder = Folder::new();
    {
        let (journal, mut reader) = folder.open(SMALL);
        let mut out = consumer(&journal, "out");
        append_all(&journal, 0..30);
        append_as(&journal, &mut record(-1), 9).unwrap();
        append_all(&journal, 30..60);
        drain(&mut reader);
        assert_eq!(read(&mut out).0, (0..60).collect::<Vec<_>>());
        out.commit().unwrap();
    }
    let (journal, mut reader) = folder.open_as(SMALL, decode_any);
    assert_eq!(drain(&mut reader), [-1]);
    assert_eq!(read(&mut journal.consumer("out", decode_any).unwrap()), (vec![-1], 0));
}

/// What may happen to a journal with a consumer.
#[derive(Clone, Debug)]
enum Act {
    Append(u8),
    Drain,
    Read(u8),
    Commit,
    /// The process is killed and started again.
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => any::<u8>().prop_map(Act::Append),
        2 => Just(Act::Drain),
        3 => any::<u8>().prop_map(Act::Read),
        2 => Just(Act::Commit),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_consumer_gets_every_record_in_order_and_only_what_was_not_committed_again(
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        let folder = Folder::new();
        let (mut journal, mut reader) = folder.open(PLENTY);
        let mut out = consumer(&journal, "out");
        // the next value; what comes next; all before it is committed
        let (mut next, mut expected, mut committed) = (0, 0, 0);
        for act in acts.into_iter().chain([Act::Read(255)]) {
            match act {
                Act::Append(count) => {
                    append_all(&journal, next..next + i64::from(count));
                    next += i64::from(count);
                }
                Act::Drain => drop(drain(&mut reader)),
                Act::Read(most) => {
                    let batch = out.next_batch(usize::from(most) + 1, usize::MAX, |_| true).unwrap();
                    let end = (expected + i64::from(most) + 1).min(next);
                    prop_assert_eq!(values(&batch.records), (expected..end).collect::<Vec<_>>());
                    prop_assert_eq!((batch.lost, batch.passed), (0, 0));
                    expected = end;
                }
                Act::Commit => {
                    out.commit().unwrap();
                    committed = expected;
                }
                Act::Restart => {
                    drop((journal, reader, out));
                    (journal, reader) = folder.open(PLENTY);
                    prop_assert_eq!(journal.lag("out"), u64::try_from(next - committed).unwrap());
                    out = consumer(&journal, "out");
                    expected = committed;
                }
            }
            prop_assert_eq!(journal.lag("out"), u64::try_from(next - committed).unwrap());
        }
    }
}

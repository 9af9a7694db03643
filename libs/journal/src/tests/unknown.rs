//! Records of a later release: they delay no other, stay through any number of starts and kills, and come once, when a release
//! opens the journal that knows them.

use proptest::prelude::*;

use super::*;

/// A format that only a later release knows.
const LATER: u8 = 2;

/// Appends records of which those with an odd value are of the later format.
fn append_mixed(journal: &Journal<Record>, values: impl IntoIterator<Item = i64>) {
    for value in values {
        append_as(journal, &mut record(value), if value % 2 == 1 { LATER } else { FORMAT }).unwrap();
    }
}

fn unread(folder: &Folder) -> usize {
    segment::numbered(&folder.0, segment::UNREAD).unwrap().len()
}

#[test]
fn records_of_a_later_release_stay_and_come_once_with_its_return() {
    let folder = Folder::new();
    let instance = {
        let (journal, _reader) = folder.open_as(PLENTY, decode_any);
        append_mixed(&journal, 1..=6);
        journal.instance()
    };
    for start in 0..3 {
        let (journal, mut reader) = folder.open(PLENTY);
        reader.count_old();
        append_all(&journal, [100]);
        let expected: &[i64] = if start == 0 { &[2, 4, 6, 100] } else { &[100] };
        assert_eq!(drain(&mut reader), expected, "what is known comes once");
        assert_eq!((folder.lost(), journal.waiting(), journal.unknown(), unread(&folder)), (0, 0, 3, 1));
        assert_eq!(folder.reported().unknown, if start == 0 { 3 } else { 0 }, "it is reported once");
        let (records, inspection) = inspected(&folder);
        assert_eq!((records.len(), inspection.unknown), (0, 3));
        assert_eq!(inspection.unknown_numbers, [1, 3, 5].map(|number| (instance, number)).into());
    }
    let (journal, mut reader) = folder.open_as(PLENTY, decode_any);
    assert_eq!((reader.count_old(), journal.unknown()), (3, 0));
    let batch = reader.next_batch(9, usize::MAX).unwrap().unwrap();
    let numbers: Vec<_> = batch.records.iter().map(|record| (record.value, record.number)).collect();
    assert_eq!(numbers, [(1, 1), (3, 3), (5, 5)]);
    reader.done(&batch).unwrap();
    assert_eq!((drain(&mut reader), folder.lost(), journal.waiting(), unread(&folder)), (vec![], 0, 0, 0));
    drop((journal, reader));
    let (journal, mut reader) = folder.open(PLENTY);
    assert_eq!((drain(&mut reader), journal.unknown(), folder.lost()), (vec![], 0, 0));
}

#[test]
fn frames_and_segments_of_a_later_version_stay() {
    for is_segment in [false, true] {
        let folder = Folder::new();
        {
            let (journal, _reader) = folder.open(PLENTY);
            append_all(&journal, 0..3);
        }
        let path = folder.segments().remove(0);
        let before = fs::read(&path).unwrap();
        let mut bytes = before.clone();
        if is_segment {
            bytes[7] = 2;
            bytes[8..segment::HEAD].fill(0);
        } else {
            let segment::Head::Known { salt, .. } = segment::head_in(&bytes) else { unreachable!() };
            frame::set_version(&mut bytes[segment::HEAD..], 99, salt);
        }
        fs::write(&path, &bytes).unwrap();
        for start in 0..2 {
            let (journal, mut reader) = folder.open(PLENTY);
            reader.count_old();
            append_all(&journal, [7]);
            let expected: &[i64] = if start == 0 && !is_segment { &[1, 2, 7] } else { &[7] };
            assert_eq!(drain(&mut reader), expected);
            assert_eq!((folder.lost(), journal.waiting(), journal.unknown()), (0, 0, 1), "{is_segment}");
            assert_eq!(inspected(&folder).1.unknown, 1);
        }
        if is_segment {
            let number = segment::numbered(&folder.0, segment::UNREAD).unwrap().remove(0);
            let path = segment::file(&folder.0, number, segment::UNREAD);
            assert_eq!(fs::read(&path).unwrap(), bytes, "it stays as it is");
            assert!(segment::file(&folder.0, number, "run").exists(), "and so does what its release counts by");
            // that release is back
            fs::write(&path, &before).unwrap();
            assert_eq!(drain(&mut folder.open(PLENTY).1), [0, 1, 2]);
        }
    }
}

#[test]
fn a_torn_frame_of_a_later_version_is_no_loss() {
    let folder = Folder::new();
    let length = {
        let (journal, _reader) = folder.open_as(PLENTY, decode_any);
        append_all(&journal, [0]);
        let length = journal.bytes();
        append_mixed(&journal, [1]);
        length
    };
    // as if a kill had come in the midst of the append: neither the frame nor the run is whole
    let path = folder.segments().remove(0);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    let run = path.with_extension("run");
    let one = Folder::new();
    {
        let (journal, _reader) = one.open(PLENTY);
        append_all(&journal, [0]);
    }
    let count = run::list(&one.0).unwrap().remove(0).end;
    let torn = run::Run { end: count, ..run::list(&folder.0).unwrap().remove(0) };
    fs::write(&run, torn.bytes()).unwrap();
    assert!(bytes.len() as u64 > length);
    let (journal, mut reader) = folder.open(PLENTY);
    assert_eq!(drain(&mut reader), [0]);
    assert_eq!((folder.lost(), journal.unknown(), journal.waiting()), (0, 0, 0));
}

#[test]
fn a_downgrade_in_the_midst_of_a_segment_leaves_only_what_was_not_stored() {
    let folder = Folder::new();
    {
        let (journal, mut reader) = folder.open_as(PLENTY, decode_any);
        append_mixed(&journal, 1..=9);
        let batch = reader.next_batch(3, usize::MAX).unwrap().unwrap();
        reader.done(&batch).unwrap();
    }
    let killed = {
        let (_journal, mut reader) = folder.open(PLENTY);
        let batch = reader.next_batch(1, usize::MAX).unwrap().unwrap();
        assert_eq!(values(&batch.records), [4]);
        reader.done(&batch).unwrap();
        let batch = reader.next_batch(1, usize::MAX).unwrap().unwrap();
        reader.done(&batch).unwrap();
        snapshot(&folder)
    };
    let folder = killed;
    assert_eq!(inspected(&folder).1.unknown, 3);
    {
        let (journal, mut reader) = folder.open(PLENTY);
        // read again from where the first was passed over
        assert_eq!(drain(&mut reader), [4, 6, 8]);
        assert_eq!((journal.unknown(), journal.waiting(), folder.lost()), (3, 0, 0));
    }
    assert_eq!(inspected(&folder).1.unknown, 3);
    assert_eq!(drain(&mut folder.open_as(PLENTY, decode_any).1), [5, 7, 9]);
}

/// Copies a folder as a kill leaves it.
fn snapshot(folder: &Folder) -> Folder {
    let copy = Folder::new();
    fs::create_dir_all(&copy.0).unwrap();
    for entry in fs::read_dir(&folder.0).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.0.join(path.file_name().unwrap())).unwrap();
    }
    copy
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_killed_and_whichever_release_starts_every_record_comes_once(
        starts in proptest::collection::vec((any::<bool>(), 0_i64..30, 0_usize..12), 1..8),
    ) {
        // segments of some ten records
        const SMALL: u64 = 16_000;
        let mut folder = Folder::new();
        let (mut next, mut appended, mut stored) = (0, Vec::new(), Vec::new());
        for (is_later, count, batches) in starts {
            let decoder: Decoder<Record> = if is_later { decode_any } else { decode };
            let killed = {
                let (journal, mut reader) = folder.open_as(SMALL, decoder);
                reader.count_old();
                for _ in 0..count {
                    // an earlier release writes its own format only
                    let value = if is_later { next } else { next + next % 2 };
                    let format = if value % 2 == 1 { LATER } else { FORMAT };
                    if append_as(&journal, &mut record(value), format).is_ok() {
                        appended.push(value);
                    }
                    next = value + 1;
                }
                for _ in 0..batches {
                    let Some(batch) = reader.next_batch(3, usize::MAX).unwrap() else { break };
                    stored.extend(values(&batch.records));
                    reader.done(&batch).unwrap();
                }
                prop_assert_eq!(folder.lost(), 0);
                snapshot(&folder)
            };
            folder = killed;
        }
        {
            let (_journal, mut reader) = folder.open(SMALL);
            reader.count_old();
            stored.extend(drain(&mut reader));
            prop_assert_eq!(folder.lost(), 0);
        }
        let missing = appended.iter().filter(|value| !stored.contains(value)).count() as u64;
        prop_assert!(inspected(&folder).1.unknown >= missing);
        let (journal, mut reader) = folder.open_as(SMALL, decode_any);
        reader.count_old();
        let again = drain(&mut reader);
        prop_assert!(again.len() as u64 >= missing);
        stored.extend(again);
        prop_assert_eq!((folder.lost(), journal.unknown(), journal.waiting()), (0, 0, 0));
        appended.sort_unstable();
        // releases that change places in the midst of one segment may give records of it once more
        stored.sort_unstable();
        stored.dedup();
        prop_assert_eq!(stored, appended);
    }
}

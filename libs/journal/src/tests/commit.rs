//! Records of one turn of a loop are written at once, and nobody reads them before that.

use proptest::prelude::*;

use super::*;

fn append_pending(journal: &Journal<Record>, value: i64) -> Appended {
    let encode = |bytes: &mut Vec<u8>| {
        bytes.extend_from_slice(&value.to_le_bytes());
        bytes.extend_from_slice(&0_u64.to_le_bytes());
    };
    journal.append_pending(Kind::Numbered, FORMAT, encode).unwrap()
}

fn length(folder: &Folder) -> u64 {
    folder.segments().iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn what_is_pending_is_written_by_commit_and_read_only_then() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(PLENTY);
    let empty = length(&folder);
    let appended: Vec<Appended> = (1..=3).map(|value| append_pending(&journal, value)).collect();
    assert_eq!(appended.last(), Some(&Appended { number: Some(3), place: 3 }));
    assert_eq!((length(&folder), journal.waiting()), (empty, 3));
    assert!(reader.next_batch(9, usize::MAX).unwrap().is_none());
    journal.commit().unwrap();
    assert_eq!(length(&folder), journal.bytes());
    assert_eq!(drain(&mut reader), [1, 2, 3]);
    assert_eq!((journal.waiting(), folder.lost()), (0, 0));
}

#[test]
fn what_a_kill_keeps_from_being_written_is_not_missed() {
    let folder = Folder::new();
    let (journal, _reader) = folder.open(PLENTY);
    append_all(&journal, [1]);
    append_pending(&journal, 2);
    let left = Folder::new();
    fs::create_dir_all(&left.0).unwrap();
    for entry in fs::read_dir(&folder.0).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, left.0.join(path.file_name().unwrap())).unwrap();
    }
    let (journal, mut reader) = left.open(PLENTY);
    assert_eq!((reader.count_old(), drain(&mut reader)), (1, vec![1]));
    assert_eq!((journal.waiting(), left.lost()), (0, 0));
}

#[test]
fn what_is_pending_when_the_journal_is_closed_is_written() {
    let folder = Folder::new();
    let (journal, reader) = folder.open(PLENTY);
    append_pending(&journal, 1);
    drop((journal, reader));
    let (_, mut reader) = folder.open(PLENTY);
    assert_eq!((drain(&mut reader), folder.lost()), (vec![1], 0));
}

#[test]
fn a_turn_that_appends_without_end_is_written_in_parts() {
    let folder = Folder::new();
    let (journal, _reader) = folder.open(PLENTY);
    for value in 0..10_000 {
        append_pending(&journal, value);
    }
    assert!(length(&folder) + 70_000 > journal.bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_pending_all_comes_once_and_in_order(
        steps in proptest::collection::vec((0_u8..6, 1_usize..60), 1..60),
    ) {
        let folder = Folder::new();
        // segments of some twenty records
        let (journal, mut reader) = folder.open(8 * 2_000);
        let (mut appended, mut written, mut done) = (0, 0, 0);
        for (step, many) in steps {
            for _ in 0..if step < 3 { many } else { 0 } {
                if journal.bytes() > 9_000 {
                    break;
                }
                if step == 0 {
                    append_all(&journal, [appended]);
                    written = appended + 1;
                } else {
                    let segments = folder.segments().len();
                    let place = append_pending(&journal, appended).place;
                    let handed = Record { number: place, ..record(appended) };
                    journal.hand_over(place, Decoded { record: handed, amends: None });
                    if folder.segments().len() > segments {
                        written = appended;
                    }
                }
                appended += 1;
            }
            match step {
                3 => {
                    journal.commit().unwrap();
                    written = appended;
                }
                4 | 5 => {
                    let batch = reader.next_batch(many, usize::MAX).unwrap();
                    let came = batch.as_ref().map_or_else(Vec::new, |batch| values(&batch.records));
                    let wanted = (written - done).min(many as i64);
                    prop_assert_eq!(came, (done..done + wanted).collect::<Vec<_>>());
                    if let Some(batch) = batch.filter(|_| step == 5) {
                        reader.done(&batch).unwrap();
                        done += wanted;
                        prop_assert_eq!(journal.waiting(), (appended - done) as u64);
                    }
                }
                _ => {}
            }
        }
        journal.commit().unwrap();
        prop_assert_eq!(drain(&mut reader), (done..appended).collect::<Vec<_>>());
        prop_assert_eq!((journal.waiting(), folder.lost()), (0, 0));
    }
}

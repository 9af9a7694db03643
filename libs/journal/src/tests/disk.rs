//! What the journal asks of the disk, and what it does where the disk refuses.

use std::fs::File;

use super::*;

/// Segments of some ten records.
const SMALL: u64 = 8_000;

/// Another's at the place of a file or folder, which cannot be opened, until it is dropped.
struct Away(PathBuf, PathBuf);

impl Away {
    fn of(path: &Path) -> Self {
        let away = path.with_extension("away");
        fs::rename(path, &away).unwrap();
        std::os::unix::fs::symlink(path, path).unwrap();
        Self(path.to_owned(), away)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0).and_then(|()| fs::rename(&self.1, &self.0));
    }
}

#[test]
fn a_segment_that_ended_is_brought_to_the_disk_once() {
    let folder = Folder::new();
    let (journal, reader) = folder.open(SMALL);
    append_all(&journal, 0..30);
    let ended = folder.segments().remove(0);
    {
        // that it cannot be had shows that it is asked for
        let _away = Away::of(&ended);
        assert!(journal.sync().is_err());
        assert!(journal.sync().is_err(), "it still is not on the disk");
    }
    assert!(!journal.is_synced());
    journal.sync().unwrap();
    assert!(journal.is_synced());
    append_all(&journal, [30]);
    {
        let _away = Away::of(&ended);
        journal.sync().unwrap();
    }
    drop((journal, reader));
    // the process that wrote it may have been killed before its second was over
    let (journal, _reader) = folder.open(SMALL);
    let _away = Away::of(&ended);
    assert!(journal.sync().is_err());
}

#[test]
fn the_name_of_a_new_segment_is_brought_to_the_disk_once() {
    let folder = Folder::new();
    let (journal, _reader) = folder.open(PLENTY);
    {
        let _away = Away::of(&folder.0);
        assert!(journal.sync().is_err());
    }
    journal.sync().unwrap();
    append_all(&journal, [1]);
    let _away = Away::of(&folder.0);
    journal.sync().unwrap();
}

#[test]
fn a_segment_that_cannot_be_begun_costs_no_record() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(SMALL);
    {
        let _away = Away::of(&folder.0);
        append_all(&journal, 0..40);
    }
    assert_eq!(folder.segments().len(), 1);
    assert!(journal.bytes() > 2 * SMALL / crate::journal::PART, "it is longer than a segment");
    append_all(&journal, 40..60);
    assert!(folder.segments().len() > 1, "it is tried again");
    assert_eq!(drain(&mut reader), (0..60).collect::<Vec<_>>());
    assert_eq!(folder.segments().len(), 1);
}

#[tokio::test]
async fn a_segment_that_fills_the_journal_ends_and_makes_room() {
    let take = |journal: &Journal<Record>, length| {
        let before = journal.bytes();
        append(journal, &mut with_body(0, length));
        journal.bytes() - before
    };
    let more = take(&Folder::new().open(PLENTY).0, 10_000) - 10_000;
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(SMALL);
    let left = SMALL - journal.bytes();
    let filling = usize::try_from(left - more).unwrap();
    assert_eq!(take(&journal, filling), left);
    journal.appended(1).await;
    assert_eq!(drain(&mut reader), [0]);
    assert!(append_as(&journal, &mut record(1), FORMAT).is_err());
    // nothing else tells the reader that there is something to let go of
    tokio::time::timeout(std::time::Duration::from_secs(10), journal.appended(1)).await.unwrap();
    assert!(drain(&mut reader).is_empty());
    append_all(&journal, [2]);
    assert_eq!(drain(&mut reader), [2]);
}

/// Reads as the shipper does, until nothing is left or it has failed so often: what it read.
pub(super) fn drain_failing(reader: &mut Reader<Record>, attempts: u32) -> Vec<i64> {
    let (mut all, mut failed) = (Vec::new(), 0);
    while failed < attempts {
        match reader.next_batch(7, usize::MAX) {
            Ok(Some(batch)) => {
                all.extend(values(&batch.records));
                reader.done(&batch).unwrap();
            }
            Ok(None) => break,
            Err(_) => failed += 1,
        }
    }
    all
}

/// More attempts than any place is worth.
pub(super) const MANY: u32 = 100;

#[test]
fn a_segment_that_cannot_be_opened_holds_up_those_behind_it_for_a_while_only() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(SMALL);
    append_all(&journal, 0..60);
    let [first, second, ..] = &*folder.segments() else { unreachable!() };
    let in_first = {
        // away for a while
        let _away = Away::of(second);
        let found = drain_failing(&mut reader, 3);
        assert!(!found.is_empty() && found.len() < 60);
        found.len()
    };
    assert_eq!((first.exists(), folder.lost()), (false, 0));
    let end = i64::try_from(60 - in_first).unwrap();
    let behind = {
        let _away = Away::of(second);
        drain_failing(&mut reader, MANY)
    };
    let gone = end - i64::try_from(behind.len()).unwrap();
    assert!(gone > 0 && behind.ends_with(&[58, 59]), "{behind:?}");
    assert_eq!(folder.lost(), u64::try_from(gone).unwrap(), "each record of it is counted");
    assert_eq!((journal.waiting(), drain(&mut reader)), (0, vec![]));
}

#[test]
fn a_segment_that_was_cut_off_gives_what_is_left_of_it_and_is_kept() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(SMALL);
    append_all(&journal, 0..30);
    let first = folder.segments().remove(0);
    let whole = fs::read(&first).unwrap();
    fs::write(&first, &whole[..whole.len() - 1]).unwrap();
    let found = drain_failing(&mut reader, MANY);
    assert_eq!((found.len(), folder.lost(), journal.waiting()), (29, 1, 0));
    let bytes = folder.segments().iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    assert_eq!(journal.bytes(), bytes, "what is in quarantine takes none of the journal's room");
    let (last, aside) = (folder.segments().pop().unwrap(), first.with_extension("damaged"));
    let lost_row = (0..30).find(|number| !found.contains(number)).unwrap();
    drop((journal, reader));
    // what an operator is told to do
    fs::write(&aside, whole).unwrap();
    let number = u64::from_str_radix(last.file_stem().unwrap().to_str().unwrap(), 16).unwrap() + 1;
    fs::rename(&aside, segment::path(&folder.0, number)).unwrap();
    let (_journal, mut reader) = folder.open(SMALL);
    assert_eq!(drain(&mut reader), (0..=lost_row).collect::<Vec<_>>());
}

#[test]
fn the_segment_that_is_written_to_is_not_written_to_any_more_once_it_cannot_be_read() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(PLENTY);
    append_all(&journal, 0..10);
    File::options().write(true).open(folder.segments().remove(0)).unwrap().set_len(3).unwrap();
    assert!(drain_failing(&mut reader, MANY).is_empty());
    assert_eq!((folder.lost(), journal.waiting()), (10, 0));
    append_all(&journal, 10..20);
    assert_eq!(drain_failing(&mut reader, MANY), (10..20).collect::<Vec<_>>());
}

#[test]
fn records_of_an_earlier_run_are_counted_and_those_that_cannot_be_read_are_lost() {
    let folder = Folder::new();
    append_all(&folder.open(SMALL).0, 0..30);
    let (journal, mut reader) = folder.open(SMALL);
    let second = folder.segments().remove(1);
    let _away = Away::of(&second);
    assert_eq!((reader.count_old(), journal.waiting()), (30, 30));
    append_all(&journal, [30]);
    let found = drain_failing(&mut reader, MANY);
    assert!(found.len() < 31);
    assert_eq!((found.last(), journal.waiting()), (Some(&30), 0));
    assert_eq!(folder.lost(), 31 - found.len() as u64);
}

//! What the journal asks of the disk, and what it does where the disk refuses.

use super::*;

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
    let (journal, reader) = folder.open(16_000);
    keep(&journal, 0..30);
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
    keep(&journal, [30]);
    {
        let _away = Away::of(&ended);
        journal.sync().unwrap();
    }
    drop((journal, reader));
    // the process that wrote it may have been killed before its second was over
    let (journal, _reader) = folder.open(16_000);
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
    keep(&journal, [1]);
    let _away = Away::of(&folder.0);
    journal.sync().unwrap();
}

#[test]
fn a_segment_that_cannot_be_begun_costs_no_row() {
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(16_000);
    {
        let _away = Away::of(&folder.0);
        keep(&journal, 0..40);
    }
    assert_eq!((lost(&journal, "row"), folder.segments().len()), (0, 1));
    assert!(journal.bytes() > 2 * 16_000 / PART, "it is longer than a segment");
    keep(&journal, 40..60);
    assert!(folder.segments().len() > 1, "it is tried again");
    assert_eq!(drain(&mut reader), (0..60).collect::<Vec<_>>());
    assert_eq!(folder.segments().len(), 1);
}

#[tokio::test]
async fn a_segment_that_fills_the_journal_ends_and_makes_room() {
    let take = |journal: &Journal, length| {
        let before = journal.bytes();
        journal.keep(&mut with_body(0, length));
        journal.bytes() - before
    };
    let more = take(&Folder::new().open(PLENTY).0, 10_000) - 10_000;
    let folder = Folder::new();
    let (journal, mut reader) = folder.open(16_000);
    let left = 16_000 - journal.bytes();
    let filling = usize::try_from(left - more).unwrap();
    assert_eq!(take(&journal, filling), left);
    journal.appended().await;
    assert_eq!(drain(&mut reader), [0]);
    keep(&journal, [1]);
    assert_eq!(lost(&journal, "row"), 1);
    // nothing else tells the reader that there is something to let go of
    tokio::time::timeout(std::time::Duration::from_secs(10), journal.appended()).await.unwrap();
    assert!(drain(&mut reader).is_empty());
    keep(&journal, [2]);
    assert_eq!((drain(&mut reader), lost(&journal, "row")), (vec![2], 1));
}

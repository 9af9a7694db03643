//! What a log has after it was written, torn, or written by a later release.

use plugin_api::Uuid;
use proptest::prelude::*;

use super::*;
use crate::entry::Fact;
use crate::tests::Folder;

fn open(folder: &Path) -> io::Result<(LogFile, Vec<Entry>)> {
    LogFile::open(folder, Lock::take(folder).unwrap())
}

fn entry(body: &[u8]) -> Entry {
    Entry { fact: Fact::Gone(Uuid::now_v7()), body: Bytes::copy_from_slice(body) }
}

#[test]
fn an_entry_of_a_later_release_is_kept_and_not_taken_for_torn() {
    let folder = Folder::new();
    let (mut log, _) = open(&folder.0).unwrap();
    log.append(&entry(b"")).unwrap();
    let (fact, mut later) = (br#"{"what comes later":1}"#, vec![0; HEAD]);
    later[..4].copy_from_slice(&(fact.len() as u32).to_le_bytes());
    later.extend_from_slice(fact);
    let sum = checksum(&later[..8], fact);
    later[8..HEAD].copy_from_slice(&sum);
    (&*log.file()).write_all(&later).unwrap();
    drop(log);
    let before = fs::read(folder.0.join(LOG)).unwrap();
    let error = open(&folder.0).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("not one of this release"), "{error}");
    assert_eq!(fs::read(folder.0.join(LOG)).unwrap(), before);
}

#[test]
fn what_was_appended_is_there_again_and_one_process_has_it() {
    let folder = Folder::new();
    let entries = [entry(b""), entry(b"{}"), entry(&[7; 5000])];
    let (mut log, found) = open(&folder.0).unwrap();
    assert!(found.is_empty());
    entries.iter().for_each(|entry| log.append(entry).unwrap());
    assert!(matches!(Lock::take(&folder.0), Err(OpenError::InUse)));
    drop(log);
    let (mut log, found) = open(&folder.0).unwrap();
    assert_eq!(found, entries);
    drop(NewLog::write(&folder.0, entries.to_vec()).unwrap());
    assert!(!folder.0.join(NEW).exists());
    let new = NewLog::write(&folder.0, entries[1..2].to_vec()).unwrap();
    log.replace(new, &entries[2..]).unwrap();
    log.append(&entries[0]).unwrap();
    drop(log);
    let (_, found) = open(&folder.0).unwrap();
    assert_eq!(found, [entries[1].clone(), entries[2].clone(), entries[0].clone()]);
    assert_eq!(read_other(&folder.0).unwrap(), found);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_torn_log_has_every_whole_entry_before_the_tear_and_goes_on_behind_them(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), cut in any::<prop::sample::Index>(),
    ) {
        let folder = Folder::new();
        let (mut log, _) = open(&folder.0).unwrap();
        let entries: Vec<Entry> = bodies.iter().map(|body| entry(body)).collect();
        let mut ends = vec![0];
        for entry in &entries {
            log.append(entry).unwrap();
            ends.push(log.len());
        }
        let cut = cut.index(log.len() as usize + 1) as u64;
        log.file.set_len(cut).unwrap();
        drop(log);
        let (mut log, found) = open(&folder.0).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        prop_assert_eq!(&found, &entries[..whole]);
        log.append(&entries[0]).unwrap();
        drop(log);
        let (_, found) = open(&folder.0).unwrap();
        prop_assert_eq!(found.len(), whole + 1);
    }
}

//! What is left of the journals of processes that drained.

use journal::{Decoded, Entry, Silent};

use super::*;

/// A release that knows no record.
fn knows_none(_: &Entry<'_>) -> Option<Decoded<Record>> {
    None
}

fn open_as(folder: &Path, decode: journal::Decoder<Record>) -> (Arc<Journal>, Reader) {
    Journal::open(folder, Options { max_bytes: 1 << 20 }, decode, Box::new(Silent)).unwrap()
}

#[test]
fn records_that_an_earlier_release_did_not_know_are_taken_in_by_the_one_that_does() {
    let folder = Folder::new();
    let (ledger, mut reader) = LedgerJournal::open(&folder.0, 1 << 20, Arc::new(LedgerMetrics::new())).unwrap();
    let draining = DrainingJournals(&folder.0).another();
    let (journal, _) = open_as(&draining, encoding::decode);
    let mut record = Record::Request(Box::default());
    write(&journal, &mut record).unwrap();
    let run = journal.instance();
    drop(journal);
    // the release that was there meanwhile took in what it knew
    let (journal, mut passing) = open_as(&draining, knows_none);
    assert!(passing.next_batch(10, 1 << 20).unwrap().is_none() && journal.unknown() == 1);
    drop((journal, passing));
    let kept = draining.with_extension("kept");
    fs::rename(&draining, &kept).unwrap();

    let found = waiting(&folder.0).unwrap();
    assert!(found.rows.contains(&(run, 1)), "{found:?}");
    ledger.take_in(|_, _| panic!("nothing drains"));
    let mut taken = 0;
    ledger.take_in_kept(|_, _| taken += 1);
    assert!(taken == 1 && !kept.exists());
    ledger.take_in_kept(|_, _| panic!("it was taken in"));
    let batch = reader.next_batch(10, 1 << 20).unwrap().unwrap();
    assert!(matches!(&batch.records[..], [Record::Request(row)] if (row.instance, row.sequence) == (run, 1)));
}

#[test]
fn what_this_release_does_not_know_either_stays() {
    let folder = Folder::new();
    let (ledger, _reader) = LedgerJournal::open(&folder.0, 1 << 20, Arc::new(LedgerMetrics::new())).unwrap();
    let draining = DrainingJournals(&folder.0).another();
    let (journal, _) = open_as(&draining, encoding::decode);
    journal.append(Kind::Numbered, 250, |bytes| bytes.extend_from_slice(b"later")).unwrap();
    let run = journal.instance();
    drop(journal);
    ledger.take_in(|_, _| panic!("it is not known"));
    ledger.take_in_kept(|_, _| panic!("it is not known"));
    let found = waiting(&folder.0).unwrap();
    assert_eq!((found.unknown, found.unknown_rows.contains(&(run, 1))), (1, true), "{found:?}");
    assert!(draining.with_extension("kept").exists());
}

#[test]
fn a_journal_that_is_taken_in_while_it_is_looked_at_is_no_error() {
    let folder = Folder::new();
    let (_ledger, _reader) = LedgerJournal::open(&folder.0, 1 << 20, Arc::new(LedgerMetrics::new())).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let draining = DrainingJournals(&folder.0).another();
                fs::create_dir_all(&draining).unwrap();
                fs::remove_dir_all(draining).unwrap();
            }
        });
        let looks: Vec<_> = (0..3000).map(|_| waiting(&folder.0)).collect();
        done.store(true, Ordering::Relaxed);
        looks.into_iter().for_each(|look| assert!(look.unwrap().rows.is_empty()));
    });
}

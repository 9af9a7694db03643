use std::collections::HashSet;
use std::convert::Infallible;
use std::fs;
use std::sync::Weak;

use proptest::prelude::*;
use uuid::Uuid;

use super::isolate::{SAMPLES, isolate};
use super::*;
use crate::dashboard::ReadFrom;
use crate::ledger_journal::LedgerJournal;
use crate::metrics::LedgerMetrics;
use crate::{Config, Row};

fn record(id: u128, revision: i16) -> Record {
    Record::Request(Box::new(Row { id: Uuid::from_u128(id), revision, ..Row::default() }))
}

fn id(record: &Record) -> u128 {
    match record {
        Record::Request(row) => row.id.as_u128(),
        Record::Batch(_) => 0,
    }
}

/// How many records are in the database, and which of them are refused.
fn outcome(isolated: &Isolated) -> (u64, Vec<usize>) {
    match isolated {
        Isolated::Written(written, rejected) => {
            (written.new + written.known, rejected.iter().map(|(at, _)| *at).collect())
        }
        Isolated::Refused(why) => panic!("{why}"),
    }
}

proptest! {
    #[test]
    fn every_poison_row_is_found_and_every_other_row_is_written_once(
        poison in proptest::collection::vec(any::<bool>(), 1..80), attempt in 0_usize..100,
    ) {
        let records: Vec<Record> = (0..poison.len()).map(|at| record(at as u128, 0)).collect();
        let (mut written, mut calls) = (HashSet::new(), 0_usize);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(isolate(&records, attempt, async |part: &[Record]| {
            calls += 1;
            if let Some(bad) = part.iter().find(|record| poison[usize::try_from(id(record)).unwrap()]) {
                return Ok::<_, Infallible>(Err(format!("{} is bad", id(bad))));
            }
            let new = part.iter().filter(|record| written.insert(id(record))).count() as u64;
            Ok(Ok(Written { new, known: part.len() as u64 - new }))
        }));
        let Ok(found) = found;
        let bad: Vec<usize> = (0..poison.len()).filter(|at| poison[*at]).collect();
        if let Isolated::Refused(why) = &found {
            // some of them were tried, and none was taken
            prop_assert!(bad.len() >= poison.len().min(SAMPLES), "{why}");
            prop_assert!(written.is_empty() && calls <= 1 + SAMPLES);
            return Ok(());
        }
        prop_assert_eq!(outcome(&found), ((poison.len() - bad.len()) as u64, bad.clone()));
        prop_assert_eq!(written.len(), poison.len() - bad.len());
        let Isolated::Written(sum, rejected) = found else { unreachable!() };
        prop_assert_eq!((sum.new, sum.known), (written.len() as u64, 0));
        for (at, why) in rejected {
            prop_assert_eq!(why, format!("{at} is bad"));
        }
        prop_assert!(calls <= 2 + SAMPLES + bad.len() * 2 * 8, "{} calls for {} rows", calls, bad.len());
    }
}

#[tokio::test]
async fn a_database_that_takes_no_row_is_asked_for_few_of_them_and_for_others_each_time() {
    let records: Vec<Record> = (0..2000).map(|id| record(id, 0)).collect();
    let mut tried = HashSet::new();
    for attempt in 0..10 {
        let found = isolate(&records, attempt, async |part: &[Record]| {
            tried.extend(part.iter().map(id).filter(|_| part.len() == 1));
            Ok::<_, Infallible>(Err("no column `team`".into()))
        });
        assert_eq!(found.await, Ok(Isolated::Refused("no column `team`".into())));
    }
    assert_eq!(tried.len(), 10 * SAMPLES);
}

#[tokio::test]
async fn no_row_is_to_blame_where_the_database_changes_its_mind() {
    let records: Vec<Record> = (0..100).map(|id| record(id, 0)).collect();
    for taken in 1..60 {
        // it takes so many batches, and then none
        let mut left = taken;
        let found = isolate(&records, 0, async |part: &[Record]| {
            if part.len() == 100 || left == 0 {
                return Ok::<_, Infallible>(Err("no permission".into()));
            }
            left -= 1;
            Ok(Ok(Written { new: part.len() as u64, known: 0 }))
        });
        match found.await {
            Ok(Isolated::Refused(why)) => assert_eq!(why, "no permission"),
            Ok(found) => assert!(outcome(&found).1.is_empty()),
        }
    }
    // it takes none of the first, and then all
    let mut refused = 0;
    let found = isolate(&records, 0, async |part: &[Record]| {
        refused += 1;
        if refused < 5 {
            Ok::<_, Infallible>(Err("no permission".into()))
        } else {
            Ok(Ok(Written { new: part.len() as u64, known: 0 }))
        }
    });
    assert!(outcome(&found.await.unwrap()).1.is_empty());
}

#[tokio::test]
async fn a_database_that_cannot_tell_ends_the_search() {
    let records = [record(1, 0), record(2, 0)];
    let mut calls = 0;
    let found = isolate(&records, 0, async |_: &[Record]| {
        calls += 1;
        if calls == 1 { Ok(Err("one is bad".into())) } else { Err("down") }
    });
    assert_eq!(found.await.unwrap_err(), "down");
}

#[tokio::test]
async fn a_ledger_that_nobody_holds_any_more_ends() {
    for rows in [0, 1] {
        let folder = std::env::temp_dir().join(format!("tollgate-shipper-{}", Uuid::now_v7()));
        let metrics = Arc::new(LedgerMetrics::new());
        let (journal, reader) = LedgerJournal::open(&folder, 1 << 20, metrics.clone()).unwrap();
        (0..rows).for_each(|id| {
            journal.append(&mut record(id, 0));
        });
        // a folder is no database: what is there waits
        fs::create_dir_all(folder.join("tollgate.db")).unwrap();
        let settings = Config::default().store_settings(&folder);
        let read_from = ReadFrom { database: settings.database.clone(), is_replica: false, pool: settings.pool };
        let (shipping, taken) =
            watch::channel(ShipperConfig { settings, read_from, sync: true, end: None, alive: Weak::new() });
        let shipper = Shipper::new(
            reader,
            metrics,
            taken,
            plugin_api::Spending::default().feed(),
            (Arc::new(Progress::new()), Arc::new(LastRead::new())),
            Places::default(),
        );
        drop(shipping);
        let ended = timeout(Duration::from_secs(10), shipper.run()).await;
        fs::remove_dir_all(&folder).unwrap();
        ended.unwrap();
        assert_eq!(u128::from(journal.get().waiting()), rows);
    }
}

use std::convert::Infallible;
use std::fs;
use std::sync::Weak;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::journal::Journal;
use crate::metrics::Figures;
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

proptest! {
    #[test]
    fn every_poison_row_is_found_and_every_other_row_is_written_once(poison in proptest::collection::vec(any::<bool>(), 1..80)) {
        let records: Vec<Record> = (0..poison.len()).map(|at| record(at as u128, 0)).collect();
        let (mut written, mut calls) = (Vec::new(), 0_usize);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(isolate(&records, async |part: &[Record]| {
            calls += 1;
            if let Some(bad) = part.iter().find(|record| poison[usize::try_from(id(record)).unwrap()]) {
                return Ok::<_, Infallible>(Err(format!("{} is bad", id(bad))));
            }
            written.extend(part.iter().map(id));
            Ok(Ok(Written { new: part.len() as u64, known: 0 }))
        }));
        let Ok((sum, rejected)) = found;
        let bad: Vec<usize> = (0..poison.len()).filter(|at| poison[*at]).collect();
        prop_assert_eq!(rejected.iter().map(|(at, _)| *at).collect::<Vec<_>>(), bad.clone());
        for (at, why) in rejected {
            prop_assert_eq!(why, format!("{at} is bad"));
        }
        prop_assert_eq!(sum.new as usize, poison.len() - bad.len());
        // in their order
        prop_assert!(written.is_sorted());
        prop_assert!(calls <= 1 + bad.len() * 2 * 7, "{} calls for {} rows", calls, bad.len());
    }
}

#[tokio::test]
async fn a_database_that_cannot_tell_ends_the_search() {
    let records = [record(1, 0), record(2, 0)];
    let mut calls = 0;
    let found = isolate(&records, async |_: &[Record]| {
        calls += 1;
        if calls == 1 { Ok(Err("one is bad".into())) } else { Err("down") }
    });
    assert_eq!(found.await.unwrap_err(), "down");
}

#[tokio::test]
async fn a_ledger_that_nobody_holds_any_more_ends() {
    for rows in [0, 1] {
        let folder = std::env::temp_dir().join(format!("tollgate-shipper-{}", Uuid::now_v7()));
        let (journal, reader) = Journal::open(&folder, 1 << 20, Arc::new(Figures::new())).unwrap();
        (0..rows).for_each(|id| journal.keep(&mut record(id, 0)));
        // a folder is no database: what is there waits
        fs::create_dir_all(folder.join("tollgate.db")).unwrap();
        let settings = Config::default().store_settings(&folder);
        let (orders, taken) = watch::channel(Orders { settings, sync: true, end: None, wanted: Weak::new() });
        let shipper = Shipper::new(reader, taken);
        drop(orders);
        let ended = timeout(Duration::from_secs(10), shipper.run()).await;
        fs::remove_dir_all(&folder).unwrap();
        ended.unwrap();
        assert_eq!(u128::from(journal.waiting()), rows);
    }
}

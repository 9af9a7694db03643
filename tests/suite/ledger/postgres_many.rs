//! Ten gateways and one Postgres: one of them makes the schema, and none waits for another for ever.

use std::collections::BTreeSet;

use usage_log::{Record, StoreError};

use super::book::{Book, at, migrated, records, rows, settings};
use crate::harness::postgres;

const GATEWAYS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_that_begin_at_once_make_one_schema() {
    let server = postgres().await;
    let settings = settings(&server.url());
    let begun = (0..GATEWAYS).map(|_| {
        let settings = settings.clone();
        tokio::spawn(async move { migrated(&settings).await.map(drop) })
    });
    for gateway in begun.collect::<Vec<_>>() {
        gateway.await.unwrap().unwrap();
    }
    let steps = std::fs::read_dir("migrations/postgres").unwrap().count();
    assert_eq!(server.sql("SELECT count(*), max(version) FROM ledger_schema"), format!("{steps}|{steps}"));
    assert_eq!(server.sql("SELECT count(*) FROM pg_inherits WHERE inhparent = 'api_requests'::regclass"), "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_that_write_the_same_rows_at_once_write_each_once() {
    let server = postgres().await;
    let settings = settings(&server.url());
    migrated(&settings).await.unwrap();
    // rows of their own, rows that all of them have, in orders of their own, and months that nobody has made
    let mut shared = rows(400);
    for (number, row) in shared.iter_mut().enumerate() {
        row.created_at = at(&format!("2025-{:02}-28", 1 + number % 12), row.sequence);
    }
    let shared = records(shared);
    let writing = (0..GATEWAYS).map(|gateway| {
        let (settings, mut shared) = (settings.clone(), shared.clone());
        tokio::spawn(async move {
            let mut store = migrated(&settings).await.unwrap();
            shared.rotate_left(gateway * 37);
            if gateway % 2 == 0 {
                shared.reverse();
            }
            for part in shared.chunks(50) {
                let batch: Vec<Record> = part.iter().cloned().chain(records(rows(50))).collect();
                // what cannot be now is tried again, as the shipper does
                while let Err(error) = store.write(&batch).await {
                    assert!(matches!(&error, StoreError::Unavailable(why) if !why.contains("deadlock")), "{error:?}");
                    tokio::task::yield_now().await;
                }
            }
        })
    });
    for gateway in writing.collect::<Vec<_>>() {
        gateway.await.unwrap();
    }
    let all = 400 + GATEWAYS * 400;
    assert_eq!(server.sql("SELECT count(*), count(DISTINCT id) FROM api_requests"), format!("{all}|{all}"));
    let log = server.log();
    let wrong: BTreeSet<&str> = log.lines().filter(|line| line.contains("deadlock")).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    Book::Postgres(Box::new(server)).sums_agree();
}

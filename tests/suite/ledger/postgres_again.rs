//! Rows that Postgres has already, and corrections of them: neither costs a connection, and a correction is no error.

use std::collections::BTreeSet;

use usage_log::{Row, Written};

use super::book::{migrated, records, rows, settings};
use crate::harness::{Postgres, postgres};

/// The connections that the gateway has.
fn connections(server: &Postgres) -> BTreeSet<String> {
    let found = server.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'tollgate'");
    found.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn rows_that_come_again_cost_no_connection() {
    let server = postgres().await;
    let mut store = migrated(&settings(&server.url())).await.unwrap();
    let batch = records(rows(50));
    store.write(&batch).await.unwrap();
    let before = connections(&server);
    assert!(!before.is_empty());
    assert_eq!(store.write(&batch).await, Ok(Written { new: 0, known: 50 }));
    assert_eq!(store.write(&batch[..7]).await, Ok(Written { new: 0, known: 7 }));
    assert!(connections(&server).is_superset(&before), "one was closed");
    assert_eq!(server.sql("SELECT count(*), count(DISTINCT id) FROM api_requests"), "50|50");
}

#[tokio::test]
async fn a_correction_is_no_error_of_the_server() {
    let server = postgres().await;
    let mut store = migrated(&settings(&server.url())).await.unwrap();
    let first = rows(50);
    store.write(&records(first.clone())).await.unwrap();
    let (before, last) = (connections(&server), first[49].clone());
    let corrected = Row { revision: 1, outcome: "client_gone".into(), ..last };
    let batch = records(rows(10).into_iter().chain([corrected]));
    assert_eq!(store.write(&batch).await, Ok(Written { new: 11, known: 0 }));
    assert!(connections(&server).is_superset(&before), "one was closed");
    assert_eq!(server.sql("SELECT count(*) FROM api_requests WHERE outcome = 'client_gone' AND revision = 1"), "1");
    assert_eq!(server.sql("SELECT count(*) FROM api_requests"), "60");
    let log = server.log();
    assert!(!log.contains("duplicate key"), "{log}");
}

//! A Postgres that is stopped, frozen, killed, full, read-only or absent: what is written to it fails as a thing that passes,
//! within a bound, and arrives exactly once when it has passed.

use std::time::{Duration, Instant};

use usage_log::{Record, Store, StoreError, StoreSettings};

use super::book::{connected, migrated, records, rows, settings};
use crate::harness::{Postgres, postgres};

/// Longer than anything may take that fails: connecting is given two seconds.
const BOUND: Duration = Duration::from_secs(12);

/// Tries to write, and to begin anew, as the shipper does, and tells why not.
async fn fails(store: &mut Store, settings: &StoreSettings, batch: &[Record]) -> String {
    let begun = Instant::now();
    let error = tokio::time::timeout(Duration::from_secs(5), store.write(batch)).await;
    let error = error.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer".into()))).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let again = connected(settings).await;
    if let Ok(mut again) = again {
        let error = tokio::time::timeout(Duration::from_secs(5), again.write(batch)).await;
        assert!(!matches!(error, Ok(Ok(_) | Err(StoreError::Refused(_) | StoreError::Rejected(_)))), "{error:?}");
    }
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    error.to_string()
}

/// Writes the batch on a new connection, and sees that all rows are there once.
async fn arrives(server: &Postgres, settings: &StoreSettings, batch: &[Record], all: usize) {
    let mut store = migrated(settings).await.unwrap();
    store.write(batch).await.unwrap();
    assert_eq!(server.sql("SELECT count(*), count(DISTINCT id) FROM api_requests"), format!("{all}|{all}"));
}

#[tokio::test]
async fn stopped() {
    let mut server = postgres().await;
    let settings = settings(&server.url());
    let mut store = migrated(&settings).await.unwrap();
    store.write(&records(rows(10))).await.unwrap();
    let batch = records(rows(10));
    server.stop();
    fails(&mut store, &settings, &batch).await;
    server.start().await;
    // the old connections find their way back too
    store.write(&batch).await.unwrap();
    arrives(&server, &settings, &batch, 20).await;
}

#[tokio::test]
async fn killed_in_the_midst_of_a_batch() {
    let mut server = postgres().await;
    let settings = settings(&server.url());
    let mut store = migrated(&settings).await.unwrap();
    let batch = records(rows(20_000));
    let (written, ()) = tokio::join!(store.write(&batch), async {
        tokio::task::yield_now().await;
        server.kill();
    });
    assert!(!matches!(written, Err(StoreError::Rejected(_))), "{written:?}");
    server.start().await;
    arrives(&server, &settings, &batch, 20_000).await;
}

#[tokio::test]
async fn frozen_in_the_midst_of_a_batch() {
    let server = postgres().await;
    let settings = settings(&server.url());
    let mut store = migrated(&settings).await.unwrap();
    store.write(&records(rows(10))).await.unwrap();
    let batch = records(rows(10));
    server.freeze();
    let error = fails(&mut store, &settings, &batch).await;
    assert!(error.contains("no answer") || error.contains("no connection within"), "{error}");
    server.thaw();
    arrives(&server, &settings, &batch, 20).await;
}

#[tokio::test]
async fn out_of_connections() {
    let mut server = postgres().await;
    migrated(&settings(&server.url())).await.unwrap().close().await;
    server.stop();
    server.set("max_connections=3");
    server.set("superuser_reserved_connections=1");
    server.set("max_wal_senders=0");
    server.start().await;
    server.sql("CREATE ROLE gateway LOGIN IN ROLE pg_write_all_data, pg_read_all_data; ALTER TABLE api_requests OWNER TO gateway");
    let taken = [server.hold(), server.hold(), server.hold()];
    let settings = settings(&server.url().replace("postgres@", "gateway@"));
    let error = connected(&settings).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Unavailable(why) if why.contains("(53300)") || why.contains("no connection")),
        "{error:?}"
    );
    drop(taken);
    let batch = records(rows(10));
    let mut store = found_free(&settings).await;
    store.write(&batch).await.unwrap();
    drop(store);
    assert_eq!(server.sql("SELECT count(*) FROM api_requests"), "10");
}

/// A connection, once the server has noticed that others are gone.
async fn found_free(settings: &StoreSettings) -> Store {
    crate::harness::found("a free connection", async || connected(settings).await.ok()).await
}

#[tokio::test]
async fn read_only() {
    let server = postgres().await;
    let settings = settings(&server.url());
    let mut store = migrated(&settings).await.unwrap();
    let batch = records(rows(10));
    server.sql("ALTER DATABASE ledger SET default_transaction_read_only = on");
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tollgate'");
    // the first may find only that its connection is gone
    let _ = store.write(&batch).await;
    let error = fails(&mut store, &settings, &batch).await;
    assert!(error.contains("read-only") && error.contains("(25006)"), "{error}");
    server.sql_in("postgres", "ALTER DATABASE ledger RESET default_transaction_read_only");
    arrives(&server, &settings, &batch, 10).await;
}

#[tokio::test]
async fn absent_at_first() {
    let mut server = Postgres::prepared();
    let settings = settings(&server.url());
    let begun = Instant::now();
    let error = connected(&settings).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)) && begun.elapsed() < BOUND, "{error:?}");
    server.start().await;
    server.sql_in("postgres", "CREATE DATABASE ledger");
    arrives(&server, &settings, &records(rows(10)), 10).await;
}

#[tokio::test]
async fn a_row_that_the_database_refuses_is_told_from_a_database_that_fails() {
    let server = postgres().await;
    let mut store = migrated(&settings(&server.url())).await.unwrap();
    server.sql("ALTER TABLE api_requests ADD CHECK (response_time_ms <> 7)");
    let batch = records(rows(10));
    // it reads like a month without a partition, which passes
    let error = store.write(&batch).await.unwrap_err();
    assert!(matches!(&error, StoreError::Rejected(why) if why.contains("check")), "{error:?}");
    store.write(&batch[..7]).await.unwrap();
    server.sql("ALTER TABLE api_requests DROP CONSTRAINT api_requests_response_time_ms_check");
    server.sql("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$");
    server.sql("CREATE TRIGGER no BEFORE INSERT ON api_requests FOR EACH ROW WHEN (new.response_time_ms = 7) EXECUTE FUNCTION no()");
    let error = store.write(&batch).await.unwrap_err();
    assert!(matches!(&error, StoreError::Rejected(why) if why.contains("no (P0001)")), "{error:?}");
    store.write(&batch[..7]).await.unwrap();
    store.write(&batch[8..]).await.unwrap();
    assert_eq!(server.sql("SELECT count(*) FROM api_requests"), "9");
}

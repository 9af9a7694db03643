//! Months of requests on Postgres: made ahead and as rows need them, cut off and dropped when they are old, whoever was
//! interrupted in the midst of it.

use super::book::{at, connected, housekept, keeping, migrated, records, rows, settings};
use crate::harness::{Folder, Postgres, postgres};

/// The leaves of the table, and how many rows each has.
fn leaves(server: &Postgres) -> String {
    server.sql(
        "SELECT tableoid::regclass, count(*) FROM api_requests GROUP BY 1
         UNION SELECT inhrelid::regclass, 0 FROM pg_inherits
         WHERE inhparent = 'api_requests'::regclass AND NOT EXISTS (SELECT FROM api_requests WHERE tableoid = inhrelid)
         ORDER BY 1",
    )
}

#[tokio::test]
async fn a_row_goes_to_the_month_of_utc_that_it_began_in() {
    let server = postgres().await;
    // whatever the server's own time is
    server.sql("ALTER DATABASE ledger SET timezone = 'America/New_York'");
    let mut store = migrated(&settings(&server.url())).await.unwrap();
    let mut old = rows(5);
    let moments =
        [("2024-02-01", -1), ("2024-02-01", 0), ("2024-03-01", -1), ("2024-03-01", 0), ("2023-12-31", 86_399_999_999)];
    for (row, (day, micros)) in old.iter_mut().zip(moments) {
        row.created_at = at(day, micros);
    }
    store.write(&records(old)).await.unwrap();
    let found = leaves(&server);
    assert!(
        found.ends_with(
            "api_requests_2023_12|1\napi_requests_2024_01|1\napi_requests_2024_02|2\napi_requests_2024_03|1"
        ) || found.starts_with(
            "api_requests_2023_12|1\napi_requests_2024_01|1\napi_requests_2024_02|2\napi_requests_2024_03|1"
        ),
        "{found}"
    );
    // this month and the next two were made ahead, and all have the seed's setting and its indexes
    assert_eq!(found.lines().count(), 7);
    let set = "SELECT count(*) FROM pg_class WHERE relname ~ '^api_requests_[0-9_]+$' AND relkind = 'r'
        AND 'autovacuum_vacuum_scale_factor=0.1' = ANY (reloptions)";
    assert_eq!(server.sql(set), "7");
    let indexes = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relname = 'api_requests_2024_02'";
    assert_eq!(server.sql(indexes), "6");
    assert_eq!(server.sql("SELECT count(*) FROM pg_partitioned_table WHERE partdefid <> 0"), "0");
}

#[tokio::test]
async fn a_month_that_somebody_took_away_is_made_again() {
    let server = postgres().await;
    let mut store = migrated(&settings(&server.url())).await.unwrap();
    let mut row = rows(2);
    for row in &mut row {
        row.created_at = at("2024-02-01", row.sequence);
    }
    let batch = records(row);
    store.write(&batch[..1]).await.unwrap();
    server.sql("DROP TABLE api_requests_2024_02");
    store.write(&batch).await.unwrap();
    // one that was cut off by hand is taken back, with what is in it
    server.sql("ALTER TABLE api_requests DETACH PARTITION api_requests_2024_02");
    store.write(&batch[1..]).await.unwrap();
    assert_eq!(server.sql("SELECT count(*) FROM api_requests"), "2");
}

#[tokio::test]
async fn months_and_days_go_when_they_are_old_and_an_interrupted_turn_is_ended_by_the_next() {
    let server = postgres().await;
    let mut store = migrated(&settings(&server.url())).await.unwrap();
    let mut old = rows(30);
    for (number, row) in old.iter_mut().enumerate() {
        row.created_at = at(&format!("2025-0{}-15", 1 + number / 10), row.sequence);
    }
    old.extend(rows(1));
    store.write(&records(old)).await.unwrap();
    // what turns that were interrupted leave: a detach that waits for its end, a month that stands alone, one that was renamed
    server.sql("ALTER TABLE api_requests DETACH PARTITION api_requests_2025_02");
    server.sql("ALTER TABLE api_requests DETACH PARTITION api_requests_2025_03; ALTER TABLE api_requests_2025_03 RENAME TO retired_api_requests_2025_03");
    let reader = server.hold_open("SELECT count(*) FROM api_requests");
    server.sql("ALTER DATABASE ledger SET statement_timeout = '300ms'");
    let detach = "ALTER TABLE api_requests DETACH PARTITION api_requests_2025_01 CONCURRENTLY";
    server.ask("ledger", detach).unwrap_err();
    server.sql("ALTER DATABASE ledger RESET statement_timeout");
    assert_eq!(server.sql("SELECT count(*) FROM pg_inherits WHERE inhdetachpending"), "1");
    drop(reader);
    let archive = Folder::new();
    let mut settings = keeping(&server.url(), Some("180days"), Some("30days"));
    settings.archive = Some(archive.path().into());
    housekept(&mut connected(&settings).await.unwrap()).await.unwrap();
    assert_eq!(server.sql("SELECT count(*) FROM api_requests"), "1");
    assert_eq!(server.sql("SELECT count(*) FROM pg_class WHERE relname ~ '2025_0[123]$'"), "0");
    let mut names: Vec<String> = std::fs::read_dir(archive.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["01", "02", "03"].map(|month| format!("api_requests_2025_{month}.csv.zst")));
    assert_eq!(server.sql("SELECT sequence FROM ledger_retired"), "30");
}

#[tokio::test]
async fn a_month_that_stood_alone_while_the_schema_went_on_is_taken_back_and_goes_like_any_other() {
    let server = postgres().await;
    let mut store = migrated(&settings(&server.url())).await.unwrap();
    let mut old = rows(4);
    for (number, row) in old.iter_mut().enumerate() {
        row.created_at = at(&format!("2025-0{}-15", 1 + number / 2), row.sequence);
    }
    let late = old.pop().unwrap();
    old.extend(rows(1));
    store.write(&records(old)).await.unwrap();
    for month in ["2025_01", "2025_02"] {
        server.sql(&format!(
            "ALTER TABLE api_requests DETACH PARTITION api_requests_{month};
             ALTER TABLE api_requests_{month} DROP COLUMN provider_cost_usd"
        ));
    }
    server.sql("ALTER TABLE api_requests_2025_01 RENAME TO retired_api_requests_2025_01");
    connected(&settings(&server.url())).await.unwrap().write(&records(vec![late])).await.unwrap();
    assert_eq!(server.sql("SELECT count(*) FROM api_requests_2025_02"), "2");
    let archive = Folder::new();
    let mut settings = keeping(&server.url(), Some("180days"), None);
    settings.archive = Some(archive.path().into());
    housekept(&mut connected(&settings).await.unwrap()).await.unwrap();
    assert_eq!(server.sql("SELECT count(*) FROM pg_class WHERE relname ~ '2025_0[12]$'"), "0");
    assert_eq!(std::fs::read_dir(archive.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn nothing_is_dropped_whose_archive_cannot_be_written() {
    let server = postgres().await;
    let mut store = migrated(&settings(&server.url())).await.unwrap();
    let mut old = rows(10);
    for row in &mut old {
        row.created_at = at("2025-01-15", row.sequence);
    }
    old.extend(rows(1));
    store.write(&records(old)).await.unwrap();
    let folder = Folder::new();
    let file = folder.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let mut settings = keeping(&server.url(), Some("180days"), None);
    settings.archive = Some(file.clone());
    let error = housekept(&mut connected(&settings).await.unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("cannot be written"), "{error}");
    assert_eq!(server.sql("SELECT count(*) FROM retired_api_requests_2025_01"), "10");
    std::fs::remove_file(&file).unwrap();
    housekept(&mut connected(&settings).await.unwrap()).await.unwrap();
    assert_eq!(server.sql("SELECT to_regclass('retired_api_requests_2025_01') IS NULL"), "t");
    assert!(file.join("api_requests_2025_01.csv.zst").exists());
}

#[tokio::test]
async fn no_step_of_the_schema_is_cut_short_and_every_other_statement_is() {
    let server = postgres().await;
    server.sql("CREATE TABLE seen (tag text, timeout text)");
    server.sql(
        "CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO seen VALUES (tg_tag, current_setting('statement_timeout')); END $$",
    );
    server.sql("CREATE EVENT TRIGGER see ON ddl_command_start EXECUTE FUNCTION see()");
    let mut store = migrated(&settings(&server.url())).await.unwrap();
    assert_eq!(server.sql("SELECT DISTINCT timeout FROM seen WHERE tag = 'CREATE VIEW'"), "0");
    // months are made as rows need them
    server.sql("DELETE FROM seen");
    let mut old = rows(1);
    old[0].created_at = at("2024-02-01", 0);
    store.write(&records(old)).await.unwrap();
    assert_eq!(server.sql("SELECT DISTINCT timeout FROM seen WHERE tag = 'ALTER TABLE'"), "30s");
}

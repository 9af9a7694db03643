//! The columns that are declared are the columns that the databases have: a migration that was forgotten, or a type that differs
//! between the engines, shows here.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;
use usage_log::{StoreError, declared_columns};

use super::book::{Book, connected, housekept, keeping, migrated, records, rows, settings};
use crate::harness::{eventually, postgres};

/// The columns of a migrated database, as `table|name|type|whether it may be NULL`, without those that the database makes itself.
fn columns(book: &Book) -> BTreeSet<String> {
    let tables = declared_columns().iter().map(|column| format!("'{}'", column.table)).collect::<BTreeSet<_>>();
    let tables = tables.into_iter().collect::<Vec<_>>().join(", ");
    let query = match book {
        Book::Postgres(_) => format!(
            "SELECT table_name, column_name, data_type, is_nullable = 'YES' FROM information_schema.columns
             WHERE table_name IN ({tables}) AND is_generated = 'NEVER' AND column_default IS NULL"
        ),
        Book::Sqlite(_) => format!(
            "SELECT m.name, p.name, lower(p.type), CASE p.\"notnull\" WHEN 0 THEN 't' ELSE 'f' END
             FROM sqlite_schema m, pragma_table_xinfo(m.name) p
             WHERE m.type = 'table' AND m.name IN ({tables}) AND p.hidden = 0 AND p.dflt_value IS NULL"
        ),
    };
    book.sql(&query).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn every_declared_column_is_in_both_databases_and_no_other_is() {
    for (engine, book) in Book::both().await.into_iter().enumerate() {
        book.store().await;
        let declared = declared_columns().into_iter().map(|column| {
            let nullable = if column.is_nullable { "t" } else { "f" };
            format!("{}|{}|{}|{nullable}", column.table, column.name[engine], column.sql_type[engine])
        });
        let (declared, found) = (declared.collect::<BTreeSet<_>>(), columns(&book));
        assert_eq!(declared.difference(&found).collect::<Vec<_>>(), Vec::<&String>::new(), "no migration makes these");
        assert_eq!(found.difference(&declared).collect::<Vec<_>>(), Vec::<&String>::new(), "nobody declares these");
    }
}

#[tokio::test]
async fn a_newer_schema_that_allows_it_is_written_to_and_its_rows_stay() {
    for book in Book::both().await {
        let mut old = rows(1);
        old[0].created_at = super::book::at("2026-01-31", 0);
        old.extend(rows(1));
        book.store().await.write(&records(old)).await.unwrap();
        // as a later release leaves it
        book.sql("ALTER TABLE api_requests ADD COLUMN of_a_later_release text");
        match book {
            Book::Postgres(_) => {
                book.sql("INSERT INTO ledger_schema (version, applied_at, readable_from) VALUES (999, now(), 3)")
            }
            Book::Sqlite(_) => {
                book.sql("INSERT INTO ledger_schema (version, readable_from) VALUES (999, 3)");
                book.sql("PRAGMA user_version = 999")
            }
        };
        let mut store = connected(&settings(&book.url())).await.unwrap();
        store.migrate().await.unwrap();
        store.write(&records(rows(3))).await.unwrap();
        // an archive of this build would lack the column
        let keeping = keeping(&book.url(), Some("60days"), None);
        housekept(&mut connected(&keeping).await.unwrap()).await.unwrap();
        assert_eq!(book.sql("SELECT count(*) FROM api_requests"), "5");
    }
}

#[tokio::test]
async fn a_step_that_somebody_keeps_from_a_table_does_not_keep_rows_from_it_and_is_done_later() {
    let server = postgres().await;
    let settings = settings(&server.url());
    let mut writer = migrated(&settings).await.unwrap();
    server.sql(
        "ALTER TABLE api_requests DROP COLUMN parent_conversation_id, DROP COLUMN attempt_details, DROP COLUMN batch_id, DROP COLUMN batch_wait_ms; DELETE FROM ledger_schema WHERE version >= 12",
    );
    let reading = server.hold_open("SELECT count(*) FROM api_requests");
    let mut later = connected(&settings).await.unwrap();
    let tried = timeout(Duration::from_secs(20), later.migrate()).await.expect("an end of the wait");
    assert!(matches!(&tried, Err(StoreError::Unavailable(why)) if why.contains("55P03")), "{tried:?}");
    // nobody waits behind it any more
    server.sql("INSERT INTO api_requests (id, created_at) SELECT id, created_at FROM api_requests WHERE false");
    drop(reading);
    eventually("the step", async || migrated(&settings).await.is_ok()).await;
    writer.write(&records(rows(3))).await.unwrap();
    assert_eq!(server.sql("SELECT count(*) FROM api_requests"), "3");
}

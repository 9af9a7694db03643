//! Rows that the database refuses: one of them holds up no other, and where it refuses all, all wait. Quarantined rows come back.

use std::process::{Command, Output};

use super::book::Book;
use crate::harness::{Client, Gateway, Origin, eventually, found, gateway, http1, origin};

/// A gateway before a book with what it stands before, and a client of it.
async fn before(book: &Book) -> (Origin, Gateway, Client) {
    let (database, journal) = (book.url(), book.journal());
    let origin = origin().await;
    let plugins =
        format!("plugins: [{{ usage_log: {{ database: \"{database}\", journal: {{ path: {journal:?} }} }} }}]");
    let gateway = gateway().upstream(&origin).settings(&plugins).start().await;
    let mut client = http1(gateway.address()).await;
    client.get("/first").await;
    arrive(book, "path = '/first'", 1).await;
    (origin, gateway, client)
}

async fn arrive(book: &Book, which: &str, count: usize) {
    let query = format!("SELECT count(DISTINCT id) FROM api_requests WHERE {which}");
    eventually("all rows", async || book.ask(&query).is_ok_and(|found| found == count.to_string())).await;
}

async fn has_shipped(gateway: &Gateway) {
    eventually("an empty journal", async || gateway.metrics().await.sum("tollgate_ledger_queue_rows", &[]) == 0.0)
        .await;
}

/// A trigger that refuses rows with paths like this, with an error that the path names where the engine has such.
fn refuse(book: &Book, like: &str) {
    match book {
        Book::Postgres(_) => {
            book.sql(
                "CREATE OR REPLACE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN RAISE 'no' USING ERRCODE = coalesce(substring(new.path from '/poison/(.....)'), 'P0001'); END $$",
            );
            book.sql(&format!(
                "CREATE TRIGGER no BEFORE INSERT ON api_requests FOR EACH ROW WHEN (new.path LIKE '{like}') EXECUTE FUNCTION no()"
            ))
        }
        Book::Sqlite(_) => book.sql(&format!(
            "CREATE TRIGGER no BEFORE INSERT ON api_requests WHEN new.path LIKE '{like}' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )),
    };
}

fn refuse_no_more(book: &Book) {
    match book {
        Book::Postgres(_) => book.sql("DROP TRIGGER no ON api_requests"),
        Book::Sqlite(_) => book.sql("DROP TRIGGER no"),
    };
}

/// The line that says that the database refuses what waits.
async fn refusal_line(gateway: &Gateway) -> String {
    let is_it = |line: &&str| line.contains("they wait in the journal") && line.contains("\"kind\":\"rejected\"");
    found("a line about rows that are refused", async || gateway.stderr().lines().find(is_it).map(str::to_owned)).await
}

fn usage(gateway: &Gateway, command: &str) -> (Option<i32>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let Output { status, stdout, stderr } =
        program.args(["usage", command, "-c"]).arg(gateway.file()).output().unwrap();
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

#[tokio::test]
async fn a_row_that_is_refused_whatever_the_error_is_put_aside_and_comes_back() {
    // an error of a permission, of a partition, of the server's own, of a value, of a trigger, and one that nobody knows
    let codes = ["42501", "23514", "XX000", "22P05", "P0001", "ZZ999", "54000", "42703"];
    for book in Book::both().await {
        let (_origin, gateway, mut client) = before(&book).await;
        refuse(&book, "/poison/%");
        for code in codes {
            client.get("/good").await;
            client.get(&format!("/poison/{code}")).await;
        }
        has_shipped(&gateway).await;
        arrive(&book, "path = '/good'", codes.len()).await;
        // a row may have been corrected, which is a record more
        assert!(gateway.metrics().await.sum("tollgate_ledger_rejected_total", &[]) >= codes.len() as f64);
        let (code, line) = usage(&gateway, "verify");
        assert_eq!(code, Some(1), "{line}");
        assert!(line.contains("no row is missing") && line.contains("8 are quarantined, and"), "{line}");
        // they are refused again, and kept
        let (code, line) = usage(&gateway, "requeue");
        assert_eq!(code, Some(1), "{line}");
        assert!(
            line.contains("0 rows were requeued, 0 were there already, ") && line.contains(" are refused again (no ("),
            "{line}"
        );
        refuse_no_more(&book);
        let (code, line) = usage(&gateway, "requeue");
        assert_eq!(code, Some(0), "{line}");
        assert!(line.contains("8 rows were requeued, ") && line.contains("already, 0 are refused again"), "{line}");
        arrive(&book, "path LIKE '/poison/%'", codes.len()).await;
        let (code, line) = usage(&gateway, "verify");
        assert_eq!(code, Some(0), "{line}");
    }
}

#[tokio::test]
async fn where_all_rows_are_refused_they_wait_and_none_is_put_aside() {
    for book in Book::both().await {
        let (_origin, gateway, mut client) = before(&book).await;
        refuse(&book, "%");
        for _ in 0..40 {
            client.get("/waits").await;
        }
        // a database that is unavailable at the start has a line of its own
        let told = refusal_line(&gateway).await;
        client.get("/waits").await;
        assert!(told.contains("\"why\":\"no (") && told.contains("\"database\":"), "{told}");
        assert_eq!(gateway.metrics().await.sum("tollgate_ledger_rejected_total", &[]), 0.0);
        eventually("some attempts", async || {
            gateway.metrics().await.sum("tollgate_ledger_store_errors_total", &[]) >= 4.0
        })
        .await;
        let connected = gateway.stderr().matches("is connected to its database").count();
        assert_eq!(connected, 1, "{}", gateway.stderr());
        let (code, line) = usage(&gateway, "verify");
        assert_eq!(code, Some(0), "{line}");
        refuse_no_more(&book);
        arrive(&book, "path = '/waits'", 41).await;
    }
}

#[tokio::test]
async fn a_column_that_every_row_lacks_and_a_role_that_may_not_write_keep_a_single_row_waiting() {
    let [book, _] = Book::both().await;
    let (_origin, gateway, mut client) = before(&book).await;
    for (harm, remedy) in [
        (
            "ALTER TABLE api_requests ADD COLUMN team text NOT NULL DEFAULT ''; ALTER TABLE api_requests ALTER COLUMN team DROP DEFAULT",
            "ALTER TABLE api_requests DROP COLUMN team",
        ),
        (
            "ALTER TABLE api_requests RENAME COLUMN speed TO pace",
            "ALTER TABLE api_requests RENAME COLUMN pace TO speed",
        ),
    ] {
        book.sql(harm);
        let before = gateway.metrics().await.sum("tollgate_ledger_store_errors_total", &[]);
        client.get("/waits").await;
        eventually("some attempts", async || {
            gateway.metrics().await.sum("tollgate_ledger_store_errors_total", &[]) >= before + 3.0
        })
        .await;
        assert_eq!(gateway.metrics().await.sum("tollgate_ledger_rejected_total", &[]), 0.0);
        book.sql(remedy);
        has_shipped(&gateway).await;
    }
    arrive(&book, "path = '/waits'", 2).await;
}

#[tokio::test]
async fn a_result_that_only_a_constraint_of_the_operator_takes_for_another_is_not_lost_unseen() {
    for book in Book::both().await {
        let mut store = book.store().await;
        book.sql("CREATE UNIQUE INDEX one_of_a_kind ON batch_results (domain)");
        let result = |custom: &str| {
            usage_log::Record::Batch(Box::new(usage_log::BatchRow {
                batch: "msgbatch_1".into(),
                custom_id: custom.into(),
                domain: "a.example".into(),
                ..usage_log::BatchRow::default()
            }))
        };
        store.write(&[result("a")]).await.unwrap();
        let error = store.write(&[result("b")]).await.unwrap_err();
        assert!(matches!(error, usage_log::StoreError::Rejected(_)), "{error:?}");
        assert_eq!(store.write(&[result("a")]).await.unwrap().known, 1);
    }
}

#[tokio::test]
async fn a_database_that_is_wrong_is_told_of_before_there_is_a_row() {
    let server = crate::harness::postgres().await;
    server.sql_in("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'");
    server.sql_in("postgres", "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'");
    let origin = origin().await;
    let host = server.url().replace("postgres://postgres@", "");
    for (url, why) in [
        (server.url().replace("/ledger", "/nowhere"), "database \\\"nowhere\\\" does not exist"),
        (server.url().replace("/ledger", "/latin"), "the database's encoding is LATIN1"),
        (server.url().replace("/ledger", "/ascii"), "the database's encoding is SQL_ASCII"),
        ("postgres://u:hunter2@127.0.0.1:1/ledger".to_owned(), "Connection refused"),
        ("postgres://u:hunter2@no.such.host.invalid/ledger".to_owned(), "no.such.host.invalid"),
        (format!("postgres://nobody:hunter2@{host}"), "role \\\"nobody\\\" does not exist"),
    ] {
        let plugins = format!("plugins: [{{ usage_log: {{ database: \"{url}\" }} }}]");
        let gateway = gateway().upstream(&origin).settings(&plugins).start().await;
        let told = gateway.says("the ledger's database takes no rows").await;
        let place = url.rsplit_once('@').unwrap().1;
        assert!(told.contains(why) && told.contains(place) && !told.contains("hunter2"), "{told}");
        assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn a_gateway_that_stops_before_its_database_is_there_says_nothing_of_its_return() {
    let origin = origin().await;
    let plugins = "plugins: [{ usage_log: { database: \"postgres://u@127.0.0.1:1/ledger\" } }]";
    let gateway = gateway().upstream(&origin).settings(plugins).start().await;
    gateway.says("the ledger's database takes no rows").await;
    gateway.signal(nix::sys::signal::Signal::SIGTERM);
    gateway.says("gateway stopped").await;
    assert!(!gateway.stderr().contains("takes rows again"), "{}", gateway.stderr());
}

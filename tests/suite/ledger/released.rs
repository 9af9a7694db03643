//! What earlier releases left, a database and a journal of each: the gateway brings the one forward and ships the other, and every
//! row and body is there once.
//!
//! `released/` holds dumps of both engines, and journals of gateways that had no database when they were killed. Release 1 wrote
//! schema 1 and frames of version 1; release 2 wrote schema 2 and frames of version 2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::book::Book;
use crate::harness::{Gateway, Origin, eventually, gateway, http1, origin};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/ledger/released").join(name)
}

/// Fills a database with what a release left in it.
fn fill(book: &Book, release: u8) {
    let dump = |engine: &str| fs::read_to_string(fixture(&format!("schema_{release}.{engine}.sql"))).unwrap();
    match book {
        Book::Postgres(server) => drop(server.sql(&dump("postgres"))),
        Book::Sqlite(folder) => {
            const FILL: &str =
                "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())";
            let mut python = Command::new("python3");
            python.args(["-c", FILL]).arg(folder.path().join("ledger.db"));
            let filled = python.arg(fixture(&format!("schema_{release}.sqlite.sql"))).status().unwrap();
            assert!(filled.success());
        }
    }
}

/// Puts the journal of a release where the gateway looks for its own.
fn put_journal(book: &Book, release: u8) {
    fs::create_dir_all(book.journal()).unwrap();
    for entry in fs::read_dir(fixture(&format!("journal_{release}"))).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, book.journal().join(path.file_name().unwrap())).unwrap();
    }
}

async fn before(origin: &Origin, book: &Book) -> Gateway {
    let (database, journal) = (book.url(), book.journal());
    let settings =
        format!("plugins: [{{ usage_log: {{ database: \"{database}\", journal: {{ path: {journal:?} }} }} }}]");
    gateway().upstream(origin).settings(&settings).start().await
}

/// Rows, rows of different ids, bodies, pieces of answers and results of batches.
fn counts(book: &Book) -> String {
    book.sql(
        "SELECT count(*), count(DISTINCT id), (SELECT count(*) FROM api_request_bodies),
            (SELECT count(*) FROM streaming_chunks), (SELECT count(*) FROM batch_results)
         FROM api_requests",
    )
}

fn verify(gateway: &Gateway) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let output = command.args(["usage", "verify", "-c"]).arg(gateway.file()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn a_database_and_a_journal_of_every_release_arrive_whole_and_once() {
    let origin = origin().await;
    // what each had in its database, and what its journal adds
    for (release, had, arrives) in [(1, "9|9|8|20|0", "11|10|8|20|1"), (2, "9|9|8|20|0", "18|18|16|40|0")] {
        for book in Book::both().await {
            fill(&book, release);
            assert_eq!(counts(&book), had);
            put_journal(&book, release);
            // a second start finds nothing more to do
            for start in 0..2 {
                let gateway = before(&origin, &book).await;
                eventually("an empty journal", async || {
                    gateway.metrics().await.sum("tollgate_ledger_queue_rows", &[]) == 0.0
                        && counts(&book).split('|').next() == arrives.split('|').next()
                })
                .await;
                assert_eq!(counts(&book), arrives, "release {release}, start {start}");
                for metric in ["tollgate_ledger_lost_total", "tollgate_ledger_unknown_records"] {
                    assert_eq!(gateway.metrics().await.sum(metric, &[]), 0.0, "{metric}");
                }
                if release > 1 {
                    // the first release had shipped a row that is not in this database
                    let (code, line) = verify(&gateway);
                    assert_eq!(code, Some(0), "{line}");
                }
            }
            let old = book.sql("SELECT count(*) FROM api_requests WHERE plugin IS NULL AND route IS NULL");
            assert_eq!(old, arrives.split('|').next().unwrap());
            let gateway = before(&origin, &book).await;
            http1(gateway.address()).await.get("/new").await;
            eventually("a row of this release", async || {
                book.sql("SELECT count(*) FROM api_requests WHERE path = '/new'") == "1"
            })
            .await;
        }
    }
}

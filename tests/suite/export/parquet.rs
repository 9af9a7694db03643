//! Parquet files by hour: the rows of the database, value by value, whatever happens to the folder, the database and the gateway.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::python::{compare, dump};
use crate::harness::{Folder, Gateway, Origin, answer, eventually, gateway, http1, origin, postgres};
use crate::ledger::full_disk::{Mounted, tell_that_nothing_was_tried};
use crate::payloads::call;

/// Answers that a price is known for, and not.
fn answers(origin: &Origin) {
    for (model, tokens) in [("claude-sonnet-4-5", 1234), ("made-up", 5)] {
        let body = format!(
            r#"{{"id":"msg_1","type":"message","role":"assistant","model":"{model}","content":[],"stop_reason":"end_turn","usage":{{"input_tokens":12,"output_tokens":{tokens}}}}}"#
        );
        origin.answers_next(answer(200).header("content-type", "application/json").body(&body));
    }
}

/// Sends so many calls, of which half have a price, and a request that is none.
async fn calls(gateway: &Gateway, origin: &Origin, count: u64) {
    let mut client = http1(gateway.address()).await;
    for number in 0..count {
        answers(origin);
        for _ in 0..2 {
            assert_eq!(client.post("/v1/messages", call(300, number + 1)).await.status, 200);
        }
        assert_eq!(client.get("/a%20path?query").await.status, 200);
    }
}

fn settings(database: &str, journal: &Path, export: &Path) -> String {
    format!(
        "plugins: [{{ usage_log: {{ database: \"{database}\", journal: {{ path: \"{}\" }}, export: {{ parquet: {{ folder: \"{}\", refresh: 1s }} }} }} }}]",
        journal.display(),
        export.display()
    )
}

/// An `SQLite` ledger with its journal, and a folder for files.
struct Ledger(Folder);

impl Ledger {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn settings(&self) -> String {
        settings(&format!("sqlite://{}", self.path("ledger.db").display()), &self.path("journal"), &self.path("export"))
    }

    /// Waits until the files have exactly the rows of the database, so many.
    async fn arrives(&self, count: usize) {
        eventually(&format!("{count} rows in files"), async || {
            compare(&self.path("export"), &self.path("ledger.db")) == Ok(count)
        })
        .await;
    }
}

#[tokio::test]
async fn files_have_the_rows_of_the_database_value_by_value() {
    let (origin, ledger) = (origin().await, Ledger(Folder::new()));
    let running = gateway().upstream(&origin).settings(&ledger.settings()).start().await;
    calls(&running, &origin, 4).await;
    ledger.arrives(12).await;
    // an hour that has a file gets more rows
    calls(&running, &origin, 2).await;
    ledger.arrives(18).await;
    eventually("nothing that waits", async || {
        running.metrics().await.sum("tollgate_ledger_consumer_lag_rows", &[("consumer", "parquet")]) == 0.0
    })
    .await;
}

#[tokio::test]
async fn files_of_a_postgres_have_its_rows() {
    let (origin, server, folder) = (origin().await, postgres().await, Folder::new());
    let (journal, export, rows) =
        (server.folder().join("journal"), folder.path().join("export"), folder.path().join("rows"));
    let running = gateway().upstream(&origin).settings(&settings(&server.url(), &journal, &export)).start().await;
    calls(&running, &origin, 4).await;
    eventually("12 rows in files", async || {
        let count = server.ask("ledger", "SELECT count(*) FROM api_requests");
        count.is_ok_and(|count| count == "12") && {
            dump(&server, &rows);
            compare(&export, &rows) == Ok(12)
        }
    })
    .await;
}

#[tokio::test]
async fn an_hour_of_several_pages_is_one_file_and_is_written_anew_with_what_comes_later() {
    let (origin, ledger) = (origin().await, Ledger(Folder::new()));
    let running = gateway().upstream(&origin).settings(&ledger.settings()).start().await;
    calls(&running, &origin, 350).await;
    ledger.arrives(1050).await;
    calls(&running, &origin, 1).await;
    ledger.arrives(1053).await;
}

#[tokio::test]
async fn rows_wait_for_a_database_that_freezes_and_come_once() {
    let (origin, server, folder) = (origin().await, postgres().await, Folder::new());
    let (journal, export, rows) =
        (server.folder().join("journal"), folder.path().join("export"), folder.path().join("rows"));
    let running = gateway().upstream(&origin).settings(&settings(&server.url(), &journal, &export)).start().await;
    calls(&running, &origin, 2).await;
    let arrives = async |count: usize| {
        eventually(&format!("{count} rows in files"), async || {
            let stored = server.ask("ledger", "SELECT count(*) FROM api_requests");
            stored.is_ok_and(|stored| stored == count.to_string()) && {
                dump(&server, &rows);
                compare(&export, &rows) == Ok(count)
            }
        })
        .await;
    };
    arrives(6).await;
    calls(&running, &origin, 2).await;
    eventually("the rows", async || server.ask("ledger", "SELECT count(*) FROM api_requests").as_deref() == Ok("12"))
        .await;
    // their file is to be written a second after they came
    server.freeze();
    eventually("a file that is due", async || {
        let metrics = running.metrics().await;
        let lag = |what: &str| metrics.sum(&format!("tollgate_ledger_consumer_lag_{what}"), &[("consumer", "parquet")]);
        lag("rows") == 6.0 && lag("seconds") > 2.5
    })
    .await;
    server.thaw();
    arrives(12).await;
}

#[tokio::test]
async fn rows_wait_for_a_folder_that_is_gone_through_a_kill_and_come_once() {
    let (origin, ledger) = (origin().await, Ledger(Folder::new()));
    let mut running = gateway().upstream(&origin).settings(&ledger.settings()).start().await;
    calls(&running, &origin, 2).await;
    ledger.arrives(6).await;
    // a file in its place: no folder can be made there
    fs::rename(ledger.path("export"), ledger.path("aside")).unwrap();
    fs::write(ledger.path("export"), "").unwrap();
    calls(&running, &origin, 2).await;
    running.says("the ledger's Parquet files cannot be written").await;
    assert!(running.metrics().await.sum("tollgate_ledger_consumer_errors_total", &[("kind", "disk")]) >= 1.0);
    running.signal(Signal::SIGKILL);
    running.wait_exit(Duration::from_secs(10)).await;
    let running = gateway().upstream(&origin).settings(&ledger.settings()).start().await;
    calls(&running, &origin, 1).await;
    fs::remove_file(ledger.path("export")).unwrap();
    fs::rename(ledger.path("aside"), ledger.path("export")).unwrap();
    ledger.arrives(15).await;
}

#[tokio::test]
async fn a_full_disk_leaves_the_files_there_are_and_no_part_of_another() {
    let Some(disk) = Mounted::new() else { return tell_that_nothing_was_tried() };
    let (origin, ledger) = (origin().await, Ledger(Folder::new()));
    let (database, export) = (format!("sqlite://{}", ledger.path("ledger.db").display()), disk.path().join("export"));
    let settings = settings(&database, &ledger.path("journal"), &export);
    let running = gateway().upstream(&origin).settings(&settings).start().await;
    let arrives = async |count: usize| {
        eventually("all rows in files", async || compare(&export, &ledger.path("ledger.db")) == Ok(count)).await;
    };
    calls(&running, &origin, 2).await;
    arrives(6).await;
    disk.fill();
    calls(&running, &origin, 30).await;
    running.says("the ledger's Parquet files cannot be written").await;
    assert!(running.metrics().await.sum("tollgate_ledger_consumer_errors_total", &[("kind", "disk")]) >= 1.0);
    // between two attempts
    eventually("the earlier file alone", async || {
        let files = Command::new("find").arg(&export).args(["-type", "f"]).output().unwrap().stdout;
        let files = String::from_utf8(files).unwrap();
        !files.is_empty() && files.lines().all(|file| file.ends_with(".parquet"))
    })
    .await;
    disk.make_room();
    arrives(96).await;
}

#[tokio::test]
async fn a_gateway_that_is_killed_again_and_again_leaves_each_row_once() {
    let (origin, ledger) = (origin().await, Ledger(Folder::new()));
    for _ in 0..5 {
        let mut running = gateway().upstream(&origin).settings(&ledger.settings()).start().await;
        calls(&running, &origin, 3).await;
        running.signal(Signal::SIGKILL);
        running.wait_exit(Duration::from_secs(10)).await;
    }
    let _running = gateway().upstream(&origin).settings(&ledger.settings()).start().await;
    ledger.arrives(45).await;
}

#[tokio::test]
async fn a_reload_that_names_another_folder_writes_whole_hours_there() {
    let (origin, ledger) = (origin().await, Ledger(Folder::new()));
    let builder = gateway().upstream(&origin).settings(&ledger.settings());
    let text = builder.text();
    let running = builder.start().await;
    calls(&running, &origin, 2).await;
    ledger.arrives(6).await;
    running.rewrite(
        text.replace(&ledger.path("export").display().to_string(), &ledger.path("other").display().to_string()),
    );
    running.signal(Signal::SIGHUP);
    running.says("configuration reloaded").await;
    calls(&running, &origin, 1).await;
    eventually("9 rows in the other folder", async || {
        compare(&ledger.path("other"), &ledger.path("ledger.db")) == Ok(9)
    })
    .await;
}

//! `CloudEvents` by HTTP, taken by a strict receiver: each row's event, once for whoever knows events by their ids, through outages of the
//! receiver and of the gateway.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::python::{Receiver, compare};
use crate::harness::{Folder, Gateway, Origin, answer, eventually, gateway, http1, origin};
use crate::payloads::call;

const LAG: &str = "tollgate_ledger_consumer_lag_rows";
const ERRORS: &str = "tollgate_ledger_consumer_errors_total";

fn settings(folder: &Folder, url: &str, more: &str) -> String {
    let folder = folder.path().display();
    format!(
        "plugins: [{{ usage_log: {{ database: \"sqlite://{folder}/ledger.db\", export: {{ {more}cloudevents: {{ url: \"{url}\", headers: {{ authorization: \"Bearer ${{TOKEN}}\" }}, timeout: 1s }} }} }} }}]"
    )
}

async fn start(origin: &Origin, settings: &str) -> Gateway {
    gateway().upstream(origin).variable("TOKEN", "s3crettoken").settings(settings).start().await
}

async fn calls(gateway: &Gateway, origin: &Origin, count: u64) {
    let mut client = http1(gateway.address()).await;
    for number in 0..count {
        let usage = format!(
            r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"stop_reason":"end_turn","usage":{{"input_tokens":{number},"output_tokens":7}}}}"#
        );
        origin.answers_next(answer(200).header("content-type", "application/json").body(&usage));
        assert_eq!(client.post("/v1/messages", call(300, number + 1)).await.status, 200);
    }
}

/// The rows by id: revision, tokens and cost, as the database has them.
fn ledger(folder: &Folder) -> BTreeMap<String, (i64, Option<i64>, Option<String>)> {
    const ASK: &str = "import json, sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute('SELECT id, revision, input_tokens, cost_picos FROM api_requests').fetchall()
print(json.dumps(rows))";
    let output = Command::new("python3").args(["-c", ASK]).arg(folder.path().join("ledger.db")).output().unwrap();
    let rows: Vec<(String, i64, Option<i64>, Option<i64>)> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let cost = |picos: i64| picos.to_string();
    rows.into_iter().map(|(id, revision, tokens, picos)| (id, (revision, tokens, picos.map(cost)))).collect()
}

/// What events say of rows: of each the highest revision. An event that came again said the same again.
fn told(events: &[Value]) -> BTreeMap<String, (i64, Option<i64>, Option<String>)> {
    let (mut told, mut known) = (BTreeMap::new(), BTreeMap::new());
    for event in events {
        let data = &event["data"];
        let first = known.entry(event["id"].as_str().unwrap()).or_insert(event);
        assert_eq!(*first, event, "one id, two events");
        let revision = data["revision"].as_i64().unwrap();
        let corrected = event["type"] == "tollgate.usage.call.corrected.v1";
        assert_eq!(corrected, revision > 0);
        assert_eq!(event["source"], "tollgate");
        let cost = data["cost_usd"].as_str().map(picos);
        let row = (revision, data["input_tokens"].as_i64(), cost);
        let told: &mut (i64, _, _) = told.entry(data["id"].as_str().unwrap().to_owned()).or_insert_with(|| row.clone());
        if told.0 < revision {
            *told = row;
        }
    }
    told
}

/// Dollars in picodollars, exactly.
fn picos(dollars: &str) -> String {
    let (whole, fraction) = dollars.split_once('.').unwrap_or((dollars, ""));
    format!("{whole}{fraction:0<12}").trim_start_matches('0').to_owned()
}

/// Waits until the receiver has an event of every row, as the rows are.
async fn arrive(receiver: &Receiver, folder: &Folder, count: usize) {
    eventually(&format!("events of {count} rows"), async || {
        let rows = ledger(folder);
        rows.len() == count && told(&receiver.events()) == rows
    })
    .await;
}

#[tokio::test]
async fn each_row_is_an_event_with_its_cost() {
    let (origin, folder, receiver) = (origin().await, Folder::new(), Receiver::start());
    let running = start(&origin, &settings(&folder, &receiver.url(), "")).await;
    calls(&running, &origin, 20).await;
    arrive(&receiver, &folder, 20).await;
    let events = receiver.events();
    assert!(events.iter().all(|event| event["subject"] == "anonymous" && event["data"]["cost_usd"].is_string()));
    eventually("nothing that waits", async || running.metrics().await.sum(LAG, &[]) == 0.0).await;
}

#[tokio::test]
async fn events_wait_for_a_receiver_that_is_down_frozen_or_busy() {
    let (origin, folder, mut receiver) = (origin().await, Folder::new(), Receiver::start());
    let mut running = start(&origin, &settings(&folder, &receiver.url(), "")).await;
    calls(&running, &origin, 5).await;
    arrive(&receiver, &folder, 5).await;
    receiver.kill();
    calls(&running, &origin, 5).await;
    running.says("a consumer of the ledger cannot deliver").await;
    assert!(running.metrics().await.sum(LAG, &[]) >= 5.0);
    // nor do they go with the gateway
    running.signal(Signal::SIGKILL);
    running.wait_exit(Duration::from_secs(10)).await;
    let running = start(&origin, &settings(&folder, &receiver.url(), "")).await;
    receiver.start_again();
    arrive(&receiver, &folder, 10).await;
    receiver.signal(Signal::SIGSTOP);
    calls(&running, &origin, 5).await;
    eventually("a timeout", async || running.metrics().await.sum(ERRORS, &[("kind", "timeout")]) >= 1.0).await;
    receiver.signal(Signal::SIGCONT);
    arrive(&receiver, &folder, 15).await;
    receiver.says("503");
    calls(&running, &origin, 5).await;
    eventually("a 503", async || running.metrics().await.sum(ERRORS, &[("kind", "status")]) >= 1.0).await;
    receiver.says("");
    arrive(&receiver, &folder, 20).await;
}

#[tokio::test]
async fn an_event_that_is_refused_is_set_aside_and_no_secret_is_anywhere() {
    let (origin, folder, receiver) = (origin().await, Folder::new(), Receiver::start());
    receiver.says("422 /refused");
    let running = start(&origin, &settings(&folder, &receiver.url(), "")).await;
    let mut client = http1(running.address()).await;
    for path in ["/good", "/refused", "/better"] {
        assert_eq!(client.get(path).await.status, 200);
    }
    eventually("a rejected event", async || {
        // one that came alone is compared with those behind it
        assert_eq!(client.get("/good").await.status, 200);
        running.metrics().await.sum("tollgate_ledger_consumer_rejected_total", &[]) == 1.0
    })
    .await;
    let file = folder.path().join("ledger.db.journal/cloudevents.rejected.jsonl");
    let lines: Vec<Value> =
        fs::read_to_string(&file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), lines[0]["event"]["data"]["path"].as_str()), (1, Some("/refused")));
    assert!(receiver.events().iter().all(|event| event["data"]["path"] != "/refused"));
    assert!(!running.stderr().contains("s3cret"), "{}", running.stderr());
    assert_eq!(holding(folder.path(), b"s3cret"), Vec::<String>::new());
}

#[tokio::test]
async fn of_two_sinks_one_that_is_down_holds_up_neither_the_other_nor_the_database() {
    let (origin, folder, mut receiver) = (origin().await, Folder::new(), Receiver::start());
    receiver.kill();
    let export = folder.path().join("export");
    let parquet = format!("parquet: {{ folder: \"{}\", refresh: 1s }}, ", export.display());
    let running = start(&origin, &settings(&folder, &receiver.url(), &parquet)).await;
    calls(&running, &origin, 5).await;
    eventually("files", async || compare(&export, &folder.path().join("ledger.db")) == Ok(5)).await;
    assert!(receiver.events().is_empty());
    receiver.start_again();
    arrive(&receiver, &folder, 5).await;
}

#[tokio::test]
async fn a_reload_that_names_another_receiver_goes_on_there() {
    let (origin, folder, first, second) = (origin().await, Folder::new(), Receiver::start(), Receiver::start());
    let builder = gateway().upstream(&origin).variable("TOKEN", "s3crettoken");
    let builder = builder.settings(&settings(&folder, &first.url(), ""));
    let text = builder.text();
    let running = builder.start().await;
    calls(&running, &origin, 5).await;
    arrive(&first, &folder, 5).await;
    running.rewrite(text.replace(&first.url(), &second.url()));
    running.signal(Signal::SIGHUP);
    running.says("configuration reloaded").await;
    calls(&running, &origin, 5).await;
    eventually("the other events", async || {
        let mut all = told(&first.events());
        let there = told(&second.events());
        there.len() == 5 && {
            all.extend(there);
            all == ledger(&folder)
        }
    })
    .await;
}

/// The files below a folder that hold these bytes.
fn holding(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, bytes));
        } else if fs::read(&path).unwrap().windows(bytes.len()).any(|part| part == bytes) {
            found.push(path.display().to_string());
        }
    }
    found
}

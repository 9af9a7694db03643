//! The ledger and the limits over an upgrade: every row is in the database once, whichever process made it, and no day begins anew.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stream;
use crate::harness::{Gateway, answer, eventually, feed, found, gate, gateway, http1, origin, sse};
use crate::payloads::call;

const LEDGER: &str = "usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal } }";

/// Waits until the database has this many rows, and sees that no request has two, and no run of a gateway lacks one.
pub async fn has_each_once(gateway: &Gateway, rows: usize) {
    const ASK: &str = "import sqlite3, sys
row = sqlite3.connect(sys.argv[1]).execute('SELECT count(*), count(DISTINCT id) FROM api_requests').fetchone()
print(row[0], row[1])";
    let count = || {
        let output =
            Command::new("python3").args(["-c", ASK]).arg(gateway.folder().join("ledger.db")).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let wanted = format!("{rows} {rows}");
    eventually("every row, once", async || count() == wanted).await;
    let mut verify = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let verified = verify.args(["usage", "verify", "-c"]).arg(gateway.file()).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    assert_eq!(count(), wanted);
}

#[tokio::test]
async fn what_the_old_process_still_serves_has_its_rows_also_if_both_are_killed() {
    let origin = origin().await;
    let (events, other_events) = (feed(), feed());
    origin.answers_with({
        let (events, other_events) = (events.clone(), other_events.clone());
        move |request| sse().event("first").feed(if request.target == "/ended" { &events } else { &other_events }).end()
    });
    let mut gateway = gateway().upstream(&origin).settings(&format!("plugins: [{{ {LEDGER} }}]")).start().await;
    let mut client = http1(gateway.address()).await;
    let mut ended = stream(&mut client, "/ended").await;
    let mut other = http1(gateway.address()).await;
    let _cut = stream(&mut other, "/cut").await;
    let old = gateway.upgrade().await;
    // its row is in the journal of the process that drains
    events.send("data: x\n\n");
    events.end();
    assert!(ended.rest().await.1);
    origin.answers(answer(200).body("new"));
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await.status, 200);
    for pid in [old, gateway.pid()] {
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    }
    gateway.ended(old).await;
    gateway.ended(gateway.pid()).await;
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    let text = text.replace("ledger.db", &gateway.folder().join("ledger.db").display().to_string());
    let text = text.replace("path: journal", &format!("path: {}", gateway.folder().join("journal").display()));
    let next = crate::harness::gateway().yaml(text).start().await;
    has_each_once(&gateway, 2).await;
    drop(next);
}

#[tokio::test]
async fn a_limit_by_day_goes_on_in_the_new_process_and_counts_what_the_old_one_still_served() {
    let origin = origin().await;
    let events = feed();
    origin.answers_with({
        let events = events.clone();
        move |request| match request.target.as_str() {
            "/v1/messages" => answer(200).body("hello"),
            _ => sse().event("first").feed(&events).end(),
        }
    });
    let limits = "rate_limit: { limits: [{ by: all, requests: 5/d }] }";
    let settings = format!("plugins: [{{ {LEDGER} }}, {{ {limits} }}]");
    let mut gateway = gateway().upstream(&origin).settings(&settings).start().await;
    let calls = async |gateway: &Gateway| {
        http1(gateway.address()).await.post("/v1/messages", call(300, 10)).await.status.as_u16()
    };
    assert_eq!(calls(&gateway).await, 200);
    let mut client = http1(gateway.address()).await;
    let mut streaming = stream(&mut client, "/stream").await;
    let old = gateway.upgrade().await;
    assert_eq!(calls(&gateway).await, 200);
    events.send("data: last\n\n");
    events.end();
    assert!(streaming.rest().await.1);
    drop(client);
    gateway.ended(old).await;
    has_each_once(&gateway, 3).await;
    // three of five, one of which the old process served after the upgrade
    assert_eq!((calls(&gateway).await, calls(&gateway).await, calls(&gateway).await), (200, 200, 429));
    has_each_once(&gateway, 6).await;
    // and so it is in the next process
    let old = gateway.upgrade().await;
    assert_eq!(calls(&gateway).await, 429);
    gateway.ended(old).await;
}

#[tokio::test]
async fn a_new_process_that_is_killed_while_it_takes_over_costs_no_row() {
    let origin = origin().await;
    // the first process knows that its server is healthy; the next one waits for a check that has no end
    let (checks, hang) = (Arc::new(AtomicUsize::new(0)), gate());
    origin.answers_with({
        let hang = hang.clone();
        move |request| {
            if request.target != "/health" {
                return answer(200).body("hello");
            }
            let first = checks.fetch_add(1, Ordering::Relaxed) == 0;
            if first { answer(200).body("fine") } else { sse().after(&hang).end() }
        }
    });
    let check = "health_check: { path: /health, interval: 1h, timeout: 10s, initial: unhealthy }";
    let settings = format!("plugins: [{{ {LEDGER} }}]");
    let mut gateway = gateway().upstream(&origin).upstream_settings(check).settings(&settings).start().await;
    eventually("a gateway that is ready", async || gateway.ask("GET", "/readyz").await.status == 200).await;
    let mut rows = 0;
    for round in 0..2 {
        rows += 1;
        assert_eq!(http1(gateway.address()).await.get("/before").await.status, 200);
        gateway.signal(Signal::SIGUSR2);
        let pid = found_pid(&gateway, round).await;
        // it has the journal, and waits for its server
        let draining = gateway.folder().join("journal/draining");
        eventually("a journal that is handed over", async || {
            std::fs::read_dir(&draining).is_ok_and(|mut folders| folders.next().is_some())
        })
        .await;
        rows += 1;
        assert_eq!(http1(gateway.address()).await.get("/meanwhile").await.status, 200);
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        eventually("an upgrade that failed", async || gateway.stderr().matches("upgrade failed").count() == round + 1)
            .await;
        rows += 1;
        assert_eq!(http1(gateway.address()).await.get("/after").await.status, 200);
        has_each_once(&gateway, rows).await;
        eventually("nothing left over", async || {
            std::fs::read_dir(&draining).is_ok_and(|mut folders| folders.next().is_none())
        })
        .await;
    }
    hang.open();
    let old = gateway.upgrade().await;
    assert_eq!(http1(gateway.address()).await.get("/new").await.status, 200);
    gateway.ended(old).await;
    has_each_once(&gateway, rows + 1).await;
    gateway.signal(Signal::SIGTERM);
    gateway.ended(gateway.pid()).await;
}

/// The process of the upgrade of this number.
pub async fn found_pid(gateway: &Gateway, number: usize) -> i32 {
    let line = found("a new process", async || {
        let log = gateway.stderr();
        log.lines().filter(|line| line.contains("a new process starts")).nth(number).map(str::to_owned)
    });
    let line: serde_json::Value = serde_json::from_str(&line.await).unwrap();
    i32::try_from(line["pid"].as_i64().unwrap()).unwrap()
}

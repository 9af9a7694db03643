//! A reload that is refused changes nothing of the ledgers, and a new one begins with the configuration that names it.

use std::net::TcpListener;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::harness::{Folder, Gateway, eventually, gateway, http1, origin};

/// A ledger with its journal in a folder, and the database beside it.
fn usage_log(folder: &Path, database: &str) -> String {
    let (database, journal) = (folder.join(database), folder.join("journal"));
    format!(
        "plugins: [{{ usage_log: {{ database: \"sqlite://{}\", journal: {{ path: {journal:?} }} }} }}]\n",
        database.display()
    )
}

/// Rewrites the configuration so that it is right but for an address that is taken, and sees it refused.
async fn refused(gateway: &Gateway, yaml: &str) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    gateway.rewrite(yaml.replacen("listeners: [", &format!("listeners: [{{ address: \"{address}\" }}, "), 1));
    let answer = gateway.ask("POST", "/reload").await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("in use"), "{}", answer.text());
}

/// Waits until the database has taken so many rows in all.
async fn booked(gateway: &Gateway, rows: f64) {
    eventually("rows in the database", async || {
        gateway.metrics().await.sum("tollgate_ledger_rows_total", &[("result", "new")]) >= rows
    })
    .await;
}

#[tokio::test]
async fn a_reload_that_is_refused_leaves_the_ledger_its_database() {
    let (origin, folder) = (origin().await, Folder::new());
    let builder = gateway().upstream(&origin);
    let text = builder.text();
    let gateway = builder.settings(&usage_log(folder.path(), "first.db")).start().await;
    let ask = async || assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
    ask().await;
    booked(&gateway, 1.0).await;

    let other = format!("{text}{}", usage_log(folder.path(), "other.db"));
    refused(&gateway, &other).await;
    ask().await;
    booked(&gateway, 2.0).await;
    assert!(
        !folder.path().join("other.db").exists(),
        "the row went to the database of a configuration that was refused"
    );

    gateway.reload(&other).await;
    ask().await;
    booked(&gateway, 3.0).await;
    assert!(folder.path().join("other.db").exists());
}

#[tokio::test]
async fn a_ledger_ships_nothing_for_a_configuration_that_is_refused() {
    let (origin, folder) = (origin().await, Folder::new());
    // rows wait in the journal of a gateway whose database never answers
    std::fs::create_dir(folder.path().join("no.db")).unwrap();
    let mut killed = gateway().upstream(&origin).settings(&usage_log(folder.path(), "no.db")).start().await;
    assert_eq!(http1(killed.address()).await.get("/").await.status, 200);
    eventually("a row that waits", async || killed.metrics().await.sum("tollgate_ledger_queue_rows", &[]) == 1.0).await;
    killed.signal(Signal::SIGKILL);
    killed.wait_exit(crate::harness::DEADLINE).await;

    let builder = gateway().upstream(&origin);
    let text = builder.text();
    let gateway = builder.start().await;
    refused(&gateway, &format!("{text}{}", usage_log(folder.path(), "refused.db"))).await;
    gateway.reload(format!("{text}{}", usage_log(folder.path(), "taken.db"))).await;
    booked(&gateway, 1.0).await;
    assert!(folder.path().join("taken.db").exists());
    assert!(!folder.path().join("refused.db").exists());
}

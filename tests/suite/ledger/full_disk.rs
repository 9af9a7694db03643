//! A journal whose disk is full: no request fails, what is lost is counted and told of once, and with room rows flow again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use super::book::Book;
use crate::harness::{Client, Collector, Folder, Gateway, eventually, gateway, http1, origin, postgres};

/// A disk that is full after a while.
enum Disk {
    /// A small one of its own, on which another's file takes what is left.
    Small(Mounted),
    /// One on which the gateway's files may not grow longer than some hundred kilobytes.
    Limited(Folder),
}

impl Disk {
    fn folder(&self) -> &Folder {
        match self {
            Self::Small(Mounted(folder)) | Self::Limited(folder) => folder,
        }
    }

    fn fill(&self) {
        if let Self::Small(mounted) = self {
            mounted.fill();
        }
    }

    fn make_room(&self, gateway: &Gateway) {
        match self {
            Self::Small(mounted) => mounted.make_room(),
            Self::Limited(_) => {
                let pid = gateway.pid().to_string();
                assert!(
                    Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:"]).status().unwrap().success()
                );
            }
        }
    }
}

/// A folder that is a file system in memory, of one megabyte.
pub struct Mounted(Folder);

impl Mounted {
    /// One, where this user may mount here.
    pub fn new() -> Option<Self> {
        let folder = Folder::new();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).output();
        mount.is_ok_and(|mount| mount.status.success()).then(|| Self(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Another's file takes what is left.
    pub fn fill(&self) {
        let mut file = File::create(self.path().join("anothers")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    pub fn make_room(&self) {
        fs::remove_file(self.path().join("anothers")).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// A client, and how often it has asked.
struct Asking(Client, u64);

impl Asking {
    /// Asks with a path that makes a row of two kilobytes. No answer fails.
    async fn ask(&mut self) {
        self.1 += 1;
        let path = format!("/{}/{}", self.1, "a".repeat(2000));
        assert_eq!(self.0.get(&path).await.status, 200);
    }
}

async fn lost(gateway: &Gateway) -> f64 {
    gateway.metrics().await.sum("tollgate_ledger_lost_total", &[("kind", "row")])
}

async fn a_full_disk_costs_rows_and_no_request(disk: Disk) {
    let (origin, book) = (origin().await, Book::Postgres(Box::new(postgres().await)));
    let (database, journal) = (book.url(), disk.folder().path().join("journal"));
    let plugins =
        format!("plugins: [{{ usage_log: {{ database: \"{database}\", journal: {{ path: {journal:?} }} }} }}]");
    let mut builder = gateway().upstream(&origin).settings(&plugins);
    if let Disk::Limited(_) = disk {
        // a write beyond the limit fails, and does not kill
        builder = builder.after_shell("trap '' XFSZ; ulimit -S -f 200");
    }
    let gateway = builder.start().await;
    let mut client = Asking(http1(gateway.address()).await, 0);
    client.ask().await;
    disk.fill();
    eventually("a row that is lost", async || {
        client.ask().await;
        lost(&gateway).await > 0.0
    })
    .await;
    for _ in 0..50 {
        client.ask().await;
    }
    // the last exchange is over a little later than its answer, and what becomes of its row is known only then
    eventually("no request in flight", async || gateway.metrics().await.sum("tollgate_requests_in_flight", &[]) == 0.0)
        .await;
    assert!(lost(&gateway).await >= 50.0);
    disk.make_room(&gateway);
    let gone = lost(&gateway).await;
    for _ in 0..50 {
        client.ask().await;
    }
    assert_eq!(lost(&gateway).await, gone, "rows are lost where there is room");
    let left = client.1 - gone as u64;
    eventually("all rows but those that were counted", async || {
        let found = book.ask("SELECT count(*), count(DISTINCT id) FROM api_requests");
        found.is_ok_and(|found| found == format!("{left}|{left}"))
    })
    .await;
    gateway.says("the ledger keeps rows again").await;
    let told = gateway.stderr().matches("the ledger loses rows; tollgate_ledger_lost_total counts them").count();
    assert_eq!(told, 1, "{}", gateway.stderr());
}

#[tokio::test]
async fn a_full_disk_costs_rows_and_no_request_where_one_can_be_mounted() {
    match Mounted::new() {
        Some(disk) => a_full_disk_costs_rows_and_no_request(Disk::Small(disk)).await,
        None => tell_that_nothing_was_tried(),
    }
}

/// Straight to the terminal: what a test prints that passes, nobody reads.
pub fn tell_that_nothing_was_tried() {
    let told = b"a full disk was not tried: nothing can be mounted here\n";
    io::stderr().write_all(told).unwrap();
}

#[tokio::test]
async fn a_full_disk_costs_what_consumers_have_yet_to_read_before_any_row() {
    let Some(disk) = Mounted::new() else { return tell_that_nothing_was_tried() };
    let (origin, book, mut collector) = (origin().await, Book::Sqlite(Folder::new()), Collector::start());
    let (database, journal) = (book.url(), disk.0.path().join("journal"));
    let settings = format!(
        "plugins: [{{ usage_log: {{ database: \"{database}\", journal: {{ path: {journal:?}, max_bytes: 1MiB }} }} }}]\n\
         telemetry: {{ otlp: {{ endpoint: \"{}\" }} }}",
        collector.url()
    );
    collector.kill();
    let gateway = gateway().upstream(&origin).settings(&settings).start().await;
    let mut client = Asking(http1(gateway.address()).await, 0);
    eventually("a disk that is full", async || {
        client.ask().await;
        gateway.stderr().contains("no room for what its consumers have yet to read")
    })
    .await;
    let rows = async |asked: u64| {
        eventually("all rows", async || {
            book.ask("SELECT count(*) FROM api_requests").is_ok_and(|rows| rows == asked.to_string())
        })
        .await;
    };
    for _ in 0..10 {
        for _ in 0..20 {
            client.ask().await;
        }
        rows(client.1).await;
    }
    assert_eq!(lost(&gateway).await, 0.0);
    collector.start_again();
    let consumer = async |name: &str| gateway.metrics().await.sum(name, &[("consumer", "otlp")]);
    eventually("no lag", async || consumer("tollgate_ledger_consumer_lag_rows").await == 0.0).await;
    let sent = collector.spans().iter().filter(|span| span["kind"] == "server").count() as u64;
    let missed = consumer("tollgate_ledger_consumer_lost_total").await as u64;
    // corrections of rows are counted, too
    assert!(missed > 0 && sent < client.1 && sent + missed >= client.1, "{sent} of {}, {missed} missed", client.1);
}

#[tokio::test]
async fn files_that_may_not_grow_cost_rows_and_no_request() {
    a_full_disk_costs_rows_and_no_request(Disk::Limited(Folder::new())).await;
}

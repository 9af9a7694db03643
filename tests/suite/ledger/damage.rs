//! Journals that are damaged while no gateway runs: every row is in the database or counted as lost, and whoever asks is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use super::book::Book;
use crate::harness::{Gateway, Origin, body, eventually, gateway, http1, origin};

const ROWS: usize = 300;

async fn before(origin: &Origin, book: &Book, database: &str) -> Gateway {
    let journal = book.journal();
    let settings =
        format!("plugins: [{{ usage_log: {{ database: \"{database}\", journal: {{ path: {journal:?} }} }} }}]");
    gateway().upstream(origin).settings(&settings).start().await
}

/// The only segment with the rows of a gateway that had no database, and was killed.
async fn left_by_a_kill(origin: &Origin, book: &Book) -> PathBuf {
    let mut gateway = before(origin, book, "sqlite:///dev/null/no.db").await;
    let mut client = http1(gateway.address()).await;
    for number in 0..ROWS {
        let request = client.request("POST", &format!("/{number}/v1/messages")).body(body("{}")).unwrap();
        assert_eq!(client.call(request).await.status, 200);
    }
    gateway.signal(Signal::SIGKILL);
    gateway.wait_exit(crate::harness::DEADLINE).await;
    let segment = |path: &PathBuf| path.extension().is_some_and(|end| end == "journal");
    fs::read_dir(book.journal()).unwrap().map(|entry| entry.unwrap().path()).find(segment).unwrap()
}

/// What `usage verify` says, and its exit code.
fn verified(file: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let output = command.args(["usage", "verify", "-c"]).arg(file).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// Starts a gateway on a journal that was damaged so, and sees that all rows are accounted for: how many are lost.
async fn lost_by(damage: impl Fn(&mut Vec<u8>)) -> Vec<usize> {
    let mut all = Vec::new();
    for book in Book::both().await {
        let origin = origin().await;
        let segment = left_by_a_kill(&origin, &book).await;
        let mut bytes = fs::read(&segment).unwrap();
        damage(&mut bytes);
        fs::write(&segment, bytes).unwrap();
        let gateway = before(&origin, &book, &book.url()).await;
        let lost = async || gateway.metrics().await.sum("tollgate_ledger_lost_total", &[]) as usize;
        eventually("an account of every row", async || {
            let rows = book.ask("SELECT count(*) FROM api_requests").unwrap_or_default();
            let waiting = gateway.metrics().await.sum("tollgate_ledger_queue_rows", &[]);
            waiting == 0.0 && rows.parse().is_ok_and(|rows: usize| rows > 0) && rows.parse() == Ok(ROWS - lost().await)
        })
        .await;
        assert_eq!(book.sql("SELECT count(DISTINCT path) FROM api_requests"), (ROWS - lost().await).to_string());
        let (lost, (code, told)) = (lost().await, verified(gateway.file()));
        if lost == 0 {
            assert!(code == Some(0) && told.contains(": no row is missing; "), "{told}");
        } else {
            assert!(code == Some(1) && told.contains(&format!(": {lost} rows are missing (")), "{lost}: {told}");
        }
        all.push(lost);
    }
    all
}

#[tokio::test]
async fn a_segment_that_is_cut_in_its_midst_loses_what_is_cut_off() {
    let lost = lost_by(|bytes| bytes.truncate(bytes.len() / 2)).await;
    assert!(lost.iter().all(|lost| (ROWS / 3..ROWS * 2 / 3).contains(lost)), "{lost:?}");
}

#[tokio::test]
async fn a_page_of_zeros_loses_the_rows_that_were_in_it() {
    let lost = lost_by(|bytes| bytes[12_000..12_000 + 4096].fill(0)).await;
    assert!(lost.iter().all(|lost| (2..40).contains(lost)), "{lost:?}");
}

#[tokio::test]
async fn bits_that_flip_lose_the_rows_that_they_are_in() {
    // a step that no row is as long as, so that it meets all parts of them
    let lost = lost_by(|bytes| (100..bytes.len()).step_by(1117).for_each(|at| bytes[at] ^= 4)).await;
    assert!(lost.iter().all(|lost| (20..ROWS).contains(lost)), "{lost:?}");
}

#[tokio::test]
async fn what_a_kill_left_of_a_frame_is_no_loss() {
    let lost = lost_by(|bytes| bytes.extend_from_within(24..124)).await;
    assert_eq!(lost, [0, 0]);
}

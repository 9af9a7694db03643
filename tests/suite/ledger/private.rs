//! Files that hold prompts, keys or rows: whatever the umask, nobody else on the machine may read them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::harness::{DEADLINE, eventually, gateway, http1, origin};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Everything in a folder, and the folder itself.
fn within(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let inner = entries.flat_map(|path| if path.is_dir() { within(&path) } else { vec![path] });
    inner.chain([folder.to_owned()]).collect()
}

const SETTINGS: &str = r#"access_log: { path: logs/access.log }
plugins: [{ usage_log: { database: "sqlite://data/ledger.db", journal: { path: data/journal }, store: { request_body: true } } }]"#;

#[tokio::test]
async fn what_a_gateway_writes_is_readable_by_its_owner_and_group_alone() {
    for (umask, file, folder) in [("000", 0o640, 0o750), ("077", 0o600, 0o700)] {
        let origin = origin().await;
        let shell = format!("cd \"$(dirname \"$3\")\" && mkdir -m 755 logs data && umask {umask}");
        let mut gateway = gateway().upstream(&origin).settings(SETTINGS).after_shell(&shell).start().await;
        assert_eq!(http1(gateway.address()).await.post("/v1/messages", "{}").await.status, 200);
        let (data, logs) = (gateway.folder().join("data"), gateway.folder().join("logs"));
        eventually("a row and a line", async || {
            data.join("ledger.db-wal").exists()
                && gateway.metrics().await.sum("tollgate_ledger_rows_total", &[]) >= 1.0
                && fs::metadata(logs.join("access.log")).is_ok_and(|log| log.len() > 0)
        })
        .await;
        let found = [within(&data), within(&logs)].concat();
        assert!(found.len() >= 9, "{found:?}");
        for path in found.iter().filter(|path| **path != data && **path != logs) {
            assert_eq!(mode(path), if path.is_dir() { folder } else { file }, "{umask}: {}", path.display());
        }
        assert!(!gateway.stderr().contains("everybody"), "{}", gateway.stderr());
        gateway.signal(Signal::SIGTERM);
        gateway.wait_exit(DEADLINE).await;
    }
}

#[tokio::test]
async fn a_file_that_everybody_may_read_already_stays_so_and_is_told_of() {
    let origin = origin().await;
    let shell =
        "cd \"$(dirname \"$3\")\" && umask 022 && mkdir -p logs data/journal && touch data/ledger.db logs/access.log";
    let gateway = gateway().upstream(&origin).settings(SETTINGS).after_shell(shell).start().await;
    gateway.says("everybody on this machine may read the ledger").await;
    gateway.says("everybody on this machine may read the access log").await;
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", "{}").await.status, 200);
    eventually("a row", async || gateway.metrics().await.sum("tollgate_ledger_rows_total", &[]) >= 1.0).await;
    for file in ["data/ledger.db", "logs/access.log"] {
        assert_eq!(mode(&gateway.folder().join(file)), 0o644, "{file}");
    }
}

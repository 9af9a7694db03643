//! A collector of traces, which decodes OTLP by OpenTelemetry's own definitions: `tests/otlp/collector.py`, a process of its own that a
//! test may freeze, kill and start again.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::folder::Folder;
use super::raw::connect;

/// A collector; it ends with the test.
pub struct Collector {
    folder: Folder,
    address: SocketAddr,
    child: Option<Child>,
}

impl Collector {
    /// Starts one.
    pub fn start() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut collector = Self { folder: Folder::new(), address, child: None };
        collector.start_again();
        collector
    }

    /// Starts it again at its address, with what it has.
    pub fn start_again(&mut self) {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(root.join("target/sdk/current/bin/python3"))
            .arg(root.join("tests/otlp/collector.py"))
            .args(["--port", &self.address.port().to_string(), "--out"])
            .arg(self.file())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/run installs the SDKs' Python");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect("it says where it listens");
        self.address = address.parse().unwrap();
        self.child = Some(child);
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops or continues its process.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has it answer its next requests as this says: `status=503&times=2&retry_after=1`, or `partial=3`.
    pub async fn answers(&self, how: &str) {
        let mut stream = connect(self.address).await;
        let request =
            format!("POST /answer?{how} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.send(request).await;
        assert_eq!(stream.answer().await.status, 200);
    }

    /// The spans that it has, in the order in which they came.
    pub fn spans(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file()).unwrap_or_default();
        // the last line may be half written
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("spans.jsonl")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.kill();
    }
}

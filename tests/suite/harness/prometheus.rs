//! A Prometheus of a test's own: the real server of Debian, which scrapes as `deploy/prometheus` says, but more often.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::client::http1;
use super::folder::Folder;
use super::port::free_port;
use super::wait::{found, soon};

/// Where the configuration and the rules are.
const FOLDER: &str = "deploy/prometheus";

/// One that scrapes the admin listener of a gateway.
pub async fn prometheus(gateway: SocketAddr) -> Prometheus {
    for _ in 0..5 {
        if let Some(prometheus) = Prometheus::attempt(gateway, free_port()).await {
            return prometheus;
        }
    }
    panic!("no prometheus runs")
}

/// A running Prometheus; it ends with the test.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: Folder,
}

impl Prometheus {
    /// What it answers to an instant query now: the samples, or why it has none.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let answer = self.get(&format!("/api/v1/query?query={}", escaped(expression))).await;
        let samples = answer["data"]["result"].as_array().cloned();
        samples.ok_or_else(|| answer["error"].as_str().unwrap_or("no samples").to_owned())
    }

    /// What it answers to a request of its API.
    pub async fn get(&self, target: &str) -> Value {
        http1(self.address).await.get(target).await.json()
    }

    /// What it has said of itself.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    async fn attempt(gateway: SocketAddr, port: u16) -> Option<Self> {
        let folder = Folder::new();
        let shipped = fs::read_to_string(Path::new(FOLDER).join("prometheus.yaml")).unwrap();
        let mut text = shipped.clone();
        for (from, to) in [
            ("scrape_interval: 15s", "scrape_interval: 250ms".to_owned()),
            ("evaluation_interval: 15s", "evaluation_interval: 1s".to_owned()),
            ("tollgate:9090", gateway.to_string()),
        ] {
            assert!(text.contains(from), "{from} is not in\n{shipped}");
            text = text.replace(from, &to);
        }
        fs::write(folder.path().join("prometheus.yaml"), text).unwrap();
        fs::copy(Path::new(FOLDER).join("rules.yaml"), folder.path().join("rules.yaml")).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let child = Command::new("prometheus")
            .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--log.level=warn"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is installed");
        let mut prometheus = Self { child, address, folder };
        let is_ready = found("a Prometheus that answers, or has ended", async || {
            if prometheus.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let is_ready = tokio::net::TcpStream::connect(address).await.is_ok()
                && soon(http1(address)).await.get("/-/ready").await.status == 200;
            is_ready.then_some(true)
        });
        let is_ready = is_ready.await;
        if !is_ready {
            println!("{}", prometheus.log());
        }
        is_ready.then_some(prometheus)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A text as a query of a URL has it.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

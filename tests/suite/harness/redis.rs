//! A Redis of the test's own: the real server, which can be frozen, thawed and killed, and spoken to.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::folder::Folder;
use super::port::free_port;
use super::wait::{eventually, found, soon};

/// A Redis that answers, with these arguments beside its own.
pub async fn redis(arguments: &[&str]) -> Redis {
    for _ in 0..5 {
        let address = free_address();
        if let Some(redis) = Redis::attempt(address, arguments).await {
            return redis;
        }
    }
    panic!("no redis-server runs")
}

/// The three nodes of a Redis Cluster, each with a third of the slots.
pub async fn redis_cluster() -> [Redis; 3] {
    let node = async || redis(&["--cluster-enabled", "yes"]).await;
    let nodes = [node().await, node().await, node().await];
    for (place, node) in nodes.iter().enumerate() {
        let (first, last) = ([0, 5461, 10_923][place], [5460, 10_922, 16_383][place]);
        node.ask(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
        node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(place + 1).to_string()]).await;
        nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &node.address.port().to_string()]).await;
    }
    for node in &nodes {
        eventually("a cluster that works", async || {
            let told = node.ask(&["CLUSTER", "INFO"]).await;
            told.contains("cluster_state:ok") && told.contains("cluster_size:3")
        })
        .await;
    }
    nodes
}

/// A running Redis; it ends with the test.
pub struct Redis {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

impl Redis {
    /// Where it is, as the YAML writes it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Starts again where another was killed.
    pub async fn again(address: SocketAddr) -> Self {
        Self::attempt(address, &[]).await.expect("the port is free again")
    }

    /// Takes no step any more, while its connections stay open.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Goes on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Ends it at once.
    pub fn kill(mut self) -> SocketAddr {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.address
    }

    /// What it answers to a command, as text on the wire.
    pub async fn ask(&self, command: &[&str]) -> String {
        ask(self.address, command).await.unwrap()
    }

    /// The names of its keys that begin so.
    pub async fn keys(&self, beginning: &str) -> Vec<String> {
        let told = self.ask(&["KEYS", &format!("{beginning}*")]).await;
        told.lines().filter(|line| line.starts_with(beginning)).map(str::to_owned).collect()
    }

    async fn attempt(address: SocketAddr, arguments: &[&str]) -> Option<Self> {
        let folder = Folder::new();
        let child = Command::new("redis-server")
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let mut redis = Self { child, address, _folder: folder };
        let answers = found("a Redis that answers, or has ended", async || {
            if redis.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            ask(address, &["PING"]).await.is_ok_and(|told| told.starts_with("+PONG")).then_some(true)
        });
        answers.await.then_some(redis)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

async fn ask(address: SocketAddr, command: &[&str]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let mut text = format!("*{}\r\n", command.len());
    for part in command {
        text.push_str(&format!("${}\r\n{part}\r\n", part.len()));
    }
    text.push_str("*1\r\n$4\r\nQUIT\r\n");
    stream.write_all(text.as_bytes()).await?;
    let mut told = Vec::new();
    soon(stream.read_to_end(&mut told)).await?;
    let told = String::from_utf8_lossy(&told).into_owned();
    Ok(told.strip_suffix("+OK\r\n").unwrap_or(&told).to_owned())
}

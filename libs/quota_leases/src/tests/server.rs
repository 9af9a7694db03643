//! A Redis on a socket in a folder of its own, which can be frozen.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis_link::redis::cmd;
use redis_link::{Address, LinkConfig, RedisLink};

pub(super) struct Redis {
    folder: PathBuf,
    child: Child,
}

impl Redis {
    pub(super) fn started(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("quota_leases-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(folder.join("redis.sock"))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let redis = Self { folder, child: child.expect("redis-server is installed") };
        let began = Instant::now();
        while std::os::unix::net::UnixStream::connect(redis.folder.join("redis.sock")).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "never there");
            std::thread::sleep(Duration::from_millis(5));
        }
        redis
    }

    pub(super) fn address(&self) -> Address {
        Address::Server(format!("unix://{}", self.folder.join("redis.sock").display()))
    }

    pub(super) fn link(&self, timeout: Duration) -> Arc<RedisLink> {
        let config = LinkConfig { name: "test", purpose: "the test", address: self.address(), connections: 1, timeout };
        RedisLink::start(config, |prober| prober.run(Duration::from_secs(3600))).unwrap()
    }

    pub(super) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(super) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// How many commands it has run, those of scripts included.
    pub(super) async fn commands(&self, link: &RedisLink) -> u64 {
        let told = link.run(async |redis| redis.run::<String>(cmd("INFO").arg("commandstats")).await).await.unwrap();
        let calls = told.split(":calls=").skip(1).map(|rest| rest.split(',').next().unwrap().parse::<u64>().unwrap());
        calls.sum()
    }

    pub(super) async fn keys(&self, link: &RedisLink) -> Vec<String> {
        link.run(async |redis| redis.run(cmd("KEYS").arg("*")).await).await.unwrap()
    }

    pub(super) async fn ttl(&self, link: &RedisLink, key: &str) -> i64 {
        let key = key.to_owned();
        link.run(async move |redis| redis.run(cmd("PTTL").arg(key)).await).await.unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits until it is so, up to a time at which it never will be.
pub(super) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "never {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

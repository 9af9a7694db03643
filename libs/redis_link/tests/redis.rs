//! A link and a real Redis: what it does, what becomes of operations while it is gone or hangs, and that it comes back.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics is a test that fails")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis_link::redis::{Script, cmd, pipe};
use redis_link::{Address, LinkConfig, LinkError, RedisLink};

const TIMEOUT: Duration = Duration::from_millis(200);
const PROBES: Duration = Duration::from_millis(20);

/// A Redis on a socket in a folder of its own. It may be stopped and started again.
struct Redis {
    folder: PathBuf,
    child: Option<Child>,
}

impl Redis {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("redis_link-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, child: None }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    fn start(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(self.socket())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server is installed"));
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().unwrap().id();
        kill(Pid::from_raw(id.cast_signed()), signal).unwrap();
    }

    fn link(&self) -> Arc<RedisLink> {
        link(&self.socket())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn link(socket: &Path) -> Arc<RedisLink> {
    let address = Address::Server(format!("unix://{}", socket.display()));
    let config = LinkConfig { name: "test", purpose: "the test", address, connections: 2, timeout: TIMEOUT };
    RedisLink::start(config, |prober| prober.run(PROBES)).unwrap()
}

/// Waits until it is so, up to a time at which it never will be.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn increment(link: &RedisLink) -> Result<u64, LinkError> {
    link.run(|redis| async move { redis.run(cmd("INCR").arg("count")).await }).await
}

#[tokio::test]
async fn commands_pipelines_and_scripts_run_and_errors_of_redis_are_no_failures() {
    let mut redis = Redis::new("runs");
    redis.start();
    let link = redis.link();
    until("connected", || link.is_connected()).await;
    assert_eq!(increment(&link).await, Ok(1));
    let both = link.run(|redis| async move { redis.pipeline(pipe().incr("count", 2).get("count")).await }).await;
    assert_eq!(both, Ok((3, 3)));
    for expected in [13, 23] {
        // the second time by its hash alone
        let sum = link.run(|redis| async move {
            let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
            redis.script(script.key("count").arg(10)).await
        });
        assert_eq!(sum.await, Ok(expected));
    }
    for _ in 0..10 {
        let wrong = link.run(|redis| async move { redis.run::<()>(cmd("LPUSH").arg("count").arg(1)).await }).await;
        assert!(matches!(wrong, Err(LinkError::Refused(_))), "{wrong:?}");
    }
    assert!(!link.breaker().is_open());
    let clock = link.run(|redis| async move { redis.time_millis().await }).await.unwrap();
    assert!(clock > 1_600_000_000_000);
}

#[tokio::test]
async fn a_redis_that_is_not_there_delays_nothing_and_is_used_once_it_is() {
    let mut redis = Redis::new("late");
    let link = redis.link();
    for _ in 0..3 {
        let error = increment(&link).await.unwrap_err();
        assert!(error.is_failure() || error == LinkError::Open, "{error:?}");
    }
    until("open", || link.breaker().is_open()).await;
    assert_eq!(increment(&link).await, Err(LinkError::Open));
    redis.start();
    until("closed", || !link.breaker().is_open()).await;
    assert_eq!(increment(&link).await, Ok(1));
    // and again after it was gone
    redis.stop();
    until("open", || link.breaker().is_open()).await;
    redis.start();
    until("closed", || !link.breaker().is_open()).await;
    assert_eq!(increment(&link).await, Ok(1));
}

#[tokio::test]
async fn a_redis_that_hangs_costs_three_timeouts_and_then_nothing_until_it_answers() {
    let mut redis = Redis::new("hangs");
    redis.start();
    let link = redis.link();
    until("connected", || link.is_connected()).await;
    redis.signal(Signal::SIGSTOP);
    let mut failures = 0;
    while !link.breaker().is_open() {
        let error = increment(&link).await.unwrap_err();
        failures += usize::from(error == LinkError::Timeout);
    }
    assert!((1..=3).contains(&failures), "{failures}");
    assert_eq!(increment(&link).await, Err(LinkError::Open));
    redis.signal(Signal::SIGCONT);
    until("closed", || !link.breaker().is_open()).await;
    assert!(increment(&link).await.is_ok());
}

#[tokio::test]
async fn its_thread_ends_with_it() {
    let mut redis = Redis::new("ends");
    redis.start();
    let link = redis.link();
    until("connected", || link.is_connected()).await;
    let held = Arc::new(());
    let task = held.clone();
    link.spawn(async move {
        std::future::pending::<()>().await;
        drop(task);
    });
    drop(link);
    until("ended", || Arc::strong_count(&held) == 1).await;
}

//! Clients that take their time cost the gateway no more of the processor than honest ones.

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::harness::{Gateway, Raw, connect, eventually, gateway, http1, origin};

/// How long is measured.
const WINDOW: Duration = Duration::from_secs(3);

/// What a gateway takes of the processors while this runs, in seconds.
async fn seconds_taken(gateway: &Gateway, work: impl Future<Output = ()>) -> f64 {
    let before = seconds(gateway.pid());
    work.await;
    seconds(gateway.pid()) - before
}

/// User and system time of a process (proc(5), in ticks of a hundredth of a second).
fn seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = |at: usize| fields.split(' ').nth(at).unwrap().parse::<u32>().unwrap();
    f64::from(ticks(11) + ticks(12)) / 100.0
}

/// Another client is served as ever.
async fn honest(gateway: &Gateway) {
    let mut client = http1(gateway.address()).await;
    for _ in 0..10 {
        assert_eq!(client.get("/honest").await.text(), "hello");
        tokio::time::sleep(WINDOW / 10).await;
    }
}

/// Sends a byte now and then, until the gateway has had enough.
async fn drip(raw: &mut Raw) {
    while raw.try_send("x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn drips_past_their_deadline_cost_nothing() {
    for settings in ["", "plugins: [{ max_tokens: { limit: 4000 } }]"] {
        let origin = origin().await;
        let gateway = gateway().upstream(&origin).upstream_settings("timeouts: { total: 500ms }");
        let gateway = gateway.settings(settings).start().await;
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut raw = connect(gateway.address()).await;
            raw.send("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").await;
            clients.push(raw);
        }
        let dripping = tokio::spawn(async move { join_all(clients.iter_mut().map(drip)).await });
        // they are told that their time is up, and go on
        eventually("an answer for each", async || {
            gateway.access_log().len() + gateway.stderr().matches("total_timeout").count() >= 1
        })
        .await;
        let taken = seconds_taken(&gateway, honest(&gateway)).await;
        dripping.abort();
        assert!(taken < 1.0, "{taken} s of the processor in {WINDOW:?}");
    }
}

#[tokio::test]
async fn half_prefaces_cost_nothing() {
    const CLIENTS: usize = 2000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut raw = connect(gateway.address()).await;
        raw.send("P").await;
        clients.push(raw);
    }
    eventually("all of them", async || {
        gateway.metrics().await.sum("tollgate_connections_in_flight", &[]) >= CLIENTS as f64
    })
    .await;
    let taken = seconds_taken(&gateway, honest(&gateway)).await;
    assert!(taken < 0.5, "{taken} s of the processor in {WINDOW:?}");
    // the rest is read behind what came before
    for (at, raw) in clients.iter_mut().take(20).enumerate() {
        raw.send(format!("OST /late{at} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(raw.answer().await.text(), "hello");
    }
}

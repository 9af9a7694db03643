//! Everything at once: whatever hundreds of clients do to a gateway and its upstreams, every request has its one row, and
//! nothing stays in flight.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::harness::{
    Client, Gateway, Origin, Received, Script, answer, body, connect, eventually, gateway, h2c, http1, origin, sse,
};
use crate::payloads::call;

/// So many times each of what can happen.
const ROUNDS: usize = 20;

/// What clients and upstreams do, and the outcome each must have.
const KINDS: [(&str, &str); 15] = [
    ("get", "completed"),
    ("call", "completed"),
    ("stream", "completed"),
    ("again", "completed"), // a server is busy or breaks, another takes its place
    ("over", "refused"),
    ("large", "refused"),
    ("nowhere", "refused"),
    ("slow_body", "refused"),
    ("broken_body", "refused"),
    ("break", "upstream_failed"),
    ("reset", "upstream_failed"),
    ("late", "upstream_failed"),
    ("leave_early", "client_gone"),
    ("leave_late", "client_gone"),
    ("leave_in_body", "client_gone"),
];

/// What becomes of a request at an upstream: its kind stands first in its path.
fn fate(request: &Received) -> Script {
    match request.target.split('/').nth(1).unwrap() {
        "stream" => sse().event("one").event("two").end(),
        "break" => sse().event("one").close(),
        "reset" => Script::resetting(),
        "late" | "leave_early" => Script::silent(),
        "leave_late" => sse().event("one").silence(),
        _ => answer(200).body("hello"),
    }
}

fn yaml(good: &Origin, bad: &Origin) -> String {
    let (good, bad) = (good.server(), bad.server());
    format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
         server: {{ max_body: 4KiB, body_timeout: 3s }}\nplugins: [{{ max_tokens: {{ limit: 4000 }} }}]\n\
         upstreams:\n  patient: {{ servers: [{{ address: \"{good}\" }}] }}\n  \
         hasty: {{ servers: [{{ address: \"{good}\" }}], timeouts: {{ first_byte: 1s }} }}\n  \
         mixed: {{ servers: [{{ address: \"{good}\" }}, {{ address: \"{bad}\", max_fails: 0 }}], \
         retry: {{ attempts: 2, on: [http_529, error], non_idempotent: true }} }}\n\
         routes:\n  - {{ paths: [/again/], upstream: mixed }}\n  - {{ paths: [/late/], upstream: hasty }}\n  \
         - {{ paths: [/nowhere/], hosts: [elsewhere.test], upstream: patient }}\n  \
         - {{ paths: [{paths}], upstream: patient }}\n",
        paths = KINDS
            .map(|(kind, _)| kind)
            .into_iter()
            .filter(|kind| *kind != "nowhere")
            .map(|kind| format!("/{kind}/"))
            .collect::<Vec<_>>()
            .join(", ")
    )
}

struct Storm<'a> {
    gateway: &'a Gateway,
    good: &'a Origin,
}

impl Storm<'_> {
    async fn client(&self, number: usize) -> Client {
        if number.is_multiple_of(2) { http1(self.gateway.address()).await } else { h2c(self.gateway.address()).await }
    }

    /// Plays one client.
    async fn play(&self, number: usize, kind: &str) {
        // not all at the same moment, and never in the same order
        sleep(Duration::from_millis((number * 7919 % 400) as u64)).await;
        let path = format!("/{kind}/{number}/v1/messages");
        let mut client = self.client(number / KINDS.len()).await;
        let max_tokens = if kind == "over" { 4001 } else { 4000 };
        let length = if kind == "large" { 5000 } else { 300 + number };
        let post = client.request("POST", &path).body(body(call(length, max_tokens))).unwrap();
        match kind {
            "get" => assert_eq!(client.get(&path).await.status, 200),
            "call" | "stream" | "again" => assert_eq!(client.call(post).await.status, 200),
            "over" => assert_eq!(client.call(post).await.status, 400),
            "nowhere" => assert_eq!(client.call(post).await.status, 404),
            "large" => assert_eq!(client.call(post).await.status, 413),
            "reset" => assert_eq!(client.call(post).await.status, 502),
            "late" => assert_eq!(client.call(post).await.status, 504),
            "break" => assert!(!client.send(post).await.unwrap().rest().await.1),
            "leave_early" => {
                let asking = tokio::spawn(async move { client.send(post).await.is_ok() });
                self.arrived(&path).await;
                asking.abort();
            }
            "leave_late" => {
                let mut streaming = client.send(post).await.unwrap();
                streaming.until("one").await;
            }
            _ => self.break_off(kind, &path).await,
        }
    }

    /// Plays a client that does not end its request as it ought to.
    async fn break_off(&self, kind: &str, path: &str) {
        let mut raw = connect(self.gateway.address()).await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\n");
        match kind {
            "slow_body" => {
                raw.send(format!("{head}content-length: 100\r\n\r\n{{")).await;
                assert_eq!(raw.answer().await.status, 408);
            }
            "broken_body" => {
                raw.send(format!("{head}transfer-encoding: chunked\r\n\r\n2\n{{}}\r\n0\r\n\r\n")).await;
                assert_eq!(raw.answer().await.status, 400);
            }
            _ => {
                raw.send(format!("{head}content-length: 100\r\nexpect: 100-continue\r\n\r\n")).await;
                assert_eq!(raw.head().await.status, 100);
                raw.reset();
            }
        }
    }

    async fn arrived(&self, path: &str) {
        let there = async || self.good.requests().iter().any(|request| request.target == path && request.complete);
        eventually("a request at its upstream", there).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_leaves_one_row_for_each_and_nothing_in_flight() {
    let (good, bad) = (origin().await, origin().await);
    good.answers_with(fate);
    // never the same way, so that the connection is now kept and now gone
    bad.answers_with(|request| match request.raw_head.len() % 3 {
        0 => answer(529).body("busy"),
        1 => Script::resetting(),
        _ => Script::closing(),
    });
    let gateway = gateway().yaml(yaml(&good, &bad)).start().await;
    let storm = Storm { gateway: &gateway, good: &good };
    let all = (0..ROUNDS * KINDS.len()).map(async |number| storm.play(number, KINDS[number % KINDS.len()].0).await);
    let reloads = async {
        for _ in 0..10 {
            assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::join!(join_all(all), reloads);
    gateway.idle().await;

    let count = ROUNDS * KINDS.len();
    eventually("as many rows as requests", async || gateway.access_log().len() >= count).await;
    let rows = gateway.access_log();
    let mut outcomes = BTreeMap::<String, Vec<String>>::new();
    for row in &rows {
        let outcome = row["outcome"].as_str().unwrap().to_owned();
        outcomes.entry(row["path"].as_str().unwrap().to_owned()).or_default().push(outcome);
    }
    for number in 0..count {
        let (kind, outcome) = KINDS[number % KINDS.len()];
        let path = format!("/{kind}/{number}/v1/messages");
        assert_eq!(outcomes.remove(&path).unwrap_or_default(), [outcome], "{path}");
    }
    assert!(outcomes.is_empty(), "{outcomes:?}");
    assert_eq!(rows.len(), count);
    // and the metrics know as many
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_requests_total", &[]), count as f64);
    for outcome in ["completed", "refused", "upstream_failed", "client_gone"] {
        let expected = ROUNDS * KINDS.iter().filter(|(_, own)| *own == outcome).count();
        assert_eq!(metrics.sum("tollgate_requests_total", &[("outcome", outcome)]), expected as f64, "{outcome}");
    }
}

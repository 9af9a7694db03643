//! The admin listener over a real socket, with a test in the gateway's place.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use located_yaml::Location;
use plugin_api::AdminAnswer;
use plugin_api::http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::*;
use crate::config::errors_in_text;
use crate::settings::AdminToken;

#[tokio::test]
async fn health_is_told_whatever_the_gateway_does() {
    let gateway = Gateway::start();
    for _ in 0..2 {
        let answer = gateway.get("/healthz").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
        gateway.readiness.set_draining();
    }
}

#[tokio::test]
async fn readiness_follows_the_gateway_from_start_to_stop() {
    let gateway = Gateway::start();
    let readyz = async || {
        let answer = gateway.get("/readyz?verbose").await;
        (answer.status, answer.body)
    };
    assert_eq!(readyz().await, (503, "starting".to_owned()));
    gateway.readiness.set_ready();
    assert_eq!(readyz().await, (200, "ready".to_owned()));
    gateway.readiness.set_draining();
    assert_eq!(readyz().await, (503, "draining".to_owned()));
}

#[tokio::test]
async fn what_a_start_waits_for_is_told_to_those_who_have_the_token() {
    let gateway = Gateway::with_token("0123456789abcdef");
    let readyz = async |headers: &str| {
        let request = format!("GET /readyz HTTP/1.1\r\nhost: a\r\n{headers}connection: close\r\n\r\n");
        let answer = gateway.ask(&request).await;
        (answer.status, answer.body)
    };
    for headers in ["", "authorization: Bearer 0123456789abcdeX\r\n"] {
        assert_eq!(readyz(headers).await, (503, "starting".to_owned()));
    }
    let told = "starting\nwaits for the lookup of internal.test".to_owned();
    assert_eq!(readyz("authorization: Bearer 0123456789abcdef\r\n").await, (503, told));
}

#[tokio::test]
async fn metrics_are_brought_up_to_date_and_told_as_prometheus_reads_them() {
    let gateway = Gateway::start();
    for scrape in 1..3 {
        let answer = gateway.get("/metrics").await;
        assert_eq!((answer.status, answer.body.contains("# TYPE ")), (200, true));
        assert!(answer.head.contains("content-type: text/plain; version=0.0.4\r\n"), "{}", answer.head);
        assert_eq!(gateway.observed.load(Ordering::Relaxed), scrape);
    }
}

#[tokio::test]
async fn head_gets_the_head_alone() {
    let gateway = Gateway::start();
    let answer = gateway.ask("HEAD /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert!(answer.head.contains("content-length: 2\r\n"), "{}", answer.head);
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_told_in_json() {
    let gateway = Gateway::start();
    for (request, status, kind) in [
        ("GET / HTTP/1.1", 404, "not_found"),
        ("GET /healthz/ HTTP/1.1", 404, "not_found"),
        ("POST /healthz HTTP/1.1", 405, "method_not_allowed"),
        ("GET /reload HTTP/1.1", 405, "method_not_allowed"),
        ("GET /things HTTP/1.1", 405, "method_not_allowed"),
    ] {
        let answer = gateway.ask(&format!("{request}\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.json()["error"], kind, "{request}");
        assert_eq!(answer.head.contains("allow: "), status == 405, "{}", answer.head);
    }
}

#[tokio::test]
async fn a_path_of_a_plugin_is_answered_by_it() {
    let gateway = Gateway::start();
    let answer = gateway.ask("DELETE /things?which=a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!((answer.status, answer.body.trim_end()), (202, r#"{"asked":"which=a"}"#));
    let answer = gateway.get("/things").await;
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: DELETE\r\n"), "{}", answer.head);
}

#[tokio::test]
async fn a_reload_is_asked_for_and_its_outcome_told() {
    let mut gateway = Gateway::start();
    let faults = vec![(Location::new(2, 3), "a.b".to_owned(), "wrong \"thing\"".to_owned())];
    let outcomes = [Ok(()), Err(errors_in_text("f.yaml", "a:\n  b: x", Path::new(""), &|_| None, faults))];
    let address = gateway.address;
    let mut answers = Vec::new();
    for outcome in outcomes {
        let asking = tokio::spawn(ask(address, POST_RELOAD.to_owned()));
        gateway.reloads.recv().await.unwrap().send(outcome).unwrap();
        answers.push(asking.await.unwrap());
    }
    assert_eq!(answers[0].status, 200);
    assert_eq!(answers[0].body, "{\"reloaded\":true}\n");
    assert_eq!(answers[1].status, 400);
    assert_eq!(
        answers[1].json(),
        serde_json::json!({ "reloaded": false, "errors": [{
            "file": "f.yaml", "line": 2, "column": 3, "path": "a.b", "message": "wrong \"thing\"",
            "text": "f.yaml:2:3: a.b: wrong \"thing\"",
        }]})
    );
}

#[tokio::test]
async fn no_web_page_reads_or_changes_anything() {
    let mut gateway = Gateway::start();
    gateway.readiness.set_ready();
    let foreign = ["host: evil.test", "host: a\r\norigin: http://evil.test", "host: a\r\nsec-fetch-site: cross-site"];
    for headers in foreign {
        for asked in
            ["POST /reload", "DELETE /cache?all", "GET /metrics", "GET /upstreams", "GET /nothing", "OPTIONS /reload"]
        {
            let request = format!("{asked} HTTP/1.1\r\n{headers}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let answer = gateway.ask(&request).await;
            assert_eq!((answer.status, &answer.json()["error"]), (403, &Value::from("forbidden")), "{request}");
            assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
        }
        for probe in ["/healthz", "/readyz"] {
            let request = format!("GET {probe} HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n");
            assert_eq!(gateway.ask(&request).await.status, 200, "{request}");
        }
    }
    assert_eq!(gateway.observed.load(Ordering::Relaxed), 0);
    assert!(gateway.reloads.try_recv().is_err());
    let known = "GET /metrics HTTP/1.1\r\nhost: admin.test:1\r\nconnection: close\r\n\r\n";
    assert_eq!(gateway.ask(known).await.status, 200);
}

#[tokio::test]
async fn a_gateway_that_stops_takes_no_reload() {
    let mut gateway = Gateway::start();
    // one that waits already
    let waiting = tokio::spawn(ask(gateway.address, POST_RELOAD.to_owned()));
    let request = gateway.reloads.recv().await.unwrap();
    gateway.readiness.set_draining();
    assert_eq!(waiting.await.unwrap().status, 503);
    drop(request);
    // and one that comes later
    let answer = ask(gateway.address, POST_RELOAD.to_owned()).await;
    assert_eq!((answer.status, &answer.json()["error"]), (503, &Value::from("stopping")));
    gateway.reloads.close();
    assert_eq!(ask(gateway.address, POST_RELOAD.to_owned()).await.status, 503);
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let gateway = Gateway::start();
    let answer = gateway
        .ask("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\nGET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    assert!(answer.body.starts_with("okHTTP/1.1 503 ") && answer.body.ends_with("starting"), "{}", answer.body);
}

#[tokio::test]
async fn one_who_says_nothing_or_half_a_head_is_left() {
    let gateway = Gateway::within(Limits { head: Duration::from_millis(20), ..LIMITS });
    for said in ["", "GET /healthz HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut told = Vec::new();
        // it may be told with a reset
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut told)).await.expect("an end");
        assert!(!told.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&told));
    }
}

#[tokio::test]
async fn a_connection_ends_after_its_lifetime_and_a_request_that_takes_longer_is_cut() {
    let short = Duration::from_millis(20);
    let gateway = Gateway::within(Limits { lifetime: short, last_answer: short, ..LIMITS });
    // the first is idle, the second waits for a reload that never ends
    for said in ["", POST_RELOAD] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut told = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut told)).await.expect("an end");
        assert!(told.is_empty(), "{}", String::from_utf8_lossy(&told));
    }
}

#[tokio::test]
async fn more_connections_than_may_be_open_wait_for_their_turn() {
    let gateway = Gateway::within(Limits { connections: 2, ..LIMITS });
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut one = [0];
        stream.read_exact(&mut one).await.unwrap();
        open.push(stream);
    }
    let mut waiting = tokio::spawn(ask(gateway.address, GET_HEALTHZ.to_owned()));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    open.pop();
    assert_eq!(waiting.await.unwrap().status, 200);
}

/// How long a test waits for what ought to come at once.
const PATIENCE: Duration = Duration::from_secs(20);
const GET_HEALTHZ: &str = "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
const POST_RELOAD: &str = "POST /reload HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What the admin listener talks to, in the test's hands.
struct Gateway {
    address: SocketAddr,
    readiness: Arc<Readiness>,
    reloads: mpsc::Receiver<ReloadRequest>,
    observed: Arc<AtomicUsize>,
}

impl Gateway {
    fn start() -> Self {
        Self::within(LIMITS)
    }

    /// One whose listener has a token.
    fn with_token(token: &str) -> Self {
        let token = AdminToken::try_from(token.to_owned()).unwrap();
        Self::with(LIMITS, Some(token), vec!["the lookup of internal.test".to_owned()])
    }

    fn within(limits: Limits) -> Self {
        Self::with(limits, None, Vec::new())
    }

    fn with(limits: Limits, token: Option<AdminToken>, waiting_for: Vec<String>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let socket = socket.listen(1024).unwrap();
        let address = socket.local_addr().unwrap();
        let readiness = Arc::new(Readiness::default());
        let (reload, reloads) = mpsc::channel(1);
        let observed = Arc::new(AtomicUsize::new(0));
        let upstreams = {
            let observed = observed.clone();
            Box::new(move || {
                observed.fetch_add(1, Ordering::Relaxed);
                Vec::new()
            })
        };
        let metrics = Arc::new(Metrics::new());
        let thing = AdminRoute::new(Method::DELETE, "/things", |request| async move {
            AdminAnswer::json(StatusCode::ACCEPTED, serde_json::json!({ "asked": request.query }))
        });
        let plugins = vec![thing];
        let known_host = Box::new(|host: &str| host == "admin.test");
        let waiting_for = Box::new(move || waiting_for.clone());
        let token = Box::new(move || token.clone());
        let config = Box::new(|| json!({ "log": { "level": "info" } }));
        let seen = readiness.clone();
        let dashboard = Dashboard::default();
        let admin = Admin {
            metrics,
            readiness: seen,
            waiting_for,
            reload,
            plugins,
            known_host,
            token,
            config,
            dashboard,
            upstreams,
        };
        tokio::spawn(serve_within(limits, socket, Arc::new(admin), CancellationToken::new()));
        Self { address, readiness, reloads, observed }
    }

    async fn get(&self, target: &str) -> Answer {
        self.ask(&format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await
    }

    async fn ask(&self, request: &str) -> Answer {
        ask(self.address, request.to_owned()).await
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Sends these bytes and reads until the connection ends.
async fn ask(address: SocketAddr, request: String) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).await.unwrap();
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: format!("{head}\r\n"), body: body.to_owned() }
}

//! A simulator over real sockets: what a client sees, byte by byte.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// A simulator that serves until it is dropped.
struct Running {
    address: SocketAddr,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    fn start(settings: Settings) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, task: tokio::spawn(serve(listener, settings)) }
    }

    /// Sends one request and reads until the simulator closes the connection.
    async fn exchange(&self, head: &str, body: &str) -> String {
        let mut stream = self.send(head, body).await;
        let mut answer = Vec::new();
        timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// Sends one request on a connection of its own.
    async fn send(&self, head: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request(head, body).as_bytes()).await.unwrap();
        stream
    }

    async fn stats(&self) -> Value {
        let answer = self.exchange("GET /stats HTTP/1.1\r\nconnection: close", "").await;
        json_of(&answer)
    }

    /// Waits until the counts are as wanted.
    async fn settle(&self, wanted: impl Fn(&Value) -> bool) {
        let started = Instant::now();
        loop {
            let stats = self.stats().await;
            if wanted(&stats) {
                return;
            }
            assert!(started.elapsed() < DEADLINE, "{stats}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn request(head: &str, body: &str) -> String {
    format!("{head}\r\nhost: simulator\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn json_of(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

const CLOSE: &str = "POST /v1/messages HTTP/1.1\r\nconnection: close";
const STREAM: &str = r#"{"model":"m","stream":true,"messages":[]}"#;

#[tokio::test]
async fn an_answer_names_its_instance_and_its_id() {
    let simulator = Running::start(Settings::default());
    let answer = simulator.exchange(CLOSE, r#"{"messages":[{"role":"user","content":"hi"}]}"#).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(&format!("x-simulator: {}\r\n", simulator.address)));
    assert!(answer.contains("\r\nrequest-id: req_"));
    assert_eq!(json_of(&answer)["usage"]["output_tokens"], 16);

    let answer = simulator.exchange("POST /v1/chat/completions HTTP/1.1\r\nconnection: close", "{}").await;
    assert!(answer.contains("\r\nx-request-id: req_"), "{answer}");
    assert_eq!(json_of(&answer)["object"], "chat.completion");
}

#[tokio::test]
async fn what_is_not_there_is_a_404_in_the_callers_dialect() {
    let simulator = Running::start(Settings::default());
    let answer = simulator.exchange("GET /v1/nothing HTTP/1.1\r\nconnection: close", "").await;
    assert!(answer.starts_with("HTTP/1.1 404 "));
    assert!(json_of(&answer)["error"].get("code").is_some());
    let head = "GET /v1/nothing HTTP/1.1\r\nanthropic-version: 2023-06-01\r\nconnection: close";
    assert_eq!(json_of(&simulator.exchange(head, "").await)["error"]["type"], "not_found_error");
}

#[tokio::test]
async fn models_and_health_answer_whatever_the_error_rate() {
    let simulator = Running::start(Settings { error_rate: "1".parse().unwrap(), ..Settings::default() });
    let openai = simulator.exchange("GET /v1/models HTTP/1.1\r\nconnection: close", "").await;
    assert_eq!(json_of(&openai)["object"], "list");
    let head = "GET /v1/models HTTP/1.1\r\nanthropic-version: 2026-10-21\r\nconnection: close";
    assert_eq!(json_of(&simulator.exchange(head, "").await)["has_more"], false);
    assert!(simulator.exchange("GET /health HTTP/1.1\r\nconnection: close", "").await.ends_with("\r\n\r\nok\n"));
    let answer = simulator.exchange(CLOSE, "{}").await;
    assert!(answer.starts_with("HTTP/1.1 529 "), "{answer}");
    assert_eq!(json_of(&answer)["error"]["type"], "overloaded_error");
}

#[tokio::test]
async fn a_refused_call_leaves_the_connection_open() {
    let simulator = Running::start(Settings::default());
    let refused = request("POST /v1/messages HTTP/1.1\r\nx-sim-status: 429", "{}");
    let last = request(CLOSE, "{}");
    let mut stream = TcpStream::connect(simulator.address).await.unwrap();
    stream.write_all(format!("{refused}{last}").as_bytes()).await.unwrap();
    let mut answers = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut answers)).await.unwrap().unwrap();
    assert!(answers.starts_with("HTTP/1.1 429 ") && answers.contains("\r\nretry-after: 1\r\n"), "{answers}");
    assert!(answers.contains("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_stream_ends_with_the_last_chunk() {
    let simulator = Running::start(Settings::default());
    let answer = simulator.exchange(CLOSE, STREAM).await;
    assert!(answer.contains("\r\ncontent-type: text/event-stream"));
    assert!(answer.contains("event: message_stop") && answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(answer.matches("event: content_block_delta").count(), 16);
}

#[tokio::test]
async fn a_stream_broken_off_has_no_last_chunk() {
    let simulator = Running::start(Settings { abort_rate: "1".parse().unwrap(), ..Settings::default() });
    let answer = simulator.exchange(CLOSE, STREAM).await;
    assert_eq!(answer.matches("event: content_block_delta").count(), 8, "{answer}");
    assert!(!answer.contains("message_stop") && !answer.ends_with("0\r\n\r\n"));
    simulator.settle(|stats| stats["broken_off"] == 1 && stats["in_flight"] == 0).await;
}

#[tokio::test]
async fn an_object_broken_off_is_shorter_than_its_head_promises() {
    let simulator = Running::start(Settings::default());
    let answer = simulator.exchange("POST /v1/responses HTTP/1.1\r\nx-sim-abort: 1", "{}").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let promised = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
    assert_eq!(promised.parse::<usize>().unwrap() / 2, body.len());
}

#[tokio::test]
async fn a_connection_broken_before_the_head_gives_no_byte() {
    let simulator = Running::start(Settings::default());
    assert_eq!(simulator.exchange("POST /v1/messages HTTP/1.1\r\nx-sim-abort: head", "{}").await, "");
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_stream() {
    let simulator = Running::start(Settings { token_gap: plugin_api::Period::from_secs(3600), ..Settings::default() });
    let mut stream = simulator.send("POST /v1/messages HTTP/1.1", STREAM).await;
    // The first token comes at once, the next one never.
    let mut seen = Vec::new();
    while !seen.windows(5).any(|window| window == b"delta") {
        assert_ne!(timeout(DEADLINE, stream.read_buf(&mut seen)).await.unwrap().unwrap(), 0);
    }
    simulator.settle(|stats| stats["in_flight"] == 1).await;
    drop(stream);
    simulator.settle(|stats| stats["in_flight"] == 0 && stats["broken_off"] == 1).await;
}

#[tokio::test]
async fn the_first_byte_waits_as_long_as_asked() {
    let simulator = Running::start(Settings::default());
    let started = Instant::now();
    let head = "POST /v1/messages HTTP/1.1\r\nconnection: close\r\nx-sim-ttft: 60ms\r\nx-sim-token-gap: 10ms\r\nx-sim-tokens: 5";
    simulator.exchange(head, "{}").await;
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn an_answer_without_a_stream_may_come_before_its_stream_would_end() {
    let times = Settings {
        ttft: plugin_api::Period::from_secs(3600),
        whole_after: Some(plugin_api::Period::from_millis(60)),
        ..Settings::default()
    };
    let simulator = Running::start(times);
    let started = Instant::now();
    assert!(simulator.exchange(CLOSE, "{}").await.starts_with("HTTP/1.1 200"));
    assert!(started.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_run() {
    async fn run(seed: u64) -> Vec<Value> {
        let error_rate = "0.5".parse().unwrap();
        let simulator = Running::start(Settings { error_rate, seed, ..Settings::default() });
        let mut answers = Vec::new();
        for _ in 0..20 {
            answers.push(json_of(&simulator.exchange(CLOSE, "{}").await));
        }
        answers
    }
    assert_eq!(run(3).await, run(3).await);
    assert_ne!(run(3).await, run(4).await);
}

#[tokio::test]
async fn a_body_of_twenty_megabytes_is_read_and_counted() {
    let simulator = Running::start(Settings::default());
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{}"}}]}}"#, "a".repeat(20 << 20));
    let head = "POST /v1/messages/count_tokens HTTP/1.1\r\nconnection: close";
    assert_eq!(json_of(&simulator.exchange(head, &body).await)["input_tokens"], 5 << 20);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_unread() {
    let simulator = Running::start(Settings::default());
    let mut stream = TcpStream::connect(simulator.address).await.unwrap();
    let head = format!("POST /v1/messages HTTP/1.1\r\nhost: simulator\r\ncontent-length: {}\r\n\r\n", (64 << 20) + 1);
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(json_of(&answer)["error"]["type"], "request_too_large");
}

#[tokio::test]
async fn http_2_is_spoken_without_asking_and_a_break_resets_the_stream() {
    let simulator = Running::start(Settings::default());
    let stream = TcpStream::connect(simulator.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let call = |abort: &str| {
        let request = Request::post("http://simulator/v1/messages").header("x-sim-abort", abort);
        request.body(Full::new(Bytes::from_static(STREAM.as_bytes()))).unwrap()
    };
    let answer = timeout(DEADLINE, client.send_request(call("0"))).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(body.ends_with(b"data: {\"type\":\"message_stop\"}\n\n"));
    let answer = timeout(DEADLINE, client.send_request(call("1"))).await.unwrap().unwrap();
    assert!(answer.into_body().collect().await.is_err());
    connection.abort();
}

#[tokio::test]
async fn a_batch_is_handed_in_and_its_results_are_downloaded() {
    let simulator = Running::start(Settings { batch_after: plugin_api::Period::from_secs(0), ..Settings::default() });
    let head = "POST /v1/messages/batches HTTP/1.1\r\nconnection: close";
    let body = r#"{"requests":[{"custom_id":"a","params":{"model":"m","messages":[]}}]}"#;
    let batch = json_of(&simulator.exchange(head, body).await);
    assert_eq!(batch["type"], "message_batch");
    let results =
        format!("GET /v1/messages/batches/{}/results HTTP/1.1\r\nconnection: close", batch["id"].as_str().unwrap());
    let answer = simulator.exchange(&results, "").await;
    assert!(answer.contains("\r\ncontent-type: application/x-jsonl\r\n"), "{answer}");
    assert_eq!(json_of(&answer)["result"]["message"]["usage"]["service_tier"], "batch");
    assert_eq!(simulator.stats().await["batches"]["requests"], 1);
    let refused = simulator.exchange(head, r#"{"requests":[]}"#).await;
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
}

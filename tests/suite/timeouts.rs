//! The four limits of time, each with its own error, and the connections that are kept for the next request.

mod keepalive;
mod pausing;
mod upgraded;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::harness::{
    Alpn, Authority, Gateway, Origin, Script, body, feed, gateway, h2c, http1, origin, sse, tls_origin, upload,
};
use crate::payloads::{call, difference};

const SHORT: Duration = Duration::from_millis(200);
/// What a limit of [`SHORT`] may take on a machine that is busy, and far less than any other limit here.
const SOON: Duration = Duration::from_secs(4);

/// A gateway with these limits of time.
async fn limited(origin: &Origin, timeouts: &str) -> Gateway {
    gateway().upstream(origin).upstream_settings(&format!("timeouts: {{ {timeouts} }}")).start().await
}

/// Asks, expects 504 after `SHORT`, and gives the word for it in the access log.
async fn times_out(gateway: &Gateway) -> String {
    let began = Instant::now();
    let answer = http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await;
    let took = began.elapsed();
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert!(took >= SHORT - Duration::from_millis(10) && took < SOON, "took {took:?}");
    let id = answer.header("x-request-id").unwrap().to_owned();
    word(gateway, |line| line["id"] == id.as_str()).await
}

async fn word(gateway: &Gateway, line: impl Fn(&serde_json::Value) -> bool) -> String {
    let line = gateway.logged(line).await;
    assert_eq!(line["outcome"], "upstream_failed", "{line}");
    line["error"].as_str().unwrap().to_owned()
}

/// An address at which connections are neither accepted nor refused, since its queue is full.
struct Deaf {
    address: SocketAddr,
    _listener: Socket,
    _queued: Vec<JoinHandle<std::io::Result<TcpStream>>>,
}

impl Deaf {
    async fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        loop {
            let mut connecting = tokio::spawn(TcpStream::connect(address));
            let full = timeout(SHORT, &mut connecting).await.is_err();
            queued.push(connecting);
            if full {
                return Self { address, _listener: listener, _queued: queued };
            }
        }
    }
}

#[tokio::test]
async fn connect_limits_how_long_a_connection_may_take() {
    let deaf = Deaf::new().await;
    let gateway = gateway().server(deaf.address).upstream_settings("timeouts: { connect: 200ms }").start().await;
    assert_eq!(times_out(&gateway).await, "connect_timeout");
}

#[tokio::test]
async fn a_connection_that_takes_too_long_is_tried_elsewhere() {
    let (deaf, origin) = (Deaf::new().await, origin().await);
    let gateway = gateway().server(deaf.address).upstream(&origin).upstream_settings("timeouts: { connect: 200ms }");
    let gateway = gateway.start().await;
    for _ in 0..3 {
        assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await.status, 200);
    }
}

/// Limits in either order: one of the two is kept by another means than the other.
const ORDERS: [&str; 2] = ["first_byte: 200ms, idle: 30s", "first_byte: 200ms, idle: 100ms"];

#[tokio::test]
async fn first_byte_limits_how_long_the_head_of_an_answer_may_take() {
    for timeouts in ORDERS {
        let origin = origin().await;
        origin.answers(Script::silent());
        let gateway = limited(&origin, timeouts).await;
        assert_eq!(times_out(&gateway).await, "first_byte_timeout", "{timeouts}");
        origin.abandoned(0).await;
    }
}

#[tokio::test]
async fn first_byte_holds_on_tls_and_http2_too() {
    let authority = Authority::new();
    for (alpn, timeouts) in [(Alpn::H2, ORDERS[0]), (Alpn::H2, ORDERS[1]), (Alpn::Http1, ORDERS[0])] {
        let origin = tls_origin(&authority, &["localhost"], alpn).await;
        origin.answers(Script::silent());
        let gateway = limited(&origin, timeouts).await;
        assert_eq!(times_out(&gateway).await, "first_byte_timeout", "{alpn:?} {timeouts}");
    }
}

#[tokio::test]
async fn first_byte_counts_from_the_last_byte_of_the_request() {
    for settings in ["", "plugins: [{ max_tokens: { limit: 4000 } }]"] {
        let origin = origin().await;
        let gateway =
            gateway().upstream(&origin).upstream_settings("timeouts: { first_byte: 400ms }").settings(settings);
        let gateway = gateway.start().await;
        let mut client = http1(gateway.address()).await;
        let (sender, streamed) = upload();
        let request = client.request("POST", "/v1/messages").body(streamed).unwrap();
        let sending = tokio::spawn(async move {
            // longer in all than the limit
            let call = call(1000, 1);
            for piece in call.chunks(100) {
                assert!(sender.send(piece.to_vec()).await, "nobody wants the body any more");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        assert_eq!(client.call(request).await.status, 200);
        sending.await.unwrap();
        assert_eq!(difference(&call(1000, 1), &origin.request(0).await.body), None);
    }
}

/// Reads an answer that breaks after `SHORT`, and gives the word for it in the access log.
async fn breaks(gateway: &Gateway, expected: &str) -> String {
    let mut client = http1(gateway.address()).await;
    let request = client.request("POST", "/v1/messages").body(body(call(300, 1))).unwrap();
    let mut streaming = client.send(request).await.unwrap();
    let began = Instant::now();
    let (text, clean) = streaming.rest().await;
    let took = began.elapsed();
    assert!(!clean, "a clean end after {:?}", String::from_utf8_lossy(&text));
    assert_eq!(String::from_utf8_lossy(&text), expected);
    assert!(took < SOON, "took {took:?}");
    word(gateway, |line| !line["error"].is_null()).await
}

#[tokio::test]
async fn idle_limits_the_pauses_within_an_answer() {
    for timeouts in ["idle: 200ms", "idle: 200ms, first_byte: 100ms", "idle: 200ms, first_byte: 30s"] {
        let origin = origin().await;
        origin.answers(sse().event("one").silence());
        let gateway = limited(&origin, timeouts).await;
        assert_eq!(breaks(&gateway, "data: one\n\n").await, "idle_timeout", "{timeouts}");
        origin.abandoned(0).await;
    }
}

#[tokio::test]
async fn idle_holds_on_tls_and_http2_too() {
    let authority = Authority::new();
    for (alpn, timeouts) in [
        (Alpn::H2, "idle: 200ms, first_byte: 30s"),
        (Alpn::H2, "idle: 200ms, first_byte: 100ms"),
        (Alpn::Http1, "idle: 200ms, first_byte: 30s"),
    ] {
        let origin = tls_origin(&authority, &["localhost"], alpn).await;
        origin.answers(sse().event("one").silence());
        let gateway = limited(&origin, timeouts).await;
        assert_eq!(breaks(&gateway, "data: one\n\n").await, "idle_timeout", "{alpn:?} {timeouts}");
        origin.abandoned(0).await;
    }
}

#[tokio::test]
async fn a_stream_whose_pauses_are_short_lives_longer_than_idle_and_first_byte() {
    let origin = origin().await;
    let mut script = sse();
    for number in 0..12 {
        script = script.event(&number.to_string()).pause(Duration::from_millis(100));
    }
    origin.answers(script.end());
    let gateway = limited(&origin, "idle: 600ms, first_byte: 500ms").await;
    let mut clients = [http1(gateway.address()).await, h2c(gateway.address()).await];
    for client in &mut clients {
        let answer = client.post("/v1/messages", "x").await;
        assert!(answer.text().ends_with("data: 11\n\n"), "{}", answer.text());
    }
}

#[tokio::test]
async fn total_before_the_head_is_504() {
    let origin = origin().await;
    origin.answers(Script::silent());
    let gateway = limited(&origin, "total: 200ms").await;
    assert_eq!(times_out(&gateway).await, "total_timeout");
    origin.abandoned(0).await;
}

#[tokio::test]
async fn total_counts_all_attempts() {
    let servers = [origin().await, origin().await];
    for server in &servers {
        server.answers(Script::silent());
    }
    let gateway = gateway().upstream(&servers[0]).upstream(&servers[1]);
    let gateway = gateway
        .upstream_settings("timeouts: { first_byte: 150ms, total: 200ms }\nretry: { on: [timeout, non_idempotent] }")
        .start()
        .await;
    assert_eq!(times_out(&gateway).await, "total_timeout");
}

#[tokio::test]
async fn total_after_the_head_breaks_the_answer_even_while_it_flows() {
    let origin = origin().await;
    let events = feed();
    origin.answers(sse().feed(&events).end());
    let gateway = limited(&origin, "total: 400ms").await;
    let flowing = tokio::spawn(async move {
        loop {
            events.send(": ping\n\n");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut client = http1(gateway.address()).await;
    let request = client.request("POST", "/v1/messages").body(body("x")).unwrap();
    let began = Instant::now();
    let mut streaming = client.send(request).await.unwrap();
    let (text, clean) = streaming.rest().await;
    assert!(!clean && began.elapsed() < SOON, "{clean} after {:?}", began.elapsed());
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with(": ping\n\n") && text.replace(": ping\n\n", "").is_empty(), "{text}");
    assert_eq!(word(&gateway, |_| true).await, "total_timeout");
    origin.abandoned(0).await;
    flowing.abort();
}

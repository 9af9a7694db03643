//! Requests that plugins send by themselves, over real sockets: a whole gateway before servers that do what a test says.

mod calls;
mod lifecycle;
mod server;

use std::time::Instant;

use plugin_api::http::header::{AUTHORIZATION, HOST};
use plugin_api::http::{HeaderMap, HeaderValue, Method};
use plugin_api::{
    Bytes, Common, ErrorKind, Flow, Needs, OutgoingCall, Reply, SendError, SendFailure, SendLimits, Sending,
    UpstreamRequest,
};

use self::server::Server;
use super::*;

/// A gateway with these upstreams, whose one route is of no concern here.
fn gateway(upstreams: &str) -> Running {
    let (source, config) = configured(upstreams);
    started(source, &config, 2, Arc::new(Metrics::new()))
}

fn configured(upstreams: &str) -> (Source, Config) {
    const TEXT: &str = "
log: { level: error }
access_log: { path: off }
server: { drain_timeout: 1s }
listeners: [{ address: 127.0.0.1:0 }]
routes: [{ answer: { status: 204 } }]
upstreams: { ${UPSTREAMS} }
";
    let text = TEXT.replace("${UPSTREAMS}", upstreams);
    let source = Source::Text { name: "test", text: text.leak(), variables: Vec::new() };
    let config = source.load().unwrap();
    (source, config)
}

fn post(upstream: &str, target: &str, body: &'static str) -> UpstreamRequest {
    UpstreamRequest {
        upstream: upstream.into(),
        method: Method::POST,
        target: target.to_owned(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(body.as_bytes()),
        limits: SendLimits::default(),
        once: false,
    }
}

fn send(running: &Running, request: UpstreamRequest) -> Sending {
    running.persistent.plugins.common().upstreams.send(request)
}

/// Requests in flight on each server, in the order of the YAML.
fn in_flight(running: &Running) -> Vec<u64> {
    let snapshot = running.snapshot.load();
    snapshot.upstreams.iter().flat_map(|upstream| upstream.pool.servers()).map(|view| view.server.in_flight()).collect()
}

/// Waits until nothing is in flight anywhere.
async fn idle(running: &Running) {
    let until = Instant::now() + Duration::from_secs(10);
    while in_flight(running).iter().any(|count| *count > 0) || running.metrics.plugin_requests_in_flight() > 0 {
        assert!(Instant::now() < until, "still in flight: {:?}", in_flight(running));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn has(head: &str, line: &str) -> bool {
    head.lines().any(|have| have.eq_ignore_ascii_case(line))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_goes_to_the_upstream_that_it_names_with_the_credential_of_that() {
    let (other, mut server) = (Server::start().await, Server::start().await);
    let running = gateway(&format!(
        "a: {{ servers: [{{ address: {} }}] }}, b: {{ servers: [{{ address: {} }}], headers: {{ x-api-key: ours, authorization: off }} }}",
        other.address, server.address
    ));
    let mut request = post("b", "/v1/files?purpose=batch", "{\"a\": 1}");
    request.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer theirs"));
    request.headers.insert("connection", HeaderValue::from_static("close"));
    request.headers.append("x-two", HeaderValue::from_static("1"));
    request.headers.append("x-two", HeaderValue::from_static("2"));
    let sending = tokio::spawn(send(&running, request));
    let asked = server.asked().await;
    assert!(asked.head.starts_with("POST /v1/files?purpose=batch HTTP/1.1\r\n"), "{}", asked.head);
    for line in [&*format!("host: {}", server.address), "x-api-key: ours", "content-length: 8", "x-two: 1", "x-two: 2"]
    {
        assert!(has(&asked.head, line), "{line}: {}", asked.head);
    }
    let head = asked.head.to_ascii_lowercase();
    for name in
        ["authorization", "connection", "x-forwarded", "forwarded", "x-real-ip", "x-request-id", "transfer-encoding"]
    {
        assert!(!head.contains(&format!("\n{name}")), "{name}: {head}");
    }
    assert_eq!(asked.body, b"{\"a\": 1}");
    assert_eq!((in_flight(&running), running.metrics.plugin_requests_in_flight()), (vec![0, 1], 1));
    assert_eq!(running.metrics.requests_in_flight(), 0);
    asked.answer("HTTP/1.1 201 Created\r\nx-id: 7\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{\"b\"\r\n4\r\n: 2}\r\n0\r\n\r\n").await;
    let response = sending.await.unwrap().unwrap();
    assert_eq!((response.status.as_u16(), response.headers.get("x-id").unwrap().as_bytes()), (201, &b"7"[..]));
    let sent = &response.sent;
    assert_eq!((&*sent.upstream, sent.server.as_deref(), sent.attempts), ("b", Some(&*server.address.to_string()), 1));
    assert_eq!((sent.addresses.last(), sent.error), (Some(server.address), None));
    assert_eq!(response.body.whole(100).await.unwrap(), "{\"b\": 2}");
    idle(&running).await;
    // the connection is kept for the next one, which may name its host
    let mut request = post("b", "/", "");
    (request.method, request.headers) =
        (Method::GET, HeaderMap::from_iter([(HOST, HeaderValue::from_static("x.test"))]));
    let sending = tokio::spawn(send(&running, request));
    let asked = server.asked().await;
    assert!(asked.head.starts_with("GET / HTTP/1.1\r\n") && has(&asked.head, "host: x.test"), "{}", asked.head);
    asked.answer("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno").await;
    let response = sending.await.unwrap().unwrap();
    assert_eq!((response.status.as_u16(), &*response.body.whole(2).await.unwrap()), (404, &b"no"[..]));
    assert_eq!(*server.connections.lock().unwrap(), 1);
    let shown = String::from_utf8(running.metrics.render(&[], &[])).unwrap();
    assert!(!shown.contains("http_request_duration_seconds_count{"), "a plugin's request is no client's: {shown}");
    running.end(Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_fails_is_followed_by_one_on_another_server() {
    let (mut first, mut second) = (Server::start().await, Server::start().await);
    let running = gateway(&format!(
        "a: {{ balance: round_robin, servers: [{{ address: {} }}, {{ address: {} }}] }}",
        first.address, second.address
    ));
    let sending = tokio::spawn(send(&running, post("a", "/v1/embeddings", "{}")));
    let (asked, other) = tokio::select! {
        asked = first.asked() => (asked, &mut second),
        asked = second.asked() => (asked, &mut first),
    };
    asked.answer("HTTP/1.1 503 Service Unavailable\r\nretry-after: 9\r\ncontent-length: 0\r\n\r\n").await;
    other.asked().await.answer("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nfull").await;
    // the last answer is the plugin's, whatever it says
    let response = sending.await.unwrap().unwrap();
    assert_eq!((response.status.as_u16(), response.sent.attempts), (503, 2));
    assert_eq!(response.body.whole(4).await.unwrap(), "full");
    idle(&running).await;
    running.end(Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_and_an_upstream_that_is_not_are_told_apart() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let running = gateway(&format!("a: {{ servers: [{{ address: {nobody} }}] }}"));
    let Err(SendError::Failed(failure)) = send(&running, post("a", "/", "{}")).await else { panic!() };
    assert_eq!((failure.kind, failure.sent.error, failure.sent.attempts), (ErrorKind::BadGateway, Some("connect"), 1));
    assert_eq!(send(&running, post("b", "/", "{}")).await.unwrap_err(), SendError::UnknownUpstream("b".into()));
    assert_eq!(send(&running, post("a", "/ /", "{}")).await.unwrap_err(), SendError::Invalid);
    idle(&running).await;
    let upstreams = running.persistent.clone();
    running.end(Duration::from_secs(5));
    let stopped = upstreams.plugins.common().upstreams.send(post("a", "/", "{}")).await;
    assert_eq!(stopped.unwrap_err(), SendError::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_gives_up_ends_its_request_at_the_server() {
    let mut server = Server::start().await;
    let running = gateway(&format!("a: {{ servers: [{{ address: {} }}] }}", server.address));
    // before the response
    let sending = tokio::spawn(send(&running, post("a", "/", "{}")));
    let asked = server.asked().await;
    sending.abort();
    asked.closed().await;
    idle(&running).await;
    // within it
    let sending = tokio::spawn(send(&running, post("a", "/", "{}")));
    let mut asked = server.asked().await;
    asked.stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345").await.unwrap();
    let mut response = sending.await.unwrap().unwrap();
    assert_eq!(response.body.next().await.unwrap().unwrap(), "12345");
    assert_eq!(in_flight(&running), [1]);
    drop(response);
    asked.closed().await;
    idle(&running).await;
    // because it is longer than the plugin reads
    let sending = tokio::spawn(send(&running, post("a", "/", "{}")));
    let mut asked = server.asked().await;
    asked.stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n12345").await.unwrap();
    assert_eq!(sending.await.unwrap().unwrap().body.whole(4).await.unwrap_err(), SendError::TooLarge);
    asked.closed().await;
    idle(&running).await;
    let pool = &running.snapshot.load().upstreams[0].pool;
    assert_eq!(pool.servers()[0].server.last_failure(), None, "none of that is the server's fault");
    running.end(Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_breaks_off_is_no_whole_one() {
    let mut server = Server::start().await;
    let running =
        gateway(&format!("a: {{ servers: [{{ address: {} }}], timeouts: {{ first_byte: 1m }} }}", server.address));
    let sending = tokio::spawn(send(&running, post("a", "/", "{}")));
    let mut asked = server.asked().await;
    asked.stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345").await.unwrap();
    let response = sending.await.unwrap().unwrap();
    drop(asked);
    let Err(SendError::Failed(failure)) = response.body.whole(100).await else { panic!() };
    assert_eq!(failure.sent.error, Some("broken_answer"));
    // and one that does not begin in the time that the plugin gives it
    let mut request = post("a", "/", "{}");
    request.limits.first_byte = Some(Duration::from_millis(50));
    let sending = tokio::spawn(send(&running, request));
    let asked = server.asked().await;
    let Err(SendError::Failed(failure)) = sending.await.unwrap() else { panic!() };
    assert_eq!((failure.kind, failure.sent.error), (ErrorKind::GatewayTimeout, Some("first_byte_timeout")));
    asked.closed().await;
    // or end
    let mut request = post("a", "/", "{}");
    request.limits.total = Some(Duration::from_millis(50));
    let sending = tokio::spawn(send(&running, request));
    let mut asked = server.asked().await;
    asked.stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345").await.unwrap();
    let ended = match sending.await.unwrap() {
        Ok(response) => response.body.whole(100).await.unwrap_err(),
        Err(error) => error,
    };
    let SendError::Failed(failure) = ended else { panic!("{ended}") };
    assert_eq!(failure.sent.error, Some("total_timeout"));
    asked.closed().await;
    idle(&running).await;
    running.end(Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_pass_whole_both_ways() {
    let mut server = Server::start().await;
    let running = gateway(&format!("a: {{ servers: [{{ address: {} }}] }}", server.address));
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut request = post("a", "/", "");
    request.body = bytes.clone().into();
    let sending = tokio::spawn(send(&running, request));
    let asked = server.asked().await;
    assert!(asked.body == bytes);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bytes.len());
    let answering = tokio::spawn(asked.answer([head.as_bytes(), &bytes].concat()));
    assert!(sending.await.unwrap().unwrap().body.whole(bytes.len()).await.unwrap() == bytes);
    answering.await.unwrap();
    idle(&running).await;
    running.end(Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_come_from_threads_of_plugins_too_whose_runtimes_have_no_sockets() {
    let mut server = Server::start().await;
    let running = gateway(&format!("a: {{ servers: [{{ address: {} }}] }}", server.address));
    let persistent = running.persistent.clone();
    let asks = std::thread::spawn(move || {
        let request = || persistent.plugins.common().upstreams.send(post("a", "/", "{}"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { request().await.unwrap().body.whole(9).await.unwrap() })
    });
    server.asked().await.ok("one").await;
    assert_eq!(tokio::task::spawn_blocking(|| asks.join().unwrap()).await.unwrap(), "one");
    idle(&running).await;
    running.end(Duration::from_secs(5));
}

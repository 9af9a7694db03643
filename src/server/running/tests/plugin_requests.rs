//! Requests that plugins send by themselves, over real sockets: a whole gateway before servers that do what a test says.

use std::time::Instant;

use plugin_api::http::header::{AUTHORIZATION, HOST};
use plugin_api::http::{HeaderMap, HeaderValue, Method};
use plugin_api::{
    Bytes, Common, ErrorKind, Flow, Needs, OutgoingCall, Reply, SendError, SendFailure, SendLimits, Sending,
    UpstreamRequest,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;

/// A request as a server has read it, and the connection to answer on.
struct Asked {
    head: String,
    body: Vec<u8>,
    stream: TcpStream,
    /// Gets the connection back, for its next request.
    again: UnboundedSender<TcpStream>,
}

impl Asked {
    /// Answers with these bytes, and takes the next request of the connection.
    async fn answer(mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.again.send(self.stream).unwrap();
    }

    async fn ok(self, body: &str) {
        let length = body.len();
        self.answer(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await;
    }

    /// Waits until the gateway closes the connection.
    async fn closed(mut self) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
    }
}

/// A server, its requests, and how many connections it has had.
struct Server {
    address: SocketAddr,
    requests: UnboundedReceiver<Asked>,
    connections: Arc<Mutex<usize>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, requests) = unbounded_channel();
        let (again, mut returned) = unbounded_channel();
        let connections = Arc::new(Mutex::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => {
                        *count.lock().unwrap() += 1;
                        accepted.unwrap().0
                    }
                    Some(stream) = returned.recv() => stream,
                };
                tokio::spawn(read(stream, asked.clone(), again.clone()));
            }
        });
        Self { address, requests, connections }
    }

    async fn asked(&mut self) -> Asked {
        self.requests.recv().await.unwrap()
    }
}

async fn read(mut stream: TcpStream, asked: UnboundedSender<Asked>, again: UnboundedSender<TcpStream>) -> Option<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = bytes.split_off(end);
    while body.len() < length.unwrap_or(0) {
        (stream.read_buf(&mut body).await.ok()? > 0).then_some(())?;
    }
    asked.send(Asked { head, body, stream, again }).ok()
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_where_the_next_request_goes_and_no_other() {
    let (mut old, mut new) = (Server::start().await, Server::start().await);
    let running = gateway(&format!("a: {{ servers: [{{ address: {} }}] }}", old.address));
    let before = tokio::spawn(send(&running, post("a", "/", "{}")));
    let asked = old.asked().await;
    let (_, config) = configured(&format!("a: {{ servers: [{{ address: {} }}] }}", new.address));
    let snapshot = Snapshot::build(&config, "".as_ref(), &running.persistent, &running.metrics).unwrap();
    running.snapshot.store(Arc::new(snapshot));
    running.snapshot.load().activate();
    let after = tokio::spawn(send(&running, post("a", "/", "{}")));
    new.asked().await.ok("new").await;
    asked.ok("old").await;
    assert_eq!(after.await.unwrap().unwrap().body.whole(9).await.unwrap(), "new");
    assert_eq!(before.await.unwrap().unwrap().body.whole(9).await.unwrap(), "old");
    idle(&running).await;
    running.end(Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_for_a_request_and_cuts_it_once_its_time_is_up() {
    let mut server = Server::start().await;
    let upstreams = format!("a: {{ servers: [{{ address: {} }}] }}", server.address);
    for is_answered in [true, false] {
        let mut running = gateway(&upstreams);
        let sending = tokio::spawn(send(&running, post("a", "/", "{}")));
        let asked = server.asked().await;
        let (stopped, running) = {
            let stopping = tokio::spawn(async move {
                let stopped = running.stop(Duration::ZERO, std::future::pending()).await;
                (stopped, running)
            });
            if is_answered {
                asked.ok("late").await;
                assert_eq!(sending.await.unwrap().unwrap().body.whole(9).await.unwrap(), "late");
                let (stopped, running) = stopping.await.unwrap();
                running.end(Duration::from_secs(5));
                assert_eq!(stopped, Stopped::Drained);
                continue;
            }
            stopping.await.unwrap()
        };
        assert_eq!(stopped, Stopped::Cut);
        tokio::task::spawn_blocking(|| running.end(Duration::from_secs(5))).await.unwrap();
        asked.closed().await;
        let cut = sending.await.unwrap().unwrap_err();
        assert!(matches!(cut, SendError::Failed(_) | SendError::Stopped), "{cut}");
    }
}

/// Sends every call itself, and gives what comes of it.
struct SendsItself(Arc<Common>);

impl Plugin for SendsItself {
    const NAME: &'static str = "sends_itself";
    const NEEDS: Needs = Needs { body: true, send: true, ..Needs::NOTHING };
    type Config = ();
    type Shared = ();
    type State = ();

    fn build((): &(), context: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Ok(Self(context.common.clone()))
    }

    async fn on_send(&self, (): &mut (), call: &mut OutgoingCall<'_>) -> Flow {
        if call.call.text().starts_with(b"{\"model\":\"by\"") {
            return Flow::Continue;
        }
        assert!(call.headers.contains_key("x-kept") && !call.headers.contains_key("content-length"));
        let request = call.request(call.call.body().clone());
        let answered = async {
            let response = self.0.upstreams.send(request).await?;
            let (status, headers, sent) = (response.status, response.headers, response.sent);
            Ok(Reply::from_upstream(status, headers, response.body.whole(1000).await?, sent))
        };
        let (protocol, id) = (call.call.protocol(), call.context.id);
        answered.await.unwrap_or_else(|error| Reply::send_failed(protocol, &error, call.upstream, id)).into()
    }
}

/// What the record of a call says that matters here.
#[derive(Debug, PartialEq)]
struct Row {
    outcome: Outcome,
    status: Option<u16>,
    error: Option<&'static str>,
    upstream: Option<String>,
    server: Option<String>,
    attempts: u32,
    tokens: Option<u64>,
    request_id: Option<String>,
}

#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<Row>>>);

impl Plugin for Records {
    const NAME: &'static str = "records";
    const NEEDS: Needs = Needs { answer: true, ..Needs::NOTHING };
    type Config = ();
    type Shared = ();
    type State = ();

    fn build((): &(), _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Ok(Self::default())
    }

    fn on_complete(&self, (): &mut (), record: &Record) {
        let tokens = record.answer.as_ref().and_then(|answer| answer.usage.as_ref()?.tokens.input);
        self.0.lock().unwrap().push(Row {
            outcome: record.outcome,
            status: record.status.map(|status| status.as_u16()),
            error: record.error,
            upstream: record.upstream.as_deref().map(str::to_owned),
            server: record.server.as_deref().map(str::to_owned),
            attempts: record.attempts,
            tokens,
            request_id: record.upstream_request_id.clone(),
        });
    }
}

/// An embedding call of a client, up to the end of its answer.
async fn embed(address: SocketAddr, model: &str) -> String {
    let body = format!("{{\"model\":\"{model}\",\"input\":\"a\"}}");
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/embeddings HTTP/1.1\r\nhost: a\r\nx-kept: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer).await;
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_of_a_call_that_a_plugin_sent_is_as_if_the_gateway_had() {
    let mut server = Server::start().await;
    let upstreams = format!("a: {{ servers: [{{ address: {} }}] }}", server.address);
    let running = gateway(&upstreams);
    let (source, _) = configured(&upstreams);
    let Source::Text { text, .. } = source else { panic!() };
    for settings in ["", ", on_client_disconnect: drain"] {
        let text = text.replace("answer: { status: 204 }", &format!("upstream: a{settings}"));
        let config = Source::Text { name: "test", text: text.leak(), variables: Vec::new() }.load().unwrap();
        let records = Records::default();
        let mut snapshot = Snapshot::build(&config, "".as_ref(), &running.persistent, &running.metrics).unwrap();
        let sends = SendsItself(running.persistent.plugins.common().clone());
        let plugins = vec![PluginFactory::new(records.clone()), PluginFactory::new(sends)];
        Arc::get_mut(&mut snapshot.routes[0]).unwrap().chain = Chain::new(plugins);
        running.snapshot.store(Arc::new(snapshot));
        running.snapshot.load().activate();
        let address = running.listeners.addresses().next().unwrap();
        let answer =
            "{\"object\":\"list\",\"data\":[],\"model\":\"m\",\"usage\":{\"prompt_tokens\":7,\"total_tokens\":7}}";
        let full = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: r1\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        for model in ["m", "by"] {
            let calling = tokio::spawn(async move { embed(address, model).await });
            let asked = server.asked().await;
            assert!(has(&asked.head, "x-kept: 1"));
            asked.answer(&full).await;
            let got = calling.await.unwrap();
            assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with(answer), "{got}");
            assert!(got.contains("x-request-id: r1\r\n"), "{got}");
        }
        // an error of the server, and a server that says nothing
        let calling = tokio::spawn(async move { embed(address, "m").await });
        server.asked().await.answer("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}").await;
        assert!(calling.await.unwrap().starts_with("HTTP/1.1 400 Bad Request\r\n"));
        let mut calling = tokio::spawn(async move { embed(address, "m").await });
        let got = loop {
            tokio::select! {
                got = &mut calling => break got.unwrap(),
                // the first one came on a kept connection, which may have been closed before
                asked = server.asked() => drop(asked),
            }
        };
        assert!(got.starts_with("HTTP/1.1 502 Bad Gateway\r\n") && got.contains("\"bad_gateway\""), "{got}");
        let until = Instant::now() + Duration::from_secs(10);
        while running.metrics.requests_in_flight() > 0 {
            assert!(Instant::now() < until);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let row = |outcome, status, error, tokens, request_id: Option<&str>| Row {
            outcome,
            status: Some(status),
            error,
            upstream: Some("a".to_owned()),
            server: Some(server.address.to_string()),
            attempts: 1,
            tokens,
            request_id: request_id.map(str::to_owned),
        };
        let answered = || row(Outcome::Completed, 200, None, Some(7), Some("r1"));
        let refused = row(Outcome::Completed, 400, None, None, None);
        let failed = row(Outcome::UpstreamFailed, 502, Some("no_answer"), None, None);
        assert_eq!(*records.0.lock().unwrap(), [answered(), answered(), refused, failed], "{settings}");
    }
    idle(&running).await;
    running.end(Duration::from_secs(5));
}

#[test]
fn a_failed_request_of_a_plugin_is_told_as_one_of_the_gateway() {
    let sent = Box::new(plugin_api::SentTo { error: Some("connect"), ..plugin_api::SentTo::nowhere("a".into()) });
    let failure = SendFailure {
        kind: ErrorKind::BadGateway,
        status: plugin_api::http::StatusCode::TOO_MANY_REQUESTS,
        message: "no",
        retry_after: Some(HeaderValue::from_static("7")),
        sent,
    };
    let protocol = plugin_api::Protocol::DEFAULT;
    let reply = Reply::send_failed(protocol, &SendError::Failed(failure.into()), &"a".into(), plugin_api::Uuid::nil());
    assert_eq!((reply.status.as_u16(), reply.outcome), (429, Outcome::UpstreamFailed));
    assert_eq!(reply.headers["retry-after"], "7");
    let reply = Reply::send_failed(protocol, &SendError::NoMemory, &"a".into(), plugin_api::Uuid::nil());
    assert_eq!((reply.status.as_u16(), reply.sent.unwrap().error), (503, Some("no_memory")));
}

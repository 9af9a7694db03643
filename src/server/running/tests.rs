//! A whole gateway in this process, with plugins that no YAML can name.

mod plugin_requests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plugin_api::http::HeaderMap;
use plugin_api::{BuildContext, Call, Chunk, ConfigProblem, Flow, Needs, Outcome, Plugin, Record, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::chain::{Chain, PluginFactory};
use crate::simulate;

/// Panics in the phase that the request's `x-panic` names.
struct Panicky;

#[derive(Default)]
struct Told(Option<String>);

impl Told {
    fn at(&self, phase: &str) {
        assert_ne!(self.0.as_deref(), Some(phase), "told to");
    }
}

fn panic_header(headers: &HeaderMap) -> Option<String> {
    headers.get("x-panic").map(|phase| phase.to_str().unwrap().to_owned())
}

impl Plugin for Panicky {
    const NAME: &'static str = "panicky";
    const NEEDS: Needs = Needs { body: true, ..Needs::NOTHING };
    type Config = ();
    type Shared = ();
    type State = Told;

    fn build((): &(), _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Ok(Self)
    }

    async fn on_request(&self, told: &mut Told, request: &mut Request<'_>) -> Flow {
        told.0 = panic_header(request.head.headers);
        told.at("on_request");
        Flow::Continue
    }

    async fn on_call(&self, told: &mut Told, _: &mut Call<'_>) -> Flow {
        told.at("on_call");
        Flow::Continue
    }

    async fn on_response(&self, told: &mut Told, _: &mut Response<'_>) {
        told.at("on_response");
    }

    fn on_chunk(&self, told: &mut Told, _: &mut Chunk<'_>) {
        told.at("on_chunk");
    }

    fn on_complete(&self, told: &mut Told, _: &Record) {
        told.at("on_complete");
    }
}

/// A gateway that accepts.
fn started(source: Source, config: &Config, threads: usize, metrics: Arc<Metrics>) -> Running {
    let tls = ReadTls::load(&config.listeners, source.base());
    let prepared = prepare(&source, config, tls, &Listeners::default(), &mut GivenSockets::default()).unwrap();
    let mut running = Running::start(source, config, Arc::default(), threads, metrics).unwrap();
    running.open(prepared).unwrap();
    running
}

/// Keeps the row of every exchange.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<Vec<(String, Outcome)>>>);

impl Plugin for Rows {
    const NAME: &'static str = "rows";
    type Config = ();
    type Shared = ();
    type State = Option<String>;

    fn build((): &(), _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Ok(Self::default())
    }

    async fn on_request(&self, phase: &mut Option<String>, request: &mut Request<'_>) -> Flow {
        *phase = panic_header(request.head.headers);
        Flow::Continue
    }

    fn on_complete(&self, phase: &mut Option<String>, record: &Record) {
        let row = (phase.take().unwrap_or_default(), record.outcome);
        self.0.lock().unwrap().push(row);
    }
}

const CONFIG: &str = "
log: { level: error }
access_log: { path: off }
listeners: [{ address: 127.0.0.1:0 }]
upstreams: { simulated: { servers: [{ address: \"${UPSTREAM}\" }] } }
routes: [{ upstream: simulated }]
";

/// A gateway before a simulator, whose one route has these plugins.
fn start(plugins: Vec<PluginFactory>) -> (Running, SocketAddr) {
    let upstream = simulate::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let variables = vec![("UPSTREAM", upstream.local_addr().unwrap().to_string())];
    tokio::spawn(simulate::serve(upstream, simulate::Settings::default()));
    let source = Source::Text { name: "test", text: CONFIG, variables };
    let config = source.load().unwrap();
    let metrics = Arc::new(Metrics::new());
    let running = started(source, &config, 2, metrics.clone());
    let mut snapshot = Snapshot::build(&config, "".as_ref(), &running.persistent, &metrics).unwrap();
    Arc::get_mut(&mut snapshot.routes[0]).unwrap().chain = Chain::new(plugins);
    running.snapshot.store(Arc::new(snapshot));
    let address = running.listeners.addresses().next().unwrap();
    (running, address)
}

/// One call on a connection of its own: the status, and whether the answer is whole.
async fn call(address: SocketAddr, panic_in: &str) -> (u16, bool) {
    let body = r#"{"model":"m","max_tokens":4,"messages":[{"role":"user","content":"Hello"}]}"#;
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Panic: {panic_in}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    // a broken answer may end in a reset
    let _ = client.read_to_string(&mut answer).await;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, answer.ends_with('}'))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_panics_costs_its_own_request_alone() {
    let rows = Rows::default();
    let (running, address) = start(vec![PluginFactory::new(rows.clone()), PluginFactory::new(Panicky)]);
    let phases = ["on_request", "on_call", "on_response", "on_chunk", "on_complete", "nowhere"];
    let mut calls = tokio::task::JoinSet::new();
    for phase in phases.repeat(10) {
        calls.spawn(async move { (phase, call(address, phase).await) });
    }
    for (phase, answer) in calls.join_all().await {
        match phase {
            // with the head out, all that is left is to break off
            "on_chunk" => assert!(!answer.1 || answer.0 == 500, "{phase}: {answer:?}"),
            "on_complete" | "nowhere" => assert_eq!(answer, (200, true), "{phase}"),
            _ => assert_eq!(answer, (500, true), "{phase}"),
        }
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while running.metrics.requests_in_flight() > 0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut counts: HashMap<(String, Outcome), usize> = HashMap::new();
    for (phase, end) in rows.0.lock().unwrap().iter() {
        *counts.entry((phase.clone(), *end)).or_default() += 1;
    }
    for phase in phases {
        let end = if matches!(phase, "on_complete" | "nowhere") { Outcome::Completed } else { Outcome::Aborted };
        assert_eq!(counts.get(&(phase.to_owned(), end)), Some(&10), "{phase}: {counts:?}");
    }
    let server = running.snapshot.load().upstreams[0].pool.servers()[0].server.clone();
    assert_eq!(server.in_flight(), 0);
}

/// Asks for something small, and gives the status.
async fn status(address: SocketAddr) -> String {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[9..12]).into_owned()
}

const TWO: &str = "
log: { level: error }
access_log: { path: off }
listeners: [{ address: 127.0.0.1:0 }]
upstreams: { two: { balance: round_robin, servers: [{ address: \"${UPSTREAM}\" }], retry: { attempts: 1 } } }
routes: [{ upstream: two }]
";

#[tokio::test]
async fn a_name_with_several_addresses_is_as_many_servers_and_one_that_refuses_costs_no_attempt() {
    let first = simulate::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = first.local_addr().unwrap().port();
    let second = simulate::bind(SocketAddr::from(([127, 0, 0, 2], port))).unwrap();
    tokio::spawn(simulate::serve(first, simulate::Settings::default()));
    let second = tokio::spawn(simulate::serve(second, simulate::Settings::default()));
    let source = Source::Text { name: "test", text: TWO, variables: vec![("UPSTREAM", format!("two.test:{port}"))] };
    let config = source.load().unwrap();
    let running = started(source, &config, 1, Arc::new(Metrics::new()));
    let address = running.listeners.addresses().next().unwrap();
    assert_eq!(status(address).await, "503", "its name is not known yet");

    let at = |last: u8| SocketAddr::from(([127, 0, 0, last], port));
    running.persistent.resolver.name("two.test", port).set_addresses(vec![at(1), at(2)]);
    for _ in 0..6 {
        assert_eq!(status(address).await, "200");
    }
    let pool = |at: usize| running.snapshot.load().upstreams[0].pool.servers()[at].clone();
    assert_eq!((pool(0).server.attempts(), pool(1).server.attempts()), (3, 3));
    assert_eq!((&*pool(0).label, pool(1).shares), (&*format!("two.test:{port} (127.0.0.1)"), 2));

    // one of them is gone: the other is the same server by the YAML
    second.abort();
    let _ = second.await;
    for _ in 0..6 {
        assert_eq!(status(address).await, "200");
    }
    assert_eq!(pool(1).state.word(), "ejected");
    assert_eq!(pool(1).server.attempts(), 4);

    running.persistent.resolver.name("two.test", port).set_addresses(vec![at(1)]);
    assert_eq!(status(address).await, "200");
    assert_eq!((running.snapshot.load().upstreams[0].pool.servers().len(), pool(0).server.in_flight()), (1, 0));
}

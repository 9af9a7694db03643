//! Another process takes the place of a gateway (`USR2`): nothing is refused, failed or cut, every row is there once, and where the new one
//! cannot start, nothing changes.

pub mod failing;
mod ledger;
mod signals;
mod sockets;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use hyper::Error;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::harness::{
    Answer, Client, Feed, Streaming, answer, body, eventually, feed, gateway, h2c, http1, origin, sse,
};
use crate::payloads::call;

/// Upgrades, unless the environment wants another number of them (`UPGRADES=50`).
const UPGRADES: usize = 3;
const STREAMS: usize = 20;
const STEADY: usize = 3;

/// Clients that ask and ask, and see no failure: those that keep a connection until they are told that it closes, those that have one of
/// their own for each call, and those that speak HTTP/2.
struct Steady {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Steady {
    fn start(address: std::net::SocketAddr) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = Vec::new();
        for kind in 0..STEADY {
            let (stop, answers) = (stop.clone(), answers.clone());
            clients.push(tokio::spawn(async move {
                let connect = async || if kind == 2 { h2c(address).await } else { http1(address).await };
                let mut client = connect().await;
                while !stop.load(Ordering::Relaxed) {
                    let answer = match ask(&mut client).await {
                        Ok(answer) => answer,
                        // HTTP/2 has a frame that takes no more here: it was never sent. With HTTP/1.1 the answer before says so
                        Err(error) if kind == 2 && (error.is_canceled() || error.is_closed()) => {
                            client = connect().await;
                            continue;
                        }
                        Err(error) => panic!("a call of kind {kind} failed: {error:?}"),
                    };
                    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "hello"));
                    answers.fetch_add(1, Ordering::Relaxed);
                    if kind == 1 || answer.header("connection") == Some("close") {
                        client = connect().await;
                    }
                }
            }));
        }
        Self { stop, answers, clients }
    }

    fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }

    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("a client that saw no failure");
        }
        self.answers.load(Ordering::Relaxed)
    }
}

async fn ask(client: &mut Client) -> Result<Answer, Error> {
    let request = client.request("POST", "/v1/messages").body(body(Bytes::from(call(500, 3000)))).unwrap();
    Ok(client.send(request).await?.whole().await)
}

async fn stream(client: &mut Client, path: &str) -> Streaming {
    let request = client.request("POST", path).body(body(call(300, 3000))).unwrap();
    let mut streaming = client.send(request).await.unwrap();
    assert_eq!(streaming.until("\n\n").await, "data: first\n\n");
    streaming
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades_under_streams_and_steady_calls_refuse_fail_and_cut_nothing() {
    let number = |name: &str, or: usize| std::env::var(name).map_or(or, |number| number.parse().unwrap());
    let (upgrades, streams) = (number("UPGRADES", UPGRADES), number("STREAMS", STREAMS));
    let origin = origin().await;
    let events: Vec<_> = (0..streams).map(|_| feed()).collect();
    origin.answers_with({
        let (events, next) = (events.clone(), AtomicUsize::new(0));
        move |request| match request.target.as_str() {
            "/v1/messages" => answer(200).body("hello"),
            _ => sse().event("first").feed(&events[next.fetch_add(1, Ordering::Relaxed)]).end(),
        }
    });
    let database = "usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal } }";
    let settings = format!("server: {{ drain_timeout: 10m }}\nplugins: [{{ {database} }}]");
    let mut gateway = gateway().upstream(&origin).settings(&settings).by_link().start().await;
    let (address, admin) = (gateway.address(), gateway.admin());
    let steady = Steady::start(address);
    let mut open = Vec::new();
    let mut drains = Vec::new();
    for upgrade in 0..upgrades {
        // some in each process
        while open.len() < streams * (upgrade + 1) / upgrades {
            let mut client = if open.len() % 2 == 0 { http1(address).await } else { h2c(address).await };
            let streaming = stream(&mut client, &format!("/stream/{}", open.len())).await;
            open.push((client, streaming));
        }
        let before = steady.answers();
        drains.push(gateway.upgrade().await);
        assert_eq!(gateway.admin(), admin);
        assert_eq!(gateway.ask("GET", "/readyz").await.text(), "ready");
        let events = events.iter().take(open.len());
        events.for_each(|events| events.send(format!("data: {upgrade}\n\n")));
        eventually("answers from the new process", async || steady.answers() > before + 30).await;
        assert!(TcpStream::connect(address).await.is_ok());
    }
    events.iter().for_each(Feed::end);
    for (_, streaming) in &mut open {
        let (rest, whole) = streaming.rest().await;
        let text = String::from_utf8(rest).unwrap();
        assert!(whole && text.ends_with(&format!("data: {}\n\n", upgrades - 1)), "{text}");
    }
    let calls = steady.end().await;
    drop(open);
    for pid in drains {
        gateway.ended(pid).await;
    }
    ledger::has_each_once(&gateway, calls + streams).await;
}

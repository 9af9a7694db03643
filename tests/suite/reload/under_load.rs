//! Reload after reload under streams that run and requests that keep coming: none fails, none is cut, all are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use super::hang_up;
use crate::harness::{Client, Gateway, Streaming, answer, body, eventually, feed, gateway, h2c, http1, origin, sse};
use crate::payloads::call;

const RELOADS: usize = 50;
const STREAMS: usize = 20;
const STEADY: usize = 4;

/// Clients that ask and ask, until they are told to stop.
struct Steady {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Steady {
    async fn start(gateway: &Gateway) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = Vec::new();
        for number in 0..STEADY {
            let mut client = client(gateway, number).await;
            let (stop, asked) = (stop.clone(), asked.clone());
            clients.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.post("/v1/messages", call(500, 3000)).await;
                    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "hello"));
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        Self { stop, asked, clients }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("a client that saw no failure");
        }
        self.asked.load(Ordering::Relaxed)
    }
}

/// Half of them speak HTTP/1.1, half HTTP/2.
async fn client(gateway: &Gateway, number: usize) -> Client {
    if number.is_multiple_of(2) { http1(gateway.address()).await } else { h2c(gateway.address()).await }
}

async fn stream(client: &mut Client) -> Streaming {
    let request = client.request("POST", "/v1/messages?stream").body(body(call(300, 3000))).unwrap();
    client.send(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_reloads_fail_nothing_and_cut_nothing() {
    let (a, b) = (origin().await, origin().await);
    let events: Vec<_> = (0..STREAMS).map(|_| feed()).collect();
    let next = Arc::new(AtomicUsize::new(0));
    for origin in [&a, &b] {
        let (events, next) = (events.clone(), next.clone());
        origin.answers_with(move |request| match request.target.as_str() {
            "/v1/messages?stream" => sse().feed(&events[next.fetch_add(1, Ordering::Relaxed)]).end(),
            _ => answer(200).body("hello"),
        });
    }
    // they differ in a plugin's limit, in the routes and in the servers' weights
    let plugins = |limit: usize| format!("plugins: [{{ max_tokens: {{ limit: {limit} }} }}]");
    let texts = [
        gateway().upstream(&a).upstream(&b).settings(&plugins(3000)).text(),
        gateway().upstream(&b).upstream(&a).settings(&plugins(4000)).route_settings("paths: [/v1/]").text(),
    ];
    let gateway = gateway().yaml(&texts[0]).start().await;
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let mut client = client(&gateway, number).await;
        let streaming = stream(&mut client).await;
        streams.push((client, streaming));
    }
    let steady = Steady::start(&gateway).await;
    for reload in 0..RELOADS {
        gateway.rewrite(&texts[(reload + 1) % 2]);
        if reload.is_multiple_of(2) {
            hang_up(&gateway, "ok").await;
        } else {
            assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
        }
        let event = format!("data: {reload}\n\n");
        for events in &events {
            events.send(&event);
        }
        for (_, streaming) in &mut streams {
            assert_eq!(streaming.until("\n\n").await, event);
        }
        let asked = steady.asked();
        eventually("requests in between", async || steady.asked() >= asked + STEADY).await;
    }
    let asked = steady.end().await;

    for gauge in ["tollgate_requests_in_flight", "tollgate_upstream_in_flight"] {
        eventually("the streams alone", async || gateway.metrics().await.sum(gauge, &[]) == STREAMS as f64).await;
    }
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_config_reloads_total", &[("result", "ok")]), RELOADS as f64);
    // the first, which the streams hold, and the last
    assert_eq!(metrics.sum("tollgate_config_snapshots", &[]), 2.0);

    for events in &events {
        events.end();
    }
    for (_, streaming) in &mut streams {
        assert_eq!(streaming.rest().await, (Vec::new(), true));
    }
    drop(streams);
    gateway.idle().await;
    assert_eq!(a.count() + b.count(), STREAMS + asked);
    eventually("a row for each", async || gateway.access_log().len() == STREAMS + asked).await;
    assert!(gateway.access_log().iter().all(|row| row["outcome"] == "completed"));
}

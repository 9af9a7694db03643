//! Everything at once, with ejection, health checks and a queue: whatever becomes of servers and requests, nothing stays
//! in flight, nobody waits for ever, and who is well again takes requests again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::sleep;

use crate::harness::{
    Gateway, Origin, Received, Script, answer, body, connect, eventually, gateway, h2c, http1, origin, sse,
};

/// How many clients come.
const CLIENTS: usize = 480;

/// What a client does, by its number.
const KINDS: [&str; 6] = ["get", "post", "stream", "leave_early", "leave_late", "leave_at_once"];

/// A server that can be made sick: its health path and all else fail then, each in its own way.
fn fate(request: &Received, sick: &AtomicBool) -> Script {
    let number = request.raw_head.len();
    match (sick.load(Ordering::Relaxed), request.target.split('/').nth(1).unwrap()) {
        (true, "health") => answer(503).body("sick"),
        (true, _) => match number % 4 {
            0 => answer(529).header("retry-after", "1").body("busy"),
            1 => Script::resetting(),
            2 => Script::closing(),
            _ => answer(500).body("broken"),
        },
        (false, "stream") => sse().event("one").pause(Duration::from_millis(20)).event("two").end(),
        (false, "leave_early") => Script::silent(),
        (false, "leave_late") => sse().event("one").silence(),
        _ => answer(200).body("hello"),
    }
}

fn yaml(servers: &[String], rest: &str) -> String {
    let list = servers
        .iter()
        .map(|server| format!("      - {{ address: \"{server}\", max_conns: 12, fail_timeout: 50ms }}\n"));
    format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\nroutes: [{{ upstream: all }}]\n\
         upstreams:\n  all:\n    servers:\n{}    queue: {{ size: 40, timeout: 1s }}\n    timeouts: {{ first_byte: 3s }}\n\
         \x20   retry: {{ attempts: 3, on: [connect, error, http_429, http_500, http_529] }}\n    eject: {{ max_time: 200ms }}\n\
         {rest}",
        list.collect::<String>()
    )
}

const CHECKED: &str = "    health_check: { path: /health, interval: 20ms, timeout: 100ms, healthy: 1, unhealthy: 1 }\n";

/// Plays one client; whatever it is answered is fine, as long as it is answered.
async fn play(gateway: &Gateway, number: usize) {
    sleep(Duration::from_millis((number * 7919 % 1500) as u64)).await;
    let kind = KINDS[number % KINDS.len()];
    let path = format!("/{kind}/{number}");
    let mut client = if (number / KINDS.len()).is_multiple_of(2) {
        http1(gateway.address()).await
    } else {
        h2c(gateway.address()).await
    };
    match kind {
        "get" | "stream" => {
            // broken off in the middle is an answer, too
            let mut answer = client.send(client.request("GET", &path).body(body("")).unwrap()).await.unwrap();
            answer.rest().await;
        }
        "post" => {
            let post = client.request("POST", &path).body(body("{}".repeat(number))).unwrap();
            client.send(post).await.unwrap().rest().await;
        }
        "leave_at_once" => {
            let mut raw = connect(gateway.address()).await;
            raw.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
            raw.reset();
        }
        _ => {
            // it leaves with what it has by then
            let request = client.request("GET", &path).body(body("")).unwrap();
            let asking = tokio::spawn(async move {
                let _answer = client.send(request).await;
                sleep(Duration::from_secs(60)).await;
            });
            sleep(Duration::from_millis(50)).await;
            asking.abort();
        }
    }
}

async fn upstream(gateway: &Gateway) -> Value {
    let told: Value = serde_json::from_slice(&gateway.ask("GET", "/upstreams").await.body).unwrap();
    told["upstreams"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_failures_leaves_nothing_in_flight_and_nobody_out() {
    let sick: Vec<Arc<AtomicBool>> = (0..3).map(|_| Arc::default()).collect();
    let mut origins = Vec::new();
    for sick in &sick {
        let (origin, sick) = (origin().await, sick.clone());
        origin.answers_with(move |request| fate(request, &sick));
        origins.push(origin);
    }
    let servers: Vec<String> = origins.iter().map(Origin::server).collect();
    let gateway = gateway().yaml(yaml(&servers, CHECKED)).start().await;
    let clients = join_all((0..CLIENTS).map(|number| play(&gateway, number)));
    let illness = async {
        for n in 0..40 {
            sick[n % 3].fetch_xor(true, Ordering::Relaxed);
            sleep(Duration::from_millis(40)).await;
        }
        sick.iter().for_each(|sick| sick.store(false, Ordering::Relaxed));
    };
    let reloads = async {
        for n in 0..16 {
            sleep(Duration::from_millis(100)).await;
            gateway
                .reload(match n % 4 {
                    0 => yaml(&servers, ""),
                    1 => yaml(&servers[..2], CHECKED),
                    2 => yaml(&servers, &format!("{CHECKED}    balance: round_robin\n")),
                    _ => yaml(&servers, CHECKED),
                })
                .await;
        }
    };
    tokio::join!(clients, illness, reloads);

    gateway.idle().await;
    let told = upstream(&gateway).await;
    assert_eq!(told["queued"], 0, "{told:#}");
    for server in told["servers"].as_array().unwrap() {
        assert_eq!((&server["in_flight"], &server["tokens_in_flight"]), (&0.into(), &0.into()), "{server:#}");
    }
    let rows = gateway.access_log().len();
    // a client that leaves before its head is read makes no request
    let at_once = CLIENTS / KINDS.len();
    assert!((CLIENTS - at_once..=CLIENTS).contains(&rows), "{rows} rows of {CLIENTS} requests");

    // whoever was out comes back: by time, by a request that tells, or by a check
    let mut client = http1(gateway.address()).await;
    eventually("servers that are all up again", async || {
        assert!(client.get("/get/late").await.status.as_u16() < 600);
        let told = upstream(&gateway).await;
        let servers = told["servers"].as_array().unwrap();
        servers.len() == 3 && servers.iter().all(|server| server["state"] == "up")
    })
    .await;
    let before: Vec<_> = origins.iter().map(late).collect();
    for _ in 0..30 {
        assert_eq!(client.get("/get/late").await.status, 200);
    }
    for (origin, before) in origins.iter().zip(before) {
        assert!(late(origin) > before, "{} is left out", origin.server());
    }
    drop(client);
    gateway.idle().await;
}

fn late(origin: &Origin) -> usize {
    origin.requests().iter().filter(|request| request.target == "/get/late").count()
}

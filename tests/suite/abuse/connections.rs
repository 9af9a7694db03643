//! Connections in numbers: many that come and go, and more than a listener may hold.

use futures_util::future::join_all;
use tokio::net::{TcpSocket, TcpStream};

use super::{SETTINGS, Target};
use crate::harness::{Raw, connect, eventually, gate, gateway, origin, soon, sse};
use crate::memory::Peak;

const CONNECTIONS: usize = 10_000;
/// As many at a time.
const BATCH: usize = 250;

/// Files that the gateway has open.
fn open_files(target: &Target) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", target.gateway.pid())).unwrap().count()
}

#[tokio::test]
async fn ten_thousand_connections_come_and_go() {
    let mut target = Target::with(SETTINGS).await;
    let before = open_files(&target);
    let peak = Peak::of(&target.gateway);
    let address = target.gateway.address();
    for batch in 0..CONNECTIONS / BATCH {
        let opened = join_all((0..BATCH).map(async |_| {
            let socket = TcpSocket::new_v4().unwrap();
            // else this machine would run out of ports
            socket.set_zero_linger().unwrap();
            soon(socket.connect(address)).await.unwrap()
        }));
        let streams: Vec<TcpStream> = opened.await;
        // some say nothing, some begin, some ask and leave, some leave when all is well
        for (number, stream) in streams.iter().enumerate() {
            let said: &[u8] = match number % 4 {
                0 => b"",
                1 => b"GET /smug",
                2 => b"GET /left HTTP/1.1\r\nhost: a\r\n\r\n",
                _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            };
            stream.writable().await.unwrap();
            assert_eq!(stream.try_write(said).unwrap(), said.len());
        }
        if batch % 10 == 9 {
            let idle =
                async || target.gateway.metrics().await.sum("tollgate_connections_in_flight", &[]) < BATCH as f64 * 2.0;
            drop(streams);
            eventually("connections that are let go", idle).await;
        }
    }
    eventually("no connection", async || {
        target.gateway.metrics().await.sum("tollgate_connections_in_flight", &[]) == 0.0
    })
    .await;
    eventually("no more files than before", async || open_files(&target) <= before + 16).await;
    assert!(peak.growth() < 150 << 20, "grew by {} MB", peak.growth() >> 20);
    target.is_unharmed().await;
}

/// A gateway whose one listener holds two connections.
async fn narrow(target: &crate::harness::Origin) -> crate::harness::Gateway {
    let builder = gateway().upstream(target);
    let text = builder.text();
    let listener = r#"address: "127.0.0.1:0""#;
    let text = text.replacen(listener, &format!("{listener}, max_connections: 2"), 1);
    builder.yaml(text).start().await
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_until_one_closes() {
    let origin = origin().await;
    let gateway = narrow(&origin).await;
    let ask = async || {
        let mut raw = connect(gateway.address()).await;
        raw.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        raw
    };
    let (mut first, mut second) = (ask().await, ask().await);
    assert_eq!((first.answer().await.status, second.answer().await.status), (200, 200));
    // the system takes it in, and what it says; nobody answers
    let mut third = ask().await;
    let mut fourth = ask().await;
    for _ in 0..5 {
        for open in [&mut first, &mut second] {
            open.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert_eq!(open.answer().await.status, 200);
        }
    }
    assert_eq!(origin.count(), 12);
    assert_eq!(gateway.metrics().await.sum("tollgate_connections_in_flight", &[]), 2.0);
    drop(first);
    assert_eq!(third.answer().await.status, 200);
    assert_eq!(origin.count(), 13);
    second.reset();
    assert_eq!(fourth.answer().await.status, 200);
}

#[tokio::test]
async fn a_reload_widens_a_listener_that_is_full() {
    let origin = origin().await;
    let gateway = narrow(&origin).await;
    let wait = gate();
    origin.answers(sse().event("one").wait(&wait).end());
    let stream = async || {
        let mut raw = connect(gateway.address()).await;
        raw.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        raw
    };
    let mut streams: Vec<Raw> = vec![stream().await, stream().await];
    for open in &mut streams {
        open.until("one").await;
    }
    let mut third = stream().await;
    let wider = std::fs::read_to_string(gateway.file()).unwrap().replace("max_connections: 2", "max_connections: 3");
    gateway.rewrite(wider);
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    third.until("one").await;
    wait.open();
    for mut open in streams.into_iter().chain([third]) {
        open.until("0\r\n\r\n").await;
    }
}

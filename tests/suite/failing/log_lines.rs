//! What is written of failures that clients or broken dependencies repeat: once, and then rarely.

use std::time::Duration;

use futures_util::future::join_all;

use crate::harness::{Gateway, connect, eventually, gateway, http1, origin, refusing};

fn lines(gateway: &Gateway, words: &str) -> usize {
    gateway.stderr().lines().filter(|line| line.contains(words)).count()
}

#[tokio::test]
async fn a_flood_of_failed_requests_is_a_few_lines_and_a_row_each() {
    let down = refusing();
    let fallback = "upstreams:\n  down:\n    servers: [{ address: \"ADDRESS\" }]\n    fallback: other\n  other:\n    \
        servers: [{ address: \"ADDRESS\" }]\n";
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\n{}routes: [{{ upstream: down }}]\n",
        fallback.replace("ADDRESS", &down.address().to_string())
    );
    let gateway = gateway().yaml(yaml).start().await;
    for _ in 0..200 {
        assert!(http1(gateway.address()).await.get("/").await.status.is_server_error());
    }
    eventually("all rows", async || gateway.access_log().len() == 200).await;
    let told = gateway.stderr().lines().count();
    assert!(told < 12, "{told} lines:\n{}", gateway.stderr());
    for once in ["upstream refused the connection", "fallback takes over"] {
        assert!((1..=2).contains(&lines(&gateway, once)), "{once}: {}", gateway.stderr());
    }
}

#[tokio::test]
async fn clients_that_speak_no_http_are_a_few_lines_however_many_they_are() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let garbage: [&[u8]; 3] =
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nwhatever, whatever, whatever", b"\x16\x03\x01\x02\r\n\r\n", b"GET\r\n\r\n"];
    for sent in garbage {
        let clients = (0..50).map(async |_| {
            let mut client = connect(gateway.address()).await;
            let _ = client.try_send(sent).await;
            let _ = client.half_close().await;
            client.to_end().await
        });
        join_all(clients).await;
    }
    assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
    let told = gateway.stderr().lines().count();
    assert!(told < 12, "{told} lines:\n{}", gateway.stderr());
}

#[tokio::test]
async fn descriptors_at_their_end_are_a_line() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).after_shell("ulimit -n 60").start().await;
    let mut clients = Vec::new();
    for _ in 0..80 {
        clients.push(connect(gateway.address()).await);
    }
    gateway.says("cannot accept a connection").await;
    // it tries again twenty times in this time
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lines(&gateway, "cannot accept a connection; raise"), 1, "{}", gateway.stderr());
    drop(clients);
    assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_line() {
    let gateway = gateway().server("nowhere.invalid:80").start().await;
    gateway.says("server name not resolved").await;
    // it is looked up every other second
    tokio::time::sleep(Duration::from_secs(5)).await;
    for _ in 0..20 {
        assert_eq!(http1(gateway.address()).await.get("/").await.status, 503);
    }
    assert_eq!(lines(&gateway, "server name not resolved"), 1, "{}", gateway.stderr());
    assert_eq!(lines(&gateway, "upstream has no address"), 1, "{}", gateway.stderr());
}

//! Upgraded connections: none of the other limits holds for them, and a pause in one is nobody's failure.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::SOON;
use crate::harness::{
    Alpn, Authority, Gateway, Origin, Raw, Script, answer, connect, gateway, http1, origin, tls_origin,
};

const HANDSHAKE: &str = "GET /socket HTTP/1.1\r\nhost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

async fn origins() -> [Origin; 3] {
    let authority = Authority::new();
    [
        origin().await,
        tls_origin(&authority, &["localhost"], Alpn::Http1).await,
        // which knows no upgrade in HTTP/2, and so is spoken to in HTTP/1.1
        tls_origin(&authority, &["localhost"], Alpn::H2).await,
    ]
}

async fn upgraded(origin: &Origin, script: Script, timeouts: &str) -> (Gateway, Raw) {
    origin.answers(script);
    let gateway = gateway().upstream(origin).upstream_settings(&format!("timeouts: {{ {timeouts} }}")).start().await;
    let mut client = connect(gateway.address()).await;
    client.send(HANDSHAKE).await;
    assert_eq!(client.answer().await.status, 101);
    (gateway, client)
}

/// The row of the upgraded connection. No server was blamed for its end, and the same one takes the next request.
async fn row(gateway: &Gateway, origin: &Origin) -> (String, Value, Value) {
    let row = gateway.logged(|row| row["path"] == "/socket").await;
    origin.answers(answer(200).body("hello"));
    assert_eq!(http1(gateway.address()).await.get("/next").await.text(), "hello");
    assert_eq!(gateway.metrics().await.sum("tollgate_upstream_failures_total", &[]), 0.0);
    (row["outcome"].as_str().unwrap().to_owned(), row["status"].clone(), row["error"].clone())
}

#[tokio::test]
async fn a_quiet_one_outlives_every_other_limit() {
    for origin in origins().await {
        let limits = "first_byte: 200ms, idle: 200ms, total: 400ms";
        let (gateway, mut client) = upgraded(&origin, Script::raw(SWITCHED).echo(), limits).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.send("still there").await;
        assert_eq!(client.exactly(11).await, b"still there");
        drop(client);
        assert_eq!(row(&gateway, &origin).await, ("completed".into(), 101.into(), Value::Null));
    }
}

#[tokio::test]
async fn one_that_nobody_uses_ends_by_its_own_limit() {
    for origin in origins().await {
        let (gateway, mut client) = upgraded(&origin, Script::raw(SWITCHED).silence(), "upgraded: 300ms").await;
        let began = Instant::now();
        assert_eq!(client.to_end().await, b"");
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(250) && took < SOON, "took {took:?}");
        origin.all_closed().await;
        assert_eq!(row(&gateway, &origin).await, ("completed".into(), 101.into(), "upgraded_timeout".into()));
    }
}

#[tokio::test]
async fn bytes_in_either_direction_are_use() {
    // longer in all than the limit, with pauses that stay far below it on a busy machine
    let origin = origin().await;
    let (_gateway, mut client) = upgraded(&origin, Script::raw(SWITCHED).silence(), "upgraded: 2s").await;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send("x").await;
    }
    let mut script = Script::raw(SWITCHED);
    for _ in 0..30 {
        script = script.pause(Duration::from_millis(100)).bytes("x");
    }
    let (gateway, mut client) = upgraded(&origin, script.close(), "upgraded: 2s").await;
    assert_eq!(client.to_end().await, [b'x'; 30]);
    assert_eq!(row(&gateway, &origin).await, ("completed".into(), 101.into(), Value::Null));
}

#[tokio::test]
async fn one_that_its_server_breaks_gets_no_answer_into_its_bytes() {
    let origin = origin().await;
    let (gateway, mut client) = upgraded(&origin, Script::raw(SWITCHED).bytes("abc").reset(), "").await;
    let told = client.to_end().await;
    assert!(b"abc".starts_with(&told[..]), "{}", told.escape_ascii());
    let row = gateway.logged(|row| row["path"] == "/socket").await;
    assert_eq!((row["status"].as_u64(), row["attempts"].as_u64()), (Some(101), Some(1)), "{row}");
}

//! The end of a WebSocket when the gateway stops: both sides are told, once no call is open.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use super::create;
use super::peer::peer;
use crate::harness::DEADLINE;

const READ: &str = "  - rate_limit: { limits: [{ by: all, requests: 1000/month }] }\n";

#[tokio::test]
async fn a_stopping_gateway_says_1001_to_both_sides_once_no_call_is_open() {
    let (peer, mut gateway) = peer(READ, "").await;
    let (idle, mut idle_server) = peer.open(&gateway, "/v1/realtime?model=m").await;
    let (mut busy, mut server) = peer.open(&gateway, "/v1/responses").await;
    busy.send(&create("m", 10)).await;
    server.text().await;
    gateway.signal(Signal::SIGTERM);
    let mut idle = idle;
    assert_eq!(idle.end().await, Some((1001, "the gateway stops".to_owned())));
    assert_eq!(idle_server.close_code().await, 1001);
    // the call goes on to its end
    for event in ["response.created", "response.completed"] {
        server.send_text(&json!({ "type": event, "response": { "id": "r" } }).to_string()).await;
        assert_eq!(busy.event().await["type"], event);
    }
    assert_eq!(busy.end().await.unwrap().0, 1001);
    assert_eq!(server.close_code().await, 1001);
    let exit = gateway.wait_exit(DEADLINE).await;
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
    let calls = exit.stdout.lines().filter(|line| line.contains(r#""endpoint":"responses""#));
    assert_eq!(calls.filter(|line| line.contains(r#""outcome":"completed""#)).count(), 1);
}

#[tokio::test]
async fn one_that_is_not_read_is_closed_once_it_is_silent() {
    let (peer, mut gateway) = peer("", "").await;
    let (mut client, mut server) = peer.open(&gateway, "/socket").await;
    gateway.signal(Signal::SIGTERM);
    assert_eq!(client.end().await.unwrap().0, 1001);
    assert_eq!(server.close_code().await, 1001);
    assert_eq!(gateway.wait_exit(DEADLINE).await.status.code(), Some(0));
}

#[tokio::test]
async fn an_open_call_is_told_before_the_drain_timeout_cuts_it() {
    let (peer, mut gateway) = peer(READ, "server: { drain_timeout: 3s }\n").await;
    let (mut client, mut server) = peer.open(&gateway, "/v1/responses").await;
    client.send(&create("m", 10)).await;
    server.text().await;
    gateway.signal(Signal::SIGTERM);
    assert_eq!(client.end().await.unwrap().0, 1001);
    assert_eq!(server.close_code().await, 1001);
    let exit = gateway.wait_exit(Duration::from_secs(10)).await;
    let call = exit.stdout.lines().find(|line| line.contains(r#""endpoint":"responses""#)).unwrap();
    assert!(call.contains(r#""outcome":"aborted""#), "{call}");
}

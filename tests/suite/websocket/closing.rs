//! The end of a WebSocket: both sides are told when the gateway stops, once no call is open, and a side that closes is told apart.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use websocket::{CloseCode, Opcode, write_close, write_frame};

use super::peer::peer;
use super::{call_line, create};
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

#[tokio::test]
async fn a_close_frame_comes_behind_the_message_before_it() {
    let (peer, gateway) = peer(READ, "").await;
    let (mut client, mut server) = peer.open_raw(&gateway, "/v1/responses", b"").await;
    // so long that it is read on another thread
    let mut call = create("m", 10);
    call["input"] = "x".repeat(3 << 20).into();
    let mut frames = Vec::new();
    write_frame(&mut frames, Opcode::Text, Some([1, 2, 3, 4]), call.to_string().as_bytes());
    write_frame(&mut frames, Opcode::Ping, Some([1, 2, 3, 4]), b"?");
    write_close(&mut frames, Some([1, 2, 3, 4]), CloseCode::GoingAway, "bye");
    client.send(&frames).await;
    let mut messages = Vec::new();
    while messages.last() != Some(&Opcode::Close) {
        let (opcode, payload) = server.message().await;
        assert!(opcode != Opcode::Text || payload == call.to_string().as_bytes());
        messages.push(opcode);
    }
    // a ping may overtake the message
    messages.retain(|opcode| *opcode != Opcode::Ping);
    assert_eq!(messages, [Opcode::Text, Opcode::Close]);
}

#[tokio::test]
async fn a_server_that_closes_within_an_answer_has_failed_it() {
    let (peer, gateway) = peer(READ, "").await;
    for (place, client_leaves) in [false, true].into_iter().enumerate() {
        let (mut client, mut server) = peer.open(&gateway, "/v1/responses").await;
        client.send(&create("m", 10)).await;
        server.text().await;
        server.send_text(r#"{"type":"response.created","response":{"id":"r"}}"#).await;
        client.event().await;
        let mut close = Vec::new();
        write_close(&mut close, None, CloseCode::GoingAway, "restart");
        server.send(&close).await;
        assert_eq!(client.end().await.unwrap().0, 1001);
        if client_leaves {
            drop(client);
            server.rest().await;
        } else {
            // it answers
            let answered = async move { assert_eq!(server.message().await.0, Opcode::Close) };
            tokio::join!(client.end(), answered);
        }
        let line = call_line(&gateway, place).await;
        assert_eq!((&line["outcome"], &line["error"]), (&json!("upstream_failed"), &json!("broken_answer")), "{line}");
    }
}

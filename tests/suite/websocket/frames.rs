//! Frames of every kind, cut and mixed as no library would: what passes, passes byte for byte; what is no frame closes both sides.

use std::time::Duration;

use serde_json::json;
use websocket::{Opcode, write_frame};

use super::peer::peer;
use super::{call_line, create};
use crate::harness::connect;

const READ: &str = "  - rate_limit: { limits: [{ by: all, requests: 1000/month }] }\n";
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A masked frame; the last of its message, or not.
fn frame(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, opcode, Some(MASK), payload);
    bytes[0] = if fin { bytes[0] } else { bytes[0] & 0x7F };
    bytes
}

/// A frame of a server.
fn served(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, opcode, None, payload);
    bytes
}

#[tokio::test]
async fn frames_pass_byte_for_byte_read_or_not() {
    let long = vec![b'x'; 300_000];
    let call = create("m", 10).to_string().into_bytes();
    let frames = [
        frame(Opcode::Text, true, br#"{"type":"session.update"}"#),
        frame(Opcode::Binary, true, &[0, 1, 255]),
        frame(Opcode::Text, true, b""),
        frame(Opcode::Text, false, &call[..7]),
        frame(Opcode::Continuation, false, b""),
        frame(Opcode::Continuation, true, &call[7..]),
        frame(Opcode::Ping, true, &[7; 125]),
        frame(Opcode::Text, true, &long),
        frame(Opcode::Pong, true, b""),
        frame(Opcode::Text, true, &call),
    ]
    .concat();
    let answers = [
        served(Opcode::Text, br#"{"type":"response.created","response":{"id":"r"}}"#),
        served(Opcode::Ping, b"?"),
        served(Opcode::Binary, &long),
        served(Opcode::Text, br#"{"type":"response.completed","response":{"id":"r"}}"#),
    ]
    .concat();
    for (plugins, cut) in [("", 1000), (READ, 1), (READ, 1000), (READ, 1 << 20)] {
        let (peer, gateway) = peer(plugins, "").await;
        // what comes with the handshake is no way around the plugins
        for early in [0, 50] {
            let (mut client, mut server) = peer.open_raw(&gateway, "/v1/responses", &frames[..early]).await;
            let offered = server.head.to_ascii_lowercase().contains("permessage-deflate");
            assert_eq!(offered, plugins.is_empty(), "an extension is agreed on only where nobody reads the messages");
            for piece in frames[early..].chunks(cut).take(2000) {
                client.send(piece).await;
            }
            if cut == 1 {
                client.send(&frames[(early + 2000).min(frames.len())..]).await;
            }
            assert!(server.exactly(frames.len()).await == frames, "{cut} {early}");
            for piece in answers.chunks(cut.max(100)) {
                server.send(piece).await;
            }
            assert!(client.exactly(answers.len()).await == answers);
        }
    }
}

#[tokio::test]
async fn a_message_that_is_not_whole_holds_up_neither_control_frames_nor_the_server() {
    let (peer, gateway) = peer("  - max_tokens: { limit: 5 }\n", "").await;
    let (mut client, mut server) = peer.open_raw(&gateway, "/v1/responses", b"").await;
    let call = create("m", 6).to_string().into_bytes();
    client.send(frame(Opcode::Text, false, &call[..20])).await;
    let ping = frame(Opcode::Ping, true, b"still there");
    client.send(&ping).await;
    assert_eq!(server.exactly(ping.len()).await, ping);
    let pong = served(Opcode::Pong, b"still there");
    server.send(&pong).await;
    assert_eq!(client.exactly(pong.len()).await, pong);
    // the event waits until the server's own message is whole
    let (begun, rest) = (served(Opcode::Text, b"{\"type\":\"x\"}"), served(Opcode::Text, b"{}"));
    server.send(&begun[..5]).await;
    assert_eq!(client.exactly(5).await, begun[..5]);
    client.send(frame(Opcode::Continuation, true, &call[20..])).await;
    call_line(&gateway, 0).await;
    server.send(&[&begun[5..], &rest].concat()).await;
    assert_eq!(client.exactly(begun.len() - 5).await, begun[5..]);
    let head = client.exactly(4).await;
    assert_eq!(head[..2], [0x81, 126]);
    let event = client.exactly(u16::from_be_bytes([head[2], head[3]]).into()).await;
    assert!(event.starts_with(br#"{"type":"error","status":400"#), "{}", event.escape_ascii());
    assert_eq!(client.exactly(rest.len()).await, rest);
    // the refused message has left no trace
    client.send(&ping).await;
    assert_eq!(server.exactly(ping.len()).await, ping);
}

#[tokio::test]
async fn a_call_that_comes_with_its_handshake_is_held_to_the_limits_too() {
    let (peer, gateway) = peer("  - max_tokens: { limit: 5 }\n", "").await;
    let call = frame(Opcode::Text, true, create("m", 6).to_string().as_bytes());
    let (mut client, mut server) = peer.open_raw(&gateway, "/v1/responses", &call).await;
    assert_eq!(client.exactly(2).await, [0x81, 126]);
    let allowed = frame(Opcode::Text, true, create("m", 5).to_string().as_bytes());
    client.send(&allowed).await;
    assert_eq!(server.exactly(allowed.len()).await, allowed);
}

#[tokio::test]
async fn bytes_that_are_no_frames_close_both_sides_with_1002() {
    let (peer, gateway) = peer(READ, "").await;
    let good = frame(Opcode::Text, true, b"{}");
    for bad in [&[0x81, 0x00][..], &[0xC1, 0x80, 0, 0, 0, 0], &[0x83, 0x80, 0, 0, 0, 0], &[0x80, 0x80, 0, 0, 0, 0]] {
        let (mut client, mut server) = peer.open_raw(&gateway, "/v1/responses", b"").await;
        client.send([&good, bad, &good].concat()).await;
        assert_eq!(server.text().await, "{}");
        assert_eq!(server.close_code().await, 1002);
        assert_eq!(server.rest().await, b"");
        let end = client.to_end().await;
        assert_eq!((end[0], &end[2..4]), (0x88, &1002_u16.to_be_bytes()[..]), "{bad:x?}");
    }
    let (mut client, mut server) = peer.open_raw(&gateway, "/v1/responses", b"").await;
    let event = served(Opcode::Text, b"{}");
    server.send(&[&event[..], &[0x81, 0x80, 1, 2, 3, 4], &event].concat()).await;
    assert_eq!(client.exactly(event.len()).await, event);
    let end = client.to_end().await;
    assert_eq!((end[0], &end[2..4]), (0x88, &1002_u16.to_be_bytes()[..]));
    assert_eq!(server.close_code().await, 1002);
    let line = gateway.logged(|line| line["status"] == 101).await;
    assert_eq!(line["error"], "websocket_protocol");
}

#[tokio::test]
async fn a_message_beyond_max_body_is_refused_and_closes_the_connection_with_1009() {
    let (peer, gateway) = peer(READ, "server: { max_body: 1MiB }\n").await;
    let (mut client, mut server) = peer.open(&gateway, "/v1/responses").await;
    let mut call = create("m", 10);
    call["input"] = "x".repeat(900 << 10).into();
    client.send(&call).await;
    assert_eq!(server.text().await.len(), call.to_string().len());
    call["input"] = "x".repeat(1100 << 10).into();
    client.send(&call).await;
    let event = client.event().await;
    assert_eq!((&event["status"], &event["error"]["code"]), (&json!(413), &json!("request_too_large")));
    assert_eq!(client.end().await.unwrap().0, 1009);
    assert_eq!(server.close_code().await, 1009);
    let line = call_line(&gateway, 0).await;
    assert_eq!(
        (&line["outcome"], &line["error"], &line["status"]),
        (&json!("refused"), &json!("body_too_large"), &json!(413))
    );
}

#[tokio::test]
async fn a_message_that_never_becomes_whole_ends_by_its_size_or_by_its_time() {
    let (peer, gateway) = peer(READ, "server: { max_body: 64KiB, body_timeout: 400ms }\n").await;
    let begin = frame(Opcode::Text, false, b"{");
    let empty = frame(Opcode::Continuation, false, b"").repeat(40_000);
    for (more, code, error) in [(&empty[..], 1009_u16, "body_too_large"), (b"", 1008, "body_timeout")] {
        let (mut client, mut server) = peer.open_raw(&gateway, "/v1/responses", b"").await;
        client.send(&begin).await;
        // its connection may be closed before all of it has gone
        let _ = client.try_send(more).await;
        assert_eq!(server.close_code().await, code);
        gateway.logged(|line| line["endpoint"] == "responses" && line["error"] == error).await;
    }
}

#[tokio::test]
async fn a_handshake_with_a_body_is_refused_and_nothing_of_it_goes_upstream() {
    let (peer, gateway) = peer("  - max_tokens: { limit: 5 }\n", "").await;
    let call = frame(Opcode::Text, true, create("m", 6).to_string().as_bytes());
    let chunked = [format!("{:x}\r\n", call.len()).as_bytes(), &call, b"\r\n0\r\n\r\n"].concat();
    for (length, body) in
        [(format!("content-length: {}", call.len()), &call), ("transfer-encoding: chunked".to_owned(), &chunked)]
    {
        let mut client = connect(gateway.address()).await;
        let head = format!(
            "GET /v1/responses HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{length}\r\n\r\n"
        );
        client.send([head.as_bytes(), body].concat()).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 400, "{length}");
        assert!(answer.text().contains("The handshake of a WebSocket has no body"), "{}", answer.text());
    }
    gateway.logged(|line| line["error"] == "invalid_head").await;
    // the first that the server hears of is a handshake without a body
    let (_client, server) = peer.open(&gateway, "/v1/responses").await;
    assert!(!server.head.to_ascii_lowercase().contains("content-length"), "{}", server.head);
}

#[tokio::test]
async fn the_time_for_a_message_does_not_run_while_its_server_takes_nothing() {
    let (peer, gateway) = peer(READ, "server: { body_timeout: 2s }\n").await;
    let (mut client, mut server) = peer.open_raw(&gateway, "/v1/responses", b"").await;
    let call = create("m", 10).to_string().into_bytes();
    let message = [frame(Opcode::Text, false, &call[..7]), frame(Opcode::Continuation, true, &call[7..])];
    let pings = frame(Opcode::Ping, true, &[7; 125]).repeat(20_000);
    client.send(&message[0]).await;
    let mut sent = 0;
    // until the server's connection is full, for twice the time that the message may take
    let last = loop {
        let mut piece = Box::pin(client.send(&pings));
        sent += pings.len();
        if tokio::time::timeout(Duration::from_secs(4), &mut piece).await.is_err() {
            break piece;
        }
    };
    let ((), passed) = tokio::join!(last, server.exactly(sent));
    assert!(passed.starts_with(&pings), "pings pass before the message is whole");
    client.send(&message[1]).await;
    assert_eq!(server.exactly(message.concat().len()).await, message.concat());
}

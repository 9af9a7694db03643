//! How the bytes of a request are divided when they arrive at its server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{connect, gateway, soon};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server that tells of each request what its first read got, and answers once `whole` says that the request has ended.
fn server(whole: fn(&[u8]) -> bool) -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, (tell, told)) = (listener.local_addr().unwrap(), channel());
    thread::spawn(move || {
        for connection in listener.incoming() {
            let (mut connection, tell) = (connection.unwrap(), tell.clone());
            thread::spawn(move || {
                let mut buffer = vec![0; 1 << 20];
                loop {
                    let mut all = Vec::new();
                    while !whole(&all) {
                        let Ok(read @ 1..) = connection.read(&mut buffer) else { return };
                        if all.is_empty() && tell.send(buffer[..read].to_vec()).is_err() {
                            return;
                        }
                        all.extend_from_slice(&buffer[..read]);
                    }
                    connection.write_all(ANSWER).unwrap();
                }
            });
        }
    });
    (address, told)
}

fn ends_in_a_brace(request: &[u8]) -> bool {
    request.ends_with(b"}")
}

#[tokio::test]
async fn a_head_and_the_body_behind_it_arrive_in_one_packet() {
    let (server, told) = server(ends_in_a_brace);
    let gateway = gateway().server(server).start().await;
    let mut client = connect(gateway.address()).await;
    for path in ["/v1/messages", "/other"].repeat(50) {
        let request = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 14\r\n\r\n{{\"model\": \"m\"}}");
        client.send(request).await;
        assert_eq!(client.answer().await.status, 200);
        let first = String::from_utf8(told.recv().unwrap()).unwrap();
        assert!(first.ends_with("\r\n\r\n{\"model\": \"m\"}"), "{first}");
    }
}

#[tokio::test]
async fn a_chunk_arrives_in_one_packet() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = gateway().server(listener.local_addr().unwrap()).start().await;
    let mut client = connect(gateway.address()).await;
    client.send("POST /other HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let (mut server, _) = soon(listener.accept()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        soon(server.read_buf(&mut seen)).await.unwrap();
    }
    for length in [5, 1000, 4000] {
        let chunk = format!("{length:x}\r\n{}\r\n", "x".repeat(length));
        client.send(&chunk).await;
        let mut piece = vec![0; 64 << 10];
        let read = soon(server.read(&mut piece)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&piece[..read]).to_lowercase(), chunk);
    }
    client.send("0\r\n\r\n").await;
    server.write_all(ANSWER).await.unwrap();
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_head_does_not_wait_for_a_body_that_is_still_to_come() {
    let (server, told) = server(ends_in_a_brace);
    let gateway = gateway().server(server).start().await;
    let mut client = connect(gateway.address()).await;
    for _ in 0..5 {
        client.send("POST /other HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n").await;
        // it waits without end if the head does not come
        let first = String::from_utf8(told.recv().unwrap()).unwrap();
        assert!(first.ends_with("\r\n\r\n"), "{first}");
        client.send("{bo").await;
        client.send("d}").await;
        assert_eq!(client.answer().await.status, 200);
    }
}

#[tokio::test]
async fn a_large_body_is_sent_to_its_end() {
    let (server, told) = server(ends_in_a_brace);
    let gateway = gateway().server(server).start().await;
    let mut client = connect(gateway.address()).await;
    for length in [8_000, 70_000, 3_000_000, 12] {
        let text = "x".repeat(length - 2);
        client.send(format!("POST /other HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{{{text}}}")).await;
        assert_eq!(client.answer().await.status, 200, "{length}");
        told.recv().unwrap();
    }
}

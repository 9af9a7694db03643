//! Bodies that no plugin reads: they pass while they come.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Behind, KEPT, Manner, matrix, servers};
use crate::harness::{Alpn, Authority, Script, connect, eventually, gateway, h2c, http1, soon, tls_origin, upload};
use crate::memory::Peak;
use crate::payloads::{difference, noise};

#[tokio::test]
async fn every_body_that_streams_passes() {
    matrix(Behind::One, "", noise, |_| true).await;
}

#[tokio::test]
async fn every_body_that_streams_is_sent_again_to_another_server_or_the_first_ones_answer_counts() {
    matrix(Behind::BusyThenOne, "", noise, |size| size < KEPT).await;
}

#[tokio::test]
async fn every_body_that_streams_is_sent_again_in_another_protocol_or_the_first_ones_answer_counts() {
    matrix(Behind::BusyThenH2, "", noise, |size| size < KEPT).await;
}

/// Answers two requests, the first of which is chunked, and gives all bytes behind its end on its connection: none, or
/// the second request.
async fn behind_a_chunked_body(server: TcpListener) -> String {
    const END: &[u8] = b"0\r\n\r\n";
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    let (mut connection, _) = soon(server.accept()).await.unwrap();
    let mut seen = Vec::new();
    let end = loop {
        // a head may end as a last chunk does
        let body = seen.windows(4).position(|window| window == b"\r\n\r\n").map_or(seen.len(), |at| at + 4);
        if let Some(at) = seen[body..].windows(END.len()).position(|window| window == END) {
            break body + at + END.len();
        }
        soon(connection.read_buf(&mut seen)).await.unwrap();
    };
    connection.write_all(ANSWER).await.unwrap();
    let mut others = Vec::new();
    while !seen[end..].windows(5).any(|window| window == b"GET /") {
        tokio::select! {
            read = soon(connection.read_buf(&mut seen)) => if read.unwrap() == 0 { break },
            // a connection whose answer came before the end of its request was noted is not used again
            other = server.accept() => {
                let (mut other, _) = other.unwrap();
                other.write_all(ANSWER).await.unwrap();
                others.push(other);
            }
        }
    }
    // it may be gone already
    let _ = connection.write_all(ANSWER).await;
    String::from_utf8(seen.split_off(end)).unwrap()
}

#[tokio::test]
async fn a_body_without_length_ends_once_and_the_next_request_begins_right_behind_it() {
    for (manner, size) in
        [(Manner::Chunked, 1300), (Manner::Chunked, 0), (Manner::H2NoLength, 1300), (Manner::H2NoLength, 0)]
    {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = gateway().server(server.local_addr().unwrap()).start().await;
        let serving = tokio::spawn(behind_a_chunked_body(server));
        assert_eq!(manner.send(&gateway, "/v1/files", vec![b'x'; size]).await.0, 200);
        eventually("a line", async || gateway.access_log().len() == 1).await;
        assert_eq!(http1(gateway.address()).await.get("/next").await.status, 200);
        let next = serving.await.unwrap();
        assert!(next.is_empty() || next.starts_with("GET /next "), "{manner:?}, {size} bytes: {next:?}");
    }
}

#[tokio::test]
async fn a_body_that_nobody_reads_streams_from_its_first_byte() {
    for behind in [Alpn::H2, Alpn::Http1] {
        let origin = tls_origin(&Authority::new(), &["localhost"], behind).await;
        let gateway = gateway().upstream(&origin).start().await;
        for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
            let number = origin.count();
            let (sender, streamed) = upload();
            let request = client.request("POST", "/v1/files").body(streamed).unwrap();
            let asking = tokio::spawn(async move { client.call(request).await.status });
            let mut sent = Vec::new();
            for length in [1, 10, 1000, 100_000] {
                sent.extend(noise(length));
                assert!(sender.send(noise(length)).await);
                // each piece is there before the next is sent
                eventually("a piece at the origin", async || {
                    origin.requests().get(number).is_some_and(|request| request.body.len() == sent.len())
                })
                .await;
            }
            drop(sender);
            assert_eq!(asking.await.unwrap(), 200);
            assert_eq!(difference(&sent, &origin.request(number).await.body), None);
        }
    }
}

#[tokio::test]
async fn sixty_four_megabytes_stream_through_in_little_memory() {
    let (origins, gateway) = servers(Behind::One, "").await;
    let piece = noise(1 << 20);
    assert_eq!(http1(gateway.address()).await.post("/v1/files", piece.clone()).await.status, 200);
    let peak = Peak::of(&gateway);
    for (mut client, number) in [(http1(gateway.address()).await, 1), (h2c(gateway.address()).await, 2)] {
        let (sender, streamed) = upload();
        let request = client.request("POST", "/v1/files").body(streamed).unwrap();
        let asking = tokio::spawn(async move { client.call(request).await.status });
        for _ in 0..64 {
            assert!(sender.send(piece.clone()).await);
        }
        drop(sender);
        assert_eq!(asking.await.unwrap(), 200);
        let seen = origins[0].request(number).await;
        assert_eq!(seen.body.len(), 64 << 20);
        assert!(seen.body.chunks(1 << 20).all(|part| part == piece), "other bytes");
    }
    assert!(peak.growth() < 16 << 20, "grew by {} bytes", peak.growth());
}

#[tokio::test]
async fn a_server_that_does_not_read_makes_the_client_wait() {
    let (origins, gateway) = servers(Behind::One, "").await;
    origins[0].reads(false);
    let peak = Peak::of(&gateway);
    let mut client = http1(gateway.address()).await;
    let (sender, streamed) = upload();
    let request = client.request("POST", "/v1/files").body(streamed).unwrap();
    let asking = tokio::spawn(async move { client.call(request).await.status });
    let piece = noise(1 << 20);
    let mut taken = 0;
    // until no more is taken for a while
    while let Ok(wanted) = tokio::time::timeout(Duration::from_millis(500), sender.send(piece.clone())).await {
        assert!(wanted);
        taken += 1;
        assert!(taken < 64, "{taken} MiB were taken from the client, and the server has read nothing");
    }
    assert!(peak.growth() < 16 << 20, "grew by {} bytes", peak.growth());
    origins[0].reads(true);
    drop(sender);
    assert_eq!(asking.await.unwrap(), 200);
    let seen = origins[0].request(0).await.body;
    assert!(seen.len() >= taken << 20 && seen.chunks_exact(1 << 20).all(|part| part == piece), "other bytes");
}

#[tokio::test]
async fn an_answer_before_the_end_of_a_streamed_body_reaches_the_client() {
    let (origins, gateway) = servers(Behind::One, "access_log: { format: json }").await;
    origins[0].answers(Script::default().bytes("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig").close());
    let mut raw = connect(gateway.address()).await;
    raw.send("POST /v1/files HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").await;
    // the server takes no more, and the exchange is over
    eventually("the line of the exchange", async || {
        raw.send(noise(1000)).await;
        gateway.access_log().len() == 1
    })
    .await;
    // but many a client looks for an answer only behind its body
    for _ in 0..80 {
        raw.send(noise(10_000)).await;
    }
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
}

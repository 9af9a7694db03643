//! Bodies of requests: any length, in any framing, to any server, byte for byte, also on a second attempt.

mod derived;
mod limits;

mod streaming;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{
    Alpn, Authority, Framing, Gateway, Origin, answer, body, connect, gateway, h2c, http1, origin, tls_origin, upload,
};
use crate::payloads::{call, difference};

/// Pingora keeps 64 KiB of a body by itself; what is longer is where its ways part.
const KEPT: usize = 64 * 1024;
const SIZES: [usize; 6] = [0, 1300, KEPT, KEPT + 1, 200_000, 2_000_000];

/// How a body is sent.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Length,
    Expecting,
    Chunked,
    H2Length,
    H2NoLength,
}

const MANNERS: [Manner; 5] = [Manner::Length, Manner::Expecting, Manner::Chunked, Manner::H2Length, Manner::H2NoLength];

impl Manner {
    /// Sends it, and gives the status and the text of the answer.
    async fn send(self, gateway: &Gateway, path: &str, sent: Vec<u8>) -> (u16, String) {
        match self {
            Self::Length | Self::Expecting | Self::Chunked => self.send_raw(gateway, path, &sent).await,
            Self::H2Length => {
                let answer = h2c(gateway.address()).await.post(path, sent).await;
                (answer.status.as_u16(), answer.text())
            }
            Self::H2NoLength => {
                let mut client = h2c(gateway.address()).await;
                let (sender, streamed) = upload();
                let request = client.request("POST", path).body(streamed).unwrap();
                let sending = tokio::spawn(async move {
                    for piece in sent.chunks(10_007) {
                        if !sender.send(piece.to_vec()).await {
                            return;
                        }
                    }
                });
                let answer = client.call(request).await;
                sending.abort();
                (answer.status.as_u16(), answer.text())
            }
        }
    }

    async fn send_raw(self, gateway: &Gateway, path: &str, sent: &[u8]) -> (u16, String) {
        let mut raw = connect(gateway.address()).await;
        let framing = match self {
            Self::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
            Self::Expecting => format!("content-length: {}\r\nexpect: 100-continue\r\n", sent.len()),
            _ => format!("content-length: {}\r\n", sent.len()),
        };
        raw.send(format!("POST {path} HTTP/1.1\r\nhost: a\r\n{framing}\r\n")).await;
        if matches!(self, Self::Expecting) && !sent.is_empty() {
            assert_eq!(raw.head().await.status, 100);
        }
        // whoever answers early may not want the rest
        let _ = raw.try_send(if matches!(self, Self::Chunked) { chunked(sent) } else { sent.to_vec() }).await;
        let answer = raw.answer().await;
        (answer.status, answer.text())
    }
}

/// In chunks of an odd size, which no buffer is a multiple of.
fn chunked(bytes: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(bytes.len() + bytes.len() / 500 + 16);
    for chunk in bytes.chunks(7001) {
        framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\n\r\n");
    framed
}

/// What stands behind the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    One,
    BusyThenOne,
    BusyThenH2,
}

/// The servers, and a gateway before them. Of two, the first is always busy and always asked first.
async fn servers(behind: Behind, settings: &str) -> (Vec<Origin>, Gateway) {
    let mut origins = vec![origin().await];
    if behind != Behind::One {
        origins[0].answers(answer(529).body("busy"));
        origins.push(match behind {
            Behind::BusyThenH2 => tls_origin(&Authority::new(), &["localhost"], Alpn::H2).await,
            _ => origin().await,
        });
    }
    let weights = [60_000, 1];
    let listed = origins
        .iter()
        .zip(weights)
        .map(|(origin, weight)| format!("{{ address: \"{}\", weight: {weight} }}", origin.server()));
    let ca = origins.iter().find_map(Origin::authority);
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\n\
         upstreams:\n  origin:\n    balance: round_robin\n    eject: {{ on: [] }}\n    servers: [{}]\n{}\nroutes: [{{ upstream: origin }}]\n{settings}\n",
        listed.collect::<Vec<_>>().join(", "),
        ca.map_or("", |_| "    tls: { ca: ca.pem }"),
    );
    let gateway = gateway().file("ca.pem", ca.unwrap_or_default()).yaml(yaml).start().await;
    (origins, gateway)
}

/// Sends every size in every manner, and holds what the servers saw against it.
async fn matrix(behind: Behind, settings: &str, make: impl Fn(usize) -> Vec<u8>, kept: impl Fn(usize) -> bool) {
    let (origins, gateway) = servers(behind, settings).await;
    for size in SIZES {
        for manner in MANNERS {
            let what = format!("{size} bytes, {manner:?}, {behind:?}, {settings:?}");
            let sent = make(size);
            let before: Vec<_> = origins.iter().map(Origin::count).collect();
            let (status, text) = manner.send(&gateway, "/v1/messages", sent.clone()).await;
            let again = status == 200;
            // what was not kept cannot be sent again, and then the server's own word counts
            assert!(
                again && text == "hello" || status == 529 && text == "busy" && !kept(size),
                "{status} {text}: {what}"
            );
            for (number, origin) in origins.iter().enumerate().take(if again { 2 } else { 1 }) {
                assert_eq!(origin.count(), before[number] + 1, "{what}");
                let seen = origin.request(before[number]).await;
                assert_eq!(difference(&sent, &seen.body), None, "at server {number}: {what}");
            }
        }
    }
}

const READS_BODIES: &str = "plugins: [{ max_tokens: { limit: 4000 } }]";

fn call_of(size: usize) -> Vec<u8> {
    if size == 0 { Vec::new() } else { call(size, 4000) }
}

#[tokio::test]
async fn every_body_that_is_read_passes() {
    matrix(Behind::One, READS_BODIES, call_of, |_| true).await;
}

#[tokio::test]
async fn every_body_that_is_read_is_sent_again_to_another_server() {
    matrix(Behind::BusyThenOne, READS_BODIES, call_of, |_| true).await;
}

#[tokio::test]
async fn every_body_that_is_read_is_sent_again_in_another_protocol() {
    matrix(Behind::BusyThenH2, READS_BODIES, call_of, |_| true).await;
}

#[tokio::test]
async fn a_body_that_was_read_goes_out_with_its_length() {
    let (origins, gateway) = servers(Behind::One, READS_BODIES).await;
    for (number, manner) in MANNERS.into_iter().enumerate() {
        manner.send(&gateway, "/v1/messages", call(100_000, 1)).await;
        let seen = origins[0].request(number).await;
        assert_eq!(seen.framing, Framing::Length(100_000), "{manner:?}");
        assert_eq!(seen.header("expect"), None, "{manner:?}");
    }
}

#[tokio::test]
async fn a_connection_serves_on_after_a_body_in_any_framing() {
    for settings in [READS_BODIES, ""] {
        let (origins, gateway) = servers(Behind::One, settings).await;
        let mut raw = connect(gateway.address()).await;
        for (number, size) in [1300, 200_000, 1300].into_iter().enumerate() {
            let sent = call(size, 1);
            raw.send(format!("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n")).await;
            raw.send(&sent).await;
            assert_eq!(raw.answer().await.status, 200);
            assert_eq!(difference(&sent, &origins[0].request(number).await.body), None);
        }
    }
}

#[tokio::test]
async fn attempts_upstream_alternate_without_mixing_bodies() {
    let turn = AtomicUsize::new(0);
    let (one, two) = (origin().await, origin().await);
    two.answers(answer(200).body("hello"));
    one.answers_with(move |_| match turn.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => answer(529).body("busy"),
        _ => answer(200).body("hello"),
    });
    let gateway = gateway().upstream(&one).upstream(&two).settings(READS_BODIES).start().await;
    let asked = (0..40).map(|number| {
        let address = gateway.address();
        tokio::spawn(async move {
            let sent = call(50_000 + number * 1000, 1);
            let mut client = http1(address).await;
            let request = client.request("POST", "/v1/messages").header("x-length", sent.len().to_string());
            assert_eq!(client.call(request.body(body(sent)).unwrap()).await.text(), "hello");
        })
    });
    for one in asked.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    for seen in one.requests().iter().chain(&two.requests()) {
        let length = seen.header("x-length").unwrap().parse().unwrap();
        assert_eq!(difference(&call(length, 1), &seen.body), None);
    }
}

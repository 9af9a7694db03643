//! Heads of requests: how large one may be, and all of them together.

use futures_util::future::join_all;

use super::{holds_nothing, start};
use crate::harness::{
    Authority, Client, Gateway, Raw, body, connect, connect_tls, eventually, gate, gateway, h2c, http1, origin, sse,
};
use crate::memory::Peak;

const KIB: usize = 1 << 10;
const PATHS: [(&str, &str); 3] =
    [("/v1/messages", "\"request_id\""), ("/v1/chat/completions", "\"code\""), ("/anything", "\"code\"")];

/// A head of exactly so many bytes.
fn head(path: &str, length: usize) -> String {
    let before = format!("GET {path} HTTP/1.1\r\nhost: a\r\nx: ");
    format!("{before}{}\r\n\r\n", "y".repeat(length - before.len() - 4))
}

async fn is_431(raw: &mut Raw, dialect: &str) {
    let answer = raw.answer().await;
    assert_eq!(answer.status, 431);
    assert!(answer.text().contains("larger than 16384 bytes") && answer.text().contains(dialect), "{}", answer.text());
}

#[tokio::test]
async fn a_head_up_to_the_limit_passes_and_a_larger_one_is_431_in_the_dialect_of_its_path() {
    let (origin, authority) = (origin().await, Authority::new());
    let issued = authority.issue(&["a"]);
    let builder = gateway().upstream(&origin).settings("server: { max_header: 16KiB }");
    let tls = "listeners:\n  - { address: \"127.0.0.1:0\" }\n  - address: \"127.0.0.1:0\"\n    tls: { certificates: [{ certificate: a.pem, private_key: a.key }] }\n";
    let text = builder.text().replacen("listeners: [{ address: \"127.0.0.1:0\" }]\n", tls, 1);
    let gateway = builder.yaml(text).file("a.pem", issued.certificate).file("a.key", issued.key).start().await;
    for (path, dialect) in PATHS {
        for tls in [false, true] {
            let open = async || match tls {
                false => connect(gateway.address()).await,
                true => Raw::over(connect_tls(gateway.addresses()[1], &authority, "a", &["http/1.1"]).await.unwrap()),
            };
            let mut raw = open().await;
            for length in [KIB, 16 * KIB] {
                raw.send(head(path, length)).await;
                assert_eq!(raw.answer().await.status, 200, "{path} {tls} {length}");
            }
            // behind others on its connection, alone, and without an end
            raw.send(head(path, 16 * KIB + 1)).await;
            is_431(&mut raw, dialect).await;
            assert!(raw.to_end().await.is_empty());
            let mut raw = open().await;
            raw.send(head(path, 900 * KIB)).await;
            is_431(&mut raw, dialect).await;
            let mut raw = open().await;
            raw.send(&head(path, 20 * KIB)[..17 * KIB]).await;
            is_431(&mut raw, dialect).await;
        }
    }
    // one that came with the request before it
    let mut raw = connect(gateway.address()).await;
    raw.send(head("/v1/messages", KIB) + &head("/v1/messages", 20 * KIB)).await;
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!(raw.answer().await.status, 431);
    assert!(gateway.metrics().await.sum("tollgate_large_heads_total", &[]) >= 19.0);
    gateway.says("request head refused").await;
    holds_nothing(&gateway).await;
}

#[tokio::test]
async fn a_body_behind_a_head_is_no_part_of_it() {
    let origin = origin().await;
    let gateway = start(&origin, "max_header: 1KiB", "").await;
    let mut raw = connect(gateway.address()).await;
    for _ in 0..3 {
        let body = "z".repeat(300_000);
        raw.send(format!("POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
        assert_eq!(raw.answer().await.status, 200);
    }
    assert_eq!(origin.request(2).await.body.len(), 300_000);
}

async fn ask(client: &mut Client, path: &str, value: usize) -> hyper::Result<(u16, String)> {
    let request = client.request("GET", path).header("x", "y".repeat(value)).body(body("")).unwrap();
    let answer = client.send(request).await?.whole().await;
    Ok((answer.status.as_u16(), answer.text()))
}

#[tokio::test]
async fn on_http_2_too() {
    let origin = origin().await;
    let gateway = start(&origin, "max_header: 16KiB", "").await;
    for (path, dialect) in PATHS {
        let mut client = h2c(gateway.address()).await;
        assert_eq!(ask(&mut client, path, 15 * KIB).await.unwrap().0, 200);
        let (status, text) = ask(&mut client, path, 17 * KIB).await.unwrap();
        assert!(status == 431 && text.contains(dialect), "{status}: {text}");
        // the connection goes on
        assert_eq!(ask(&mut client, path, KIB).await.unwrap().0, 200);
    }
    holds_nothing(&gateway).await;
}

/// Opens connections that each send this and no more, until the gateway has had enough of some.
async fn unfinished(gateway: &Gateway, connections: usize, bytes: &[u8]) -> Vec<Raw> {
    join_all((0..connections).map(async |_| {
        let mut raw = connect(gateway.address()).await;
        let _ = raw.try_send(bytes).await;
        raw
    }))
    .await
}

#[tokio::test]
async fn three_hundred_heads_without_an_end_take_no_more_than_they_may_and_hurt_nobody() {
    let origin = origin().await;
    let gateway = start(&origin, "max_header: 1MiB, max_header_memory: 16MiB", "").await;
    let peak = Peak::of(&gateway);
    let begun = unfinished(&gateway, 300, &head("/v1/messages", 1000 * KIB).as_bytes()[..900 * KIB]).await;
    eventually("some that are refused", async || {
        gateway.metrics().await.sum("tollgate_memory_refused_total", &[("of", "heads")]) > 200.0
    })
    .await;
    assert_eq!(http1(gateway.address()).await.get("/other").await.status, 200);
    assert!(peak.growth() < 64 << 20, "grew by {} MiB", peak.growth() >> 20);
    let mut refused = 0;
    for mut raw in begun.into_iter().rev().take(250) {
        raw.half_close().await;
        let told = raw.to_end().await;
        if told.starts_with(b"HTTP/1.1 503 ") {
            let told = String::from_utf8(told).unwrap();
            assert!(told.contains("retry-after: 1\r\n") && told.contains("overloaded_error"), "{told}");
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused}");
    holds_nothing(&gateway).await;
}

#[tokio::test]
async fn on_http_2_heads_without_an_end_are_bounded_together_too() {
    let origin = origin().await;
    let gateway = start(&origin, "max_header: 256KiB, max_header_memory: 16MiB", "").await;
    let peak = Peak::of(&gateway);
    // a head that goes on with literals, none of which is the last
    let field = [&[0, 1, b'x', 0x7f, 0x81, 0x7c][..], &[b'y'; 16_000]].concat();
    let frame = |kind: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], payload].concat()
    };
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, &[])[..5], &[0; 4]].concat();
    let begun = [preface, frame(1, &[0x82, 0x86, 0x84, 0x41, 1, b'a']), frame(9, &field).repeat(12)].concat();
    let open = unfinished(&gateway, 100, &begun).await;
    eventually("some that are refused", async || {
        gateway.metrics().await.sum("tollgate_memory_refused_total", &[("of", "heads")]) >= 80.0
    })
    .await;
    assert_eq!(h2c(gateway.address()).await.get("/other").await.status, 200);
    assert!(peak.growth() < 64 << 20, "grew by {} MiB", peak.growth() >> 20);
    drop(open);
    holds_nothing(&gateway).await;
}

#[tokio::test]
async fn streams_that_wait_for_their_answers_are_bounded_together() {
    let origin = origin().await;
    let wait = gate();
    origin.answers(sse().after(&wait).event("one").end());
    let gateway = start(&origin, "max_header_memory: 1MiB", "").await;
    let first = h2c(gateway.address()).await;
    let waiting: Vec<_> = (0..16)
        .map(|_| {
            let mut client = first.share();
            tokio::spawn(async move { client.get("/v1/models").await.status })
        })
        .collect();
    origin.request(15).await;
    let refused = first.share().get("/v1/messages").await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, Some("1")));
    // an ordinary head of HTTP/1.1 takes nothing
    let mut other = http1(gateway.address()).await;
    let other = tokio::spawn(async move { other.get("/other").await.status });
    origin.request(16).await;
    wait.open();
    assert!(join_all(waiting.into_iter().chain([other])).await.into_iter().all(|status| status.unwrap() == 200));
    drop(first);
    holds_nothing(&gateway).await;
}

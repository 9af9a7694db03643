//! How an upstream's response says where its body ends: what could be understood in two ways becomes a 502, or is said anew.

use crate::harness::{RawAnswer, Script, answer, connect, gateway, h2c, http1, origin};

/// A body in chunks, and the end.
const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";

#[tokio::test]
async fn what_has_two_meanings_is_never_passed_on() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).upstream_settings("timeouts: { first_byte: 5s, idle: 5s }").start().await;
    for (head, body, status, length, coding) in [
        ("content-length: 5", "hello", 200, Some("5"), None),
        ("transfer-encoding: chunked", CHUNKS, 200, None, Some("chunked")),
        ("content-length: 5\r\ncontent-length: 5", "hello", 200, Some("5"), None),
        ("content-length: 5, 5", "hello", 200, Some("5"), None),
        ("content-length: 5\r\ncontent-length: 6", "hello", 502, None, None),
        ("content-length: 5, 6", "hello", 502, None, None),
        ("content-length: +5", "hello", 502, None, None),
        ("content-length: 5x", "hello", 502, None, None),
        ("transfer-encoding: chunked, chunked", CHUNKS, 502, None, None),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", CHUNKS, 502, None, None),
        ("transfer-encoding: gzip, chunked", CHUNKS, 502, None, None),
        ("transfer-encoding: identity", "hello", 502, None, None),
        ("transfer-encoding: gzip", "hello", 502, None, None),
        ("transfer-encoding: chunked, identity", CHUNKS, 502, None, None),
        ("content-length: 3\r\ntransfer-encoding: chunked", CHUNKS, 200, None, Some("chunked")),
    ] {
        origin.answers(Script::raw(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}")));
        let mut client = connect(gateway.address()).await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{head}");
        if status == 200 {
            let one = |name: &str| match answer.all(name).as_slice() {
                [] => None,
                [one] => Some(String::from_utf8_lossy(one).into_owned()),
                more => panic!("{head}: {} times {name}", more.len()),
            };
            assert_eq!(
                (one("content-length").as_deref(), one("transfer-encoding").as_deref()),
                (length, coding),
                "{head}"
            );
            assert_eq!(answer.text(), "hello", "{head}");
        } else {
            let line = gateway.logged(|line| line["id"] == answer.header("x-request-id").unwrap()).await;
            assert_eq!(line["error"], "invalid_header", "{head}: {line}");
        }
    }
}

#[tokio::test]
async fn nothing_precedes_an_answer_to_http_1_0() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let hinted = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    origin.answers(Script::raw(hinted));
    let first = async |version: &str, headers: &str, body: &str| -> RawAnswer {
        let mut client = connect(gateway.address()).await;
        client
            .send(format!("POST / HTTP/{version}\r\nhost: a\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()))
            .await;
        client.head().await
    };
    assert_eq!(first("1.0", "", "").await.status, 200);
    assert_eq!(first("1.0", "expect: 100-continue\r\n", "{}").await.status, 200);
    assert_eq!(first("1.1", "", "").await.status, 103);
    assert_eq!(first("1.1", "expect: 100-continue\r\n", "{}").await.status, 100);
}

#[tokio::test]
async fn trailers_that_do_not_pass_are_not_announced() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let with_trailers = "HTTP/1.1 200 OK\r\ntrailer: x-checksum\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-checksum: 1\r\n\r\n";
    origin.answers(Script::raw(with_trailers));
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        for _ in 0..2 {
            let answer = client.get("/").await;
            assert_eq!((answer.text().as_str(), answer.header("trailer")), ("hello", None));
        }
    }
    origin.answers(answer(200).body("hello"));
    let mut client = connect(gateway.address()).await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 200);
    assert!(origin.requests().pop().unwrap().all("trailer").is_empty());
}

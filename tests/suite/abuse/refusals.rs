//! What is refused before any route is looked for: it has a body in the caller's dialect, a line in the access log, and is counted.

use http::Method;

use super::{SETTINGS, Target, statuses};
use crate::harness::{END_HEADERS, FrameClient, HEADERS, Verdict, connect, eventually, field, frame, request};

/// What is sent, the status of its refusal, and what the access log says of it: method and path.
const REFUSED: [(&str, u16, &str, &str); 13] = [
    ("GET /two-hosts HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400, "GET", "/two-hosts"),
    ("GET /user HTTP/1.1\r\nhost: u@a\r\n\r\n", 400, "GET", "/user"),
    ("GET /no-host HTTP/1.1\r\nhost: a b\r\n\r\n", 400, "GET", "/no-host"),
    ("GET /empty-host HTTP/1.1\r\nhost:\r\n\r\n", 400, "GET", "/empty-host"),
    ("GET /port HTTP/1.1\r\nhost: a:http\r\n\r\n", 400, "GET", "/port"),
    ("GET http://b/other-host HTTP/1.1\r\nhost: a\r\n\r\n", 400, "GET", "/other-host"),
    ("GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", 400, "GET", "/a"),
    ("GET /a\tb HTTP/1.1\r\nhost: a\r\n\r\n", 400, "GET", "/a"),
    ("GET /a\u{7f}b HTTP/1.1\r\nhost: a\r\n\r\n", 400, "GET", "/a\u{7f}b"),
    ("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", 405, "CONNECT", "a:443"),
    ("GET /bad-name HTTP/1.1\r\nx y: z\r\n\r\n", 400, "GET", "/bad-name"),
    ("\u{1}\u{2}\u{3}\r\n\r\n", 400, "-", ""),
    ("POST /v1/messages HTTP/1.1\r\nhost: a\r\nhost: b\r\ncontent-length: 0\r\n\r\n", 400, "POST", "/v1/messages"),
];

#[tokio::test]
async fn a_refusal_below_the_routes_has_a_body_a_line_and_a_count() {
    let mut target = Target::with(SETTINGS).await;
    for (number, (sent, status, method, path)) in REFUSED.iter().enumerate() {
        let mut client = connect(target.gateway.address()).await;
        client.send(sent).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, *status, "{sent}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{sent}");
        assert_eq!(answer.header("server"), None, "{sent}");
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{sent}: {body}");
        assert_eq!(body["type"] == "error", *path == "/v1/messages", "{sent}: in the dialect of its path: {body}");
        let id = answer.header("x-request-id").unwrap().to_owned();
        let line = target.gateway.logged(|line| line["id"] == id.as_str()).await;
        assert_eq!(
            (line["method"].as_str(), line["path"].as_str().unwrap_or_default()),
            (Some(*method), *path),
            "{line}"
        );
        assert_eq!(
            (line["status"].as_u64(), line["client"].as_str()),
            (Some(u64::from(*status)), Some("127.0.0.1")),
            "{line}"
        );
        assert_eq!(line["outcome"], "refused", "{line}");
        assert_eq!(line["response_bytes"].as_u64(), Some(answer.body.len() as u64), "{line}");
        eventually("a count of it", async || {
            let metrics = target.gateway.metrics().await;
            metrics.sum("tollgate_requests_total", &[("outcome", "refused")]) == (number + 1) as f64
        })
        .await;
    }
    assert_eq!(target.origin.count(), 0);
    target.gateway.says("request head refused").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_tunnel_over_http_2_is_refused_in_words() {
    let mut target = Target::with(SETTINGS).await;
    let mut client = FrameClient::connect(target.gateway.address()).await;
    let connect = [field(":method", "CONNECT"), field(":authority", "a:443")].concat();
    let verdict = client.verdict(&frame(HEADERS, END_HEADERS, 1, &connect)).await;
    assert_eq!(verdict, Verdict::Answered(0), "a status that is in no table");
    let line = target.gateway.logged(|line| line["method"] == Method::CONNECT.as_str()).await;
    assert_eq!((line["status"].as_u64(), line["outcome"].as_str()), (Some(405), Some("refused")), "{line}");
    assert!(line["response_bytes"].as_u64() > Some(0), "{line}");
    target.is_unharmed().await;
}

#[tokio::test]
async fn what_an_http_2_client_breaks_is_counted_and_logged() {
    let mut target = Target::with(SETTINGS).await;
    let mut client = FrameClient::connect(target.gateway.address()).await;
    let upper = [request("GET", "/smuggled"), field("X-A", "1")].concat();
    assert_eq!(client.verdict(&frame(HEADERS, END_HEADERS, 1, &upper)).await, Verdict::Connection(1));
    eventually("a count of it", async || {
        let metrics = target.gateway.metrics().await;
        metrics.sum("tollgate_http2_ended_total", &[("ended", "connection"), ("code", "PROTOCOL_ERROR")]) == 1.0
    })
    .await;
    target.gateway.says("an HTTP/2 client broke the protocol").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_refusal_of_a_head_request_has_no_body() {
    let target = Target::with(SETTINGS).await;
    let told = target.told(b"HEAD /two-hosts HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n").await;
    assert_eq!(statuses(&told), [400]);
    assert!(told.ends_with("\r\n\r\n"), "{told}");
}

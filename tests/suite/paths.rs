//! However a client spells a path, it is the same one to routes and limits, and is sent on as it came.

use http::StatusCode;

use crate::harness::{Client, Gateway, Origin, connect, gateway, h2c, http1, origin};
use crate::payloads::call;

/// Spellings of `/v1/messages`, of which servers take one or another.
const SPELLINGS: [&str; 12] = [
    "/v1/messages",
    "//v1/messages",
    "/v1//messages",
    "/./v1/messages",
    "/v1/./messages",
    "/%761/messages",
    "/v1/mess%61ges",
    "/v1%2Fmessages",
    "/v1/x/../messages",
    "/x/%2e%2E/v1/messages",
    "/admin/..//v1/messages",
    "/v1/messages/",
];

/// Ways out of `/v1/messages`.
const ESCAPES: [&str; 7] = [
    "/v1/messages/../admin/keys",
    "/v1/messages/%2e%2e/admin/keys",
    "/v1/messages/..%2Fadmin/keys",
    "/v1/messages%2f..%2fadmin/keys",
    "/v1/messages/x/../../admin/keys",
    "/v1/messages//../admin/keys",
    "/v1/messages/./../admin/keys?x=/v1/messages",
];

/// A route of its own for `/v1/messages`, with a limit, before these.
async fn guarded(origin: &Origin, others: &str) -> Gateway {
    let yaml = format!(
        "listeners: [{{ address: 127.0.0.1:0 }}]\nupstreams: {{ origin: {{ servers: [{{ address: \"{}\" }}] }} }}\n\
         routes:\n  - {{ paths: [/v1/messages], upstream: origin, plugins: [{{ max_tokens: {{ limit: 10 }} }}] }}\n{others}",
        origin.server()
    );
    gateway().yaml(yaml).start().await
}

async fn both(gateway: &Gateway) -> [(&'static str, Client); 2] {
    [("HTTP/1.1", http1(gateway.address()).await), ("HTTP/2", h2c(gateway.address()).await)]
}

#[tokio::test]
async fn another_spelling_of_a_path_finds_the_same_limit_and_is_sent_on_as_it_came() {
    let origin = origin().await;
    let gateway = guarded(&origin, "  - { upstream: origin }\n").await;
    for (protocol, mut client) in both(&gateway).await {
        for path in SPELLINGS {
            let target = format!("{path}?beta=true&x=%2e/../..");
            let refused = client.post(&target, call(100, 11)).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{protocol} {path}");
            assert!(refused.text().contains("11"), "the limit refuses {path}: {}", refused.text());
            let number = origin.count();
            assert_eq!(client.post(&target, call(100, 10)).await.status, StatusCode::OK, "{protocol} {path}");
            assert_eq!(origin.request(number).await.target, target, "{protocol}");
            let line = gateway.logged(|line| line["path"] == path && line["status"] == 200).await;
            assert_eq!(line["endpoint"], "messages", "{line}");
        }
    }
    let mut raw = connect(gateway.address()).await;
    raw.send("POST http://any.test//v1/./messages HTTP/1.1\r\nhost: any.test\r\ncontent-length: 17\r\n\r\n{\"max_tokens\":11}").await;
    assert_eq!(raw.answer().await.status, 400, "in absolute form too");
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_out_of_its_route() {
    let origin = origin().await;
    let gateway = guarded(&origin, "").await;
    for (protocol, mut client) in both(&gateway).await {
        for path in ESCAPES {
            assert_eq!(client.get(path).await.status, StatusCode::NOT_FOUND, "{protocol} {path}");
        }
        for path in ["/V1/messages", "/v1\\messages", "/v1/messages;/../x", "/v1/%256Dessages"] {
            assert_eq!(client.get(path).await.status, StatusCode::NOT_FOUND, "{protocol} {path}: as in nginx");
        }
        for path in ["/..", "/v1/messages/../../../x", "/v1/messages/%00", "/v1/messages%", "/v1/messages/%zz"] {
            let refused = client.get(path).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{protocol} {path}");
            assert_eq!(refused.json()["error"]["type"], "invalid_request_error", "{protocol} {path}");
        }
    }
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn a_path_can_be_taken_alone_or_with_what_is_below_it() {
    let origin = origin().await;
    let others = "  - { paths: [\"= /health\", /below/], upstream: origin }\n";
    let gateway = guarded(&origin, others).await;
    let mut client = http1(gateway.address()).await;
    for (path, status) in [
        ("/health", 200),
        ("/health?x", 200),
        ("//health", 200),
        ("/health/", 404),
        ("/healthy", 404),
        ("/below", 404),
        ("/below/", 200),
        ("/below/x", 200),
        ("/below/../x", 404),
    ] {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
}

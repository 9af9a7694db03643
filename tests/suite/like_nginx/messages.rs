//! Requests that are not quite right get the statuses that nginx gives them, and those that pass reach the upstream alike.

use super::before;
use crate::harness::{Gateway, Nginx, Origin, Script, connect, gateway, origin};

/// Heads in which nginx and the gateway must agree.
const ALIKE: [&str; 27] = [
    "GET /plain HTTP/1.1\r\nhost: a\r\n",
    "GET /^|{}[]\\?^|{}[]\\` HTTP/1.1\r\nhost: a\r\n",
    "GET /a\"b HTTP/1.1\r\nhost: a\r\n",
    "GET /\u{e4}?\u{4f60} HTTP/1.1\r\nhost: a\r\n",
    "GET /a b HTTP/1.1\r\nhost: a\r\n",
    "GET /a\tb HTTP/1.1\r\nhost: a\r\n",
    "GET /a\u{7f}b HTTP/1.1\r\nhost: a\r\n",
    "GET /a\u{1}b HTTP/1.1\r\nhost: a\r\n",
    "GET /no-host HTTP/1.1\r\n",
    "GET /two-hosts HTTP/1.1\r\nhost: a\r\nhost: a\r\n",
    "GET /empty HTTP/1.1\r\nhost:\r\n",
    "GET /space HTTP/1.1\r\nhost: a b\r\n",
    "GET /dots HTTP/1.1\r\nhost: a..b\r\n",
    "GET /slash HTTP/1.1\r\nhost: a/b\r\n",
    "GET /port HTTP/1.1\r\nhost: a:8080\r\n",
    "GET /address HTTP/1.1\r\nhost: [::1]:8080\r\n",
    "GET /underscore HTTP/1.1\r\nhost: a_b\r\n",
    "GET /dot HTTP/1.1\r\nhost: a.\r\n",
    "GET /old HTTP/1.0\r\n",
    "GET http://a/absolute HTTP/1.1\r\nhost: a\r\n",
    "GET http://A/case HTTP/1.1\r\nhost: a\r\n",
    "GET http://a:80/port HTTP/1.1\r\nhost: a\r\n",
    "GET http://a?query HTTP/1.1\r\nhost: a\r\n",
    "GET /both HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n",
    "GET /lengths HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 0\r\n",
    "GET /length HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n",
    "GET /fold HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n",
];

/// A gateway and an nginx, each before an upstream of its own.
struct Both {
    ours: Origin,
    theirs: Origin,
    gateway: Gateway,
    nginx: Nginx,
}

async fn both() -> Both {
    let (ours, theirs) = (origin().await, origin().await);
    let gateway = gateway().upstream(&ours).start().await;
    let nginx = before("", &[(&theirs, String::new())]).await;
    Both { ours, theirs, gateway, nginx }
}

/// The status of an answer, and the line that the upstream got.
async fn told(address: std::net::SocketAddr, origin: &Origin, head: &str) -> (u16, Option<Vec<u8>>) {
    let before = origin.count();
    let mut client = connect(address).await;
    client.send(format!("{head}connection: close\r\n\r\n")).await;
    let status = client.answer().await.status;
    let line = (origin.count() > before).then(|| {
        let head = origin.requests().pop().unwrap().raw_head;
        head.split(|byte| *byte == b'\r').next().unwrap().to_vec()
    });
    (status, line)
}

#[tokio::test]
async fn requests_that_are_not_quite_right_get_the_same_status_and_pass_alike() {
    let Both { ours, theirs, gateway, nginx } = both().await;
    let mut wrong = String::new();
    for head in ALIKE {
        let (here, there) = (told(gateway.address(), &ours, head).await, told(nginx.address(), &theirs, head).await);
        if here != there {
            wrong.push_str(&format!("{head:?}: {here:?}, nginx {there:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn a_client_keeps_its_connection_through_errors_as_with_nginx() {
    let Both { ours, theirs, gateway, nginx } = both().await;
    for origin in [&ours, &theirs] {
        origin.answers(Script::closing());
    }
    for address in [gateway.address(), nginx.address()] {
        let mut client = connect(address).await;
        for request in [
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}",
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        ] {
            client.send(request).await;
            let failed = client.answer().await;
            assert_eq!((failed.status, failed.header("connection")), (502, Some("keep-alive")), "{address} {request}");
        }
    }
}

//! What passes through the gateway as it is: methods, targets, headers, bodies, and answers of every kind.

mod forwarding;
mod framing;
mod headers;
mod packets;
mod protocols;
mod targets;
mod upstream_tls;

use crate::harness::{Framing, Raw, Script, answer, body, connect, gateway, h2c, http1, nginx, origin};

#[tokio::test]
async fn every_method_passes_with_or_without_a_body() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    let methods = [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "PROPFIND",
        "M-SEARCH",
        "pOsT",
        "X!#$%&'*+.^_`|~9",
    ];
    for (n, method) in methods.iter().enumerate() {
        client.send(format!("{method} /{n} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(client.answer_to(method).await.status, 200, "{method}");
        let seen = origin.request(n).await;
        assert_eq!((&*seen.method, seen.target), (*method, format!("/{n}")));
        assert_eq!((seen.framing, seen.body.len()), (Framing::Nothing, 0), "{method}");
    }
    for (n, method) in methods.iter().enumerate() {
        let seen = origin.count();
        client.send(format!("{method} /{n} HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody")).await;
        assert_eq!(client.answer_to(method).await.status, 200, "{method}");
        let seen = origin.request(seen).await;
        assert_eq!((&*seen.method, &seen.body[..], seen.framing), (*method, &b"body"[..], Framing::Length(4)));
    }
}

/// As nginx does: a server that answers TRACE shows scripts of a page the cookies that they must not see.
#[tokio::test]
async fn trace_is_refused() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let nginx = nginx("", &format!("location / {{ proxy_pass http://{}; }}", origin.server())).await;
    for proxy in [gateway.address(), nginx.address()] {
        let mut client = connect(proxy).await;
        client.send("TRACE /v1/messages HTTP/1.1\r\nhost: a\r\ncookie: a=1\r\n\r\n").await;
        let answer = client.answer().await;
        assert!(answer.status == 405 && !answer.text().contains("a=1"), "{}", answer.text());
    }
    let mut client = h2c(gateway.address()).await;
    let trace = client.request("TRACE", "/").body(body("")).unwrap();
    assert_eq!(client.call(trace).await.status, 405);
    assert_eq!(origin.count(), 0);
    let line = gateway.logged(|line| line["status"] == 405).await;
    assert_eq!(line["error"], "trace");
}

#[tokio::test]
async fn options_of_the_server_as_a_whole_pass() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    client.send("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    let seen = origin.request(0).await;
    assert_eq!((&*seen.method, &*seen.target), ("OPTIONS", "*"));
}

#[tokio::test]
async fn a_target_passes_byte_for_byte() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    let long = format!("/long?{}", "x%20y&".repeat(1500));
    let targets = [
        "/",
        "//",
        "//a//b//",
        "/a/",
        "/a;b=1;c",
        "/%2F%2f%41%7a",
        "/?",
        "/a?",
        "/a??b?c",
        "/a?&&=&x=%20+%2B",
        "/.",
        "/a/../b",
        "/a/./b",
        "/b/..%2fc/..%2f",
        "/%E4%BD%A0%e5",
        "/-._~!$&'()*+,;=:@",
        "/v1/unknown/endpoint",
        "/a?b=/c/../d",
        "/a?b={}|^",
        "/a?url=http://x:1/?y",
        &long,
    ];
    for (n, target) in targets.iter().enumerate() {
        client.send(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 200, "{target}");
        assert_eq!(origin.request(n).await.target, *target);
    }
}

#[tokio::test]
async fn a_target_that_is_a_whole_url_names_the_host() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    client.send("GET http://api.test/a?b HTTP/1.1\r\nhost: api.test\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    let seen = origin.request(0).await;
    assert_eq!(seen.host(), Some("api.test"));
    assert!(["/a?b", "http://api.test/a?b"].contains(&&*seen.target), "{}", seen.target);
}

#[tokio::test]
async fn a_body_passes_however_it_is_delimited() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    let binary: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let head = format!(
        "PUT /file HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-thing\r\ncontent-length: {}\r\n\r\n",
        binary.len()
    );
    client.send([head.as_bytes(), &binary].concat()).await;
    assert_eq!(client.answer().await.status, 200);
    let seen = origin.request(0).await;
    assert!(seen.body == binary);
    assert_eq!(seen.header("content-type"), Some("application/x-thing"));

    client.send("POST /chunks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for piece in binary.chunks(70_001) {
        client.send([format!("{:x};ext=1\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()).await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    let seen = origin.request(1).await;
    assert!(seen.body == binary && seen.framing == Framing::Chunked);

    client.send("POST /empty HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(origin.request(2).await.framing, Framing::Length(0));
    client.send("POST /empty HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    assert!(origin.request(3).await.body.is_empty());
}

#[tokio::test]
async fn every_status_passes_with_its_headers_and_its_body() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    for status in [200, 201, 202, 206, 299, 300, 302, 400, 401, 404, 418, 429, 500, 502, 503, 504, 529, 599, 799] {
        let told = answer(status).header("retry-after", "7").header("x-should-retry", "true");
        origin.answers(told.header("location", "/else").body(r#"{"error":{}}"#));
        client.send("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}").await;
        let answer = client.answer().await;
        assert_eq!((answer.status, &*answer.text()), (status, r#"{"error":{}}"#));
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.header("x-should-retry"), Some("true"));
        assert_eq!(answer.header("location"), Some("/else"));
    }
}

#[tokio::test]
async fn answers_that_have_no_body_have_none_here_and_the_connection_goes_on() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;

    origin.answers(answer(204).header("x-a", "b").empty());
    let answer_204 = ask(&mut client, "DELETE").await;
    assert_eq!((answer_204.status, answer_204.header("x-a")), (204, Some("b")));
    assert_eq!((answer_204.header("content-length"), answer_204.header("transfer-encoding")), (None, None));

    origin.answers(answer(304).header("etag", "\"e\"").empty());
    let answer_304 = ask(&mut client, "GET").await;
    assert_eq!((answer_304.status, answer_304.header("etag")), (304, Some("\"e\"")));
    assert_eq!(answer_304.header("transfer-encoding"), None);
    // the length that the answer to a GET would have had (RFC 9110 §8.6)
    origin.answers(answer(304).header("content-length", "1234").empty());
    assert_eq!(ask(&mut client, "GET").await.status, 304);

    origin.answers(answer(200).header("content-length", "1234").empty());
    let head = ask(&mut client, "HEAD").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("1234")));
    origin.answers(answer(200).header("transfer-encoding", "chunked").empty());
    assert_eq!(ask(&mut client, "HEAD").await.status, 200);
    origin.answers(answer(404).empty());
    assert_eq!(ask(&mut client, "HEAD").await.status, 404);

    origin.answers(answer(200).body(""));
    let empty = ask(&mut client, "GET").await;
    assert_eq!((empty.status, empty.body.len(), empty.header("content-length")), (200, 0, Some("0")));
    origin.answers(answer(200).chunked().end());
    assert!(ask(&mut client, "GET").await.body.is_empty());
    origin.answers(answer(200).body("the connection still serves"));
    assert_eq!(ask(&mut client, "GET").await.text(), "the connection still serves");
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_ends_cleanly() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    origin.answers(answer(200).until_close().data("one ").data("two").end());
    let mut client = http1(gateway.address()).await;
    assert_eq!(client.get("/").await.text(), "one two");
    origin.answers(Script::raw("HTTP/1.0 200 OK\r\n\r\nold").close());
    assert_eq!(client.get("/").await.text(), "old");
}

#[tokio::test]
async fn hints_pass_before_the_answer() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    origin.answers(Script::raw(
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na",
    ));
    let mut client = connect(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let hints = client.head().await;
    assert_eq!((hints.status, hints.header("link")), (103, Some("</a>")));
    assert_eq!(client.answer().await.text(), "a");
}

#[tokio::test]
async fn a_large_body_streams_in_little_memory() {
    const PIECE: usize = 1 << 20;
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    client.send(format!("POST /large HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 96 * PIECE)).await;
    let (piece, before) = (vec![b'x'; PIECE], gateway.rss_bytes());
    let mut most = 0;
    for _ in 0..96 {
        client.send(&piece).await;
        most = most.max(gateway.rss_bytes());
    }
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(origin.request(0).await.body.len(), 96 * PIECE);
    assert!(most < before + 16 * PIECE as u64, "from {before} to {most} bytes");
}

#[tokio::test]
async fn every_listener_leads_to_every_route() {
    let origin = origin().await;
    let yaml = "listeners: [{ address: \"127.0.0.1:0\" }, { address: \"127.0.0.1:0\" }]\n\
                upstreams: { origin: { servers: [{ address: \"${ORIGIN}\" }] } }\nroutes: [{ upstream: origin }]\n";
    let gateway = gateway().yaml(yaml).variable("ORIGIN", origin.server()).start().await;
    assert_eq!(gateway.addresses().len(), 2);
    for address in gateway.addresses() {
        assert_eq!(http1(*address).await.get("/").await.text(), "hello");
    }
}

async fn ask(client: &mut Raw, method: &str) -> crate::harness::RawAnswer {
    client.send(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    client.answer_to(method).await
}

//! Targets that no client ought to send: what of them reaches an upstream.

use crate::harness::{connect, gateway, h2c, origin};

#[tokio::test]
async fn bytes_that_no_uri_has_pass_encoded_and_all_others_as_they_came() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    for (number, (sent, upstream)) in [
        (&b"/\"^|{}[]\\?^|{}[]\\`"[..], &b"/\"^|{}[]\\?^|{}[]\\`"[..]),
        (b"/\xc3\xa4?\xe4\xbd\xa0", b"/\xc3\xa4?\xe4\xbd\xa0"),
        (b"/\xff?\xfe%ff", b"/\xff?\xfe%ff"),
        (b"/a<b>?<c>", b"/a%3Cb%3E?%3Cc%3E"),
        (b"/a`?\"", b"/a%60?%22"),
        (b"/a#b?c", b"/a%23b?c"),
        (b"/a?b#c", b"/a?b%23c"),
        (b"/\xff<#", b"/\xff%3C%23"),
    ]
    .into_iter()
    .enumerate()
    {
        client.send([b"GET ", sent, b" HTTP/1.1\r\nhost: a\r\n\r\n"].concat()).await;
        assert_eq!(client.answer().await.status, 200, "{}", sent.escape_ascii());
        let head = origin.request(number).await.raw_head;
        let line = [b"GET ", upstream, b" HTTP/1.1\r\n"].concat();
        assert!(head.starts_with(&line), "{}: {}", sent.escape_ascii(), head.escape_ascii());
    }
}

#[tokio::test]
async fn a_line_may_come_byte_by_byte() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    let lines = [("", "/a<b"), ("\r\n", "/plain"), ("", "http://A:80/absolute")];
    for (number, (before, target)) in lines.into_iter().enumerate() {
        for byte in format!("{before}GET {target} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes() {
            client.send([*byte]).await;
        }
        assert_eq!(client.answer().await.status, 200, "{target}");
        assert_eq!(origin.request(number).await.target, ["/a%3Cb", "/plain", "/absolute"][number]);
    }
}

#[tokio::test]
async fn an_absolute_target_may_spell_its_host_otherwise() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    for (number, (target, host, path)) in [
        ("http://Api.Test/a?b", "api.test", "/a?b"),
        ("http://api.test:80/a", "api.test", "/a"),
        ("HTTP://api.test/a", "API.test:80", "/a"),
        ("https://api.test:443", "api.test", "/"),
        ("http://api.test?b", "api.test", "/?b"),
        ("http://[::1]:8080/a", "[::1]:8080", "/a"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = connect(gateway.address()).await;
        client.send(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 200, "{target}");
        let seen = origin.request(number).await;
        assert_eq!((&*seen.target, seen.host()), (path, Some(host)), "{target}");
    }
    let mut client = connect(gateway.address()).await;
    client.send("GET http://api.test/old HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    let seen = origin.requests().pop().unwrap();
    assert_eq!((&*seen.target, seen.host()), ("/old", Some("api.test")), "a host that only the target names");
    let count = origin.count();
    for (target, host) in
        [("http://b.test/", "a.test"), ("http://a.test:81/", "a.test"), ("https://a.test/", "a.test:80")]
    {
        let mut client = connect(gateway.address()).await;
        client.send(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 400, "{target}");
    }
    assert_eq!(origin.count(), count);
}

#[tokio::test]
async fn the_cookies_of_http_2_reach_an_upstream_as_one_header() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = h2c(gateway.address()).await;
    let request =
        client.request("GET", "/cookies").header("cookie", "a=1").header("x", "y").header("cookie", "b=2; c=3");
    let answer = client.call(request.body(crate::harness::body("")).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(origin.request(0).await.all("cookie"), [b"a=1; b=2; c=3"]);
    let mut client = connect(gateway.address()).await;
    client.send("GET /cookies HTTP/1.1\r\nhost: a\r\ncookie: a=1\r\ncookie: b=2\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(origin.request(1).await.all("cookie"), [b"a=1", b"b=2"], "HTTP/1.1 passes as it came");
}

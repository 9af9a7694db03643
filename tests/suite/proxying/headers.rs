//! Headers: all pass as they are, but for the few that say for whom a request is forwarded, and those that belong to one
//! connection.

use crate::harness::{Origin, Raw, RawAnswer, Received, Script, connect, gateway, h2c, origin};

/// Sends a GET with these header lines, and gives what the origin received.
async fn received(client: &mut Raw, origin: &Origin, headers: impl AsRef<[u8]>) -> Received {
    let number = origin.count();
    client.send([b"GET /path HTTP/1.1\r\n", headers.as_ref(), b"\r\n"].concat()).await;
    assert_eq!(client.answer().await.status, 200);
    origin.request(number).await
}

/// What the client sees of an answer with these header lines.
async fn answered(client: &mut Raw, origin: &Origin, headers: impl AsRef<[u8]>) -> RawAnswer {
    let answer = [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", headers.as_ref(), b"\r\nhello"].concat();
    origin.answers(Script::raw(answer));
    client.send("GET /path HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, &*answer.text()), (200, "hello"));
    answer
}

#[tokio::test]
async fn a_requests_headers_pass_byte_for_byte() {
    let origin = origin().await;
    let settings = "server: { underscores_in_headers: true, ignore_invalid_headers: false }";
    let gateway = gateway().upstream(&origin).settings(settings).start().await;
    let mut client = connect(gateway.address()).await;
    let headers: &[(&str, &[u8])] = &[
        ("anthropic-beta", b"a-2024-01-01"),
        ("anthropic-beta", b"b-2024-01-01, c"),
        ("x-api-key", b"sk-ant-\x21~"),
        ("Authorization", b"Bearer  two spaces"),
        ("Cookie", b"a=1; b=\"2\""),
        ("Cookie", b"c=3"),
        ("x-utf8", "gr\u{fc}\u{df}e \u{4f60}\u{597d}".as_bytes()),
        ("x-latin1", b"gr\xfc\xdfe"),
        ("x-tab", b"a\tb"),
        ("x-empty", b""),
        ("x-colons", b":a::b:"),
        ("X-Mixed-CASE", b"Kept"),
        ("x_underscore", b"1"),
        ("x.dot!#$%&'*+^`|~", b"1"),
        ("accept-encoding", b"gzip, br;q=0.5"),
        ("range", b"bytes=0-1"),
        ("if-none-match", b"\"x\""),
        ("via", b"1.1 before"),
        ("user-agent", b"A/1"),
    ];
    let mut lines = b"host: a\r\n".to_vec();
    for (name, value) in headers {
        lines.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    let seen = received(&mut client, &origin, lines).await;
    for (name, _) in headers {
        let sent: Vec<&[u8]> = headers.iter().filter(|(other, _)| other == name).map(|(_, value)| *value).collect();
        assert_eq!(seen.all(name), sent, "{name}");
    }
    let own = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-real-ip",
        "forwarded",
        "x-request-id",
        "host",
    ];
    let added: Vec<_> = seen.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let added: Vec<_> = added
        .iter()
        .filter(|name| !own.contains(&&***name) && !headers.iter().any(|(sent, _)| sent.eq_ignore_ascii_case(name)))
        .collect();
    assert!(added.is_empty(), "{added:?}");
}

#[tokio::test]
async fn fifty_kilobytes_of_headers_pass() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    let long = "v".repeat(50_000);
    let seen = received(&mut client, &origin, format!("host: a\r\nx-long: {long}\r\n")).await;
    assert_eq!(seen.header("x-long"), Some(&*long));
    let many: String = (0..100).map(|n| format!("x-{n}: {}\r\n", "w".repeat(500))).collect();
    let seen = received(&mut client, &origin, format!("host: a\r\n{many}")).await;
    assert!((0..100).all(|n| seen.header(&format!("x-{n}")).is_some_and(|value| value.len() == 500)));
}

#[tokio::test]
async fn an_answers_headers_pass_byte_for_byte() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    let sent = b"set-cookie: a=1; Path=/\r\nset-cookie: b=2\r\nSet-Cookie: a=1; Path=/\r\nretry-after: 30\r\n\
        date: Mon, 01 Jan 2024 00:00:00 GMT\r\nserver: theirs\r\ncontent-type: text/x; charset=utf-8\r\ncontent-encoding: x-own\r\n\
        anthropic-ratelimit-tokens-remaining: 12\r\nrequest-id: req_1\r\nx-request-id: theirs\r\nx-latin1: gr\xfc\xdfe\r\nx-empty:\r\n\
        vary: a\r\nvary: b\r\nvia: 1.1 x\r\nalt-svc: h3\r\n";
    let answer = answered(&mut client, &origin, sent).await;
    assert_eq!(answer.all("set-cookie"), [&b"a=1; Path=/"[..], b"b=2", b"a=1; Path=/"]);
    assert_eq!(answer.all("vary"), [b"a", b"b"]);
    assert_eq!(answer.all("x-latin1"), [b"gr\xfc\xdfe"]);
    for (name, value) in [
        ("retry-after", "30"),
        ("server", "theirs"),
        ("content-type", "text/x; charset=utf-8"),
        ("content-encoding", "x-own"),
        ("anthropic-ratelimit-tokens-remaining", "12"),
        ("request-id", "req_1"),
        ("x-request-id", "theirs"),
        ("x-empty", ""),
        ("via", "1.1 x"),
        ("alt-svc", "h3"),
        ("content-length", "5"),
    ] {
        assert_eq!(answer.all(name), [value.as_bytes()], "{name}");
    }
    // the one header that is the gateway's own, as it is nginx's
    assert_eq!(answer.all("date").len(), 1);
    let known = String::from_utf8_lossy(sent).to_lowercase();
    let added: Vec<_> = answer.headers.iter().map(|(name, _)| name.to_lowercase()).collect();
    let added: Vec<_> = added.iter().filter(|name| !known.contains(&***name)).collect();
    assert!(added.iter().all(|name| ["content-length", "connection"].contains(&&***name)), "{added:?}");
}

#[tokio::test]
async fn the_clients_host_passes_to_a_server_that_is_a_host_and_a_port() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    for host in ["api.example.com", "API.Example.com:8443", "[::1]:80", "a"] {
        let seen = received(&mut client, &origin, format!("host: {host}\r\n")).await;
        assert_eq!(seen.all("host"), [host.as_bytes()]);
    }
    let number = origin.count();
    h2c(gateway.address()).await.get("/").await;
    let seen = origin.request(number).await;
    assert_eq!(seen.all("host"), [gateway.address().to_string().as_bytes()]);
}

#[tokio::test]
async fn a_server_that_is_a_url_sees_its_own_name_as_host() {
    let origin = origin().await;
    let gateway = gateway().server(format!("http://localhost:{}", origin.address().port())).start().await;
    let own = format!("localhost:{}", origin.address().port());
    let mut client = connect(gateway.address()).await;
    let seen = received(&mut client, &origin, "host: api.example.com\r\n").await;
    assert_eq!(seen.all("host"), [own.as_bytes()]);
    assert_eq!(seen.header("x-forwarded-host"), Some("api.example.com"));
    h2c(gateway.address()).await.get("/").await;
    assert_eq!(origin.request(1).await.all("host"), [own.as_bytes()]);
}

#[tokio::test]
async fn the_host_of_the_settings_goes_before_all_others() {
    let origin = origin().await;
    let url = format!("http://{}", origin.address());
    for server in [origin.server(), url] {
        let gateway = gateway().server(server).upstream_settings("host: tenant.example.com:81").start().await;
        let mut client = connect(gateway.address()).await;
        let seen = received(&mut client, &origin, "host: a\r\n").await;
        assert_eq!(seen.all("host"), [b"tenant.example.com:81"]);
    }
}

#[tokio::test]
async fn a_request_has_an_id_its_own_or_one_made_here() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    let seen = received(&mut client, &origin, "host: a\r\nX-Request-Id: mine/1\r\n").await;
    assert_eq!(seen.all("x-request-id"), [b"mine/1"]);
    let seen = [
        received(&mut client, &origin, "host: a\r\n").await.header("x-request-id").unwrap().to_owned(),
        received(&mut client, &origin, "host: a\r\n").await.header("x-request-id").unwrap().to_owned(),
    ];
    assert_ne!(seen[0], seen[1]);
    for id in seen {
        assert_eq!(plugin_api::Uuid::parse_str(&id).unwrap().get_version_num(), 7);
        gateway.logged(|line| line.to_string().contains(&id)).await;
    }
}

#[tokio::test]
async fn headers_of_the_clients_connection_stop_here() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    let sent = "host: a\r\nConnection: keep-alive, X-Secret , x-other\r\nconnection: x-third\r\nx-secret: 1\r\nX-Other: 2\r\nx-third: 3\r\n\
        keep-alive: timeout=5\r\nte: trailers\r\nproxy-connection: keep-alive\r\ntrailer: x\r\nx-passes: 4\r\n";
    let seen = received(&mut client, &origin, sent).await;
    for name in ["x-secret", "x-other", "x-third", "keep-alive", "te", "proxy-connection"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert!(!seen.header("connection").is_some_and(|value| value.to_lowercase().contains("x-")), "{seen:?}");
    assert_eq!(seen.header("x-passes"), Some("4"));
}

#[tokio::test]
async fn an_upgrade_to_http_2_is_not_passed_on() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    for upgrade in ["h2c", "H2C", "h2", "h2c, websocket", "foo, h2c"] {
        let sent = format!(
            "host: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: {upgrade}\r\nhttp2-settings: AAMAAABk\r\n"
        );
        let seen = received(&mut client, &origin, sent).await;
        assert!(!seen.header("upgrade").is_some_and(|value| value.to_lowercase().contains("h2")), "{seen:?}");
        assert_eq!(seen.header("http2-settings"), None);
    }
}

#[tokio::test]
async fn headers_of_the_upstreams_connection_stop_here() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    let sent = "Connection: keep-alive, X-Secret\r\nx-secret: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: a\r\nupgrade: h2c\r\nx-passes: 2\r\n";
    let answer = answered(&mut client, &origin, sent).await;
    for name in ["x-secret", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("x-passes"), Some("2"));
    // the client's connection is its own affair
    let answer = answered(&mut client, &origin, "connection: close\r\n").await;
    assert_ne!(answer.header("connection"), Some("close"));
    answered(&mut client, &origin, "").await;
}

//! Upstreams behind TLS, always verified, in HTTP/2 where they offer it; and upstreams that cannot be found at all.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::harness::{
    Alpn, Authority, Origin, answer, eventually, gate, gateway, h2c, http1, origin, refusing, tls_origin,
};

async fn localhost(authority: &Authority, alpn: Alpn) -> Origin {
    tls_origin(authority, &["localhost"], alpn).await
}

#[tokio::test]
async fn many_requests_share_one_http_2_connection_to_the_upstream() {
    let origin = localhost(&Authority::new(), Alpn::H2).await;
    let gateway = gateway().upstream(&origin).settings("server: { threads: 1 }").start().await;
    let client = h2c(gateway.address()).await;
    assert_eq!(client.share().get("/first").await.text(), "hello");

    let all = gate();
    origin.answers(answer(200).body("hello").after(&all));
    let calls = (0..40).map(|n| {
        let mut client = client.share();
        async move { client.post(&format!("/{n}"), format!("{{\"n\":{n}}}")).await.text() }
    });
    let (told, ()) = tokio::join!(join_all(calls), async {
        eventually("all at once", async || origin.open_streams() == 40).await;
        all.open();
    });
    assert!(told.iter().all(|text| text == "hello"));
    assert_eq!((origin.most_streams(), origin.connections()), (40, 1));
    for seen in origin.requests().iter().skip(1) {
        assert_eq!(seen.body, format!("{{\"n\":{}}}", &seen.target[1..]).as_bytes());
    }
}

#[tokio::test]
async fn an_http_2_upstream_sees_its_name_and_no_header_of_a_connection() {
    let origin = localhost(&Authority::new(), Alpn::H2).await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = http1(gateway.address()).await;
    let request = client.request("DELETE", "/a//b?%2F").header("connection", "x-secret").header("x-secret", "1");
    let request = request.header("te", "trailers").header("x-a", "1").header("x-a", "2").header("cookie", "a=1");
    let answer = client.call(request.body(crate::harness::body("body")).unwrap()).await;
    assert_eq!(answer.text(), "hello");
    let seen = origin.request(0).await;
    let name = format!("localhost:{}", origin.address().port());
    assert_eq!((&*seen.method, &*seen.target, &*seen.body), ("DELETE", "/a//b?%2F", &b"body"[..]));
    assert_eq!(seen.header(":authority"), Some(&*name));
    assert!(seen.header("host").is_none_or(|host| host == name), "{seen:?}");
    assert_eq!(seen.header("x-forwarded-host"), Some(&*gateway.address().to_string()));
    assert_eq!((seen.header("x-secret"), seen.header("connection")), (None, None));
    assert_eq!(seen.all("x-a"), [b"1", b"2"]);
    assert_eq!(seen.header("cookie"), Some("a=1"));
}

#[tokio::test]
async fn an_upstream_that_offers_no_http_2_is_spoken_to_in_http_1() {
    let origin = localhost(&Authority::new(), Alpn::Http1).await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = http1(gateway.address()).await;
    for n in 0..5 {
        assert_eq!(client.post("/", "{}").await.text(), "hello");
        assert_eq!(origin.request(n).await.host(), Some(&*format!("localhost:{}", origin.address().port())));
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn the_name_of_the_settings_is_verified_in_the_place_of_the_servers() {
    let authority = Authority::new();
    let origin = tls_origin(&authority, &["api.example.com"], Alpn::H2).await;
    let tls = "tls: { ca: ca.pem, server_name: api.example.com }";
    let gateway =
        gateway().server(origin.server()).file("ca.pem", authority.pem()).upstream_settings(tls).start().await;
    assert_eq!(http1(gateway.address()).await.get("/").await.text(), "hello");
    assert_eq!(origin.request(0).await.host(), Some(&*format!("localhost:{}", origin.address().port())));
}

#[tokio::test]
async fn an_address_is_verified_as_an_address() {
    let authority = Authority::new();
    let origin = tls_origin(&authority, &["127.0.0.1"], Alpn::H2).await;
    let gateway = gateway().server(format!("https://{}", origin.address())).file("ca.pem", authority.pem());
    let gateway = gateway.upstream_settings("tls: { ca: ca.pem }").start().await;
    assert_eq!(http1(gateway.address()).await.get("/").await.text(), "hello");
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_a_bad_gateway() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let origin = localhost(&authority, Alpn::H2).await;
    let address = format!("https://127.0.0.1:{}", origin.address().port());
    let system = gateway().server(origin.server());
    let of_stranger =
        gateway().server(origin.server()).file("ca.pem", stranger.pem()).upstream_settings("tls: { ca: ca.pem }");
    let other_name = "tls: { ca: ca.pem, server_name: elsewhere.example.com }";
    let of_other_name = gateway().server(origin.server()).file("ca.pem", authority.pem()).upstream_settings(other_name);
    let by_address = gateway().server(address).file("ca.pem", authority.pem()).upstream_settings("tls: { ca: ca.pem }");
    for gateway in [system, of_stranger, of_other_name, by_address] {
        let text = gateway.text();
        let gateway = gateway.start().await;
        let answer = http1(gateway.address()).await.post("/v1/messages", "{}").await;
        assert_eq!(answer.status, 502, "{text}");
        assert_eq!(answer.json()["type"], "error", "{}", answer.text());
        assert!(!answer.text().contains("localhost"), "{}", answer.text());
        gateway.says("TLS handshake").await;
    }
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn two_upstreams_that_differ_in_their_authority_share_no_connection() {
    let authority = Authority::new();
    let origin = localhost(&authority, Alpn::H2).await;
    let server = origin.server();
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nupstreams:\n\
         \x20 trusted: {{ servers: [{{ address: \"{server}\" }}], tls: {{ ca: good.pem }} }}\n\
         \x20 distrusted: {{ servers: [{{ address: \"{server}\" }}], tls: {{ ca: bad.pem }} }}\n\
         routes: [{{ paths: [/good], upstream: trusted }}, {{ upstream: distrusted }}]\n"
    );
    let gateway = gateway().yaml(yaml).file("good.pem", authority.pem()).file("bad.pem", Authority::new().pem());
    let gateway = gateway.start().await;
    let mut client = http1(gateway.address()).await;
    for _ in 0..3 {
        assert_eq!(client.get("/good").await.status, 200);
        assert_eq!(http1(gateway.address()).await.get("/bad").await.status, 502);
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_at_once_and_harms_nobody_else() {
    let origin = origin().await;
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nupstreams:\n\
         \x20 there: {{ servers: [{{ address: \"{}\" }}] }}\n\
         \x20 nowhere: {{ servers: [{{ address: \"does-not-exist.invalid:80\" }}] }}\n\
         routes: [{{ paths: [/nowhere], upstream: nowhere }}, {{ upstream: there }}]\n",
        origin.server()
    );
    let mut gateway = gateway().yaml(yaml).start().await;
    for _ in 0..5 {
        let asked = Instant::now();
        let answer = http1(gateway.address()).await.get("/nowhere").await;
        assert!([502, 503].contains(&answer.status.as_u16()), "{}", answer.status);
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        assert_eq!(http1(gateway.address()).await.get("/").await.text(), "hello");
    }
    assert!(gateway.runs());
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_a_bad_gateway() {
    let nobody = refusing();
    let gateway = gateway().server(nobody.address()).start().await;
    let answer = http1(gateway.address()).await.post("/v1/chat/completions", "{}").await;
    assert_eq!(answer.status, 502);
    assert!(answer.json()["error"]["message"].is_string());
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
}

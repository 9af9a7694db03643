//! For whom a request is forwarded: what the upstream is told, and whom the gateway believes about it.

use crate::harness::{Gateway, Origin, Received, answer, connect, gateway, h2c, nginx, origin};

/// Sends a GET with these header lines, and gives what the origin received.
async fn received(gateway: &Gateway, origin: &Origin, headers: &str) -> Received {
    let number = origin.count();
    let mut client = connect(gateway.address()).await;
    client.send(format!("GET /path HTTP/1.1\r\n{headers}\r\n")).await;
    assert_eq!(client.answer().await.status, 200);
    origin.request(number).await
}

/// All that a client may say of those for whom it asks.
const CLAIMS: &str = "X-Forwarded-For: 6.6.6.6, 10.0.0.2\r\nx-forwarded-for: 10.0.0.3\r\nx-forwarded-proto: https\r\n\
    X-Forwarded-Host: evil.example\r\nx-forwarded-port: 666\r\nx-forwarded-prefix: /evil\r\nx-real-ip: 6.6.6.6\r\n\
    Forwarded: for=6.6.6.6;proto=https\r\n";

#[tokio::test]
async fn a_request_says_for_whom_it_is_forwarded() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    for claims in ["", CLAIMS] {
        let seen = received(&gateway, &origin, &format!("host: api.test:81\r\n{claims}")).await;
        assert_eq!(seen.all("x-forwarded-for"), [b"127.0.0.1"]);
        assert_eq!(seen.all("x-real-ip"), [b"127.0.0.1"]);
        assert_eq!(seen.all("x-forwarded-proto"), [b"http"]);
        assert_eq!(seen.all("x-forwarded-host"), [b"api.test:81"]);
        assert_eq!(seen.all("x-forwarded-port"), [b"81"]);
        assert_eq!(seen.header("forwarded"), Some("for=127.0.0.1;host=\"api.test:81\";proto=http"));
        assert_eq!(seen.header("x-forwarded-prefix"), None);
    }
    let number = origin.count();
    h2c(gateway.address()).await.get("/").await;
    let seen = origin.request(number).await;
    assert_eq!(seen.all("x-forwarded-host"), [gateway.address().to_string().as_bytes()]);
    assert_eq!(seen.all("x-forwarded-port"), [gateway.address().port().to_string().as_bytes()]);
    assert_eq!(seen.all("x-forwarded-for"), [b"127.0.0.1"]);
}

#[tokio::test]
async fn what_settings_and_plugins_say_of_these_headers_counts_and_the_others_stay() {
    let origin = origin().await;
    let of_upstream = gateway().upstream(&origin).upstream_settings("headers: { x-real-ip: off, x-request-id: fixed }");
    let of_plugin = gateway()
        .upstream(&origin)
        .settings("plugins: [{ headers: { request: { set: { X-Request-Id: fixed }, remove: [X-Real-IP] } } }]");
    for gateway in [of_upstream.start().await, of_plugin.start().await] {
        for claims in ["", CLAIMS] {
            let seen = received(&gateway, &origin, &format!("host: api.test:81\r\n{claims}")).await;
            assert_eq!(seen.all("x-real-ip"), [b""; 0]);
            assert_eq!(seen.all("x-request-id"), [b"fixed"]);
            assert_eq!(seen.all("x-forwarded-for"), [b"127.0.0.1"]);
            assert_eq!(seen.all("x-forwarded-port"), [b"81"]);
            assert_eq!(seen.header("forwarded"), Some("for=127.0.0.1;host=\"api.test:81\";proto=http"));
        }
    }
}

#[tokio::test]
async fn what_a_trusted_proxy_says_is_believed_and_gone_on_with() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]").start().await;
    let seen = received(&gateway, &origin, &format!("host: inner:81\r\n{CLAIMS}")).await;
    assert_eq!(seen.all("x-forwarded-for"), [b"6.6.6.6, 10.0.0.2, 10.0.0.3, 127.0.0.1"]);
    assert_eq!(seen.all("x-real-ip"), [b"6.6.6.6"]);
    assert_eq!(seen.all("x-forwarded-proto"), [b"https"]);
    assert_eq!(seen.all("x-forwarded-host"), [b"evil.example"]);
    assert_eq!(seen.all("x-forwarded-port"), [b"666"]);
    assert_eq!(seen.header("x-forwarded-prefix"), Some("/evil"));
    let chain = "for=6.6.6.6;proto=https, for=127.0.0.1;host=evil.example;proto=https";
    assert_eq!(seen.all("forwarded"), [chain.as_bytes()]);
    let line = gateway.logged(|line| line["client"] == "6.6.6.6").await;
    assert_eq!(line["status"], 200);

    // one that says little: the rest is added
    let seen = received(&gateway, &origin, "host: llm.example\r\nx-forwarded-proto: https\r\n").await;
    assert_eq!(seen.all("x-forwarded-for"), [b"127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-port"), [b"443"]);
    assert_eq!(seen.header("forwarded"), Some("for=127.0.0.1;host=llm.example;proto=https"));
    let seen = received(&gateway, &origin, "host: llm.example\r\nx-real-ip: 192.0.2.7\r\n").await;
    assert_eq!(seen.all("x-forwarded-for"), [b"192.0.2.7, 127.0.0.1"]);
    assert_eq!(seen.all("x-real-ip"), [b"192.0.2.7"]);
    assert_eq!(seen.header("forwarded"), Some("for=192.0.2.7;host=llm.example;proto=http"));
}

#[tokio::test]
async fn a_reload_changes_whom_the_gateway_believes() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings("trusted_proxies: [127.0.0.1]").start().await;
    let seen = received(&gateway, &origin, &format!("host: a\r\n{CLAIMS}")).await;
    assert_eq!(seen.all("x-real-ip"), [b"10.0.0.3"]);
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    gateway.rewrite(text.replace("[127.0.0.1]", "[\"::1\"]"));
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    let seen = received(&gateway, &origin, &format!("host: a\r\n{CLAIMS}")).await;
    assert_eq!(seen.all("x-real-ip"), [b"127.0.0.1"]);
}

/// The client of each chain is the one that nginx's realip module finds.
#[tokio::test]
async fn the_client_behind_proxies_is_the_one_that_nginx_finds() {
    let origin = origin().await;
    let trusted = "trusted_proxies: [127.0.0.0/8, 10.0.0.0/8, \"2001:db8::/32\"]";
    let gateway = gateway().upstream(&origin).settings(trusted).start().await;
    let realip = "set_real_ip_from 127.0.0.0/8; set_real_ip_from 10.0.0.0/8; set_real_ip_from 2001:db8::/32;
        real_ip_header X-Forwarded-For; real_ip_recursive on;";
    let nginx = nginx(realip, "location / { return 200 $remote_addr; }").await;
    origin.answers(answer(200).body("hello"));
    for lines in [
        vec!["192.0.2.7"],
        vec!["192.0.2.7, 10.0.0.2"],
        vec!["6.6.6.6, 192.0.2.7, 10.0.0.2"],
        vec!["6.6.6.6,192.0.2.7,10.0.0.3 ,  10.0.0.2,"],
        vec!["10.0.0.4, 10.0.0.3"],
        vec!["192.0.2.7:4711"],
        vec!["[2001:db9::1]:4711, 2001:db8::5"],
        vec!["2001:db9::1"],
        vec!["unknown"],
        vec!["192.0.2.7, unknown"],
        vec!["6.6.6.6, unknown, 10.0.0.2"],
        vec!["192.0.2.7:port"],
        vec![" , ,"],
        vec!["6.6.6.6", "192.0.2.7", "10.0.0.2"],
        vec!["192.0.2.7 10.0.0.2"],
        vec!["_hidden, 10.0.0.2"],
        vec!["999.0.0.1"],
    ] {
        let headers: String = lines.iter().map(|line| format!("x-forwarded-for: {line}\r\n")).collect();
        let mut client = connect(nginx.address()).await;
        client.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{headers}\r\n")).await;
        let theirs = client.answer().await.text();
        let seen = received(&gateway, &origin, &format!("host: a\r\n{headers}")).await;
        assert_eq!(seen.header("x-real-ip"), Some(&*theirs), "{lines:?}");
    }
}

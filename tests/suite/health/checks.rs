//! The checks themselves: what is asked, what is good, and what it may cost.

use std::time::{Duration, Instant};

use crate::harness::{
    Alpn, Authority, DEADLINE, Origin, Script, answer, connect, eventually, gateway, origin, refusing, sse, tls_origin,
};
use nix::sys::signal::Signal;

use super::{QUICK, calls, get, health, is_healthy, seen, turns};

#[tokio::test]
async fn a_check_is_a_get_with_the_name_that_the_server_has_for_the_proxy() {
    for (settings, path, host) in [
        ("health_check: { interval: 20ms, jitter: 1ms }", "/", None),
        ("health_check: { path: \"/a/b?c=d\", interval: 20ms, jitter: 1ms }", "/a/b?c=d", None),
        ("host: api.example.com\nhealth_check: { interval: 20ms, jitter: 1ms }", "/", Some("api.example.com")),
        ("host: api.example.com\nhealth_check: { interval: 20ms, jitter: 1ms, host: \"h:1\" }", "/", Some("h:1")),
    ] {
        let a = origin().await;
        let gateway = gateway().upstream(&a).upstream_settings(settings).start().await;
        let asked = a.request(0).await;
        assert_eq!((&*asked.method, &*asked.target), ("GET", path));
        assert_eq!(asked.host(), Some(host.unwrap_or(&a.server())));
        assert!(asked.header("user-agent").unwrap().starts_with("tollgate/"), "{asked:?}");
        // each on a connection of its own, that it leaves
        a.request(2).await;
        assert_eq!(a.requests()[2].connection, 2);
        drop(gateway);
        a.all_closed().await;
    }
}

#[tokio::test]
async fn the_statuses_of_the_settings_are_the_good_ones_and_redirects_are_not_followed() {
    let (a, b) = (origin().await, origin().await);
    let elsewhere = format!("http://{}/", b.server());
    a.answers(answer(302).header("location", &elsewhere).body(""));
    let gateway = gateway().upstream(&a).upstream_settings(QUICK).start().await;
    a.answered(3).await;
    assert!(is_healthy(&gateway, &a.server()).await);
    let only = QUICK.replace("/health,", "/health, status: [200, 204-299],");
    let strict = crate::harness::gateway().upstream(&a).upstream_settings(&only).start().await;
    turns(&strict, &a.server(), false).await;
    assert_eq!(b.count(), 0);
    assert_eq!(seen(&strict, &a.server()).await["health_check"]["status"], 302);
    assert!(is_healthy(&gateway, &a.server()).await);
}

#[tokio::test]
async fn a_check_over_tls_verifies_as_the_proxy_does() {
    let authority = Authority::new();
    let origin = tls_origin(&authority, &["api.example.com"], Alpn::H2).await;
    let gateway = |kind: &str, tls: &str, ca: &Authority| {
        let check = format!(
            "health_check: {{ type: {kind}, interval: 20ms, jitter: 1ms, unhealthy: 1, healthy: 1, timeout: 20s }}"
        );
        let gateway = gateway().server(origin.server()).file("ca.pem", ca.pem());
        gateway.upstream_settings(&format!("tls: {{ {tls} }}\n{check}"))
    };
    for kind in ["http", "tls"] {
        let right = gateway(kind, "ca: ca.pem, server_name: api.example.com", &authority).start().await;
        eventually("a check", async || seen(&right, &origin.server()).await["health_check"]["passed"] == true).await;
        assert_eq!(get(&right).await, 200);
        drop(right);
        for (tls, ca) in [
            ("ca: ca.pem, server_name: api.example.com", &Authority::new()),
            ("ca: ca.pem", &authority),                   // for another name
            ("server_name: api.example.com", &authority), // the system does not know it
        ] {
            let wrong = gateway(kind, tls, ca).start().await;
            turns(&wrong, &origin.server(), false).await;
            let told = wrong.says("server unhealthy").await;
            assert!(told.contains("TLS handshake") && told.contains("check its certificate"), "{told}");
            assert_eq!(get(&wrong).await, 503);
        }
    }
    // a connection is enough where no more is asked
    let tcp = gateway("tcp", "ca: ca.pem", &Authority::new()).start().await;
    eventually("a check", async || seen(&tcp, &origin.server()).await["health_check"]["passed"] == true).await;
}

#[tokio::test]
async fn a_tcp_check_is_passed_by_whoever_accepts() {
    let (nobody, b) = (refusing(), origin().await);
    let settings = "health_check: { type: tcp, interval: 20ms, jitter: 1ms, healthy: 1, unhealthy: 1 }";
    let gateway = gateway().server(nobody.address()).upstream(&b).upstream_settings(settings).start().await;
    turns(&gateway, &nobody.address().to_string(), false).await;
    assert!(gateway.says("server unhealthy").await.contains("refused"));
    for _ in 0..10 {
        assert_eq!(get(&gateway).await, 200);
    }
    assert_eq!(gateway.metrics().await.sum("tollgate_retries_total", &[]), 0.0);
    let address = nobody.address();
    drop(nobody);
    let there = Origin::again(address);
    turns(&gateway, &there.server(), true).await;
    for _ in 0..10 {
        assert_eq!(get(&gateway).await, 200);
    }
    // not to the last one: a request may begin before the one before it is known to have ended
    assert!(calls(&there) >= 3 && calls(&there) + calls(&b) == 20, "{} and {}", calls(&there), calls(&b));
}

#[tokio::test]
async fn a_check_that_hangs_ends_by_its_timeout_and_delays_no_other() {
    let (a, b) = (origin().await, origin().await);
    a.answers_with(|request| if request.target == "/health" { Script::silent() } else { answer(200).body("hello") });
    let settings = QUICK.replace("interval: 20ms", "interval: 10ms, timeout: 200ms");
    let gateway = gateway().upstream(&a).upstream(&b).upstream_settings(&settings).start().await;
    a.abandoned(0).await;
    turns(&gateway, &a.server(), false).await;
    assert!(gateway.says("server unhealthy").await.contains("no answer in time"));
    // one after the other, and never two at once
    a.abandoned(3).await;
    assert!(a.open_connections() <= 1 && a.most_streams() == 1, "{} at once", a.most_streams());
    // the other was asked all the while: many times as often
    assert!(b.count() > 2 * a.count(), "{} and {}", b.count(), a.count());
    assert!(is_healthy(&gateway, &b.server()).await);
    assert_eq!(get(&gateway).await, 200);
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_of_tls_ends_by_the_timeout_too() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    let settings = "health_check: { type: tls, interval: 20ms, jitter: 1ms, timeout: 50ms, unhealthy: 1 }";
    let gateway = gateway().server(&server).upstream_settings(settings).start().await;
    turns(&gateway, &server, false).await;
    assert!(gateway.says("server unhealthy").await.contains("no TLS handshake in time"));
}

#[tokio::test]
async fn an_answer_without_end_is_read_for_a_while_only() {
    let a = origin().await;
    a.answers(answer(200).length(1 << 40).repeat([b'x'; 4096], u64::MAX).end());
    let gateway = gateway().upstream(&a).upstream_settings(&QUICK.replace("20ms", "20ms, timeout: 20s")).start().await;
    a.abandoned(2).await;
    assert!(is_healthy(&gateway, &a.server()).await);
    // what the system has taken besides is the sockets' own buffers
    assert!(a.requests()[0].sent < 16 << 20, "{}", a.requests()[0].sent);
}

#[tokio::test]
async fn checks_do_not_delay_a_stop_and_go_on_while_it_drains() {
    let (a, last) = (origin().await, crate::harness::gate());
    let end = last.clone();
    a.answers_with(move |request| match &*request.target {
        "/health" => Script::silent(),
        _ => sse().event("first").wait(&end).event("last").end(),
    });
    let settings = QUICK.replace("20ms", "20ms, timeout: 1h").replace("unhealthy: 1", "unhealthy: 9");
    let mut gateway = gateway().upstream(&a).upstream_settings(&settings).start().await;
    a.request(0).await;
    let mut client = connect(gateway.address()).await;
    client.send("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until("first").await;
    gateway.signal(Signal::SIGTERM);
    last.open();
    client.until("last").await;
    let stopping = Instant::now();
    assert!(gateway.wait_exit(DEADLINE).await.status.success());
    assert!(stopping.elapsed() < Duration::from_secs(10), "{:?}", stopping.elapsed());
}

#[tokio::test]
async fn many_servers_are_checked_at_once() {
    let mut origins = Vec::new();
    let mut builder = gateway();
    for _ in 0..30 {
        let origin = origin().await;
        origin.answers_with(health(200));
        builder = builder.upstream(&origin);
        origins.push(origin);
    }
    let gateway = builder.upstream_settings(QUICK).start().await;
    for origin in &origins {
        origin.answered(2).await;
    }
    for origin in &origins[..15] {
        origin.answers_with(health(500));
    }
    for origin in &origins[..15] {
        turns(&gateway, &origin.server(), false).await;
    }
    assert_eq!(gateway.metrics().await.sum("tollgate_upstream_healthy", &[]), 15.0);
}

//! `redirects: own`: a server that redirects to itself sends clients to the gateway, as nginx's `proxy_redirect default` has it.

use std::net::SocketAddr;

use crate::harness::{RawAnswer, answer, connect, gateway, nginx, origin};

async fn get(proxy: SocketAddr, host: &str, headers: &str) -> RawAnswer {
    let mut client = connect(proxy).await;
    client.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n")).await;
    client.answer().await
}

#[tokio::test]
async fn a_redirect_of_a_server_to_itself_leads_to_the_gateway_as_nginx_has_it() {
    let origin = origin().await;
    let server = format!("http://{}", origin.address());
    let gateway = gateway().server(&server).upstream_settings("redirects: own").start().await;
    let nginx = nginx("", &format!("location / {{ proxy_pass {server}/; }}")).await;
    for (location, is_own) in [
        (format!("{server}/login?next=%2Fa#top"), true),
        (format!("{server}/"), true),
        (format!("{server}0/"), false),
        ("/relative".to_owned(), false),
        ("https://other.example/".to_owned(), false),
        ("//other.example/a".to_owned(), false),
    ] {
        origin.answers(
            answer(302).header("location", &location).header("refresh", format!("5; url={location}")).body(""),
        );
        let here = get(gateway.address(), &gateway.address().to_string(), "").await;
        let there = get(nginx.address(), &nginx.address().to_string(), "").await;
        let (ours, theirs) = (here.header("location").unwrap(), there.header("location").unwrap());
        if location.starts_with('/') && !location.starts_with("//") {
            // nginx completes what begins with one slash; here it stays as it came
            assert_eq!(ours, location);
        } else {
            let theirs = theirs.replace(&nginx.address().to_string(), &gateway.address().to_string());
            assert_eq!(ours, theirs, "{location}");
        }
        assert_eq!(ours != location, is_own, "{location}");
        assert_eq!(here.header("refresh").unwrap(), format!("5; url={ours}"));
    }
}

#[tokio::test]
async fn the_client_is_sent_where_a_trusted_proxy_says_that_it_asked() {
    let origin = origin().await;
    let server = format!("http://{}", origin.address());
    origin.answers(answer(301).header("location", format!("{server}/a")).body(""));
    let believed = "x-forwarded-proto: https\r\nx-forwarded-host: llm.example\r\n";
    let own = gateway().server(&server).upstream_settings("redirects: own");
    let trusting = own.settings("trusted_proxies: [127.0.0.1]").start().await;
    assert_eq!(get(trusting.address(), "inner", believed).await.header("location"), Some("https://llm.example/a"));
    let wary = gateway().server(&server).upstream_settings("redirects: own").start().await;
    assert_eq!(get(wary.address(), "inner", believed).await.header("location"), Some("http://inner/a"));
    let as_is = gateway().server(&server).start().await;
    assert_eq!(get(as_is.address(), "inner", "").await.header("location"), Some(&*format!("{server}/a")));
}

//! Servers whose certificate is its own authority, as `openssl req -x509` makes it: accepted where `tls.ca` names exactly it.

use std::net::SocketAddr;

use rcgen::DnType;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::harness::{Alpn, Authority, Gateway, Issued, eventually, gateway, http1, tls_origin, tls_origin_as};

async fn ask(gateway: &Gateway) -> (u16, String) {
    let answer = http1(gateway.address()).await.post("/v1/messages", "{}").await;
    (answer.status.as_u16(), answer.text())
}

#[tokio::test]
async fn a_server_whose_certificate_is_named_is_spoken_to_in_http_1_and_2() {
    for alpn in [Alpn::H2, Alpn::Http1] {
        for names in [&["localhost"][..], &[]] {
            let identity = Issued::by_itself(names, |params| {
                params.distinguished_name.push(DnType::CommonName, "localhost");
            });
            let origin = tls_origin_as(&identity, &identity.certificate, alpn).await;
            let gateway = gateway().upstream(&origin).start().await;
            for _ in 0..3 {
                assert_eq!(ask(&gateway).await, (200, "hello".to_owned()));
            }
            let line = gateway.logged(|line| line["status"] == 200).await;
            assert_eq!(line["attempts"], 1, "connecting again is no other attempt: {line}");
        }
    }
}

#[tokio::test]
async fn a_server_behind_the_same_authority_and_one_that_is_named_stand_side_by_side() {
    let authority = Authority::new();
    let issued = tls_origin(&authority, &["localhost"], Alpn::Http1).await;
    let itself = Issued::by_itself(&["localhost"], |_| {});
    let both = format!("{}{}", itself.certificate, authority.pem());
    let named = tls_origin_as(&itself, &both, Alpn::Http1).await;
    let builder = gateway().server(named.server()).file("ca.pem", both).upstream_settings("tls: { ca: ca.pem }");
    let gateway = builder.server(issued.server()).start().await;
    for _ in 0..6 {
        assert_eq!(ask(&gateway).await.0, 200);
    }
    assert!(named.count() > 0 && issued.count() > 0);
}

#[tokio::test]
async fn another_certificate_of_the_same_name_is_refused_and_the_log_says_why() {
    let named = Issued::by_itself(&["localhost"], |_| {});
    let other = Issued::by_itself(&["localhost"], |_| {});
    let origin = tls_origin_as(&other, &named.certificate, Alpn::H2).await;
    let gateway = gateway().upstream(&origin).start().await;
    for _ in 0..2 {
        assert_eq!(ask(&gateway).await.0, 502);
    }
    let line = gateway.says("TLS handshake").await;
    assert!(line.contains("cause"), "{line}");
    assert_eq!(origin.count(), 0, "nothing is sent to a server that is not verified");
    eventually("both rows", async || gateway.access_log().len() == 2).await;
    assert!(gateway.access_log().iter().all(|line| line["error"] == "tls"));
}

#[tokio::test]
async fn the_cause_of_a_failed_handshake_is_in_the_log() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let origin = tls_origin(&authority, &["localhost"], Alpn::H2).await;
    let builder = gateway().server(origin.server()).file("ca.pem", stranger.pem());
    let gateway = builder.upstream_settings("tls: { ca: ca.pem }").start().await;
    assert_eq!(ask(&gateway).await.0, 502);
    let line = gateway.says("TLS handshake").await;
    assert!(line.contains("invalid peer certificate"), "{line}");
}

/// Leads each connection to the server of the moment, and breaks those to the one before.
struct Switch {
    address: SocketAddr,
    server: watch::Sender<SocketAddr>,
}

impl Switch {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = watch::channel(server);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = receiver.clone();
                tokio::spawn(async move {
                    let address = *server.borrow_and_update();
                    let mut upstream = TcpStream::connect(address).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut upstream) => {}
                        _ = server.changed() => {}
                    }
                });
            }
        });
        Self { address, server: sender }
    }
}

#[tokio::test]
async fn a_server_may_change_from_a_named_certificate_to_an_issued_one_and_back() {
    let authority = Authority::new();
    let issued = tls_origin(&authority, &["localhost"], Alpn::Http1).await;
    let itself = Issued::by_itself(&["localhost"], |_| {});
    let both = format!("{}{}", itself.certificate, authority.pem());
    let named = tls_origin_as(&itself, &both, Alpn::Http1).await;
    let switch = Switch::to(named.address()).await;
    let builder = gateway().server(format!("https://localhost:{}", switch.address.port())).file("ca.pem", both);
    let gateway = builder.upstream_settings("tls: { ca: ca.pem }").start().await;
    for origin in [&named, &issued, &named, &issued] {
        switch.server.send(origin.address()).unwrap();
        let before = origin.count();
        for _ in 0..2 {
            assert_eq!(ask(&gateway).await.0, 200);
        }
        assert_eq!(origin.count(), before + 2);
    }
    eventually("all lines", async || gateway.access_log().len() == 8).await;
    assert!(gateway.access_log().iter().all(|line| line["attempts"] == 1), "{:?}", gateway.access_log());
}

//! Connections that begin with a PROXY protocol header, and addresses of both families side by side.

use std::net::SocketAddr;

use proxy_header::{ProxiedAddress, ProxyHeader};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{Authority, Gateway, Raw, connect, free_port, gateway, origin, soon, tls_over};

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";

fn header(version: u8, client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let server = if client.is_ipv4() { "198.51.100.1:443" } else { "[2001:db8::2]:443" };
    let header = ProxyHeader::with_address(ProxiedAddress::stream(client, server.parse().unwrap()));
    let mut bytes = Vec::new();
    match version {
        1 => header.encode_v1(&mut bytes).unwrap(),
        _ => header.encode_v2(&mut bytes).unwrap(),
    }
    bytes
}

async fn start(trusted: &str, upstream: &str) -> Gateway {
    let yaml = format!(
        "{trusted}listeners: [{{ address: 127.0.0.1:0, proxy_protocol: true }}]\nupstreams: {{ origin: {{ servers: [{{ \
         address: \"{upstream}\" }}] }} }}\nroutes: [{{ upstream: origin }}]\n"
    );
    gateway().yaml(yaml).start().await
}

async fn ask(gateway: &Gateway, first: &[u8]) -> Vec<u8> {
    let mut raw = connect(gateway.address()).await;
    raw.send([first, REQUEST.as_bytes()].concat()).await;
    raw.to_end().await
}

#[tokio::test]
async fn the_client_of_a_trusted_proxy_is_the_one_that_its_header_names() {
    let origin = origin().await;
    let gateway = start("trusted_proxies: [127.0.0.0/8]\n", &origin.server()).await;
    for (at, (version, client, address)) in [
        (1, "192.0.2.7:1234", "192.0.2.7"),
        (2, "192.0.2.8:1234", "192.0.2.8"),
        (2, "[2001:db8::7]:9", "2001:db8::7"),
        (2, "[::ffff:192.0.2.9]:9", "192.0.2.9"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(ask(&gateway, &header(version, client)).await.starts_with(b"HTTP/1.1 200"));
        assert_eq!(origin.request(at).await.header("x-forwarded-for"), Some(address));
        gateway.logged(|line| line["client"] == address).await;
    }
    // the proxy's own connections are its own: a health check of a load balancer
    let mut local = Vec::new();
    ProxyHeader::with_local().encode_v2(&mut local).unwrap();
    assert!(ask(&gateway, &local).await.starts_with(b"HTTP/1.1 200"));
    assert_eq!(origin.request(4).await.header("x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn the_header_of_a_stranger_is_read_but_not_believed() {
    let origin = origin().await;
    let gateway = start("", &origin.server()).await;
    assert!(ask(&gateway, &header(2, "192.0.2.7:1234")).await.starts_with(b"HTTP/1.1 200"));
    assert_eq!(origin.request(0).await.header("x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_connection_without_the_header_is_closed_and_told() {
    let origin = origin().await;
    let gateway = start("", &origin.server()).await;
    assert_eq!(ask(&gateway, b"").await, b"");
    gateway.says("without a PROXY protocol header").await;
    // one that sends half of it holds nothing but its own connection
    let mut half = connect(gateway.address()).await;
    half.send(b"PROXY TCP4 192.0.2.7").await;
    assert!(ask(&gateway, &header(1, "192.0.2.7:1")).await.starts_with(b"HTTP/1.1 200"));
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn the_header_goes_before_tls_and_before_http_2() {
    let (authority, origin) = (Authority::new(), origin().await);
    let identity = authority.issue(&["a.test"]);
    let yaml = format!(
        "trusted_proxies: [127.0.0.0/8]\nlisteners:\n  - address: 127.0.0.1:0\n    proxy_protocol: true\n    tls: {{ \
         certificates: [{{ certificate: a.pem, private_key: a.key }}] }}\nupstreams: {{ origin: {{ servers: [{{ address: \
         \"{}\" }}] }} }}\nroutes: [{{ upstream: origin }}]\n",
        origin.server()
    );
    let builder = gateway().yaml(yaml).file("a.pem", identity.certificate).file("a.key", identity.key);
    let gateway = builder.start().await;
    for (at, alpn) in [&[][..], &["h2"]].into_iter().enumerate() {
        let mut stream = soon(TcpStream::connect(gateway.address())).await.unwrap();
        stream.write_all(&header(2, "192.0.2.7:1234")).await.unwrap();
        let stream = tls_over(stream, authority.client(alpn), "a.test").await.unwrap();
        if alpn.is_empty() {
            let mut raw = Raw::over(stream);
            raw.send(REQUEST).await;
            assert!(raw.to_end().await.starts_with(b"HTTP/1.1 200"));
        } else {
            let (mut requests, connection) = soon(h2::client::handshake(stream)).await.unwrap();
            tokio::spawn(connection);
            let request = http::Request::get("https://a.test/h2").body(()).unwrap();
            let (answer, _) = requests.send_request(request, true).unwrap();
            assert_eq!(soon(answer).await.unwrap().status(), 200);
        }
        assert_eq!(origin.request(at).await.header("x-forwarded-for"), Some("192.0.2.7"));
    }
}

#[tokio::test]
async fn both_families_have_a_listener_on_the_same_port() {
    let origin = origin().await;
    let free = free_port();
    let yaml = format!(
        "listeners: [{{ address: \"0.0.0.0:{free}\" }}, {{ address: \"[::]:{free}\" }}]\nupstreams: {{ origin: {{ servers: \
         [{{ address: \"{}\" }}] }} }}\nroutes: [{{ upstream: origin }}]\n",
        origin.server()
    );
    let gateway = gateway().yaml(yaml).start().await;
    for (at, (to, client)) in
        [(format!("127.0.0.1:{free}"), "127.0.0.1"), (format!("[::1]:{free}"), "::1")].into_iter().enumerate()
    {
        let mut raw = connect(to.parse().unwrap()).await;
        raw.send(REQUEST).await;
        assert!(raw.to_end().await.starts_with(b"HTTP/1.1 200"));
        assert_eq!(origin.request(at).await.header("x-forwarded-for"), Some(client));
    }
    assert_eq!(gateway.addresses().len(), 2);
}

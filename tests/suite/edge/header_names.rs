//! Names of headers that nginx leaves out: with underscores, and with other characters than letters, digits and hyphens.

use std::net::SocketAddr;

use crate::harness::{connect, gateway, h2c, nginx, origin};

const SENT: &str = "x_real_ip: 6.6.6.6\r\nx.dot: 1\r\nX-Plain: 1\r\nx_a.b: 1\r\nx-9_: 1\r\n";

async fn send(proxy: SocketAddr) {
    let mut client = connect(proxy).await;
    client.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{SENT}session_id: s1\r\n\r\n")).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn odd_names_go_on_as_they_do_with_nginx() {
    for (settings, directives) in [
        ("", ""),
        ("server: { underscores_in_headers: true }", "underscores_in_headers on;"),
        ("server: { ignore_invalid_headers: false }", "ignore_invalid_headers off; underscores_in_headers on;"),
    ] {
        let (ours, theirs) = (origin().await, origin().await);
        let gateway = gateway().upstream(&ours).settings(settings).start().await;
        let nginx = nginx("", &format!("{directives} location / {{ proxy_pass http://{}; }}", theirs.server())).await;
        send(gateway.address()).await;
        send(nginx.address()).await;
        let (here, there) = (ours.request(0).await, theirs.request(0).await);
        for name in ["x_real_ip", "x.dot", "x-plain", "x_a.b", "x-9_"] {
            assert_eq!(here.header(name), there.header(name), "{name} with {settings}");
        }
        // `attribution` names it, and Codex sends it
        assert_eq!(here.header("session_id"), Some("s1"));
        let number = ours.count();
        let mut client = h2c(gateway.address()).await;
        let request = client.request("GET", "/").header("x_real_ip", "6.6.6.6").header("x-plain", "1");
        assert_eq!(client.call(request.body(crate::harness::body("")).unwrap()).await.status, 200);
        let seen = ours.request(number).await;
        assert_eq!((seen.header("x_real_ip"), seen.header("x-plain")), (here.header("x_real_ip"), Some("1")));
    }
}

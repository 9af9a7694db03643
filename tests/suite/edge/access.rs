//! The plugin `access`, beside nginx's `allow` and `deny`.

use crate::harness::{connect, gateway, nginx, origin};

#[tokio::test]
async fn clients_are_let_in_or_refused_as_nginx_does() {
    let origin = origin().await;
    let addresses = ["10.1.2.3", "10.1.2.4", "10.9.0.1", "192.0.2.7", "2001:db8::7", "2001:db9::7"];
    for (settings, directives) in [
        ("{ allow: [10.0.0.0/8, \"2001:db8::/32\"], deny: [all] }", "allow 10.0.0.0/8; allow 2001:db8::/32; deny all;"),
        ("{ deny: [10.1.2.3, 192.0.2.0/24] }", "deny 10.1.2.3; deny 192.0.2.0/24;"),
        (
            "{ rules: [{ deny: 10.1.2.3 }, { allow: 10.1.0.0/16 }, { deny: 10.0.0.0/8 }] }",
            "deny 10.1.2.3; allow 10.1.0.0/16; deny 10.0.0.0/8;",
        ),
    ] {
        let plugin = format!("trusted_proxies: [127.0.0.1]\nplugins: [{{ access: {settings} }}]");
        let gateway = gateway().upstream(&origin).settings(&plugin).start().await;
        let http = "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;";
        let location = format!("location / {{ {directives} proxy_pass http://{}; }}", origin.server());
        let nginx = nginx(http, &location).await;
        for address in addresses {
            let mut statuses = Vec::new();
            for proxy in [gateway.address(), nginx.address()] {
                let mut client = connect(proxy).await;
                client.send(format!("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {address}\r\n\r\n")).await;
                statuses.push(client.answer().await.status);
            }
            assert!(
                statuses[0] == statuses[1] && [200, 403].contains(&statuses[0]),
                "{address} {settings}: {statuses:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_header_with_a_clients_address_is_nginxs() {
    let origin = origin().await;
    let requests = [
        "x-real-ip: 10.1.2.3",
        "x-forwarded-for: 10.1.2.3",
        "x-forwarded-for: 192.0.2.1\r\nx-real-ip: 10.1.2.3",
        "x-forwarded-for: 10.1.2.3, 127.0.0.1",
        "cf-connecting-ip: 10.1.2.3",
        "forwarded: for=10.1.2.3",
    ];
    for (settings, directives) in [
        ("header: X-Real-IP, recursive: false", ""),
        ("header: X-Forwarded-For", "real_ip_header X-Forwarded-For; real_ip_recursive on;"),
        ("header: X-Forwarded-For, recursive: false", "real_ip_header X-Forwarded-For;"),
        ("header: CF-Connecting-IP", "real_ip_header CF-Connecting-IP; real_ip_recursive on;"),
        ("header: proxy_protocol", "real_ip_header proxy_protocol;"),
    ] {
        let yaml = format!(
            "trusted_proxies: [127.0.0.1]\nclient_address: {{ {settings} }}\n\
             plugins: [{{ access: {{ allow: [10.0.0.0/8], deny: [all] }} }}]"
        );
        let gateway = gateway().upstream(&origin).settings(&yaml).start().await;
        let location = format!("location / {{ allow 10.0.0.0/8; deny all; proxy_pass http://{}; }}", origin.server());
        let nginx = nginx(&format!("set_real_ip_from 127.0.0.1; {directives}"), &location).await;
        for headers in requests {
            let mut statuses = Vec::new();
            for proxy in [gateway.address(), nginx.address()] {
                let mut client = connect(proxy).await;
                client.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{headers}\r\n\r\n")).await;
                statuses.push(client.answer().await.status);
            }
            assert_eq!(statuses[0], statuses[1], "{settings} {headers}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_in_the_callers_dialect_and_nobody_lies_about_an_address() {
    let origin = origin().await;
    let gateway = gateway()
        .upstream(&origin)
        .settings("plugins: [{ access: { allow: [10.0.0.0/8], deny: [all] } }]")
        .start()
        .await;
    let mut client = connect(gateway.address()).await;
    client
        .send("POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 10.1.2.3\r\ncontent-length: 2\r\n\r\n{}")
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 403);
    let error: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&error["type"], &error["error"]["type"]), (&"error".into(), &"permission_error".into()));
    let line = gateway.logged(|line| line["status"] == 403).await;
    assert_eq!((&line["plugin"], &line["reason"]), (&"access".into(), &"address_denied".into()));
    assert_eq!(origin.count(), 0);
}

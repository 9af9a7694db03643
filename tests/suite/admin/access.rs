//! The token of the admin listener, and what the configuration shows.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Gateway, RawAnswer, connect, eventually, gateway};

const TOKEN: &str = "an-admin-token-0123456789";

fn yaml(token: &str) -> String {
    format!(
        "listeners: [{{ address: 127.0.0.1:0 }}]\nadmin: {{ address: 127.0.0.1:0{token} }}\nupstreams:\n  a:\n    servers: [{{ \
         address: 127.0.0.1:1 }}]\n    headers: {{ x-api-key: \"${{PROVIDER}}\", authorization: off }}\nplugins:\n  - \
         response_cache: {{ redis: {{ url: \"redis://:hunter2-Zx81@127.0.0.1:1\" }} }}\nroutes: [{{ name: \"${{ROUTE}}\", \
         upstream: a }}]\n"
    )
}

async fn start(token: &str) -> Gateway {
    let builder = gateway().yaml(yaml(token)).variable("PROVIDER", "sk-provider-hunter2-Zx81");
    builder.variable("ADMIN_TOKEN", TOKEN).variable("ROUTE", "from-the-environment").start().await
}

async fn ask(gateway: &Gateway, method: &str, path: &str, authorization: Option<&str>) -> RawAnswer {
    let mut admin = connect(gateway.admin()).await;
    let header = authorization.map(|value| format!("authorization: {value}\r\n")).unwrap_or_default();
    admin.send(format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{header}connection: close\r\n\r\n")).await;
    admin.answer().await
}

#[tokio::test]
async fn with_a_token_everything_but_the_probes_asks_for_it() {
    let gateway = start(", token: \"${ADMIN_TOKEN}\"").await;
    let bearer = format!("Bearer {TOKEN}");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(&gateway, "GET", path, None).await.status, 200, "{path}");
    }
    for (method, path) in
        [("GET", "/metrics"), ("GET", "/upstreams"), ("GET", "/config"), ("POST", "/reload"), ("DELETE", "/cache?all")]
    {
        for wrong in [None, Some("Bearer wrong"), Some("Basic YTpi"), Some("Bearer "), Some(&*format!("{bearer}x"))] {
            let answer = ask(&gateway, method, path, wrong).await;
            assert_eq!(answer.status, 401, "{method} {path} {wrong:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"tollgate\""));
            assert!(answer.text().contains("admin.token") && !answer.text().contains(TOKEN), "{}", answer.text());
        }
        assert_ne!(ask(&gateway, method, path, Some(&bearer)).await.status, 401, "{method} {path}");
    }
    assert!(!gateway.stderr().contains(TOKEN));
}

#[tokio::test]
async fn a_reload_changes_the_token() {
    let gateway = start(&format!(", token: {TOKEN}")).await;
    let (old, new) = (format!("Bearer {TOKEN}"), "Bearer another-token-0123456789");
    assert_eq!(ask(&gateway, "GET", "/metrics", Some(&old)).await.status, 200);
    gateway.rewrite(yaml(", token: another-token-0123456789"));
    gateway.signal(Signal::SIGHUP);
    eventually("the new token", async || ask(&gateway, "GET", "/metrics", Some(new)).await.status == 200).await;
    assert_eq!(ask(&gateway, "GET", "/metrics", Some(&old)).await.status, 401);
    gateway.rewrite(yaml(""));
    gateway.signal(Signal::SIGHUP);
    eventually("no token", async || ask(&gateway, "GET", "/metrics", None).await.status == 200).await;
}

#[tokio::test]
async fn the_configuration_is_shown_with_its_defaults_and_without_its_secrets() {
    let gateway = start(", token: \"${ADMIN_TOKEN}\"").await;
    let answer = ask(&gateway, "GET", "/config", Some(&format!("Bearer {TOKEN}"))).await;
    assert_eq!(answer.status, 200);
    let text = answer.text();
    for secret in ["hunter2", TOKEN, "sk-provider", "from-the-environment"] {
        assert!(!text.contains(secret), "{text}");
    }
    let config: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["upstreams"]["a"]["headers"]["x-api-key"], "***");
    assert_eq!(config["upstreams"]["a"]["headers"]["authorization"], "off");
    assert_eq!(config["upstreams"]["a"]["timeouts"]["connect"], "5s", "defaults are shown");
    assert_eq!(config["routes"][0]["name"], "${ROUTE}");
    assert_eq!(config["admin"]["token"], "***");
    assert!(config["plugins"][0]["response_cache"]["redis"]["url"].as_str().unwrap().contains("***"), "{text}");
}

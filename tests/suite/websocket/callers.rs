//! Who may come in, by address and by password: for the handshake, and for each call of a connection that is open.

use std::fs;

use serde_json::json;

use super::client::{handshake, socket};
use super::{call_line, calls, create, simulator};
use crate::edge::basic_auth::{USERS, basic};
use crate::harness::{eventually, gateway};

#[tokio::test]
async fn an_address_that_is_denied_gets_no_websocket_and_no_further_call_on_an_open_one() {
    let simulator = simulator();
    let settings = "trusted_proxies: [127.0.0.1]\nplugins:\n  - access: { allow: [10.0.0.0/8], deny: [all] }\n  \
                    - max_tokens: { limit: 100 }\n";
    let gateway = gateway().server(format!("http://{simulator}")).settings(settings).start().await;
    let (status, body) = handshake(&gateway, "/v1/responses", &[("x-forwarded-for", "192.0.2.7")]).await.unwrap_err();
    let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &error["error"]["code"]), (403, &json!("permission_denied")), "{error}");
    let mut client = socket(&gateway, "/v1/responses", &[("x-forwarded-for", "10.1.2.3")]).await;
    client.send(&create("m", 10)).await;
    client.until("response.completed").await;
    let text = fs::read_to_string(gateway.file()).unwrap();
    gateway.reload(text.replace("10.0.0.0/8", "10.9.0.0/16")).await;
    let before = calls(simulator).await;
    client.send(&create("m", 10)).await;
    let refused = client.event().await;
    assert_eq!((&refused["type"], &refused["status"]), (&json!("error"), &json!(403)), "{refused}");
    assert_eq!(calls(simulator).await, before);
    let line = call_line(&gateway, 1).await;
    assert_eq!((&line["plugin"], &line["reason"]), (&json!("access"), &json!("address_denied")));
    // the connection stays, and so does what is allowed again
    gateway.reload(text).await;
    client.send(&create("m", 10)).await;
    client.until("response.completed").await;
}

#[tokio::test]
async fn a_user_is_known_at_the_handshake_and_at_each_call_until_the_file_says_otherwise() {
    let simulator = simulator();
    let settings = "plugins:\n  - basic_auth: { file: users }\n  - max_tokens: { limit: 100 }\n";
    let builder = gateway().server(format!("http://{simulator}")).file("users", USERS);
    let gateway = builder.settings(settings).start().await;
    for headers in [vec![], vec![("authorization", basic("alice", "other"))], vec![("authorization", "Basic x".into())]]
    {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(handshake(&gateway, "/v1/responses", &headers).await.unwrap_err().0, 401, "{headers:?}");
    }
    assert_eq!(calls(simulator).await, 0);
    let (alice, bob) = (basic("alice", "password"), basic("bob", "password"));
    let mut client = socket(&gateway, "/v1/responses", &[("authorization", &alice)]).await;
    let mut other = socket(&gateway, "/v1/responses", &[("authorization", &bob)]).await;
    for (number, (client, name)) in [(&mut client, "alice"), (&mut other, "bob")].into_iter().enumerate() {
        client.send(&create("m", 10)).await;
        client.until("response.completed").await;
        assert_eq!(call_line(&gateway, number).await["key_name"], name);
    }
    let path = gateway.folder().join("users");
    fs::write(&path, USERS.replace("alice:", "zoe:")).unwrap();
    // the file is looked at every now and then
    eventually("a refusal", async || {
        client.send(&create("m", 10)).await;
        loop {
            let event = client.event().await;
            match event["type"].as_str().unwrap() {
                "error" => break event["status"] == 401,
                "response.completed" => break false,
                _ => {}
            }
        }
    })
    .await;
    let before = calls(simulator).await;
    client.send(&create("m", 10)).await;
    assert_eq!(client.event().await["status"], 401);
    assert_eq!(calls(simulator).await, before);
    other.send(&create("m", 10)).await;
    other.until("response.completed").await;
}

//! A configuration that changes while a WebSocket is open: its next call passes the new one.

use std::fs;

use serde_json::json;

use super::client::socket;
use super::peer::peer;
use super::{call_line, calls, create, simulator};
use crate::harness::{eventually, gateway};

/// A key, and the list of keys with it alone, under this name.
fn key(name: &str) -> (String, String) {
    let key = format!("secret-of-{name}-1234");
    let script = "import hashlib, sys; print(hashlib.sha256(sys.argv[1].encode()).hexdigest())";
    let output = std::process::Command::new("python3").args(["-c", script, &key]).output().unwrap();
    let digest = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    (format!("Bearer {key}"), format!("- {{ name: {name}, sha256: [\"{digest}\"] }}"))
}

#[tokio::test]
async fn a_key_that_is_taken_out_is_refused_at_the_next_call_of_an_open_connection() {
    let ((alice, alices), (_, bobs)) = (key("alice"), key("bob"));
    for in_file in [false, true] {
        let simulator = simulator();
        let keys = if in_file { "file: keys.yaml".to_owned() } else { format!("keys: [{}]", &alices[2..]) };
        let builder = gateway().server(format!("http://{simulator}")).file("keys.yaml", alices.clone());
        let gateway = builder.settings(&format!("plugins: [{{ api_keys: {{ {keys} }} }}]\n")).start().await;
        let mut client = socket(&gateway, "/v1/responses", &[("authorization", &alice)]).await;
        client.send(&create("m", 10)).await;
        client.until("response.completed").await;
        assert_eq!(call_line(&gateway, 0).await["key_name"], "alice");
        if in_file {
            fs::write(gateway.folder().join("new"), &bobs).unwrap();
            fs::rename(gateway.folder().join("new"), gateway.folder().join("keys.yaml")).unwrap();
            // the file is looked at every now and then
            eventually("a refusal", async || {
                client.send(&create("m", 10)).await;
                loop {
                    match client.event().await["type"].as_str().unwrap() {
                        "error" => break true,
                        "response.completed" => break false,
                        _ => {}
                    }
                }
            })
            .await;
        } else {
            let text = fs::read_to_string(gateway.file()).unwrap();
            gateway.reload(text.replace(&alices[2..], &bobs[2..])).await;
        }
        let before = calls(simulator).await;
        client.send(&create("m", 10)).await;
        let refused = client.event().await;
        assert_eq!((&refused["type"], &refused["status"]), (&json!("error"), &json!(401)), "{refused}");
        assert_eq!(calls(simulator).await, before);
    }
}

#[tokio::test]
async fn a_call_passes_the_limits_of_the_configuration_in_force_and_none_without_a_route() {
    let simulator = simulator();
    let builder =
        gateway().server(format!("http://{simulator}")).settings("plugins: [{ max_tokens: { limit: 100 } }]\n");
    let gateway = builder.start().await;
    let mut client = socket(&gateway, "/v1/responses", &[]).await;
    client.send(&create("m", 100)).await;
    client.until("response.completed").await;
    let text = fs::read_to_string(gateway.file()).unwrap();
    gateway.reload(text.replace("limit: 100", "limit: 99")).await;
    client.send(&create("m", 100)).await;
    let refused = client.event().await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("Maximum allowed tokens is 99"), "{refused}");
    client.send(&create("m", 99)).await;
    client.until("response.completed").await;
    // no route takes this connection any more
    gateway
        .reload(
            text.replace("routes:", "routes:\n  # one\n").replace("- upstream", "- paths: [/elsewhere]\n    upstream"),
        )
        .await;
    client.send(&create("m", 1)).await;
    let refused = client.event().await;
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&json!(404), &json!("not_found")), "{refused}");
    assert_eq!(call_line(&gateway, 3).await["error"], "no_route");
}

#[tokio::test]
async fn the_largest_message_is_that_of_the_configuration_in_force() {
    let simulator = simulator();
    let builder = gateway().server(format!("http://{simulator}"));
    let builder = builder.settings("plugins: [{ max_tokens: { limit: 100 } }]\nserver: { max_body: 4KiB }\n");
    let gateway = builder.start().await;
    let mut client = socket(&gateway, "/v1/responses", &[]).await;
    let sized = |bytes: usize| json!({ "type": "response.create", "model": "m", "max_output_tokens": 10, "input": "x".repeat(bytes) });
    client.send(&sized(3_000)).await;
    client.until("response.completed").await;
    let text = fs::read_to_string(gateway.file()).unwrap();
    gateway.reload(text.replace("4KiB", "16KiB")).await;
    client.send(&sized(15_000)).await;
    client.until("response.completed").await;
    gateway.reload(text.replace("4KiB", "2KiB")).await;
    client.send(&sized(1_000)).await;
    client.until("response.completed").await;
    client.send(&sized(3_000)).await;
    let refused = client.event().await;
    assert_eq!((&refused["type"], &refused["status"]), (&json!("error"), &json!(413)), "{refused}");
}

#[tokio::test]
async fn a_connection_whose_calls_passed_unread_is_closed_before_the_next_once_they_have_to_be_read() {
    let (peer, gateway) = peer("", "").await;
    let (mut calls, mut server) = peer.open(&gateway, "/v1/responses").await;
    let (mut other, mut other_server) = peer.open(&gateway, "/socket").await;
    calls.send(&create("m", 10)).await;
    assert_eq!(server.text().await, create("m", 10).to_string());
    let text = fs::read_to_string(gateway.file()).unwrap();
    gateway.reload(format!("{text}\nplugins: [{{ max_tokens: {{ limit: 5 }} }}]\n")).await;
    calls.send(&create("m", 10)).await;
    assert_eq!(calls.end().await, Some((1001, "its calls need a new connection".to_owned())));
    assert_eq!(server.close_code().await, 1001);
    // one that carries no calls stays open
    other.send(&create("m", 10)).await;
    assert_eq!(other_server.text().await, create("m", 10).to_string());
}

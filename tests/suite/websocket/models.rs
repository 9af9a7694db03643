//! The `models` of a route for the calls of a WebSocket, and for sessions, which name their model once.

use std::fs;

use serde_json::{Value, json};

use super::client::handshake;
use super::peer::peer_with;
use super::{call_line, create};

/// Upstreams that are all this server, told apart by a header, and one that is not there.
fn yaml(server: &str) -> String {
    format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\nupstreams:\n  \
         one: {{ servers: [{{ address: \"{server}\" }}], headers: {{ x-upstream: one }} }}\n  \
         two: {{ servers: [{{ address: \"{server}\" }}], headers: {{ x-upstream: two }} }}\n  \
         lost: {{ servers: [{{ address: \"http://127.0.0.1:9\" }}], fallback: {{ upstream: two, models: {{ \"gone*\": found }} }} }}\n\
         routes:\n  - upstream: one\n    models:\n      - {{ match: fast, model: gpt-5 }}\n      - {{ match: far, upstream: two }}\n      \
         - {{ match: further, upstream: two, model: \"far away\" }}\n      - {{ match: gone, upstream: lost, model: gone-2 }}\n"
    )
}

#[tokio::test]
async fn a_model_is_renamed_on_the_connections_own_upstream_alone() {
    let (peer, gateway) = peer_with(yaml).await;
    let (mut client, mut server) = peer.open(&gateway, "/v1/responses").await;
    for (asked, named) in [("fast", "gpt-5"), ("other", "other")] {
        client.send_text(&format!(r#"{{"type":"response.create", "model": "{asked}", "a":1e400}}"#)).await;
        assert_eq!(server.text().await, format!(r#"{{"type":"response.create", "model": "{named}", "a":1e400}}"#));
    }
    client.send(&create("far", 10)).await;
    let event = client.event().await;
    assert_eq!(event["status"], 400);
    assert!(event["error"]["message"].as_str().unwrap().contains("another upstream"), "{event}");
    assert_eq!(call_line(&gateway, 0).await["error"], "unroutable_model");
}

#[tokio::test]
async fn a_prefix_in_front_of_its_path_changes_nothing_of_what_a_connection_is() {
    let yaml = |server: &str| {
        format!(
            "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
             upstreams: {{ one: {{ servers: [{{ address: \"{server}\" }}] }} }}\nroutes:\n  \
             - {{ paths: [/openai/], strip: /openai, upstream: one, models: [{{ match: fast, model: gpt-5 }}] }}\n"
        )
    };
    let (peer, gateway) = peer_with(yaml).await;
    let (_client, server) = peer.open(&gateway, "/openai//v1/realtime?model=fast").await;
    assert_eq!(server.head.lines().next().unwrap(), "GET /v1/realtime?model=gpt-5 HTTP/1.1");
    let (mut client, mut server) = peer.open(&gateway, "/openai/v1/responses?a=%20").await;
    assert_eq!(server.head.lines().next().unwrap(), "GET /v1/responses?a=%20 HTTP/1.1");
    client.send_text(r#"{"type":"response.create", "model": "fast"}"#).await;
    assert_eq!(server.text().await, r#"{"type":"response.create", "model": "gpt-5"}"#);
}

#[tokio::test]
async fn a_session_goes_to_the_upstream_of_its_model_under_the_name_that_it_has_there() {
    let (peer, gateway) = peer_with(yaml).await;
    for (place, (asked, named, upstream)) in [
        ("fast", "gpt-5", "one"),
        ("other", "other", "one"),
        ("further", "far%20away", "two"),
        // a name that the fallback has of its own
        ("gone", "found", "two"),
        // one in escapes is the same, and stays as it is written
        ("%67one", "found", "two"),
        ("o%74her", "o%74her", "one"),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/v1/realtime?a=%20&model={asked}");
        let (mut client, mut server) = peer.open(&gateway, &target).await;
        let wanted = format!("GET /v1/realtime?a=%20&model={named} HTTP/1.1");
        assert_eq!(server.head.lines().next().unwrap(), wanted);
        assert!(server.head.to_ascii_lowercase().contains(&format!("x-upstream: {upstream}")), "{}", server.head);
        client.send_text(r#"{"type":"response.create"}"#).await;
        assert_eq!(server.text().await, r#"{"type":"response.create"}"#);
        for event in ["response.created", "response.done"] {
            server.send_text(&json!({ "type": event, "response": { "id": "r" } }).to_string()).await;
            client.until(event).await;
        }
        let line = call_line(&gateway, place).await;
        let model = asked.replace("%67", "g").replace("%74", "t");
        assert_eq!((line["upstream"].as_str(), line["model"].as_str()), (Some(upstream), Some(&*model)));
    }
    // where servers could read two names, it goes nowhere
    for query in ["model=fast&model=far", "model=fast&MODEL=fast", "Model=fast", "model=f%2561st"] {
        let (status, body) = handshake(&gateway, &format!("/v1/realtime?{query}"), &[]).await.unwrap_err();
        let error: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, 400, "{query}");
        assert!(error["error"]["message"].as_str().unwrap().contains("which model the session is for"), "{error}");
    }
}

#[tokio::test]
async fn after_a_reload_no_call_is_renamed_for_another_upstream_than_the_connections() {
    let (peer, gateway) = peer_with(yaml).await;
    let (mut client, mut server) = peer.open(&gateway, "/v1/responses").await;
    let text = fs::read_to_string(gateway.file()).unwrap();
    let moved = text.replace("- upstream: one\n", "- upstream: two\n").replace("model: gpt-5", "model: gpt-6");
    gateway.reload(moved).await;
    for model in ["fast", "far", "further"] {
        client.send(&create(model, 10)).await;
        let event = client.event().await;
        assert!(event["error"]["message"].as_str().unwrap().contains("another upstream"), "{model}: {event}");
    }
    // one that no entry takes stays where the connection is
    client.send(&create("other", 10)).await;
    assert_eq!(server.text().await, create("other", 10).to_string());
}

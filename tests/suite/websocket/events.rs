//! Which call an event of the server is about, where several calls are open, or an error does not say.

use serde_json::{Value, json};

use super::client::Socket;
use super::peer::{Accepted, peer};
use super::{call_line, create};
use crate::harness::Gateway;

const ONE_AT_A_TIME: &str = "  - rate_limit: { limits: [{ by: all, concurrent: 1 }] }\n";
const COUNTED: &str = "  - rate_limit: { limits: [{ by: all, requests: 1000/month }] }\n";

fn created(id: &str) -> Value {
    json!({ "type": "response.created", "response": { "id": id } })
}

fn done(id: &str) -> Value {
    json!({ "type": "response.done", "response": { "id": id, "status": "completed",
        "usage": { "total_tokens": 30, "input_tokens": 20, "output_tokens": 10 } } })
}

/// An error that names no message.
fn error() -> Value {
    json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "no", "event_id": null } })
}

/// Sends these events, and waits until the client has them.
async fn pass(server: &mut Accepted, client: &mut Socket, events: &[Value]) {
    for event in events {
        server.send_text(&event.to_string()).await;
        assert_eq!(client.event().await, *event);
    }
}

/// Ends the connection; the outcomes of all calls that it had.
async fn outcomes(gateway: &Gateway, client: Socket) -> Vec<String> {
    drop(client);
    gateway.logged(|line| line["status"] == 101).await;
    let lines = gateway.access_log().into_iter().filter(|line| line["endpoint"].is_string());
    lines.map(|line| line["outcome"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_error_within_an_answer_ends_its_call_and_not_the_one_that_waits() {
    let (peer, gateway) = peer(COUNTED, "").await;
    let (mut client, mut server) = peer.open(&gateway, "/v1/responses").await;
    for model in ["first", "second"] {
        client.send(&create(model, 10)).await;
        server.text().await;
    }
    let failed = json!({ "type": "response.failed", "response": { "id": "r1", "status": "failed" } });
    let completed = json!({ "type": "response.completed", "response": { "id": "r2", "status": "completed" } });
    // some servers end the answer once more
    let events = [created("r1"), error(), failed, created("r2"), completed];
    pass(&mut server, &mut client, &events).await;
    for (place, wanted) in ["first|upstream_failed", "second|completed"].into_iter().enumerate() {
        let line = call_line(&gateway, place).await;
        assert_eq!(format!("{}|{}", line["model"].as_str().unwrap(), line["outcome"].as_str().unwrap()), wanted);
    }
    assert_eq!(outcomes(&gateway, client).await.len(), 2, "no answer is a call that nobody made");
}

#[tokio::test]
async fn an_error_that_names_no_message_ends_a_call_only_if_its_answer_does_not_begin() {
    let (peer, gateway) = peer(ONE_AT_A_TIME, "").await;
    let (mut client, mut server) = peer.open(&gateway, "/v1/realtime?model=m").await;
    let ask = async |client: &mut Socket, server: &mut Accepted| {
        client.send(&json!({ "type": "response.create" })).await;
        server.text().await;
    };
    // it was about another message
    ask(&mut client, &mut server).await;
    pass(&mut server, &mut client, &[error(), created("r1"), done("r1")]).await;
    assert_eq!(call_line(&gateway, 0).await["output_tokens"], 10);
    // it was about the call, which does not count as one in progress when the client tries again
    ask(&mut client, &mut server).await;
    pass(&mut server, &mut client, &[error()]).await;
    ask(&mut client, &mut server).await;
    assert_eq!(call_line(&gateway, 1).await["outcome"], "upstream_failed");
    pass(&mut server, &mut client, &[created("r2"), done("r2")]).await;
    assert_eq!(call_line(&gateway, 2).await["output_tokens"], 10);
    // one that names a message is about that alone
    client.send(&json!({ "type": "response.create", "event_id": "mine" })).await;
    server.text().await;
    let mut other = error();
    other["error"]["event_id"] = "other".into();
    let mut own = error();
    own["error"]["event_id"] = "mine".into();
    pass(&mut server, &mut client, &[other, own]).await;
    call_line(&gateway, 3).await;
    let all = ["completed", "upstream_failed", "completed", "upstream_failed"];
    assert_eq!(outcomes(&gateway, client).await, all);
}

#[tokio::test]
async fn the_bytes_of_an_answer_are_those_of_its_own_events() {
    let (peer, gateway) = peer(COUNTED, "").await;
    let (mut client, mut server) = peer.open(&gateway, "/v1/realtime?model=m").await;
    for _ in 0..2 {
        client.send(&json!({ "type": "response.create" })).await;
        server.text().await;
    }
    let updated = json!({ "type": "session.updated", "session": { "instructions": "x".repeat(5000) } });
    let delta = json!({ "type": "response.output_text.delta", "response_id": "r1", "delta": "word" });
    let first = [created("r1"), delta, done("r1")];
    // the second begins and ends while the first goes on
    let second = [created("r2"), done("r2")];
    let events = [&updated, &first[0], &first[1], &second[0], &second[1], &first[2], &updated].map(Value::clone);
    pass(&mut server, &mut client, &events).await;
    for (place, events) in [&second[..], &first[..]].into_iter().enumerate() {
        let bytes: usize = events.iter().map(|event| event.to_string().len()).sum();
        assert_eq!(call_line(&gateway, place).await["response_bytes"], bytes, "{place}");
    }
}

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

fn completed(id: &str) -> Value {
    json!({ "type": "response.completed", "response": { "id": id, "status": "completed",
        "usage": { "input_tokens": 20, "output_tokens": 10 } } })
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
    let failed = json!({ "type": "response.failed", "response": { "id": "r1", "status": "failed" } });
    // some servers end the answer once more
    for (round, failed) in [Some(failed), None].into_iter().enumerate() {
        for model in ["first", "second"] {
            client.send(&create(model, 10)).await;
            server.text().await;
        }
        let events = [created("r1"), error()].into_iter().chain(failed).chain([created("r2"), completed("r2")]);
        pass(&mut server, &mut client, &events.collect::<Vec<_>>()).await;
        for (place, wanted) in ["first|upstream_failed", "second|completed"].into_iter().enumerate() {
            let line = call_line(&gateway, 2 * round + place).await;
            assert_eq!(format!("{}|{}", line["model"].as_str().unwrap(), line["outcome"].as_str().unwrap()), wanted);
        }
    }
    assert_eq!(outcomes(&gateway, client).await.len(), 4, "no answer is a call that nobody made");
}

#[tokio::test]
async fn no_error_that_a_client_provokes_ends_the_account_of_an_answer_that_goes_on() {
    for (target, call, last) in [
        ("/v1/realtime?model=m", json!({ "type": "response.create", "event_id": "x" }), done("r1")),
        ("/v1/responses", create("m", 10), completed("r1")),
    ] {
        let (peer, gateway) = peer(ONE_AT_A_TIME, "").await;
        let (mut client, mut server) = peer.open(&gateway, target).await;
        client.send(&call).await;
        server.text().await;
        pass(&mut server, &mut client, &[created("r1")]).await;
        client.send(&json!({ "type": "bogus", "event_id": "x" })).await;
        server.text().await;
        let mut about_bogus = error();
        about_bogus["error"]["event_id"] = "x".into();
        pass(&mut server, &mut client, &[about_bogus]).await;
        // it is still in progress
        client.send(&call).await;
        assert_eq!(client.event().await["error"]["code"], "rate_limit_exceeded", "{target}");
        pass(&mut server, &mut client, &[last]).await;
        let line = call_line(&gateway, 1).await;
        assert_eq!((&line["outcome"], &line["output_tokens"]), (&json!("completed"), &json!(10)), "{target}");
        client.send(&call).await;
        server.text().await;
    }
}

#[tokio::test]
async fn a_call_that_the_server_refuses_within_the_answer_before_it_is_over_at_the_next() {
    let (peer, gateway) = peer(COUNTED, "").await;
    let (mut client, mut server) = peer.open(&gateway, "/v1/responses").await;
    let ask = async |client: &mut Socket, server: &mut Accepted, model: &str| {
        client.send(&create(model, 10)).await;
        server.text().await;
    };
    ask(&mut client, &mut server, "first").await;
    pass(&mut server, &mut client, &[created("r1")]).await;
    ask(&mut client, &mut server, "refused").await;
    pass(&mut server, &mut client, &[error(), completed("r1")]).await;
    ask(&mut client, &mut server, "next").await;
    pass(&mut server, &mut client, &[created("r2"), completed("r2")]).await;
    for (place, wanted) in ["first|completed", "refused|upstream_failed", "next|completed"].into_iter().enumerate() {
        let line = call_line(&gateway, place).await;
        assert_eq!(format!("{}|{}", line["model"].as_str().unwrap(), line["outcome"].as_str().unwrap()), wanted);
    }
}

#[tokio::test]
async fn doubtful_calls_hold_no_place_on_a_connection_and_the_one_in_progress_not_for_long() {
    let ask = async |client: &mut Socket, server: &mut Accepted| {
        client.send(&json!({ "type": "response.create" })).await;
        server.text().await;
    };
    let (peer, gateway) = peer(ONE_AT_A_TIME, "").await;
    let (mut client, mut server) = peer.open(&gateway, "/v1/realtime?model=m").await;
    ask(&mut client, &mut server).await;
    pass(&mut server, &mut client, &[error()]).await;
    // nobody makes another call
    assert_eq!(call_line(&gateway, 0).await["outcome"], "upstream_failed");
    // many at once, all of them in doubt
    let (many, gateway) = super::peer(COUNTED, "").await;
    let (mut client, mut server) = many.open(&gateway, "/v1/realtime?model=m").await;
    for _ in 0..64 {
        ask(&mut client, &mut server).await;
    }
    pass(&mut server, &mut client, &vec![error(); 64]).await;
    ask(&mut client, &mut server).await;
}

#[tokio::test]
async fn a_large_call_gives_doubtful_ones_up_like_a_small_one() {
    let (peer, gateway) = peer(ONE_AT_A_TIME, "").await;
    let (mut client, mut server) = peer.open(&gateway, "/v1/realtime?model=m").await;
    client.send(&json!({ "type": "response.create" })).await;
    server.text().await;
    pass(&mut server, &mut client, &[error()]).await;
    // so long that it is read on another thread
    let large = json!({ "type": "response.create", "response": { "instructions": "x".repeat(3 << 20) } });
    client.send(&large).await;
    assert_eq!(server.text().await, large.to_string());
    pass(&mut server, &mut client, &[created("r"), done("r")]).await;
    for (place, wanted) in ["upstream_failed", "completed"].into_iter().enumerate() {
        assert_eq!(call_line(&gateway, place).await["outcome"], wanted);
    }
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

//! Who may come in, where calls go on without the client that made them: one that is shared, and one that the route reads to its end.

use super::basic_auth::{USERS, basic};
use crate::harness::{Client, Streaming, body, eventually, feed, gateway, h2c, http1, origin, sse};

const CALL: &str =
    r#"{"model":"claude-opus-5","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;

async fn send(client: &mut Client, password: &str, address: &str) -> Streaming {
    let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
    let request = request.header("authorization", basic("alice", password)).header("x-forwarded-for", address);
    client.send(request.body(body(CALL)).unwrap()).await.unwrap()
}

const PLUGINS: &str = "trusted_proxies: [127.0.0.1]\nplugins:\n  - access: { allow: [10.0.0.0/8], deny: [all] }\n  \
                       - basic_auth: { file: users }\n";

#[tokio::test]
async fn a_call_that_is_read_to_its_end_without_its_client_was_let_in_and_has_its_name() {
    let origin = origin().await;
    let builder = gateway().upstream(&origin).file("users", USERS).settings(PLUGINS);
    let gateway = builder.route_settings("on_client_disconnect: drain").start().await;
    for (round, mut client) in [http1(gateway.address()).await, h2c(gateway.address()).await].into_iter().enumerate() {
        let events = feed();
        origin.answers(sse().feed(&events).end());
        for (password, address, status) in [("other", "10.1.2.3", 401), ("password", "192.0.2.7", 403)] {
            let refused = send(&mut http1(gateway.address()).await, password, address).await.whole().await;
            assert_eq!(refused.status, status);
        }
        assert_eq!(origin.count(), round);
        let mut streaming = send(&mut client, "password", "10.1.2.3").await;
        events.send("data: one\n\n");
        streaming.until("\n\n").await;
        drop((streaming, client));
        events.end();
        assert!(origin.answered(round).await.abandoned.is_none());
        eventually("a line for each", async || gateway.access_log().len() == 3 * (round + 1)).await;
        let line = &gateway.access_log()[3 * round + 2];
        assert_eq!((&line["outcome"], &line["key_name"]), (&"client_gone".into(), &"alice".into()), "{line}");
    }
    gateway.idle().await;
}

#[tokio::test]
async fn who_is_refused_has_no_part_in_a_call_that_others_share() {
    let origin = origin().await;
    let settings = format!("{PLUGINS}  - response_cache: {{ scope: key }}\n");
    let gateway = gateway().upstream(&origin).file("users", USERS).settings(&settings).start().await;
    let events = feed();
    origin.answers(sse().feed(&events).end());
    let mut leader = http1(gateway.address()).await;
    let mut leading = send(&mut leader, "password", "10.1.2.3").await;
    events.send("data: one\n\n");
    assert_eq!(leading.until("\n\n").await, "data: one\n\n");
    for (password, address, status) in [("other", "10.1.2.3", 401), ("password", "192.0.2.7", 403)] {
        for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
            let refused = send(&mut client, password, address).await.whole().await;
            assert_eq!(refused.status, status);
            assert!(!refused.text().contains("data: one"), "{}", refused.text());
        }
    }
    let mut follower = http1(gateway.address()).await;
    let mut following = send(&mut follower, "password", "10.9.9.9").await;
    assert_eq!(following.headers["x-cache"], "COALESCED");
    drop((leading, leader));
    events.send("data: two\n\n");
    events.end();
    assert_eq!(following.rest().await, (b"data: one\n\ndata: two\n\n".to_vec(), true));
    assert_eq!(origin.count(), 1);
    drop(follower);
    gateway.idle().await;
}

//! How requests are spread over the servers, and how long each counts.

use super::before;
use crate::harness::{Client, Origin, Script, Streaming, answer, body, eventually, gate, h2c, http1, origin, sse};

/// Opens a stream and reads its first event.
async fn opened(client: &Client) -> Streaming {
    let mut client = client.share();
    let request = client.request("POST", "/v1/messages").body(body("x")).unwrap();
    let mut streaming = client.send(request).await.unwrap();
    assert_eq!(streaming.until("\n\n").await, "data: begun\n\n");
    streaming
}

async fn open(client: &Client, n: usize) -> Vec<Streaming> {
    let mut streams = Vec::new();
    for _ in 0..n {
        streams.push(opened(client).await);
    }
    streams
}

#[tokio::test]
async fn held_streams_split_by_weight_and_a_lease_lives_to_the_last_byte() {
    let servers = [origin().await, origin().await, origin().await];
    let gates = [gate(), gate(), gate()];
    for (server, gate) in servers.iter().zip(&gates) {
        server.answers(sse().event("begun").wait(gate).event("over").end());
    }
    let weighted: Vec<_> = servers.iter().zip([3, 2, 1]).map(|(server, weight)| (server.server(), weight)).collect();
    let gateway = before(&weighted, "balance: least_conn", "").await;
    let client = h2c(gateway.address()).await;
    let held = open(&client, 60).await;
    let counts = || servers.iter().map(Origin::open_streams).collect::<Vec<_>>();
    assert_eq!(counts(), [30, 20, 10]);

    // the second server's streams end; what comes next goes there, until it is as loaded as the others
    let again = gate();
    servers[1].answers(sse().event("begun").wait(&again).event("over").end());
    gates[1].open();
    eventually("20 ended streams", async || gateway.access_log().len() == 20).await;
    let more = open(&client, 20).await;
    assert_eq!(counts(), [30, 20, 10]);

    for gate in [&gates[0], &gates[2], &again] {
        gate.open();
    }
    for mut streaming in held.into_iter().chain(more) {
        assert_eq!(streaming.rest().await, (b"data: over\n\n".to_vec(), true));
    }
    drop(client);
    eventually("nothing in flight", async || {
        gateway.metrics().await.in_flight().iter().all(|(_, value)| *value == 0.0)
    })
    .await;
}

#[tokio::test]
async fn a_lease_is_given_back_whatever_ends_the_call() {
    let servers = [origin().await, origin().await];
    let gateway = before(
        &[(servers[0].server(), 1), (servers[1].server(), 1)],
        "timeouts: { first_byte: 300ms, idle: 300ms }",
        "",
    )
    .await;
    for server in &servers {
        for script in
            [sse().event("begun").close(), Script::closing(), Script::silent(), sse().event("begun").silence()]
        {
            server.answers_next(script);
        }
    }
    for _ in 0..8 {
        let mut client = http1(gateway.address()).await;
        let request = client.request("POST", "/v1/messages").body(body("x")).unwrap();
        if let Ok(mut streaming) = client.send(request).await {
            streaming.rest().await;
        }
    }
    for server in &servers {
        server.answers(sse().event("begun").silence());
    }
    for _ in 0..4 {
        let client = h2c(gateway.address()).await;
        drop(opened(&client).await);
    }
    eventually("nothing in flight", async || {
        gateway.metrics().await.in_flight().iter().all(|(_, value)| *value == 0.0)
    })
    .await;
}

#[tokio::test]
async fn round_robin_goes_round_smoothly_by_weight() {
    let servers = [origin().await, origin().await, origin().await];
    for (server, name) in servers.iter().zip(["a", "b", "c"]) {
        server.answers(answer(200).body(name));
    }
    let weighted: Vec<_> = servers.iter().zip([3, 2, 1]).map(|(server, weight)| (server.server(), weight)).collect();
    for (balance, expected) in [("round_robin", "abacbaabacba"), ("least_conn", "abacbaabacba")] {
        let gateway = before(&weighted, &format!("balance: {balance}"), "").await;
        let mut names = String::new();
        for number in 1..=12 {
            names.push_str(&http1(gateway.address()).await.get("/").await.text());
            // its lease is given back when its line is written
            eventually("a line", async || gateway.access_log().len() == number).await;
        }
        assert_eq!(names, expected, "{balance}");
    }
}

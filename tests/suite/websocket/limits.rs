//! Limits hold to the token, however calls come: requests over HTTP/1.1 and HTTP/2, and messages of a WebSocket.

use serde_json::json;

use super::client::{Socket, handshake, socket};
use super::{TOKENS, calls, create, simulated};
use crate::harness::{eventually, h2c, http1};

const LIMIT: u64 = 3_000;
/// What a call reports: its output and what the simulator counts of `hello`.
const COST: u64 = TOKENS + 2;
const SOCKETS: usize = 50;
const EACH: usize = 4;

/// How often all of it is done; `ROUNDS=50 cargo test …` does it more often.
fn rounds() -> usize {
    std::env::var("ROUNDS").map_or(2, |rounds| rounds.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_five_hundred_calls_at_once_over_three_protocols_no_more_pass_than_the_limit_has_tokens_for() {
    for round in 0..rounds() {
        let limits = format!("limits: [{{ by: all, tokens: {LIMIT}/month }}], reserve: max_tokens");
        let (simulator, gateway) = simulated(&format!("  - rate_limit: {{ {limits} }}\n")).await;
        let shared = h2c(gateway.address()).await;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..300 {
            let mut client = if number % 2 == 0 { shared.share() } else { http1(gateway.address()).await };
            let body = json!({ "model": "m", "max_output_tokens": TOKENS, "input": "hello" }).to_string();
            tasks.spawn(async move { u64::from(client.post("/v1/responses", body).await.status == 200) });
        }
        for _ in 0..SOCKETS {
            let mut client = socket(&gateway, "/v1/responses", &[]).await;
            tasks.spawn(async move {
                for _ in 0..EACH {
                    client.send(&create("m", TOKENS)).await;
                }
                let (mut admitted, mut ended) = (0, 0);
                while ended < EACH {
                    let event = client.event().await;
                    match event["type"].as_str().unwrap() {
                        "response.completed" | "response.incomplete" => (admitted, ended) = (admitted + 1, ended + 1),
                        "error" => {
                            assert_eq!(event["status"], 429, "{event}");
                            ended += 1;
                        }
                        _ => {}
                    }
                }
                admitted
            });
        }
        let admitted: u64 = tasks.join_all().await.into_iter().sum();
        assert!(admitted > 0 && admitted * COST <= LIMIT, "round {round}: {admitted}");
        assert_eq!(calls(simulator).await, admitted);
        eventually("nothing held", async || gateway.metrics().await.sum("tollgate_limit_reserved", &[]) == 0.0).await;
        // what is left is used up one by one, and then it is counted to the token
        let mut client = http1(gateway.address()).await;
        let mut all = admitted;
        let refused = loop {
            let body = json!({ "model": "m", "max_output_tokens": TOKENS, "input": "hello" }).to_string();
            let answer = client.post("/v1/responses", body).await;
            if answer.status == 429 {
                break answer;
            }
            all += 1;
        };
        let remaining: u64 = refused.header("x-ratelimit-remaining-tokens").unwrap().parse().unwrap();
        assert_eq!(remaining, LIMIT - all * COST, "round {round}");
        let in_flight = async || gateway.metrics().await.sum("tollgate_requests_in_flight", &[]);
        eventually("nothing in flight", async || in_flight().await == 0.0).await;
    }
}

/// How a call ends, by the type of its last event.
async fn call(client: &mut Socket) -> String {
    client.send(&create("m", TOKENS)).await;
    loop {
        let kind = client.event().await["type"].as_str().unwrap().to_owned();
        if ["response.completed", "response.incomplete", "error"].contains(&&*kind) {
            return kind;
        }
    }
}

#[tokio::test]
async fn a_handshake_and_the_first_call_behind_it_are_one_request() {
    // a month's requests do not come back while the test runs
    let (simulator, gateway) = simulated("  - rate_limit: { limits: [{ by: all, requests: 3/month }] }\n").await;
    let (mut first, mut second) =
        (socket(&gateway, "/v1/responses", &[]).await, socket(&gateway, "/v1/responses", &[]).await);
    for _ in 0..2 {
        assert_ne!(call(&mut first).await, "error");
    }
    assert_ne!(call(&mut second).await, "error");
    assert_eq!(calls(simulator).await, 3);
    assert_eq!(call(&mut second).await, "error");
    assert_eq!(handshake(&gateway, "/v1/responses", &[]).await.unwrap_err().0, 429);
    assert_eq!(calls(simulator).await, 3);
}

#[tokio::test]
async fn a_limit_that_a_handshake_cannot_know_the_caller_of_counts_the_first_call_too() {
    let (simulator, gateway) = simulated("  - rate_limit: { limits: [{ by: model, requests: 3/month }] }\n").await;
    let mut client = socket(&gateway, "/v1/responses", &[]).await;
    for _ in 0..3 {
        assert_ne!(call(&mut client).await, "error");
    }
    assert_eq!(call(&mut client).await, "error");
    assert_eq!(call(&mut socket(&gateway, "/v1/responses", &[]).await).await, "error");
    assert_eq!(calls(simulator).await, 3);
}

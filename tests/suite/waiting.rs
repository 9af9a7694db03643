//! Requests that find every server full: they are refused, or wait in a queue.

use std::time::Duration;

use crate::harness::{
    Answer, Client, Gateway, Origin, Script, body, connect, eventually, gate, gateway, h2c, http1, origin, refusing,
    sse,
};
use crate::payloads::call;

/// A gateway before one server that takes one request at a time.
async fn before(origin: &Origin, settings: &str) -> Gateway {
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\nupstreams:\n  origin:\n    \
         servers: [{{ address: \"{}\", max_conns: 1 }}]\n    {settings}\nroutes: [{{ upstream: origin }}]\n",
        origin.server()
    );
    gateway().yaml(yaml).start().await
}

/// Asks, and names the caller in the path.
fn asks(mut client: Client, name: &str) -> tokio::task::JoinHandle<Answer> {
    let request = client.request("POST", &format!("/{name}/v1/messages")).body(body(call(300, 1))).unwrap();
    tokio::spawn(async move { client.call(request).await })
}

async fn under_way(gateway: &Gateway, requests: usize) {
    eventually("requests under way", async || {
        gateway.metrics().await.sum("tollgate_requests_in_flight", &[]) as usize == requests
    })
    .await;
}

#[tokio::test]
async fn without_a_queue_one_too_many_is_refused_at_once_in_the_callers_dialect() {
    let (origin, last) = (origin().await, gate());
    origin.answers(sse().event("one").wait(&last).end());
    let gateway = before(&origin, "").await;
    let first = asks(http1(gateway.address()).await, "first");
    origin.request(0).await;
    for (path, kind) in [("/v1/messages", ["error", "type"]), ("/v1/chat/completions", ["error", "code"])] {
        let refused = http1(gateway.address()).await.post(path, call(300, 1)).await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, Some("1")));
        assert!(refused.json()[kind[0]][kind[1]].is_string(), "{}", refused.text());
    }
    last.open();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(origin.count(), 1);
    let row = gateway.logged(|row| row["status"] == 503).await;
    assert_eq!((row["error"].as_str(), row["attempts"].as_u64()), (Some("full"), Some(0)));
    gateway.idle().await;
}

#[tokio::test]
async fn those_who_wait_are_served_in_the_order_they_came() {
    let origin = origin().await;
    let gates = [gate(), gate(), gate(), gate()];
    for gate in &gates {
        origin.answers_next(sse().event("one").wait(gate).end());
    }
    let gateway = before(&origin, "queue: { size: 3, timeout: 30s }").await;
    let mut asking = Vec::new();
    for (number, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let client = if number % 2 == 0 { http1(gateway.address()).await } else { h2c(gateway.address()).await };
        asking.push(asks(client, name));
        under_way(&gateway, number + 1).await;
    }
    origin.request(0).await;
    eventually("a full queue", async || {
        gateway.metrics().await.sum("tollgate_upstream_queue_length", &[("upstream", "origin")]) == 3.0
    })
    .await;
    let refused = http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, Some("1")));
    for (number, (gate, name)) in gates.iter().zip(["a", "b", "c", "d"]).enumerate() {
        let request = origin.request(number).await;
        assert_eq!(request.target, format!("/{name}/v1/messages"));
        assert_eq!(request.body, call(300, 1));
        assert_eq!(origin.count(), number + 1, "one at a time");
        gate.open();
    }
    for answer in asking {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(origin.most_streams(), 1);
    gateway.idle().await;
}

#[tokio::test]
async fn one_who_waits_too_long_is_refused_by_the_status_of_the_yaml() {
    let (origin, last) = (origin().await, gate());
    origin.answers(sse().event("one").wait(&last).end());
    let gateway = before(&origin, "queue: { size: 3, timeout: 200ms, status: 429 }").await;
    let first = asks(http1(gateway.address()).await, "first");
    origin.request(0).await;
    let late = http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await;
    assert_eq!((late.status.as_u16(), late.header("retry-after")), (429, Some("1")));
    assert_eq!(late.json()["error"]["type"], "rate_limit_error");
    assert_eq!(late.header("x-should-retry"), None);
    last.open();
    assert_eq!(first.await.unwrap().status, 200);
    gateway.idle().await;
}

#[tokio::test]
async fn to_wait_counts_as_part_of_the_whole_and_no_fallback_has_time_left_then() {
    let (origin, second, last) = (origin().await, origin().await, gate());
    origin.answers(sse().event("one").wait(&last).end());
    let fallback = format!("fallback: second\n  second: {{ servers: [{{ address: \"{}\" }}] }}", second.server());
    let gateway = before(&origin, &format!("queue: {{ size: 1, timeout: 30s }}\n    {fallback}")).await;
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    let first = asks(http1(gateway.address()).await, "first");
    origin.request(0).await;
    gateway.reload(text.replace("queue:", "timeouts: { total: 200ms }\n    queue:")).await;
    let late = http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await;
    assert_eq!((late.status.as_u16(), second.count()), (504, 0));
    let row = gateway.logged(|row| row["status"] == 504).await;
    assert_eq!((row["error"].as_str(), row["attempts"].as_u64()), (Some("total_timeout"), Some(0)));
    last.open();
    assert_eq!(first.await.unwrap().status, 200);
    gateway.idle().await;
}

#[tokio::test]
async fn one_who_leaves_while_it_waits_makes_way() {
    let (origin, last) = (origin().await, gate());
    origin.answers(sse().event("one").wait(&last).end());
    let gateway = before(&origin, "queue: { size: 1, timeout: 60s }").await;
    let first = asks(http1(gateway.address()).await, "first");
    origin.request(0).await;
    for way in 0..4 {
        match way {
            0 | 1 => {
                let client = if way == 0 { http1(gateway.address()).await } else { h2c(gateway.address()).await };
                let waiting = asks(client, "leaves");
                under_way(&gateway, 2).await;
                waiting.abort();
            }
            // whose body is not complete, and who breaks off or closes
            _ => {
                let mut raw = connect(gateway.address()).await;
                raw.send("POST /leaves HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nhalf").await;
                under_way(&gateway, 2).await;
                if way == 2 { raw.reset() } else { drop(raw) }
            }
        }
        under_way(&gateway, 1).await;
    }
    // its place is free again
    let next = asks(http1(gateway.address()).await, "next");
    under_way(&gateway, 2).await;
    last.open();
    assert_eq!((first.await.unwrap().status.as_u16(), next.await.unwrap().status.as_u16()), (200, 200));
    assert_eq!(origin.request(1).await.target, "/next/v1/messages", "who has left is never sent");
    gateway.idle().await;
}

#[tokio::test]
async fn a_body_that_still_comes_while_it_waits_arrives_in_full() {
    let (origin, last) = (origin().await, gate());
    origin.answers_next(sse().event("one").wait(&last).end());
    let gateway = before(&origin, "queue: { size: 2, timeout: 30s }").await;
    let first = asks(http1(gateway.address()).await, "first");
    origin.request(0).await;
    let mut raw = connect(gateway.address()).await;
    let sent = crate::payloads::noise(300_000);
    raw.send("POST /files HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n").await;
    raw.send(&sent[..1000]).await;
    under_way(&gateway, 2).await;
    last.open();
    raw.send(&sent[1000..]).await;
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!(crate::payloads::difference(&sent, &origin.request(1).await.body), None);
    assert_eq!(first.await.unwrap().status, 200);
    drop(raw);
    gateway.idle().await;
}

#[tokio::test]
async fn a_reload_while_some_wait_loses_none_of_them() {
    let origin = origin().await;
    let gates = [gate(), gate()];
    for gate in &gates {
        origin.answers_next(sse().event("one").wait(gate).end());
    }
    let gateway = before(&origin, "queue: { size: 5, timeout: 30s }").await;
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    let first = asks(http1(gateway.address()).await, "first");
    origin.request(0).await;
    let second = asks(http1(gateway.address()).await, "second");
    under_way(&gateway, 2).await;
    gateway.reload(text.replace("max_conns: 1", "max_conns: 1, weight: 2")).await;
    let third = asks(http1(gateway.address()).await, "third");
    under_way(&gateway, 3).await;
    for (number, (gate, name)) in gates.iter().zip(["first", "second"]).enumerate() {
        assert_eq!(origin.request(number).await.target, format!("/{name}/v1/messages"));
        gate.open();
    }
    for answer in [first, second, third] {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    gateway.idle().await;
}

#[tokio::test]
async fn a_reload_that_raises_max_conns_lets_those_through_that_wait() {
    let (origin, last) = (origin().await, gate());
    origin.answers(sse().event("one").wait(&last).end());
    let gateway = before(&origin, "queue: { size: 5, timeout: 30s }").await;
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    let mut asking = Vec::new();
    for (number, name) in ["first", "second", "third"].into_iter().enumerate() {
        asking.push(asks(http1(gateway.address()).await, name));
        under_way(&gateway, number + 1).await;
    }
    origin.request(0).await;
    gateway.reload(text.replace("max_conns: 1", "max_conns: 2")).await;
    assert_eq!(origin.request(1).await.target, "/second/v1/messages");
    assert_eq!(origin.count(), 2);
    last.open();
    for answer in asking {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(origin.most_streams(), 2);
    gateway.idle().await;
}

#[tokio::test]
async fn who_waits_is_woken_by_a_server_that_comes_back_by_time_alone() {
    let (bad, slow, last) = (origin().await, origin().await, gate());
    slow.answers(sse().event("one").wait(&last).end());
    bad.answers_next(Script::closing());
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\nupstreams:\n  origin:\n    \
         balance: round_robin\n    servers: [{{ address: \"{}\", fail_timeout: 500ms }}, {{ address: \"{}\", max_conns: 1 }}]\n    \
         queue: {{ size: 5, timeout: 30s }}\nroutes: [{{ upstream: origin }}]\n",
        bad.server(),
        slow.server()
    );
    let gateway = gateway().yaml(yaml).start().await;
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await.status, 502);
    let held = asks(http1(gateway.address()).await, "held");
    slow.request(0).await;
    let asked = tokio::time::timeout(Duration::from_secs(20), asks(http1(gateway.address()).await, "waits"));
    assert_eq!(asked.await.unwrap().unwrap().status, 200);
    assert_eq!(bad.count(), 2);
    last.open();
    assert_eq!(held.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_request_that_found_nobody_waits_for_nobody() {
    let nobody = refusing();
    let gateway =
        gateway().server(nobody.address()).upstream_settings("queue: { size: 5, timeout: 30s }").start().await;
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await.status, 502);
}

#[tokio::test]
async fn a_further_attempt_for_which_the_budget_has_nothing_left_does_not_wait() {
    let (slow, nobody, last) = (origin().await, refusing(), gate());
    slow.answers(sse().event("one").wait(&last).end());
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\nupstreams:\n  origin:\n    \
         balance: round_robin\n    servers: [{{ address: \"{}\", max_conns: 1 }}, {{ address: \"{}\" }}]\n    \
         queue: {{ size: 5, timeout: 30s }}\n    retry: {{ budget: 0% }}\nroutes: [{{ upstream: origin }}]\n",
        slow.server(),
        nobody.address()
    );
    let gateway = gateway().yaml(yaml).start().await;
    let held = asks(http1(gateway.address()).await, "held");
    slow.request(0).await;
    let asked = tokio::time::timeout(Duration::from_secs(20), asks(http1(gateway.address()).await, "fails"));
    assert_eq!(asked.await.unwrap().unwrap().status, 502);
    let upstream = [("upstream", "origin")];
    assert_eq!(gateway.metrics().await.sum("tollgate_upstream_retries_refused_total", &upstream), 1.0);
    last.open();
    assert_eq!(held.await.unwrap().status, 200);
    gateway.idle().await;
}

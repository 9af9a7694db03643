//! The rules beside `least_conn`: what of a call they look at, over real sockets.

use crate::harness::{Gateway, Origin, Script, body, eventually, gate, gateway, h2c, http1, origin, sse};

/// The wait for a slow server's first byte.
const SLOW: std::time::Duration = std::time::Duration::from_millis(150);

async fn before(servers: &[Origin], balance: &str) -> Gateway {
    let list: Vec<_> = servers.iter().map(|server| format!("{{ address: \"{}\" }}", server.server())).collect();
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\nupstreams:\n  origin:\n    \
         balance: {balance}\n    servers: [{}]\nroutes: [{{ upstream: origin }}]\n",
        list.join(", ")
    );
    gateway().yaml(yaml).start().await
}

async fn four() -> Vec<Origin> {
    vec![origin().await, origin().await, origin().await, origin().await]
}

fn counts(servers: &[Origin]) -> Vec<usize> {
    servers.iter().map(Origin::count).collect()
}

/// A call in the name of a user.
fn call_of(user: &str) -> String {
    format!(r#"{{"model":"m","max_tokens":1,"messages":[],"metadata":{{"user_id":{user}}}}}"#)
}

#[tokio::test]
async fn a_key_of_the_body_goes_to_the_same_server_every_time_and_the_body_arrives_as_it_was() {
    let servers = four().await;
    let gateway = before(&servers, "{ hash: { key: body:metadata.user_id } }").await;
    let mut used = [false; 4];
    for user in 0..12 {
        let sent = call_of(&format!("\"user-{user}\""));
        let before = counts(&servers);
        for _ in 0..4 {
            assert_eq!(http1(gateway.address()).await.post("/v1/messages", sent.clone()).await.status, 200);
            gateway.idle().await; // what is still in flight counts against its server's bound
        }
        let after = counts(&servers);
        let taken: Vec<usize> = (0..4).filter(|at| after[*at] > before[*at]).collect();
        assert_eq!(taken.len(), 1, "user {user} went to {taken:?}");
        assert_eq!(servers[taken[0]].request(before[taken[0]]).await.body, sent.as_bytes());
        used[taken[0]] = true;
    }
    assert!(used.iter().filter(|used| **used).count() >= 3, "{used:?}");
    // without a key: by turns, as `least_conn` has it
    let before = counts(&servers);
    for number in 1..=8 {
        let sent = if number % 2 == 0 { call_of("null") } else { "{}".to_owned() };
        assert_eq!(http1(gateway.address()).await.post("/v1/messages", sent).await.status, 200);
        eventually("a line", async || gateway.access_log().len() == 48 + number).await;
    }
    let spread: Vec<usize> = counts(&servers).iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(spread, [2, 2, 2, 2]);
}

#[tokio::test]
async fn a_key_of_the_head_needs_no_body_and_an_overloaded_server_passes_its_keys_on() {
    let servers = four().await;
    let last = gate();
    for server in &servers {
        server.answers(sse().event("begun").wait(&last).end());
    }
    let gateway = before(&servers, "{ hash: { key: header:x-user, bound: 1.5 } }").await;
    let client = h2c(gateway.address()).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut client = client.share();
        let request = client.request("GET", "/").header("x-user", "everybody").body(body("")).unwrap();
        let mut streaming = client.send(request).await.unwrap();
        streaming.until("begun").await;
        held.push(streaming);
    }
    let mut open: Vec<usize> = servers.iter().map(Origin::open_streams).collect();
    open.sort_unstable();
    // one and a half times a quarter of 40, and what is over it
    assert_eq!(open, [0, 10, 15, 15]);
    last.open();
    for mut streaming in held {
        streaming.rest().await;
    }
    drop(client);
    gateway.idle().await;

    let before_it = counts(&servers);
    for _ in 0..4 {
        assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
        gateway.idle().await;
    }
    let spread: Vec<usize> = counts(&servers).iter().zip(before_it).map(|(after, before)| after - before).collect();
    assert_eq!(spread, [1, 1, 1, 1], "without a key: by turns, as `least_conn` has it");

    let by_client = before(&servers, "{ hash: { key: client_ip } }").await;
    let before_it = counts(&servers);
    for _ in 0..6 {
        assert_eq!(http1(by_client.address()).await.get("/").await.status, 200);
        by_client.idle().await; // what is still in flight counts against its server's bound
    }
    let spread = counts(&servers).iter().zip(before_it).filter(|(after, before)| **after > *before).count();
    assert_eq!(spread, 1, "all from one address");
}

#[tokio::test]
async fn least_tokens_weighs_calls_by_what_they_ask_for() {
    let servers = vec![origin().await, origin().await];
    let last = gate();
    for server in &servers {
        server.answers(sse().event("begun").wait(&last).end());
    }
    let gateway = before(&servers, "least_tokens").await;
    let client = h2c(gateway.address()).await;
    let mut held = Vec::new();
    // the large one fills its server; the small ones go to the other until they are as much
    for tokens in [10_000, 1000, 1000, 1000, 1000, 1000] {
        let mut client = client.share();
        let sent = format!(r#"{{"model":"m","messages":[],"max_tokens":{tokens}}}"#);
        let request = client.request("POST", "/v1/messages").body(body(sent)).unwrap();
        let mut streaming = client.send(request).await.unwrap();
        streaming.until("begun").await;
        held.push(streaming);
    }
    let mut open: Vec<usize> = servers.iter().map(Origin::open_streams).collect();
    open.sort_unstable();
    assert_eq!(open, [1, 5]);
    last.open();
    for mut streaming in held {
        streaming.rest().await;
    }
    drop(client);
    gateway.idle().await;
}

#[tokio::test]
async fn peak_ewma_leaves_a_slow_server_for_a_quick_one() {
    let servers = vec![origin().await, origin().await];
    servers[0]
        .answers(Script::default().read_body().pause(SLOW).bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
    let gateway = before(&servers, "peak_ewma").await;
    for _ in 0..20 {
        assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
    }
    assert!(servers[0].count() <= 2 && servers[1].count() >= 18, "{:?}", counts(&servers));
}

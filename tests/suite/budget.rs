//! What bodies may take in memory, all together: whoever comes too late is told so, and all others are served.

mod heads;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::join_all;
use http::StatusCode;

use crate::harness::{
    Answer, Client, Gateway, Origin, body, connect, eventually, gate, gateway, h2c, http1, origin, sse, upload,
};
use crate::memory::Peak;
use crate::payloads::call;

const MIB: usize = 1 << 20;
const READS_BODIES: &str = "plugins: [{ max_tokens: { limit: 4000 } }]\n";

/// What 32 MiB of `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[1,1,…]}]}` are in brotli.
const PACKED: &str = "y///PyCcB3YsmAaWEun0tUjM1t5k0WlLkTC8FPmaAyccagA6CCgr4RPx3WQYEoFyp7mYyKz77VlhBN2dXVnG7ALEt7v/C/H//w9+CYA4LADQvf/j//8f/BIAcVgAoHv/l+7/f/iluvpKlMMCgKX3fxQ=";

async fn start(origin: &Origin, server: &str, settings: &str) -> Gateway {
    gateway().upstream(origin).settings(&format!("server: {{ {server} }}\n{settings}")).start().await
}

/// What requests hold of a budget.
async fn held(gateway: &Gateway, of: &str) -> f64 {
    gateway.metrics().await.sum("tollgate_memory_bytes", &[("of", of)])
}

async fn holds_nothing(gateway: &Gateway) {
    eventually("budgets that nobody uses", async || {
        held(gateway, "bodies").await == 0.0 && held(gateway, "heads").await == 0.0
    })
    .await;
    gateway.idle().await;
}

/// The figure that `tollgate check` prints for its configuration, in bytes.
fn bound(gateway: &Gateway) -> u64 {
    let command =
        std::process::Command::new(env!("CARGO_BIN_EXE_tollgate")).arg("check").arg("-c").arg(gateway.file()).output();
    let said = String::from_utf8(command.unwrap().stdout).unwrap();
    let figure = said.split_once("memory: at most ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
    figure.unwrap_or_else(|| panic!("{said}")) << 20
}

async fn refused(answer: &Answer, gateway: &Gateway) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.json()["error"]["type"], "overloaded_error");
    let id = answer.header("x-request-id").unwrap();
    let line = gateway.logged(|line| line["id"] == id).await;
    assert_eq!((&line["outcome"], &line["error"]), (&"refused".into(), &"body_memory".into()));
}

async fn packed(mut client: Client) -> StatusCode {
    let request = client.request("POST", "/v1/messages").header("content-encoding", "br");
    client.call(request.body(body(BASE64_STANDARD.decode(PACKED).unwrap())).unwrap()).await.status
}

#[tokio::test]
async fn a_body_beyond_the_budget_is_503_until_others_are_through() {
    let origin = origin().await;
    let gateway = start(&origin, "max_body_memory: 8MiB", READS_BODIES).await;
    let wait = gate();
    origin.answers(sse().after(&wait).event("one").end());
    let (first, second) = (h2c(gateway.address()).await, http1(gateway.address()).await);
    let ahead: Vec<_> = [first, second]
        .into_iter()
        .map(|mut client| tokio::spawn(async move { client.post("/v1/messages", call(3 * MIB, 1)).await }))
        .collect();
    origin.request(1).await;
    for is_h2 in [false, true] {
        let open = async || if is_h2 { h2c(gateway.address()).await } else { http1(gateway.address()).await };
        refused(&open().await.post("/v1/messages", call(3 * MIB, 1)).await, &gateway).await;
        // one whose length nobody knows
        let mut client = open().await;
        let (sender, streamed) = upload();
        let request = client.request("POST", "/v1/messages").body(streamed).unwrap();
        let sending = tokio::spawn(async move { while sender.send(vec![b' '; 100_000]).await {} });
        refused(&client.send(request).await.unwrap().whole().await, &gateway).await;
        sending.abort();
        // what is small has room nevertheless, and what cannot ever have any is told so
        assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(200, 5000)).await.status, 400);
        assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(9 * MIB, 1)).await.status, 413);
    }
    assert_eq!(origin.count(), 2);
    wait.open();
    for answer in join_all(ahead).await {
        assert_eq!(answer.unwrap().status, 200);
    }
    holds_nothing(&gateway).await;
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(3 * MIB, 1)).await.status, 200);
    assert!(gateway.metrics().await.sum("tollgate_memory_refused_total", &[("of", "bodies")]) >= 4.0);
    holds_nothing(&gateway).await;
}

#[tokio::test]
async fn a_body_is_let_go_once_its_answer_begins_though_it_goes_on() {
    for settings in ["", "on_client_disconnect: drain"] {
        let origin = origin().await;
        let builder = gateway().upstream(&origin).route_settings(settings);
        let gateway = builder.settings(&format!("server: {{ max_body_memory: 8MiB }}\n{READS_BODIES}")).start().await;
        let wait = gate();
        origin.answers(sse().event("one").wait(&wait).event("two").end());
        let mut streams = Vec::new();
        for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
            let request = client.request("POST", "/v1/messages").body(body(call(3 * MIB, 1))).unwrap();
            let mut streaming = client.send(request).await.unwrap();
            streaming.until("one").await;
            streams.push((streaming, client));
        }
        eventually("bodies that are let go", async || held(&gateway, "bodies").await == 0.0).await;
        wait.open();
        for (streaming, _client) in streams {
            assert!(streaming.whole().await.text().contains("two"));
        }
        assert_eq!(origin.request(1).await.body.len(), 3 * MIB);
        holds_nothing(&gateway).await;
    }
}

#[tokio::test]
async fn a_length_that_is_only_claimed_takes_no_room() {
    let origin = origin().await;
    let gateway = start(&origin, "max_body_memory: 8MiB", READS_BODIES).await;
    let mut claims = Vec::new();
    for _ in 0..50 {
        let mut raw = connect(gateway.address()).await;
        raw.send("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 6000000\r\n\r\n{").await;
        claims.push(raw);
    }
    eventually("room for what has come", async || held(&gateway, "bodies").await >= 50.0 * 65536.0).await;
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(2 * MIB, 1)).await.status, 200);
    drop(claims);
    holds_nothing(&gateway).await;
}

#[tokio::test]
async fn a_reload_changes_the_budget_and_keeps_what_is_held() {
    let origin = origin().await;
    let gateway = start(&origin, "max_body_memory: 8MiB", READS_BODIES).await;
    let wait = gate();
    origin.answers(sse().after(&wait).event("one").end());
    let mut first = http1(gateway.address()).await;
    let ahead = tokio::spawn(async move { first.post("/v1/messages", call(3 * MIB, 1)).await });
    origin.request(0).await;
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    gateway.reload(text.replace("8MiB", "4MiB")).await;
    refused(&http1(gateway.address()).await.post("/v1/messages", call(MIB, 1)).await, &gateway).await;
    gateway.reload(text.replace("8MiB", "16MiB")).await;
    let mut second = http1(gateway.address()).await;
    let behind = tokio::spawn(async move { second.post("/v1/messages", call(4 * MIB, 1)).await });
    origin.request(1).await;
    wait.open();
    assert_eq!((ahead.await.unwrap().status, behind.await.unwrap().status), (StatusCode::OK, StatusCode::OK));
    holds_nothing(&gateway).await;
}

/// Attacks a gateway that all of its plugins make work, while another client asks.
async fn attacked(settings: &str, attack: impl AsyncFn(&Gateway)) {
    let origin = origin().await;
    let builder = gateway()
        .upstream(&origin)
        .settings(settings)
        .settings("server: { threads: 2, max_body: 32MiB, max_body_memory: 96MiB, max_header_memory: 8MiB }\n");
    let listener = r#"address: "127.0.0.1:0""#;
    let text = builder.text().replacen(listener, &format!("{listener}, max_connections: 256"), 1);
    let gateway = builder.yaml(text).start().await;
    let bound = bound(&gateway);
    let peak = Peak::of(&gateway);
    let others = async {
        let mut client = http1(gateway.address()).await;
        for _ in 0..20 {
            assert_eq!(client.post("/v1/messages", call(2000, 1)).await.status, 200);
        }
    };
    tokio::join!(attack(&gateway), others);
    assert!(peak.growth() < bound, "grew by {} MiB, more than {}", peak.growth() >> 20, bound >> 20);
    holds_nothing(&gateway).await;
}

const ALL: &str = "plugins:\n  - max_tokens: { limit: 4000 }\n  - response_cache: { scope: { name: all }, memory: { max_bytes: 8MiB } }\n  \
                   - usage_log: { database: \"sqlite://ledger.db\", store: { request_body: true } }\n";

#[tokio::test]
async fn two_hundred_packed_bodies_at_once_stay_within_the_bound_and_hurt_nobody() {
    attacked(ALL, async |gateway| {
        let clients = (0..200).map(async |number| {
            let address = gateway.address();
            packed(if number % 2 == 0 { http1(address).await } else { h2c(address).await }).await
        });
        for status in join_all(clients).await {
            assert!([200, 400, 503].contains(&status.as_u16()), "{status}");
        }
    })
    .await;
}

#[tokio::test]
async fn bodies_that_hold_many_values_stay_within_the_bound_and_hurt_nobody() {
    let text = [
        &br#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":["#[..],
        &b"1,".repeat(MIB / 2),
        b"1]}]}",
    ];
    let text = bytes::Bytes::from(text.concat());
    attacked(ALL, async |gateway| {
        let clients =
            (0..12).map(async |_| http1(gateway.address()).await.post("/v1/messages", text.clone()).await.status);
        for status in join_all(clients).await {
            assert!([200, 503].contains(&status.as_u16()), "{status}");
        }
    })
    .await;
}

#[tokio::test]
async fn forty_packed_bodies_do_not_end_a_gateway_with_little_address_space() {
    let origin = origin().await;
    let mut gateway = gateway().upstream(&origin).settings(ALL).after_shell("ulimit -v 4000000").start().await;
    let clients = (0..40).map(async |_| packed(http1(gateway.address()).await).await);
    for status in join_all(clients).await {
        assert!([200, 400, 503].contains(&status.as_u16()), "{status}");
    }
    assert!(gateway.runs());
    let limit = gateway.metrics().await.sum("tollgate_memory_limit_bytes", &[("of", "bodies")]);
    assert!(limit <= 1_024_000_000.0, "{limit}");
    holds_nothing(&gateway).await;
}

#[tokio::test]
async fn what_the_ledger_keeps_of_bodies_is_charged_until_the_row_is_written() {
    let origin = origin().await;
    let wait = gate();
    origin.answers(sse().event(&"x".repeat(100_000)).wait(&wait).end());
    let gateway = start(&origin, "max_body_memory: 8MiB", ALL).await;
    let mut client = http1(gateway.address()).await;
    let request = client.request("POST", "/v1/messages").body(body(call(100_000, 1))).unwrap();
    let mut streaming = client.send(request).await.unwrap();
    streaming.until("xxx").await;
    eventually("what is kept", async || held(&gateway, "bodies").await >= 200_000.0).await;
    wait.open();
    streaming.whole().await;
    drop(client);
    holds_nothing(&gateway).await;
}

//! One row in the access log for every request that was accepted, whatever became of it: never none, never two, and
//! with the outcome that it had.

mod storm;

use serde_json::{Value, json};

use crate::harness::{
    Client, DEADLINE, Gateway, Script, answer, body, connect, eventually, gate, gateway, h2c, http1, origin, refusing,
    sse,
};
use crate::payloads::call;

/// Waits until all work has ended, and then finds exactly these rows: outcome, status and error of each, in any order.
async fn rows(gateway: &Gateway, wanted: &[(&str, Option<u16>, Option<&str>)]) {
    gateway.idle().await;
    let mut wanted: Vec<Value> = wanted.iter().map(|row| json!(row)).collect();
    wanted.sort_by_key(Value::to_string);
    eventually("as many rows as requests", async || gateway.access_log().len() >= wanted.len()).await;
    let log = gateway.access_log();
    let mut found: Vec<Value> = log.iter().map(|row| json!((&row["outcome"], &row["status"], &row["error"]))).collect();
    found.sort_by_key(Value::to_string);
    assert_eq!(found, wanted);
    let mut ids: Vec<&str> = log.iter().map(|row| row["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), log.len(), "an id is a request's own");
}

async fn both(gateway: &Gateway) -> [Client; 2] {
    [http1(gateway.address()).await, h2c(gateway.address()).await]
}

#[tokio::test]
async fn what_is_completed_has_a_row() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    for mut client in both(&gateway).await {
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(client.post("/v1/messages", call(300, 1)).await.status, 200);
        origin.answers_next(sse().event("one").event("two").end());
        assert_eq!(client.get("/stream").await.text(), "data: one\n\ndata: two\n\n");
        origin.answers_next(answer(500).body("its own error"));
        assert_eq!(client.get("/").await.status, 500);
        origin.answers_next(answer(204).empty());
        assert_eq!(client.get("/").await.status, 204);
    }
    let each = [200, 200, 200, 500, 204].map(|status| ("completed", Some(status), None));
    rows(&gateway, &[each, each].concat()).await;
}

#[tokio::test]
async fn what_is_refused_has_a_row() {
    let origin = origin().await;
    let settings = "server: { max_body: 1KiB, body_timeout: 300ms }\nplugins: [{ max_tokens: { limit: 10 } }]";
    let gateway = gateway().upstream(&origin).route_settings("paths: [/v1/]").settings(settings).start().await;
    for mut client in both(&gateway).await {
        assert_eq!(client.get("/nowhere").await.status, 404);
        assert_eq!(client.post("/v1/messages", call(300, 11)).await.status, 400);
    }
    for mut client in both(&gateway).await {
        assert_eq!(client.post("/v1/messages", call(2000, 1)).await.status, 413);
    }
    for (rest, status) in [
        ("\r\n", 400),
        ("host: a\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n", 400),
        ("host: a\r\ncontent-length: 9\r\n\r\n", 408),
    ] {
        let mut raw = connect(gateway.address()).await;
        raw.send(format!("POST /v1/messages HTTP/1.1\r\n{rest}")).await;
        assert_eq!(raw.answer().await.status, status, "{rest}");
    }
    // what a plugin refuses has its words in other fields
    let each = [(404, Some("no_route")), (400, None), (413, Some("body_too_large"))];
    let each = each.map(|(status, word)| ("refused", Some(status), word));
    let own = [(400, "invalid_head"), (400, "bad_request"), (408, "body_timeout")];
    let own = own.map(|(status, word)| ("refused", Some(status), Some(word)));
    rows(&gateway, &[each, each, own].concat()).await;
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn what_is_no_request_has_no_row() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings("server: { header_timeout: 300ms }").start().await;
    for bytes in ["", "nonsense\r\n\r\n", "GET / HTTP/1.1\r\nhost", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense"] {
        let mut raw = connect(gateway.address()).await;
        raw.send(bytes).await;
        raw.to_end().await;
    }
    assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
    // a first line that is none is refused with a line in the log, as nginx logs it
    rows(&gateway, &[("completed", Some(200), None), ("refused", Some(400), Some("invalid_head"))]).await;
}

#[tokio::test]
async fn what_an_upstream_fails_has_a_row() {
    let (origin, nobody) = (origin().await, refusing());
    let limits = "timeouts: { first_byte: 300ms, idle: 300ms }";
    let gateway = gateway().upstream(&origin).upstream_settings(limits).start().await;
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    for mut client in both(&gateway).await {
        origin.answers_next(Script::closing());
        assert_eq!(client.get("/").await.status, 502);
    }
    for mut client in both(&gateway).await {
        origin.answers_next(Script::silent());
        assert_eq!(client.get("/").await.status, 504);
    }
    for breaks in [true, false] {
        for mut client in both(&gateway).await {
            let read = gate();
            let script = sse().event("one").wait(&read);
            origin.answers_next(if breaks { script.close() } else { script.silence() });
            let request = client.request("GET", "/").body(body("")).unwrap();
            let mut streaming = client.send(request).await.unwrap();
            assert_eq!(streaming.until("one\n\n").await, "data: one\n\n");
            read.open();
            assert_eq!(streaming.rest().await, (Vec::new(), false));
        }
    }
    gateway.reload(text.replace(&origin.server(), &nobody.address().to_string())).await;
    for mut client in both(&gateway).await {
        assert_eq!(client.get("/").await.status, 502);
    }
    let each = [
        ("upstream_failed", Some(502), Some("no_answer")),
        ("upstream_failed", Some(504), Some("first_byte_timeout")),
        ("upstream_failed", Some(200), Some("broken_answer")),
        ("upstream_failed", Some(200), Some("idle_timeout")),
        ("upstream_failed", Some(502), Some("connect")),
    ];
    rows(&gateway, &[each, each].concat()).await;
}

#[tokio::test]
async fn an_attempt_that_is_made_again_has_no_row_of_its_own() {
    let (busy, idle) = (origin().await, origin().await);
    busy.answers(answer(529).body("busy"));
    let retries = "retry: { attempts: 2, on: [http_529] }";
    let gateway = gateway().upstream(&busy).upstream(&idle).upstream_settings(retries).start().await;
    for mut client in both(&gateway).await {
        for _ in 0..4 {
            assert_eq!(client.post("/v1/messages", call(300, 1)).await.status, 200);
        }
    }
    assert!(busy.count() > 0 && idle.count() == 8);
    idle.answers(answer(529).body("busy too"));
    for mut client in both(&gateway).await {
        assert_eq!(client.post("/v1/messages", call(300, 1)).await.status, 529);
    }
    let (good, bad) = (("completed", Some(200), None), ("completed", Some(529), None));
    rows(&gateway, &[[good; 8].as_slice(), &[bad; 2]].concat()).await;
    let attempts: u64 = gateway.access_log().iter().map(|row| row["attempts"].as_u64().unwrap()).sum();
    assert_eq!(attempts as usize, busy.count() + idle.count());
}

#[tokio::test]
async fn a_client_that_leaves_has_a_row() {
    let origin = origin().await;
    let settings = "plugins: [{ max_tokens: { limit: 4000 } }]";
    let gateway = gateway().upstream(&origin).settings(settings).start().await;
    let number = std::cell::Cell::new(0);
    let next = || number.replace(number.get() + 1);
    // before the head of the answer
    for client in both(&gateway).await {
        origin.answers_next(Script::silent());
        let mut client = client;
        let request = client.request("POST", "/v1/messages").body(body(call(300, 1))).unwrap();
        let asking = tokio::spawn(async move { client.send(request).await.is_ok() });
        let asked = next();
        origin.request(asked).await;
        asking.abort();
        origin.abandoned(asked).await;
    }
    // in the midst of it
    for mut client in both(&gateway).await {
        origin.answers_next(sse().event("one").silence());
        let request = client.request("POST", "/v1/messages").body(body(call(300, 1))).unwrap();
        let mut streaming = client.send(request).await.unwrap();
        streaming.until("one").await;
        drop((streaming, client));
        origin.abandoned(next()).await;
    }
    // by a reset, and in the midst of its own body, be it read here or not
    let mut raw = connect(gateway.address()).await;
    origin.answers_next(sse().event("one").silence());
    raw.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    raw.until("one").await;
    raw.reset();
    origin.abandoned(next()).await;
    for path in ["/v1/messages", "/v1/files"] {
        let mut raw = connect(gateway.address()).await;
        raw.send(format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{{")).await;
        let under_way = async || gateway.metrics().await.sum("tollgate_requests_in_flight", &[]) == 1.0;
        eventually("a request under way", under_way).await;
        raw.reset();
        eventually("an end of it", async || !under_way().await).await;
    }
    let (early, late) = (("client_gone", None, Some("client_gone")), ("client_gone", Some(200), Some("client_gone")));
    rows(&gateway, &[early, early, late, late, late, early, early]).await;
}

#[tokio::test]
async fn a_call_that_goes_on_without_its_client_has_one_row() {
    let (origin, last) = (origin().await, gate());
    origin.answers(sse().event("one").wait(&last).event("two").end());
    let gateway = gateway().upstream(&origin).route_settings("on_client_disconnect: drain").start().await;
    for (number, mut client) in both(&gateway).await.into_iter().enumerate() {
        let request = client.request("POST", "/v1/messages").body(body(call(300, 1))).unwrap();
        let mut streaming = client.send(request).await.unwrap();
        streaming.until("one").await;
        drop((streaming, client));
        origin.request(number).await;
    }
    eventually("clients that are gone", async || {
        gateway.metrics().await.sum("tollgate_connections_in_flight", &[]) == 0.0
    })
    .await;
    assert!(gateway.access_log().is_empty(), "they have not ended yet");
    last.open();
    origin.answered(1).await;
    rows(&gateway, &[("client_gone", Some(200), Some("client_gone")); 2]).await;
}

#[tokio::test]
async fn what_a_stop_cuts_has_a_row() {
    let origin = origin().await;
    origin.answers_with(|request| match request.target.as_str() {
        "/silent" => Script::silent(),
        _ => sse().event("one").silence(),
    });
    let mut gateway = gateway().upstream(&origin).start().await;
    let [mut one, mut two] = both(&gateway).await;
    let mut streams = Vec::new();
    for client in [&mut one, &mut two] {
        let request = client.request("GET", "/stream").body(body("")).unwrap();
        let mut streaming = client.send(request).await.unwrap();
        streaming.until("one").await;
        streams.push(streaming);
    }
    let mut raw = connect(gateway.address()).await;
    raw.send("GET /silent HTTP/1.1\r\nhost: a\r\n\r\n").await;
    origin.request(2).await;
    gateway.signal(nix::sys::signal::Signal::SIGINT);
    let exit = gateway.wait_exit(DEADLINE).await;
    let mut found: Vec<(Value, Value)> = exit
        .stdout
        .lines()
        .filter_map(|line| {
            let row: Value = serde_json::from_str(line).ok()?;
            Some((row["outcome"].clone(), row["status"].clone()))
        })
        .collect();
    found.sort_by_key(|row| row.1.to_string());
    assert_eq!(
        found,
        [(json!("aborted"), json!(200)), (json!("aborted"), json!(200)), (json!("aborted"), Value::Null)]
    );
}

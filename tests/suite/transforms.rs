//! Answers that a plugin changes on their way, by the example plugin `mask_words`: nothing of what it takes out reaches a client,
//! and everything else does.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    Alpn, Answer, Authority, Client, Gateway, Origin, Script, answer, body, connect, eventually, gate, gateway, h2c,
    http1, origin, sse, tls_origin,
};
use crate::memory::Peak;
use crate::payloads::noise;
use crate::streams::stalled;

const MASK: &str = "mask_words: { words: [secret] }";
const CUT: &str = "mask_words: { words: [secret], cut: true }";
const LEDGER: &str = "usage_log: { database: \"sqlite://usage.db\" }";
const CALL: &str = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;

/// A gateway with these plugins, top to bottom.
async fn with(origin: &Origin, plugins: &[&str]) -> Gateway {
    let plugins: String = plugins.iter().map(|plugin| format!("  - {plugin}\n")).collect();
    gateway().with_examples().upstream(origin).settings(&format!("plugins:\n{plugins}")).start().await
}

async fn clients(gateway: &Gateway) -> [Client; 2] {
    [http1(gateway.address()).await, h2c(gateway.address()).await]
}

/// A message that says this.
fn message(text: &str) -> String {
    let usage = json!({ "input_tokens": 3, "output_tokens": 5 });
    json!({
        "id": "m", "type": "message", "role": "assistant", "model": "m",
        "content": [{ "type": "text", "text": text }], "stop_reason": "end_turn", "usage": usage,
    })
    .to_string()
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

fn delta(text: &str) -> String {
    event(&json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } }))
}

fn beginning() -> String {
    let message = json!({ "id": "m", "model": "m", "usage": { "input_tokens": 3, "output_tokens": 1 } });
    let block = json!({ "type": "text", "text": "" });
    event(&json!({ "type": "message_start", "message": message }))
        + &event(&json!({ "type": "content_block_start", "index": 0, "content_block": block }))
}

fn ending() -> String {
    let delta = json!({ "stop_reason": "end_turn", "stop_sequence": null });
    event(&json!({ "type": "content_block_stop", "index": 0 }))
        + &event(&json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": 5 } }))
        + &event(&json!({ "type": "message_stop" }))
}

/// A stream that says these texts, one event each.
fn stream(texts: &[&str]) -> String {
    beginning() + &texts.iter().map(|text| delta(text)).collect::<String>() + &ending()
}

/// What a stream says.
fn said(stream: &str) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    events.filter_map(|event| event.pointer("/delta/text")?.as_str().map(str::to_owned)).collect()
}

async fn ask(client: &mut Client) -> Answer {
    let request = client.request("POST", "/v1/messages").header("x-api-key", "k").header("accept-encoding", "gzip, br");
    let request = request.header("range", "bytes=0-").header("content-type", "application/json");
    client.call(request.body(body(CALL)).unwrap()).await
}

/// Waits for as many lines of the access log, and gives the last.
async fn line(gateway: &Gateway, count: usize) -> Value {
    eventually("lines of the access log", async || gateway.access_log().len() == count).await;
    gateway.access_log().pop().unwrap()
}

#[tokio::test]
async fn a_body_is_changed_and_what_spoke_of_the_old_one_is_gone() {
    let origin = origin().await;
    let gateway = with(&origin, &[MASK, LEDGER]).await;
    for (number, mut client) in clients(&gateway).await.into_iter().enumerate() {
        let head =
            answer(200).header("content-type", "application/json").header("etag", "\"1\"").header("x-other", "o");
        origin.answers(head.header("content-digest", "sha-256=:AA==:").body(message("my secret, é")));
        let got = ask(&mut client).await;
        assert_eq!(got.text(), message("my ******, é"));
        let gone = ["etag", "content-digest", "content-length"].map(|name| got.header(name));
        assert_eq!((gone, got.header("x-other")), ([None; 3], Some("o")));
        let sent = origin.request(number).await;
        assert_eq!((sent.header("accept-encoding"), sent.header("range")), (Some("identity"), None));
        let line = line(&gateway, number + 1).await;
        assert_eq!((&line["output_tokens"], &line["outcome"]), (&json!(5), &json!("completed")), "{line}");
        assert_eq!(line["response_bytes"], got.body.len());
    }
    // the same connection serves on
    let mut client = http1(gateway.address()).await;
    for _ in 0..2 {
        assert_eq!(ask(&mut client).await.text(), message("my ******, é"));
    }
}

#[tokio::test]
async fn a_word_in_a_stream_is_masked_however_its_bytes_come() {
    let texts = ["my ", "sec", "ret and a s", "econd secret", " end"];
    for cut in [1, 7, 100, 100_000] {
        let origin = origin().await;
        let gateway = with(&origin, &[MASK, LEDGER]).await;
        for (number, mut client) in clients(&gateway).await.into_iter().enumerate() {
            origin.answers(stream(&texts).as_bytes().chunks(cut).fold(sse(), Script::data).end());
            let got = ask(&mut client).await;
            assert_eq!(said(&got.text()), "my ****** and a second ****** end", "{cut}");
            assert!(got.text().ends_with(&ending()), "{}", got.text());
            let line = line(&gateway, number + 1).await;
            let usage = (&line["usage_source"], &line["input_tokens"], &line["output_tokens"]);
            assert_eq!(usage, (&json!("reported"), &json!(3), &json!(5)), "{line}");
        }
    }
}

#[tokio::test]
async fn an_event_leaves_when_it_has_come() {
    let origin = origin().await;
    let gateway = with(&origin, &[MASK]).await;
    for mut client in clients(&gateway).await {
        let next = gate();
        origin.answers(sse().data(beginning() + &delta("one ")).wait(&next).data(delta("two ") + &ending()).end());
        let request = client.request("POST", "/v1/messages").body(body(CALL)).unwrap();
        let mut streaming = client.send(request).await.unwrap();
        streaming.until("one ").await;
        next.open();
        let (rest, clean) = streaming.rest().await;
        assert!(clean && said(&String::from_utf8(rest).unwrap()) == "two ");
    }
}

#[tokio::test]
async fn an_answer_that_is_encoded_all_the_same_is_decoded() {
    let origin = origin().await;
    let gateway = with(&origin, &[MASK, LEDGER]).await;
    for (number, mut client) in clients(&gateway).await.into_iter().enumerate() {
        for (kind, text, masked) in [
            ("application/json", message("secret"), message("******")),
            ("text/event-stream", stream(&["sec", "ret"]), stream(&["******"])),
        ] {
            let packed = zstd::encode_all(text.as_bytes(), 3).unwrap();
            let head = answer(200).header("content-type", kind).header("content-encoding", "zstd").chunked();
            origin.answers(packed.chunks(11).fold(head, Script::data).end());
            let got = ask(&mut client).await;
            assert_eq!((got.text(), got.header("content-encoding")), (masked, None));
        }
        let head = answer(200).header("content-type", "application/json").header("content-encoding", "rot13");
        origin.answers(head.body("frperg"));
        let got = ask(&mut client).await;
        assert_eq!((got.status.as_u16(), &got.json()["type"]), (502, &json!("error")), "{number}");
        assert!(!got.text().contains("frperg"));
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_properly_at_once_and_its_line_says_who_cut_it() {
    for origin in [origin().await, tls_origin(&Authority::new(), &["localhost"], Alpn::H2).await] {
        let gateway = with(&origin, &[CUT, LEDGER]).await;
        for (number, mut client) in clients(&gateway).await.into_iter().enumerate() {
            let said_more = delta("and more");
            let text = beginning() + &delta("my ") + &delta("secret ") + &said_more;
            origin.answers(sse().data(text).pause(Duration::from_millis(50)).repeat(said_more, 1_000_000).end());
            let got = ask(&mut client).await.text();
            assert_eq!(said(&got), "my ");
            let end = got.split_once("my \"").unwrap().1;
            let names: Vec<_> = end.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
            assert_eq!(names, ["content_block_stop", "message_delta", "message_stop"], "{got}");
            assert!(got.contains("\"stop_reason\":\"refusal\""));
            origin.abandoned(number).await;
            let line = line(&gateway, number + 1).await;
            assert_eq!((&line["outcome"], &line["status"]), (&json!("refused"), &json!(200)), "{line}");
            assert_eq!((&line["plugin"], &line["reason"]), (&json!("mask_words"), &json!("word")), "{line}");
            assert_eq!((&line["usage_source"], &line["input_tokens"]), (&json!("partial"), &json!(3)), "{line}");
        }
        assert_eq!(gateway.metrics().await.sum("tollgate_upstream_failures_total", &[]), 0.0);
        eventually("nothing in flight", async || {
            gateway
                .metrics()
                .await
                .in_flight()
                .iter()
                .all(|(name, value)| *value == 0.0 || name.contains("connections"))
        })
        .await;
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_does_not_wait_for_a_silent_server() {
    let began = Instant::now();
    for (h2, origin) in [(false, origin().await), (true, tls_origin(&Authority::new(), &["localhost"], Alpn::H2).await)]
    {
        // one worker, so that all calls share its connection
        let settings = format!("server: {{ threads: 1 }}\nplugins: [{{ {CUT} }}]\n");
        let gateway = gateway().with_examples().upstream(&origin).settings(&settings).start().await;
        for (number, mut client) in clients(&gateway).await.into_iter().enumerate() {
            // head, secret and more in one batch, or the secret alone behind what the client has already
            let pieces = [beginning() + &delta("my "), delta("secret "), delta("and more")];
            let script = match number {
                0 => pieces.into_iter().fold(sse(), Script::data),
                _ => pieces
                    .into_iter()
                    .take(2)
                    .fold(sse(), |script, piece| script.data(piece).pause(Duration::from_millis(50))),
            };
            origin.answers(script.silence());
            let got = ask(&mut client).await.text();
            assert_eq!(said(&got), "my ", "{got}");
            assert!(got.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), "{got}");
            origin.abandoned(number).await;
            let line = line(&gateway, number + 1).await;
            assert_eq!((&line["outcome"], &line["response_bytes"]), (&json!("refused"), &json!(got.len())), "{line}");
        }
        if h2 {
            assert_eq!((origin.connections(), origin.open_connections()), (1, 1), "the streams alone were reset");
        }
    }
    // far less than the idle timeout
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_body_that_is_cut_says_nothing_but_that_it_was_refused() {
    let origin = origin().await;
    let gateway = with(&origin, &[CUT]).await;
    for (number, mut client) in clients(&gateway).await.into_iter().enumerate() {
        origin.answers(answer(200).header("content-type", "application/json").body(message("a secret")));
        let got = ask(&mut client).await.json();
        assert_eq!((&got["content"], &got["stop_reason"]), (&json!([]), &json!("refusal")));
        let line = line(&gateway, number + 1).await;
        assert_eq!((&line["outcome"], &line["reason"]), (&json!("refused"), &json!("word")), "{line}");
    }
}

#[tokio::test]
async fn answers_that_no_plugin_changes_pass_as_they_are() {
    let origin = origin().await;
    let gateway = with(&origin, &[MASK]).await;
    for mut client in clients(&gateway).await {
        for (status, kind, text) in [
            (200, "image/png", "secret"),
            (400, "application/json", r#"{"error":"secret"}"#),
            (200, "text/plain", "secret"),
        ] {
            origin.answers(answer(status).header("content-type", kind).header("etag", "\"1\"").body(text));
            let got = ask(&mut client).await;
            assert_eq!((got.text().as_str(), got.header("etag")), (text, Some("\"1\"")));
            assert_eq!(got.header("content-length"), Some(text.len().to_string().as_str()));
        }
        for status in [204, 304] {
            origin.answers(answer(status).header("etag", "\"1\"").empty());
            let got = ask(&mut client).await;
            assert_eq!((got.status.as_u16(), got.body.len()), (status, 0));
        }
        origin.answers(answer(200).header("content-type", "application/json").header("content-length", "20").empty());
        let request = client.request("HEAD", "/v1/messages").body(body("")).unwrap();
        let got = client.call(request).await;
        assert_eq!((got.status.as_u16(), got.body.len(), got.header("content-length")), (200, 0, None));
        origin.answers(answer(200).header("content-type", "application/json").body(""));
        assert_eq!(ask(&mut client).await.body.len(), 0);
    }
}

#[tokio::test]
async fn what_is_too_large_to_be_looked_at_does_not_pass() {
    let origin = origin().await;
    let settings = format!("server: {{ max_body: 64KiB }}\nplugins: [{{ {MASK} }}]");
    let gateway = gateway().with_examples().upstream(&origin).settings(&settings).start().await;
    let large = message(&"x".repeat(70_000));
    for mut client in clients(&gateway).await {
        origin.answers(answer(200).header("content-type", "application/json").body(&large));
        let got = ask(&mut client).await;
        assert_eq!((got.status.as_u16(), &got.json()["type"]), (502, &json!("error")));
    }
    // once the head is out, only the connection can say so
    for kind in 0..4 {
        let (go, mut client) = (gate(), clients(&gateway).await.into_iter().nth(kind % 2).unwrap());
        let json = answer(200).header("content-type", "application/json").chunked().data("{").wait(&go);
        let events = sse().data(beginning()).wait(&go);
        let script = if kind < 2 { json.data(&large) } else { events.data(delta(&"x".repeat(70_000))).data(ending()) };
        origin.answers(script.end());
        let request = client.request("POST", "/v1/messages").body(body(CALL)).unwrap();
        let mut streaming = client.send(request).await.unwrap();
        go.open();
        let (got, clean) = streaming.rest().await;
        assert!(!clean && beginning().as_bytes().starts_with(&got), "{}", String::from_utf8_lossy(&got));
    }
    assert_eq!(gateway.metrics().await.sum("tollgate_upstream_failures_total", &[]), 0.0);
}

#[tokio::test]
async fn a_cache_above_keeps_what_was_changed_and_one_below_what_came() {
    for (plugins, below) in [([MASK, "response_cache: {}"], true), (["response_cache: {}", MASK], false)] {
        let origin = origin().await;
        let gateway = with(&origin, &plugins).await;
        for mut client in clients(&gateway).await {
            let secret = if below { "a secret" } else { "another secret" };
            origin.answers(answer(200).header("content-type", "application/json").body(message(secret)));
            for cached in [false, true] {
                let got = ask(&mut client).await;
                assert!(got.text().contains("******") && !got.text().contains("secret"), "{}", got.text());
                let length = got.header("content-length").map(|length| length.parse().unwrap());
                assert!(!cached || length == Some(got.body.len()), "{length:?}");
            }
        }
        assert_eq!(origin.count(), 1, "the others came from the cache");
    }
}

#[tokio::test]
async fn calls_that_share_an_answer_all_get_it_changed() {
    let (origin, go) = (origin().await, gate());
    origin.answers(sse().data(beginning()).wait(&go).data(delta("secret ") + &ending()).end());
    let gateway = with(&origin, &[MASK, "response_cache: {}"]).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        for mut client in clients(&gateway).await {
            let request = client.request("POST", "/v1/messages").header("x-api-key", "k").body(body(CALL)).unwrap();
            let streaming = client.send(request).await.unwrap();
            streams.push((client, streaming));
        }
    }
    go.open();
    for (_client, mut streaming) in streams {
        let (got, clean) = streaming.rest().await;
        assert_eq!((said(&String::from_utf8(got).unwrap()).as_str(), clean), ("****** ", true));
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn a_slow_client_makes_the_upstream_wait_and_fills_no_memory() {
    let origin = origin().await;
    let gateway = with(&origin, &[MASK]).await;
    let text: String = noise(16 << 10).into_iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    origin.answers(sse().repeat(delta(&text), 16_000).end());
    let peak = Peak::of(&gateway);
    let mut client = connect(gateway.address()).await;
    client.send(format!("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{CALL}", CALL.len())).await;
    client.until("content_block_delta").await;
    stalled(&origin).await;
    assert!(peak.growth() < 32 << 20, "{} MiB", peak.growth() >> 20);
    drop(client);
    origin.abandoned(0).await;
    assert_eq!(line(&gateway, 1).await["outcome"], "client_gone");
}

#[tokio::test]
async fn a_call_without_its_team_is_refused_in_the_callers_dialect() {
    let origin = origin().await;
    let gateway = with(&origin, &["require_team: {}", LEDGER]).await;
    for (round, (path, error, word)) in [
        ("/v1/messages", "/error/type", "permission_error"),
        ("/v1/chat/completions", "/error/code", "permission_denied"),
    ]
    .into_iter()
    .enumerate()
    {
        for (number, mut client) in clients(&gateway).await.into_iter().enumerate() {
            let got = client.post(path, CALL).await;
            assert_eq!((got.status.as_u16(), got.json().pointer(error)), (403, Some(&json!(word))));
            let line = line(&gateway, 2 * round + number + 1).await;
            assert_eq!((&line["plugin"], &line["reason"]), (&json!("require_team"), &json!("no_team")), "{line}");
        }
    }
    assert_eq!(origin.count(), 0);
}

//! The limit on tokens, end to end: what is refused costs nothing upstream, and what passes is not touched.

use bytes::Bytes;
use serde_json::json;
use zlib_rs::{Deflate, DeflateFlush};

use crate::harness::{Answer, Gateway, Origin, body, connect, gateway, h2c, http1, origin};
use crate::memory::Peak;
use crate::payloads::{call, difference};

/// A gateway with this limit before the origin.
async fn limited(origin: &Origin, settings: &str) -> Gateway {
    gateway().upstream(origin).settings(&format!("plugins: [{{ max_tokens: {{ {settings} }} }}]")).start().await
}

async fn asked(gateway: &Gateway, path: &str, call: impl Into<Bytes>) -> Answer {
    http1(gateway.address()).await.post(path, call).await
}

#[tokio::test]
async fn a_call_over_the_limit_is_refused_before_any_upstream_hears_of_it() {
    let origin = origin().await;
    let gateway = limited(&origin, "limit: 4000").await;
    for path in
        ["/v1/messages", "/v1/chat/completions", "/v1/completions", "/v1/responses", "/anthropic/V1//%6dessages/"]
    {
        let answer = asked(&gateway, path, r#"{"model":"m","max_tokens":4001}"#).await;
        assert_eq!(answer.status, 400, "{path}");
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains("max_tokens too high") && message.contains("Maximum allowed tokens is 4000"),
            "{message}"
        );
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{path}");
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn exactly_the_limit_passes_and_one_more_does_not() {
    let origin = origin().await;
    let gateway = limited(&origin, "limit: 4000").await;
    for (tokens, status) in [(0, 200), (3999, 200), (4000, 200), (4001, 400)] {
        assert_eq!(asked(&gateway, "/v1/messages", call(200, tokens)).await.status, status, "{tokens}");
    }
    assert_eq!(origin.count(), 3);
}

#[tokio::test]
async fn the_plain_format_is_the_same_byte_for_byte() {
    let origin = origin().await;
    let gateway = limited(&origin, "limit: 4000, error_format: plain").await;
    for path in ["/v1/messages", "/v1/chat/completions"] {
        let answer = asked(&gateway, path, r#"{"max_tokens":5000}"#).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.text(), r#"{"error":"max_tokens too high","message":"Maximum allowed tokens is 4000"}"#);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("content-length"), Some("74"));
    }
}

#[tokio::test]
async fn the_number_counts_wherever_it_hides() {
    let origin = origin().await;
    let gateway = limited(&origin, "limit: 4000").await;
    for hidden in [
        r#"{"max_tokens":5e3}"#,
        r#"{"max_tokens":50000000000000000000000000}"#,
        r#"{"max\u005ftokens":5000}"#,
        r#"{"max_tokens":1,"max_tokens":5000}"#,
        r#"{"max_tokens":5000,"max_tokens":1}"#,
        r#"{"max_completion_tokens":5000}"#,
        r#"{"max_tokens":"many"}"#,
        r#"{"max_tokens":-1}"#,
        r#"{"max_tokens":1.5}"#,
    ] {
        let mut client = http1(gateway.address()).await;
        let request = client.request("POST", "/v1/chat/completions").header("content-type", "text/plain");
        assert_eq!(client.call(request.body(body(hidden)).unwrap()).await.status, 400, "{hidden}");
    }
    let batch = json!({ "requests": [
        { "custom_id": "a", "params": { "max_tokens": 4000 } },
        { "custom_id": "b", "params": { "max_tokens": 4001 } },
    ] });
    assert_eq!(asked(&gateway, "/v1/messages/batches", batch.to_string()).await.status, 400);
    assert_eq!(origin.connections(), 0);
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoded = vec![0; text.len() + 1024];
    let mut stream = Deflate::new(6, true, 16 + 15);
    stream.compress(text, &mut encoded, DeflateFlush::Finish).unwrap();
    encoded.truncate(usize::try_from(stream.total_out()).unwrap());
    encoded
}

#[tokio::test]
async fn a_gzip_body_is_read_and_what_passes_stays_as_the_client_packed_it() {
    let origin = origin().await;
    let gateway = limited(&origin, "limit: 4000").await;
    for (tokens, status) in [(4001, 400), (4000, 200)] {
        let packed = gzip(&call(50_000, tokens));
        let mut client = http1(gateway.address()).await;
        let request = client.request("POST", "/v1/messages").header("content-encoding", "gzip");
        assert_eq!(client.call(request.body(body(packed.clone())).unwrap()).await.status, status);
        if status == 200 {
            let seen = origin.request(0).await;
            assert_eq!(seen.header("content-encoding"), Some("gzip"));
            assert_eq!(difference(&packed, &seen.body), None);
        }
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn clamping_edits_one_number_and_no_other_byte() {
    let origin = origin().await;
    let gateway = limited(&origin, "limit: 4000, mode: clamp").await;
    let sent =
        "{ \"model\" : \"m\",\r\n\t\"note\": \"max_tokens: 99999 \\u00e9 é\", \"max_tokens\" :  99999 , \"x\": 1e2 }\n";
    for sent in [sent.to_owned(), sent.replace("99999 ,", "12 ,")] {
        let number = origin.count();
        assert_eq!(asked(&gateway, "/v1/messages", sent.clone()).await.status, 200);
        let (seen, expected) = (origin.request(number).await, sent.replace("99999 ,", "4000 ,"));
        assert_eq!(String::from_utf8_lossy(&seen.body), expected);
        assert_eq!(seen.header("content-length"), Some(expected.len().to_string().as_str()));
    }
}

#[tokio::test]
async fn clamping_lowers_a_thinking_budget_too_or_refuses() {
    let origin = origin().await;
    let gateway = limited(&origin, "limit: 4000, mode: clamp, models: { tiny: 1000 }").await;
    let sent = |model: &str| {
        format!(
            r#"{{"model":"{model}","max_tokens":32000,"thinking":{{"type":"enabled","budget_tokens":31999}},"x":1e9}}"#
        )
    };
    assert_eq!(asked(&gateway, "/v1/messages", sent("m")).await.status, 200);
    let expected = sent("m").replace("32000", "4000").replace("31999", "3999");
    assert_eq!(String::from_utf8_lossy(&origin.request(0).await.body), expected);
    let refused = asked(&gateway, "/v1/messages", sent("tiny")).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("thinking.budget_tokens"), "{}", refused.text());
    let batch = format!(r#"{{"requests":[{{"custom_id":"a","params":{}}}]}}"#, sent("m"));
    assert_eq!(asked(&gateway, "/v1/messages/batches", batch.clone()).await.status, 200);
    let expected = batch.replace("32000", "4000").replace("31999", "3999");
    assert_eq!(String::from_utf8_lossy(&origin.request(1).await.body), expected);
}

#[tokio::test]
async fn a_call_without_a_number_gets_the_default() {
    let origin = origin().await;
    let gateway = limited(&origin, "limit: 4000, default: 1024").await;
    assert_eq!(asked(&gateway, "/v1/messages", r#"{"model":"m"}"#).await.status, 200);
    let seen: serde_json::Value = serde_json::from_slice(&origin.request(0).await.body).unwrap();
    assert_eq!(seen, json!({ "model": "m", "max_tokens": 1024 }));
}

#[tokio::test]
async fn a_route_has_its_own_limit_or_none() {
    let origin = origin().await;
    let server = origin.server();
    let gateway = gateway().yaml(format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\n\
         upstreams: {{ origin: {{ servers: [{{ address: \"{server}\" }}] }} }}\n\
         plugins: [{{ max_tokens: {{ limit: 4000 }} }}]\n\
         routes:\n\
         - {{ upstream: origin, paths: [/high], plugins: [{{ max_tokens: {{ limit: 8000 }} }}] }}\n\
         - {{ upstream: origin, paths: [/free], plugins: [{{ max_tokens: off }}] }}\n\
         - {{ upstream: origin }}\n"
    ));
    let gateway = gateway.start().await;
    for (path, tokens, status) in [
        ("/v1/messages", 4001, 400),
        ("/high/v1/messages", 8000, 200),
        ("/high/v1/messages", 8001, 400),
        ("/free/v1/messages", 1_000_000, 200),
    ] {
        assert_eq!(asked(&gateway, path, call(200, tokens)).await.status, status, "{path} {tokens}");
    }
}

#[tokio::test]
async fn a_connection_can_be_used_again_after_a_refusal() {
    let origin = origin().await;
    let gateway = limited(&origin, "limit: 4000").await;
    let mut raw = connect(gateway.address()).await;
    for (tokens, status) in [(5000, 400), (1, 200), (5000, 400), (2, 200)] {
        let call = call(100_000, tokens);
        raw.send(format!("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", call.len())).await;
        raw.send(call).await;
        assert_eq!(raw.answer().await.status, status);
    }
    let mut client = h2c(gateway.address()).await;
    for (tokens, status) in [(5000, 400), (1, 200)] {
        assert_eq!(client.post("/v1/messages", call(100_000, tokens)).await.status, status);
    }
    assert_eq!(origin.count(), 3);
}

#[tokio::test]
async fn twenty_megabytes_with_the_number_at_their_end_are_held_once_and_pass_unchanged() {
    const LENGTH: usize = 20_000_000;
    for (tokens, status) in [(4000, 200), (4001, 400)] {
        let origin = origin().await;
        let gateway = limited(&origin, "limit: 4000").await;
        assert_eq!(asked(&gateway, "/v1/messages", call(1000, 1)).await.status, 200);
        let peak = Peak::of(&gateway);
        let sent = call(LENGTH, tokens);
        assert_eq!(asked(&gateway, "/v1/messages", sent.clone()).await.status, status);
        let growth = peak.growth();
        // not twice; the allocator takes 2 MiB at a time
        assert!(growth < LENGTH as u64 * 16 / 10 + (2 << 20), "grew by {growth} bytes for a body of {LENGTH}");
        if status == 200 {
            assert_eq!(difference(&sent, &origin.request(1).await.body), None);
        }
        assert_eq!(origin.count(), if status == 200 { 2 } else { 1 });
    }
}

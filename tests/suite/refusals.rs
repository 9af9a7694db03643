//! What a plugin or the gateway refuses: who did it and why, in the answer, the row, the metric and the access log.

use http::StatusCode;

use crate::harness::{Answer, Client, answer, body, connect, eventually, gateway, h2c, http1, origin};

const PLUGINS: &str = "plugins:\n  - max_tokens: { limit: 4000 }\n  \
                       - usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal } }\n";

/// Asks for more than the limit, and for what cannot be read, in both dialects.
async fn refused(client: &mut Client) -> Vec<Answer> {
    let mut answers = Vec::new();
    for path in ["/v1/messages", "/v1/chat/completions"] {
        for call in [r#"{"model":"m","max_tokens":4001}"#, r#"{"max_tokens":4001"#] {
            answers.push(client.post(path, call).await);
        }
    }
    answers
}

#[tokio::test]
async fn a_refusal_tells_who_refused_and_why_wherever_it_is_looked_for() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(PLUGINS).start().await;
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        for (number, answer) in refused(&mut client).await.into_iter().enumerate() {
            assert_eq!(answer.status, 400, "{number}");
            assert_eq!(answer.json()["error"]["type"], "invalid_request_error", "{number}");
            assert_eq!(answer.header("x-should-retry"), Some("false"), "{number}");
            assert_eq!(answer.json().get("request_id").is_some(), number < 2, "{number}");
        }
    }
    assert_eq!(origin.connections(), 0);
    eventually("a line for each", async || gateway.access_log().len() == 8).await;
    for reason in ["too_high", "unreadable"] {
        let lines = gateway.access_log();
        let of_reason = lines.iter().filter(|line| line["plugin"] == "max_tokens" && line["reason"] == reason);
        assert_eq!(of_reason.filter(|line| line["outcome"] == "refused").count(), 4, "{reason}: {lines:?}");
        let series = format!("tollgate_refusals_total{{plugin=\"max_tokens\",reason=\"{reason}\"}} 4\n");
        let shown = String::from_utf8(gateway.ask("GET", "/metrics").await.body).unwrap();
        assert!(shown.contains(&series), "{shown}");
    }
}

#[tokio::test]
async fn what_no_plugin_refused_names_none() {
    let origin = origin().await;
    origin.answers(answer(429).body("{}"));
    let gateway = gateway().upstream(&origin).settings(PLUGINS).start().await;
    let mut client = http1(gateway.address()).await;
    assert_eq!(client.post("/v1/messages", r#"{"model":"m","max_tokens":1}"#).await.status, 429);
    eventually("its line", async || gateway.access_log().len() == 1).await;
    let line = &gateway.access_log()[0];
    assert!(line.get("plugin").is_none() && line.get("reason").is_none(), "{line}");
    let shown = String::from_utf8(gateway.ask("GET", "/metrics").await.body).unwrap();
    assert!(!shown.contains("tollgate_refusals_total{"), "{shown}");
}

#[tokio::test]
async fn what_the_gateway_refuses_has_its_word_in_the_log() {
    let origin = origin().await;
    let settings = format!("server: {{ max_header: 8KiB, max_body: 1KiB, body_timeout: 300ms }}\n{PLUGINS}");
    let gateway = gateway().upstream(&origin).route_settings("paths: [/v1/]").settings(&settings).start().await;
    let word = async |status: u16, path: &str, word: &str| {
        let line = gateway.logged(|line| line["status"] == status && line["path"] == path).await;
        assert_eq!((&line["outcome"], &line["error"]), (&"refused".into(), &word.into()), "{line}");
    };
    // a head that is too large and came as a whole has a line; one of HTTP/1.1 is refused before it is whole
    let mut client = h2c(gateway.address()).await;
    let request = client.request("GET", "/v1/large").header("x-large", "y".repeat(10 << 10));
    assert_eq!(client.call(request.body(body("")).unwrap()).await.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    word(431, "/v1/large", "head_too_large").await;
    assert_eq!(client.get("/nowhere").await.status, StatusCode::NOT_FOUND);
    word(404, "/nowhere", "no_route").await;
    assert_eq!(client.get("/v1/%zz").await.status, StatusCode::BAD_REQUEST);
    word(400, "/v1/%zz", "invalid_path").await;
    assert_eq!(client.post("/v1/messages", "x".repeat(2 << 10)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    word(413, "/v1/messages", "body_too_large").await;
    let mut raw = connect(gateway.address()).await;
    raw.send("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{").await;
    assert_eq!(raw.answer().await.status, 408);
    word(408, "/v1/messages", "body_timeout").await;
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn a_call_whose_reading_takes_too_long_is_told_that_the_gateway_is_busy() {
    let origin = origin().await;
    let settings = format!("server: {{ max_body: 96MiB, body_timeout: 500ms }}\n{PLUGINS}");
    let gateway = gateway().upstream(&origin).settings(&settings).start().await;
    // small on the wire, though no denser than text may be, and long to read; so many that the last would wait for seconds
    let mut random = 1_u64;
    let mut digit = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if random >> 63 == 0 { "1," } else { "2," }
    };
    let digits: String = (0..12 << 20).map(|_| digit()).collect();
    let text = format!("{{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{digits}1]}}");
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    let calls = (0..24).map(async |_| {
        let mut client = http1(gateway.address()).await;
        let request = client.request("POST", "/v1/messages").header("content-encoding", "zstd");
        client.call(request.body(body(packed.clone())).unwrap()).await
    });
    let answers = futures_util::future::join_all(calls).await;
    let busy: Vec<_> = answers.iter().filter(|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE).collect();
    assert!(!busy.is_empty(), "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    for answer in busy {
        assert_eq!(
            (answer.header("retry-after"), &*answer.json()["error"]["type"].to_string()),
            (Some("1"), "\"overloaded_error\"")
        );
        let id = answer.header("x-request-id").unwrap();
        let line = gateway.logged(|line| line["id"] == id).await;
        assert_eq!((&line["outcome"], &line["error"]), (&"refused".into(), &"busy".into()), "{line}");
    }
}

//! The errors that the gateway makes itself: their status, the caller's dialect, and nothing of its inside.

mod everywhere;
mod kept;

use std::time::Duration;

use crate::harness::{
    Answer, Client, Gateway, RawAnswer, Script, answer, body, connect, eventually, gateway, h2c, http1, origin,
    refusing,
};
use crate::payloads::call;

/// An error as a client finds it, however it was asked for.
struct Found {
    status: u16,
    headers: Vec<(String, String)>,
    body: serde_json::Value,
    text: String,
}

impl From<Answer> for Found {
    fn from(answer: Answer) -> Self {
        let headers = answer.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        Self { status: answer.status.as_u16(), headers, body: answer.json(), text: answer.text() }
    }
}

impl From<RawAnswer> for Found {
    fn from(answer: RawAnswer) -> Self {
        let headers = answer.headers.iter();
        let headers =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), String::from_utf8(value.clone()).unwrap()));
        let body = serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()));
        Self { status: answer.status, headers: headers.collect(), body, text: answer.text() }
    }
}

impl Found {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// What every error has.
    fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("content-length"), Some(self.text.len().to_string().as_str()));
        let id = self.header("x-request-id").expect("an x-request-id");
        assert_eq!(id.len(), 36, "{id}");
        let should_retry = matches!(status, 400 | 404 | 413).then_some("false");
        assert_eq!(self.header("x-should-retry"), should_retry, "{status}");
        let shown = format!("{:?} {}", self.headers, self.text).to_lowercase();
        for inside in ["127.0.0.1", "pingora", "rust", "src/", ".rs", "/tmp", "panic", "localhost", "os error"] {
            assert!(!shown.contains(inside), "`{inside}` is nobody's business: {shown}");
        }
        self
    }

    /// As Anthropic's SDKs expect it.
    fn in_anthropics_words(&self, kind: &str) {
        let id = self.header("x-request-id");
        assert_eq!(self.header("request-id"), id);
        assert_eq!(self.body["request_id"].as_str(), id);
        assert_eq!((self.body["type"].as_str(), self.body["error"]["type"].as_str()), (Some("error"), Some(kind)));
        assert!(self.body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", self.text);
        assert_eq!(self.body.as_object().unwrap().len(), 3, "{}", self.text);
    }

    /// As `OpenAI`'s SDKs expect it.
    fn in_openais_words(&self, kind: &str) {
        let error = self.body["error"].as_object().unwrap();
        assert_eq!(error["type"].as_str(), Some(kind), "{}", self.text);
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", self.text);
        assert!(error["param"].is_null() && error.contains_key("code") && error.len() == 4, "{}", self.text);
        assert_eq!(self.body.as_object().unwrap().len(), 1, "{}", self.text);
    }
}

#[derive(Clone, Copy)]
enum Protocol {
    Http1,
    H2,
}

impl Protocol {
    async fn connect(self, gateway: &Gateway) -> Client {
        match self {
            Self::Http1 => http1(gateway.address()).await,
            Self::H2 => h2c(gateway.address()).await,
        }
    }
}

/// Asks for one error in both dialects, over HTTP/1.1 and HTTP/2.
async fn both(gateway: &Gateway, status: u16, anthropic: &str, openai: &str) {
    // an error may end the connection, so each has its own
    for protocol in [Protocol::Http1, Protocol::H2] {
        let answer = protocol.connect(gateway).await.post("/v1/messages", call(300, 10)).await;
        Found::from(answer).is(status).in_anthropics_words(anthropic);
        let answer = protocol.connect(gateway).await.post("/v1/chat/completions", call(300, 10)).await;
        Found::from(answer).is(status).in_openais_words(openai);
    }
}

#[tokio::test]
async fn no_route_is_404() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).route_settings("hosts: [elsewhere.test]").start().await;
    both(&gateway, 404, "not_found_error", "invalid_request_error").await;
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_server_that_refuses_is_502() {
    let nobody = refusing();
    let gateway = gateway().server(nobody.address()).start().await;
    both(&gateway, 502, "api_error", "server_error").await;
}

#[tokio::test]
async fn a_server_that_hangs_up_or_speaks_nonsense_is_502() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    for script in [
        Script::closing(),
        Script::resetting(),
        Script::raw("220 mail.example.com ESMTP\r\n").close(),
        Script::raw("HTTP/1.1 200 OK\r\ncontent-length: 5").close(),
        Script::raw("HTTP/1.1 200 OK\r\n no-name\r\n\r\n").close(),
    ] {
        origin.answers(script);
        both(&gateway, 502, "api_error", "server_error").await;
    }
}

#[tokio::test]
async fn a_name_without_address_is_502_or_503_at_once_and_the_gateway_lives() {
    let mut gateway = gateway().server("no-such-host.invalid:80").start().await;
    let began = std::time::Instant::now();
    for _ in 0..3 {
        let found = Found::from(http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await);
        assert!([502, 503].contains(&found.status), "{}", found.text);
        found.is(found.status).in_anthropics_words("api_error");
    }
    assert!(began.elapsed() < Duration::from_secs(2), "took {:?}: a request waited for DNS", began.elapsed());
    assert!(gateway.runs());
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_504() {
    let origin = origin().await;
    origin.answers(Script::silent());
    let gateway = gateway().upstream(&origin).upstream_settings("timeouts: { first_byte: 100ms }").start().await;
    both(&gateway, 504, "timeout_error", "server_error").await;
}

/// Sends a raw request whose body never ends, and reads the answer to what came.
async fn unfinished(gateway: &Gateway, path: &str) -> Found {
    let mut raw = connect(gateway.address()).await;
    raw.send(format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{{\"max_tok")).await;
    Found::from(raw.answer().await)
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_408() {
    let origin = origin().await;
    let settings = "server: { body_timeout: 200ms }\nplugins: [{ max_tokens: { limit: 1 } }]";
    let gateway = gateway().upstream(&origin).settings(settings).start().await;
    unfinished(&gateway, "/v1/messages").await.is(408).in_anthropics_words("timeout_error");
    unfinished(&gateway, "/v1/responses").await.is(408).in_openais_words("invalid_request_error");
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413() {
    let origin = origin().await;
    let settings = "server: { max_body: 256 }\nplugins: [{ max_tokens: { limit: 4000 } }]";
    let gateway = gateway().upstream(&origin).settings(settings).start().await;
    both(&gateway, 413, "request_too_large", "invalid_request_error").await;
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_request_that_is_wrong_in_itself_is_400() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings("plugins: [{ max_tokens: { limit: 1 } }]").start().await;
    both(&gateway, 400, "invalid_request_error", "invalid_request_error").await;

    let mut raw = connect(gateway.address()).await;
    raw.send("POST /v1/messages HTTP/1.1\r\n\r\n").await;
    Found::from(raw.answer().await).is(400).in_anthropics_words("invalid_request_error");
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn what_is_no_http_is_refused_without_a_word_of_the_inside_and_the_gateway_lives() {
    let origin = origin().await;
    let mut gateway = gateway().upstream(&origin).start().await;
    for nonsense in [
        "GARBAGE\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: one\r\n\r\n",
    ] {
        let mut raw = connect(gateway.address()).await;
        raw.send(nonsense).await;
        raw.half_close().await;
        let said = String::from_utf8_lossy(&raw.to_end().await).to_lowercase();
        assert!(said.is_empty() || said.starts_with("http/1.1 400 "), "{said}");
        assert!(!said.contains("pingora"), "{said}");
    }
    assert_eq!(origin.connections(), 0);
    assert!(gateway.runs());
}

#[tokio::test]
async fn an_error_to_head_has_no_body() {
    let nobody = refusing();
    let gateway = gateway().server(nobody.address()).start().await;
    let mut raw = connect(gateway.address()).await;
    raw.send("HEAD /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let answer = raw.answer_to("HEAD").await;
    assert_eq!((answer.status, answer.body.len(), raw.to_end().await.len()), (502, 0, 0));
}

#[tokio::test]
async fn the_dialect_of_an_unknown_path_is_told_by_anthropics_header() {
    let nobody = refusing();
    let gateway = gateway().server(nobody.address()).start().await;
    let mut client = http1(gateway.address()).await;
    let request = client.request("GET", "/v1/models").header("anthropic-version", "2023-06-01");
    let found = Found::from(client.call(request.body(body("")).unwrap()).await);
    found.is(502).in_anthropics_words("api_error");
    Found::from(http1(gateway.address()).await.get("/v1/models").await).is(502).in_openais_words("server_error");
}

#[tokio::test]
async fn the_errors_of_an_upstream_are_its_own() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    for status in [400, 401, 404, 429, 500, 529] {
        let error = r#"{"type":"error","error":{"type":"custom","message":"from 127.0.0.1"}}"#;
        origin.answers(answer(status).header("x-should-retry", "true").header("request-id", "req_1").body(error));
        let answer = http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, error));
        assert_eq!((answer.header("x-should-retry"), answer.header("request-id")), (Some("true"), Some("req_1")));
    }
}

#[tokio::test]
async fn an_error_is_logged_with_the_id_that_the_client_was_told() {
    let nobody = refusing();
    let gateway = gateway().server(nobody.address()).start().await;
    let answer = http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await;
    let id = answer.header("x-request-id").unwrap().to_owned();
    let line = gateway.logged(|line| line["id"] == id.as_str()).await;
    assert_eq!((line["status"].as_u64(), line["error"].as_str()), (Some(502), Some("connect")));
    assert_eq!(line["outcome"], "upstream_failed");
    eventually("one line for one request", async || gateway.access_log().len() == 1).await;
}

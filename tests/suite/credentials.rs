//! Credentials of upstreams: every server gets its own in place of the client's, also where it is a fallback, and nothing that the
//! gateway writes or says holds one.

use std::path::Path;

use nix::sys::signal::Signal;

use crate::harness::{Gateway, Origin, answer, connect, eventually, gateway, h2c, http1, origin};

const FIRST: &str = "sk-first-9f86d081884c7d65";
const SECOND: &str = "sk-second-a0b1c2d3e4f5a6b7";
const CLIENTS: &str = "sk-client-1234567890abcdef";

const CALL: &str = r#"{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}"#;

/// A gateway whose upstreams, the second the fallback of the first, have a key each.
async fn before(first: &Origin, second: &Origin, settings: &str) -> Gateway {
    let yaml = format!(
        r#"listeners: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
upstreams:
  first:
    servers: [{{ address: "{}" }}]
    headers: {{ X-Api-Key: "${{file:first.key}}", authorization: off, x-debug: off }}
    health_check: {{ interval: 50ms, jitter: 0s }}
    fallback: second
  second:
    servers: [{{ address: "{}" }}]
    headers: {{ authorization: "Bearer ${{SECOND}}", x-api-key: off }}
routes: [{{ upstream: first }}]
{settings}
"#,
        first.server(),
        second.server()
    );
    gateway().yaml(yaml).file("first.key", format!("{FIRST}\n")).variable("SECOND", SECOND).start().await
}

/// What a server sees of the headers that hold credentials.
async fn seen(origin: &Origin, number: usize) -> [Option<String>; 3] {
    let request = origin.request(number).await;
    ["x-api-key", "authorization", "x-debug"].map(|name| request.header(name).map(str::to_owned))
}

fn calls(origin: &Origin) -> Vec<usize> {
    let requests = origin.requests();
    requests.iter().enumerate().filter(|(_, request)| request.method == "POST").map(|(number, _)| number).collect()
}

#[tokio::test]
async fn every_server_gets_the_key_of_its_upstream_and_never_anothers() {
    let (first, second) = (origin().await, origin().await);
    let gateway = before(&first, &second, "").await;
    for (client, number) in [(http1(gateway.address()).await, 0), (h2c(gateway.address()).await, 1)] {
        first.answers_with(|request| answer(if request.method == "POST" { 529 } else { 200 }).body(""));
        let mut client = client;
        let request = client.request("POST", "/v1/messages").header("x-api-key", CLIENTS).header("x-debug", "1");
        let request = request.header("authorization", format!("Bearer {CLIENTS}"));
        assert_eq!(client.call(request.body(crate::harness::body(CALL)).unwrap()).await.status, 200);
        let own = Some(FIRST.to_owned());
        assert_eq!(seen(&first, calls(&first)[number]).await, [own, None, None]);
        let own = Some(format!("Bearer {SECOND}"));
        assert_eq!(seen(&second, number).await, [None, own, Some("1".to_owned())]);
    }
    let check = first.requests().into_iter().find(|request| request.method == "GET").expect("it is checked");
    assert_eq!(check.header("x-api-key"), Some(FIRST));
}

#[tokio::test]
async fn an_upgrade_has_the_key_too() {
    let (first, second) = (origin().await, origin().await);
    let gateway = before(&first, &second, "").await;
    let mut client = connect(gateway.address()).await;
    let head = "GET /v1/responses HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nauthorization: Bearer x\r\n\r\n";
    client.send(head).await;
    eventually("a handshake upstream", async || {
        first.requests().iter().any(|request| request.target == "/v1/responses")
    })
    .await;
    let handshake = first.requests().into_iter().find(|request| request.target == "/v1/responses").unwrap();
    assert_eq!((handshake.header("x-api-key"), handshake.header("authorization")), (Some(FIRST), None));
}

#[tokio::test]
async fn a_key_that_was_changed_in_its_file_is_in_force_after_a_reload() {
    let (first, second) = (origin().await, origin().await);
    let gateway = before(&first, &second, "").await;
    std::fs::write(gateway.folder().join("first.key"), "sk-first-rotated\r\n").unwrap();
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", CALL).await.status, 200);
    assert_eq!(seen(&first, calls(&first)[0]).await[0].as_deref(), Some(FIRST));
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", CALL).await.status, 200);
    assert_eq!(seen(&first, calls(&first)[1]).await[0].as_deref(), Some("sk-first-rotated"));
}

#[tokio::test]
async fn nothing_that_is_written_or_said_holds_a_key() {
    let (first, second) = (origin().await, origin().await);
    let ledger = "plugins: [{ usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal }, store: { request_body: \
                  true, response_body: true, chunks: true } } }]";
    let mut gateway = before(&first, &second, ledger).await;
    // providers repeat the key that they refuse
    let refusal =
        format!(r#"{{"type":"error","error":{{"type":"authentication_error","message":"bad key {FIRST} {SECOND}"}}}}"#);
    first.answers(answer(401).header("content-type", "application/json").body(refusal.clone()));
    let answered = http1(gateway.address()).await.post("/v1/messages", CALL).await;
    assert_eq!((answered.status.as_u16(), answered.text()), (401, refusal), "bytes pass unchanged");
    let mut told = String::new();
    for path in ["/metrics", "/upstreams", "/healthz", "/readyz"] {
        told.push_str(&gateway.ask("GET", path).await.text());
    }
    told.push_str(&gateway.logged(|_| true).await.to_string());
    gateway.signal(Signal::SIGTERM);
    gateway.wait_exit(std::time::Duration::from_secs(60)).await;
    told.push_str(&gateway.stderr());
    let written = files_below(gateway.folder());
    assert!(written.iter().any(|bytes| holds(bytes, "bad key ***")), "the stored body is there, without the keys");
    for secret in [FIRST, SECOND] {
        assert!(!told.contains(secret), "{told}");
        assert!(!written.iter().any(|bytes| holds(bytes, secret)), "{secret} is in a file");
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The contents of all files that the gateway has written.
fn files_below(folder: &Path) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            all.extend(files_below(&entry.path()));
        } else if entry.file_name() != "first.key" {
            all.push(std::fs::read(entry.path()).unwrap());
        }
    }
    all
}

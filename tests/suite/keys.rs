//! Who may call: keys from the YAML and from a file, as clients meet them, and a key that is told nowhere.

mod attribution;
mod file;
mod tokens;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Client, Gateway, answer, body, connect, eventually, gateway, h2c, http1, origin, sse};

const CALL: &str = r#"{"model":"claude-opus-5","max_tokens":5,"messages":[]}"#;
const ANSWER: &str = r#"{"id":"m","type":"message","model":"claude-opus-5","content":[],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":5}}"#;

/// A new key by `tollgate key new`, and its line for the file of keys.
pub fn new_key(name: &str, more: &[&str]) -> (String, String) {
    let Output { stdout, status, .. } =
        Command::new(env!("CARGO_BIN_EXE_tollgate")).args(["key", "new", name]).args(more).output().unwrap();
    assert!(status.success());
    let text = String::from_utf8(stdout).unwrap();
    let [key, line] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    (key.to_owned(), line.to_owned())
}

/// A plugin list with these keys in the YAML, and more settings of the plugin.
fn plugins(lines: &[&str], more: &str) -> String {
    let keys: String = lines.iter().map(|line| format!("        {line}\n")).collect();
    format!("plugins:\n  - api_keys:\n      keys:\n{keys}{more}")
}

/// A client of its own for each call: on HTTP/1.1, a refusal before the body was read ends the connection.
async fn client(gateway: &Gateway, is_h2: bool) -> Client {
    if is_h2 { h2c(gateway.address()).await } else { http1(gateway.address()).await }
}

async fn post(client: &mut Client, target: &str, key: (&str, &str), text: &str) -> crate::harness::Answer {
    let request = client.request("POST", target).header("content-type", "application/json").header(key.0, key.1);
    client.call(request.body(body(text.to_owned())).unwrap()).await
}

/// All bytes of all files below a folder.
fn all_bytes(folder: &Path) -> Vec<u8> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { all_bytes(&path) } else { fs::read(&path).unwrap() }).collect()
}

async fn shown(gateway: &Gateway, path: &str) -> String {
    String::from_utf8_lossy(&gateway.ask("GET", path).await.body).into_owned()
}

#[tokio::test]
async fn a_key_of_the_command_opens_the_gateway_and_is_told_nowhere() {
    let (key, line) = new_key("alice", &["--tenant", "team-a", "--models", "claude-*"]);
    let (revoked, _) = new_key("bob", &[]);
    assert!(!line.contains(&key[9..]) && line.contains("tenant: team-a"), "{line}");
    let origin = origin().await;
    origin.answers_with(|request| {
        // what a server says of a request must not bring its key back either
        let headers = request.headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)));
        let seen = headers.collect::<Vec<_>>().join(" ").replace('"', "'");
        answer(200).body(ANSWER.replace("\"end_turn\"", &format!("\"end_turn\",\"seen\":{seen:?}")))
    });
    let more = "  - usage_log:\n      database: sqlite://ledger.db\n      journal: { path: journal }\n      \
                store: { request_body: true, response_body: true }\n";
    let gateway = gateway().upstream(&origin).settings(&plugins(&[&line], more)).start().await;
    let mut told = String::new();
    for is_h2 in [false, true] {
        for header in ["x-api-key", "authorization"] {
            for (key, status) in [(&key, 200), (&revoked, 401)] {
                let value = if header == "authorization" { format!("Bearer {key}") } else { key.clone() };
                let answer = post(&mut client(&gateway, is_h2).await, "/v1/messages", (header, &value), CALL).await;
                assert_eq!(answer.status, status, "{}", answer.text());
                told += &format!("{} {:?}", answer.text(), answer.headers);
            }
        }
    }
    assert_eq!(origin.count(), 4);
    for request in origin.requests() {
        let sent = request.headers.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
        told.extend(sent);
    }
    eventually("a line for each", async || gateway.access_log().len() == 8).await;
    told += &format!("{:?} {}", gateway.access_log(), gateway.stderr());
    for path in ["/metrics", "/upstreams"] {
        told += &shown(&gateway, path).await;
    }
    for secret in [&key, &revoked] {
        assert!(!told.contains(&secret[9..]), "{told}");
    }
    assert!(told.contains("tollgate_refusals_total{plugin=\"api_keys\",reason=\"unknown_key\"} 4\n"), "{told}");
    assert!(told.contains("tollgate_api_keys_loaded 1\n"), "{told}");
    let folder = gateway.folder().to_owned();
    eventually("the rows", async || {
        let files = all_bytes(&folder);
        let holds = |text: &str| files.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds(&key[9..]) && !holds(&revoked[9..]));
        holds("end_turn")
    })
    .await;
}

#[tokio::test]
async fn who_may_not_is_told_so_in_its_own_dialect() {
    let (key, line) = new_key("alice", &["--models", "claude-*"]);
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugins(&[&line], "")).start().await;
    let other = CALL.replace("claude-opus-5", "gpt-5");
    for is_h2 in [false, true] {
        for (target, kind_401, kind_403) in [
            ("/v1/messages", "authentication_error", "permission_error"),
            ("/v1/chat/completions", "invalid_request_error", "invalid_request_error"),
        ] {
            let answer = client(&gateway, is_h2).await.post(target, CALL).await;
            assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, Some("Bearer")));
            assert_eq!(answer.json()["error"]["type"], kind_401);
            let answer = post(&mut client(&gateway, is_h2).await, target, ("x-api-key", &key), &other).await;
            assert_eq!((answer.status.as_u16(), answer.header("x-should-retry")), (403, Some("false")));
            assert_eq!(answer.json()["error"]["type"], kind_403);
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains("`alice`") && message.contains("`gpt-5`"), "{message}");
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_websocket_needs_a_key_at_its_handshake() {
    let (free, free_line) = new_key("free", &[]);
    let (bound, bound_line) = new_key("bound", &["--models", "claude-*"]);
    let origin = origin().await;
    origin.answers(answer(404).body("{}"));
    let gateway = gateway().upstream(&origin).settings(&plugins(&[&free_line, &bound_line], "")).start().await;
    for (key, status) in [(None, 401), (Some("tg_unknown"), 401), (Some(&*bound), 404), (Some(&*free), 404)] {
        let mut client = connect(gateway.address()).await;
        let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        let head = format!(
            "GET /v1/responses HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{key}\r\n"
        );
        client.send(&head).await;
        assert_eq!(client.answer().await.status, status);
    }
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn a_stream_passes_under_a_key_as_it_would_without() {
    let (key, line) = new_key("alice", &[]);
    let origin = origin().await;
    origin.answers(sse().event("one").event("two").end());
    let gateway = gateway().upstream(&origin).settings(&plugins(&[&line], "")).start().await;
    let answer = post(&mut http1(gateway.address()).await, "/v1/messages", ("x-api-key", &key), CALL).await;
    assert!(answer.text().contains("one") && answer.text().contains("two"));
    assert_eq!(origin.requests()[0].body, CALL.as_bytes());
}

/// Plugins that only a route names stand below the global ones, but for the one that says who calls.
#[tokio::test]
async fn the_keys_of_a_route_are_known_to_limits_that_stand_above_all_routes() {
    let (key, line) = new_key("alice", &[]);
    let origin = origin().await;
    origin.answers(answer(200).body("{}"));
    let limited = line.replace(" }", ", limits: { requests: 1/d } }");
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
         upstreams: {{ u: {{ servers: [{{ address: \"{}\" }}] }} }}\nplugins: [{{ rate_limit: {{}} }}]\n\
         routes:\n  - upstream: u\n    plugins:\n      - api_keys:\n          keys:\n            {limited}\n",
        origin.server()
    );
    let gateway = gateway().yaml(yaml).start().await;
    for status in [200, 429] {
        let mut client = http1(gateway.address()).await;
        let request = client.request("GET", "/v1/files").header("x-api-key", &key).body(body("")).unwrap();
        let answer = client.call(request).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}

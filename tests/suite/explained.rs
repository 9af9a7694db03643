//! `tollgate explain`: what it says of a request is what a running gateway then does with it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{Folder, Origin, RawAnswer, Received, answer, connect, found, gateway, origin};

/// A file with these two servers and this folder for its ledger. The Redis is not there.
fn yaml(first: &str, second: &str, folder: &str) -> String {
    let secret = "\"${SECRET:-of-the-upstream}\"";
    // the digest of `alices-secret`
    let digest = sha256("alices-secret");
    format!(
        r#"listeners: [{{ address: "127.0.0.1:0" }}]
upstreams:
  first:
    servers: [{{ address: "{first}" }}]
    headers: {{ x-api-key: {secret}, authorization: off }}
  second: {{ servers: [{{ address: "{second}" }}], host: second.example }}
plugins:
  - access: {{ deny: [10.0.0.0/8], allow: [all] }}
  - headers: {{ request: {{ set: {{ X-Client: $remote_addr }}, remove: [X-Debug] }} }}
  - api_keys:
      keys:
        - {{ name: alice, sha256: {digest}, tenant: team-a, models: ["auto", "claude-*", "gpt-*", "fast"] }}
      anonymous: pass
  - model_router:
      auto:
        rules:
          - {{ name: tools, when: {{ tools: true, turns: ">=2" }}, model: claude-sonnet-4-5 }}
          - {{ when: {{ input_tokens: "<50", max_tokens: "<=1000", tools: false }}, model: fast }}
          - {{ when: {{ text: ["prove"], tenant: "team-*" }}, model: gpt-5 }}
          - {{ when: {{ headers: {{ X-Priority: high }} }}, model: claude-opus-4-1 }}
        otherwise: claude-sonnet-4-5
        pin: request
  - max_tokens: {{ limit: 4000, mode: clamp, models: {{ "gpt-*": 2000 }} }}
  - rate_limit: {{ limits: [{{ by: key, tokens: 900000/m }}] }}
  - budget: {{ limits: [{{ by: tenant, usd: 500/month }}] }}
  - response_cache: {{ scope: tenant }}
  - usage_log: {{ database: "sqlite://{folder}/ledger.db" }}
routes:
  - {{ paths: ["= /health"], answer: {{ status: 200, body: "ok\n" }}, plugins: [{{ usage_log: off }}, {{ budget: off }}] }}
  - {{ paths: [/old/], redirect: "https://$host/new$request_uri" }}
  - {{ paths: [/openai/], strip: /openai, upstream: second }}
  - {{ paths: [/canary/], headers: {{ x-canary: "1" }}, upstream: second }}
  - {{ paths: [/v1/strict/], methods: [GET], query: {{ a: "b" }}, upstream: second }}
  - name: chat
    paths: [/v1/]
    upstream: first
    max_body: 100KiB
    models:
      - {{ match: fast, model: claude-haiku-4-5 }}
      - {{ match: "gpt-*", upstream: second }}
"#
    )
}

fn sha256(text: &str) -> String {
    let output = Command::new("sh").args(["-c", &format!("printf %s {text} | sha256sum")]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// Explains what comes on standard input.
fn explain(file: &Path, request: &[u8], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(["explain", "-c"]).arg(file).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // one that fails at once reads nothing
    let _ = child.stdin.take().unwrap().write_all(request);
    child.wait_with_output().unwrap()
}

fn report(file: &Path, request: &[u8]) -> Value {
    let output = explain(file, request, &["--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: llm.example\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

/// Requests, each with what it is about.
fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let call = |model: &str, max: u32, text: &str| {
        format!(r#"{{"model":"{model}","max_tokens":{max},"messages":[{{"role":"user","content":"{text}"}}]}}"#)
    };
    let alice = "x-api-key: alices-secret\r\n";
    let tools = r#"{"model":"auto","max_tokens":9,"tools":[{"name":"t","input_schema":{"type":"object"}}],"messages":[
        {"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}"#;
    let long = "word ".repeat(100);
    vec![
        ("a short call", post("/v1/messages", alice, &call("auto", 100, "hi"))),
        ("a call with tools", post("/v1/messages", alice, tools)),
        ("a word of a tenant's", post("/v1/messages", alice, &call("auto", 2000, "please prove it"))),
        ("the same of nobody's", post("/v1/messages", "", &call("auto", 2000, "please prove it"))),
        ("a header", post("/v1/messages", "X-Priority: high\r\nX-Debug: 1\r\n", &call("auto", 100, &long))),
        ("nothing that a rule is on", post("/v1/messages", alice, &call("auto", 100, &long))),
        ("too many tokens", post("/v1/messages?beta=true", alice, &call("claude-opus-4-1", 50_000, "hi"))),
        ("too many of another model", post("/v1/messages", alice, &call("gpt-5", 50_000, "hi"))),
        ("a model that the key may not ask for", post("/v1/messages", alice, &call("llama-4", 10, "hi"))),
        ("a model without a price", post("/v1/messages", "", &call("llama-4", 10, "hi"))),
        ("an unknown key", post("/v1/messages", "x-api-key: tg_nobodys\r\n", &call("auto", 10, "hi"))),
        ("a body that is too large", post("/v1/messages", alice, &call("auto", 10, &"x".repeat(200_000)))),
        ("a body that is no JSON", post("/v1/messages", "", "{'model':'auto'}")),
        ("a stripped path", post("/openai/v1//chat/completions", "", &call("gpt-5", 10, "hi"))),
        ("a path that passes unread", post("/v1/files", "authorization: Bearer alices-secret\r\n", "x=1")),
        (
            "a canary",
            b"GET /canary/x HTTP/1.1\r\nhost: a\r\nx-canary: 1\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n".to_vec(),
        ),
        ("no canary", b"GET /canary/x HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("a query", b"GET /v1/strict/x?c=d&a=b HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("another method", post("/v1/strict/x?a=b", "", "")),
        ("an answer of the file's", b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("a redirect", b"GET /old/x?y=z HTTP/1.1\r\nhost: a.example\r\n\r\n".to_vec()),
        ("another spelling", b"GET /health/../v1/%2e%2e/health HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("an absolute target", b"GET http://a/v1/x HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("a path that leads out", b"GET /../x HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("claims of a proxy", post("/v1/messages", "x-forwarded-for: 1.2.3.4\r\n", &call("claude-opus-4-1", 10, "hi"))),
    ]
}

/// The headers that reached an origin, without those that no two requests have alike.
fn came(received: &Received) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let all = received.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), text(value)));
    let mut all: Vec<_> = all.filter(|(name, _)| name != "x-request-id").collect();
    all.sort();
    all
}

/// The headers that a report says are sent: those of the client that stay, and those that are set.
fn said(sent: &Value, request: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(request).into_owned();
    let head = text.split("\r\n\r\n").next().unwrap().lines().skip(1);
    let client =
        head.filter_map(|line| line.split_once(':')).map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()));
    let set: Vec<(String, String)> = serde_json::from_value(sent["headers_set"].clone()).unwrap();
    let removed: Vec<String> = serde_json::from_value(sent["headers_removed"].clone()).unwrap();
    let is_set = |name: &str| set.iter().any(|(set, _)| set == name);
    let kept = client.filter(|(name, _)| !removed.contains(name) && !is_set(name));
    let mut all: Vec<_> = kept.chain(set.clone()).filter(|(name, _)| name != "x-request-id").collect();
    all.sort();
    all
}

/// Sends a request, and waits for its answer.
async fn live(address: std::net::SocketAddr, request: &[u8]) -> RawAnswer {
    let mut client = connect(address).await;
    // one that is refused by its head may not be read to its end
    let _ = client.try_send(request).await;
    client.answer().await
}

#[tokio::test]
async fn what_is_explained_is_what_happens() {
    let origins = [origin().await, origin().await];
    for origin in &origins {
        origin.answers(answer(200).header("content-type", "application/json").body("{}"));
    }
    let folder = Folder::new();
    let [first, second] = origins.each_ref().map(Origin::server);
    let gateway = gateway().yaml(yaml(&first, &second, &folder.path().display().to_string())).start().await;
    let (mut sent_on, mut answered) = (0, 0);
    for (about, request) in requests() {
        let report = report(gateway.file(), &request);
        let before = origins.each_ref().map(Origin::count);
        let answer = live(gateway.address(), &request).await;
        let outcome = &report["outcome"];
        let rule =
            report["plugins"].as_array().unwrap().iter().flat_map(|plugin| plugin["changes"].as_array().unwrap());
        let rule = rule.filter_map(|change| change.as_str()?.strip_prefix("rule is ")).next();
        if outcome["kind"] == "sent" {
            let which = usize::from(outcome["upstream"] == "second");
            let received = found("the request", async || {
                let all = origins[which].requests();
                all.get(before[which]).filter(|received| received.complete).cloned()
            });
            let received = received.await;
            assert_eq!(answer.status, 200, "{about}");
            assert_eq!(
                (outcome["method"].as_str(), outcome["target"].as_str()),
                (Some(&*received.method), Some(&*received.target)),
                "{about}"
            );
            let (came, said) = (came(&received), said(outcome, &request));
            let names = |all: &[(String, String)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            assert_eq!(names(&came), names(&said), "{about}: {outcome}");
            for (came, said) in came.iter().zip(&said).filter(|(_, said)| said.1 != "***") {
                let is_of_server = came.0 == "host" && outcome["upstream"] == "second";
                assert!(came == said || is_of_server && came.1 == "second.example", "{about}: {came:?} {said:?}");
            }
            if let Some(bytes) = outcome["body_bytes"].as_u64() {
                assert_eq!(bytes, received.body.len() as u64, "{about}");
            }
            if let Ok(body) = serde_json::from_slice::<Value>(&received.body) {
                assert_eq!(outcome["model"], body["model"], "{about}");
            }
            assert_eq!(rule, answer.header("x-tollgate-rule"), "{about}");
            sent_on += 1;
        } else {
            assert_eq!(outcome["status"], u64::from(answer.status), "{about}: {outcome}");
            assert_eq!(origins.each_ref().map(Origin::count), before, "{about}");
            if let Some(body) = outcome["body"].as_str().filter(|body| !body.contains("request_id")) {
                assert_eq!(body, answer.text(), "{about}");
            }
            answered += 1;
        }
    }
    assert!(sent_on >= 10 && answered >= 8, "{sent_on} {answered}");
}

#[test]
fn what_is_explained_opens_and_writes_nothing_and_shows_no_secret() {
    let folder = Folder::new();
    let file = folder.path().join("gateway.yaml");
    let text = yaml("127.0.0.1:1", "127.0.0.1:1", &folder.path().display().to_string());
    let redis = "redis: { url: \"redis://:hidden-password@127.0.0.1:1\" }";
    let text = text
        .replace("tokens: 900000/m }] }", &format!("tokens: 900000/m }}], {redis} }}"))
        .replace("  - usage_log: ", "  - batch: { max_hold: 1m }\n  - usage_log: ")
        .replace("scope: tenant }", &format!("scope: tenant, {redis} }}"))
        .replace(
            "anonymous: pass",
            "jwt: { jwks: \"http://127.0.0.1:1/keys\", issuer: i, audience: a }\n      anonymous: pass",
        );
    fs::write(&file, text + "access_log: { path: access.log }\n").unwrap();
    let body = r#"{"model":"auto","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}"#;
    let request = post("/v1/messages", "x-api-key: alices-secret\r\ncookie: a=cookie-secret\r\n", body);
    for arguments in [&["--json"][..], &[]] {
        let output = explain(&file, &request, arguments);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success() && said.contains("claude-haiku-4-5") && said.contains("alice"), "{said}");
        for secret in ["alices-secret", "cookie-secret", "of-the-upstream", "hidden-password"] {
            assert!(!said.contains(secret), "{secret}: {said}");
        }
        assert!(said.contains("which Redis knows") && said.contains("whether its answer is stored"), "{said}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["gateway.yaml"]);
    let request = post("/v1/messages", "x-api-key: alices-secret\r\nx-tollgate-batch: 30m\r\n", body);
    let said = String::from_utf8(explain(&file, &request, &[]).stdout).unwrap();
    assert!(said.contains("collected with others for a batch, and waits at most 1800 s"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // nobody is asked who has signed a token
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJpIiwiYXVkIjoiYSIsInN1YiI6ImJvYiIsImV4cCI6NDEwMjQ0NDgwMH0.c2ln";
    let request = post("/v1/messages", &format!("authorization: Bearer {token}\r\n"), body);
    let said = String::from_utf8(explain(&file, &request, &[]).stdout).unwrap();
    assert!(said.contains("key is bob") && said.contains("has signed its token") && !said.contains(token), "{said}");
}

#[test]
fn a_bare_call_is_enough_and_what_is_wrong_is_said() {
    let folder = Folder::new();
    let file = folder.path().join("gateway.yaml");
    fs::write(&file, yaml("127.0.0.1:1", "127.0.0.1:1", &folder.path().display().to_string())).unwrap();
    let told = |request: &[u8], arguments: &[&str]| {
        let output = explain(&file, request, arguments);
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let call = br#"{"model":"auto","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}"#;
    let (code, said) = told(call, &["--header", "x-api-key: alices-secret", "--client-ip", "192.0.2.7"]);
    assert!(code == Some(0) && said.contains("POST /v1/messages") && said.contains("assumed: the path"), "{said}");
    assert!(said.contains("from 192.0.2.7") && said.contains("x-client: 192.0.2.7"), "{said}");
    assert!(said.contains("`chat` (") && said.contains("gateway.yaml:"), "{said}");
    assert!(said.contains("not `/health`") && said.contains("its paths do not have `/v1/messages`"), "{said}");
    let (_, said) = told(call, &["--client-ip", "10.1.2.3"]);
    assert!(said.contains("403, answered by access (address_denied)"), "{said}");
    let (_, said) = told(call, &["--path", "/nowhere"]);
    assert!(said.contains("404, answered by the gateway (no_route)"), "{said}");
    let curl = b"* Connected\n> GET /v1/strict/x?a=c HTTP/2\n> Host: a\n> \n< HTTP/2 200\n";
    let (code, said) = told(curl, &[]);
    assert!(code == Some(0) && said.contains("the query has no such `a`") && said.contains("`chat`"), "{said}");
    for (request, arguments, wanted) in [
        (&b""[..], &[][..], "standard input is empty"),
        (b"{", &[], "is no JSON object"),
        (b"what?", &[], "is no request line"),
        (b"GET / HTTP/1.1\nno header\n\n", &[], "a line of its head has no colon"),
        (b"POST / HTTP/1.1\nhost: a\ncontent-length: 5\n\nabc", &[], "lacks 2 bytes of its body"),
        (
            b"POST / HTTP/1.1\nhost: a\ntransfer-encoding: chunked\n\n3\r\nabc",
            &["--path", "/v1/messages"],
            "shorter than",
        ),
        (b"{}", &["--listener", "127.0.0.1:9"], "which is no listener of the file"),
    ] {
        let (code, said) = told(request, arguments);
        assert!(code == Some(1) && said.contains(wanted), "{said}");
    }
    fs::write(&file, "listeners: 7\n").unwrap();
    let (code, said) = told(call, &[]);
    assert!(code == Some(1) && said.contains("gateway.yaml:1:12: listeners"), "{said}");
}

//! What is said of a request, without a process.

use std::path::Path;

use clap::Parser;

use super::*;

#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    settings: ExplainSettings,
}

fn report(yaml: &str, arguments: &[&str], request: &str) -> Report {
    let config = config::parse("a.yaml", yaml, Path::new(""), &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    let arguments = ["explain", "-c", "a.yaml"].iter().chain(arguments);
    let settings = Arguments::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}")).settings;
    explain(&config, Path::new(""), &settings, request.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

const YAML: &str = "listeners: [{ address: \"127.0.0.1:1\" }, { address: \"127.0.0.1:2\" }]
upstreams:
  a: { balance: { hash: session }, servers: [{ address: 127.0.0.1:8001 }, { address: 127.0.0.1:8002 }, { address: 127.0.0.1:8003, down: true }], fallback: b }
  b: { servers: [{ address: \"https://b.example\" }] }
routes:
  - { listeners: [\"127.0.0.1:2\"], upstream: b }
  - { name: main, upstream: a, plugins: [{ headers: { request: { set: { X-Key: \"${file:/dev/null}x\", Authorization: of-the-yaml } } } }] }
";

#[test]
fn a_key_leads_to_one_server_and_all_that_may_take_over_are_named() {
    let asked = |session: &str| {
        let request = format!("GET /x HTTP/1.1\nhost: h\nx-session-id: {session}\n\n");
        let report = report(YAML, &[], &request);
        let report::Outcome::Sent(sent) = report.outcome else { panic!("{report}") };
        (sent.hashed_to.unwrap(), sent.servers.len(), sent.fallbacks)
    };
    let all: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(asked).into();
    assert!(all.iter().all(|(_, servers, fallbacks)| (*servers, &**fallbacks) == (3, &["b".to_owned()])), "{all:?}");
    assert!(all.iter().any(|one| one.0 != all[0].0) && all.iter().all(|one| one.0 != "127.0.0.1:8003"), "{all:?}");
    assert_eq!(asked("a"), all[0]);
}

#[test]
fn a_listener_is_the_first_unless_another_is_named() {
    let request = "GET / HTTP/1.1\nhost: h\n\n";
    assert_eq!(report(YAML, &[], request).routes[1].name, "main");
    let other = report(YAML, &["--listener", "127.0.0.1:2"], request);
    assert_eq!((other.routes.len(), other.routes[0].mismatch.as_deref()), (1, None));
}

#[test]
fn headers_on_the_command_line_take_the_place_of_those_that_came() {
    let arguments = ["--header", "x-a: 2", "--header", "x-a: 3", "--host", "other", "--method", "POST"];
    let report = report(YAML, &arguments, "GET / HTTP/1.1\nhost: h\nx-a: 1\n\n");
    assert_eq!((&*report.request.host, &*report.request.method), ("other", "POST"));
    let text = report.to_string();
    assert!(text.contains("x-forwarded-host: other") && !text.contains("of-the-yaml"), "{text}");
    let config = config::parse("a.yaml", YAML, Path::new(""), &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    let settings = Arguments::parse_from([&["explain", "-c", "a.yaml"], &arguments[..]].concat()).settings;
    let input = Input::read(&config, &settings, b"GET / HTTP/1.1\nhost: h\nX-A: 1\n\n").unwrap();
    let head = String::from_utf8(input.request.head).unwrap();
    assert_eq!(head, "POST / HTTP/1.1\r\nhost: other\r\nx-a: 2\r\nx-a: 3\r\n\r\n");
}

#[test]
fn json_has_what_the_text_has() {
    let report = report(YAML, &[], r#"{"model":"gpt-5","messages":[]}"#);
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["call"]["endpoint"], "chat_completions");
    assert_eq!(json["outcome"]["kind"], "sent");
    assert_eq!(json["outcome"]["target"], "/v1/chat/completions");
}

#[test]
fn the_call_in_a_chunked_body_is_read() {
    for end in ["\r\n", "\n"] {
        let request = ["POST /v1/messages HTTP/1.1", "host: h", "transfer-encoding: chunked", ""]
            .map(|line| line.to_owned() + end);
        let body = ["c", r#"{"model":"a""#, "1", "}", "0", "", ""].join(end);
        let report = report(YAML, &[], &(request.concat() + &body));
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!((&json["call"]["model"], &json["outcome"]["kind"]), (&"a".into(), &"sent".into()), "{json}");
    }
}

#[test]
fn credentials_are_hidden_in_the_query_and_whatever_words_they_are() {
    let request = "POST /x?api_key=in-the-query&page=2 HTTP/1.1\nhost: h\nx-api-key: sent\nauthorization: Bearer other-secret\n\n{}";
    let said = report(YAML, &[], request).json();
    for secret in ["in-the-query", "other-secret", "\"sent\": \"sent\""] {
        assert!(!said.contains(secret), "{said}");
    }
    assert!(said.contains("api_key=***&page=2"), "{said}");
}

//! Whose call it was: in the row, in the access log, and in what `tollgate usage` sums up.

use std::process::Command;

use super::{ANSWER, new_key, plugins};
use crate::harness::{Gateway, answer, body, eventually, gateway, http1, origin};

const LEDGER: &str = "  - usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal } }\n";
/// A call as Claude Code makes it.
const CLAUDE_CODE: &str = r#"{"model":"claude-opus-5","max_tokens":5,"messages":[],"metadata":{"user_id":"{\"device_id\":\"d1\",\"account_uuid\":\"a1\",\"session_id\":\"s1\"}"}}"#;

/// What `tollgate usage` says by this, as lines of CSV.
fn used(gateway: &Gateway, by: &str) -> String {
    let command = ["usage", "--by", by, "--format", "csv", "-c"];
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate")).args(command).arg(gateway.file()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_call_is_booked_on_its_tenant_key_session_and_user() {
    let (key, line) = new_key("alice", &["--tenant", "team-a"]);
    let origin = origin().await;
    origin.answers(answer(200).body(ANSWER));
    let gateway = gateway().upstream(&origin).settings(&plugins(&[&line], LEDGER)).start().await;
    let mut client = http1(gateway.address()).await;
    for (name, value) in [("x-user", "bob"), ("x-other", "")] {
        let request = client.request("POST", "/v1/messages").header("x-api-key", &key).header(name, value);
        assert_eq!(client.call(request.body(body(CLAUDE_CODE)).unwrap()).await.status, 200);
    }
    for (by, expected) in [
        ("tenant", &["team-a,2,"][..]),
        ("key", &["alice,2,"]),
        ("session", &["s1,2,"]),
        ("user", &["a1,1,", "bob,1,"]),
    ] {
        eventually(by, async || {
            let told = used(&gateway, by);
            expected.iter().all(|line| told.lines().any(|told| told.starts_with(line)))
        })
        .await;
    }
    eventually("its lines", async || gateway.access_log().len() == 2).await;
    let line = &gateway.access_log()[1];
    let told = ["tenant", "key_name", "session_id", "user_id"].map(|key| line[key].as_str());
    assert_eq!(told, [Some("team-a"), Some("alice"), Some("s1"), Some("a1")], "{line}");
}

#[tokio::test]
async fn without_keys_a_call_has_its_session_and_user_and_its_tenant_is_the_keys_hash() {
    let origin = origin().await;
    origin.answers(answer(200).body(ANSWER));
    let order = "attribution: { session: [\"header:x-run\"], user: [\"body:user\"] }\nplugins:\n";
    let gateway = gateway().upstream(&origin).settings(&format!("{order}{LEDGER}")).start().await;
    let mut client = http1(gateway.address()).await;
    let request = client.request("POST", "/v1/messages").header("x-api-key", "secret").header("x-run", "r1");
    let call = CLAUDE_CODE.replace("\"max_tokens\"", "\"user\":\"carol\",\"max_tokens\"");
    assert_eq!(client.call(request.body(body(call)).unwrap()).await.status, 200);
    for (by, line) in [("tenant", "2bb80d537b1da3e38bd30361aa855686,1,"), ("session", "r1,1,"), ("user", "carol,1,")] {
        eventually(by, async || used(&gateway, by).lines().any(|told| told.starts_with(line))).await;
    }
    assert!(gateway.logged(|_| true).await.get("tenant").is_none());
}

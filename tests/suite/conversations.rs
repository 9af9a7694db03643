//! Which conversation a call is a turn of, as the ledger says it.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::harness::{Gateway, Received, answer, eventually, gateway, http1, origin, sse};

const USAGE_LOG: &str = "plugins:\n  - usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal } }\n";

/// A client's messages, and what it sends besides.
struct Talk {
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    stream: bool,
    metadata: Value,
    messages: Vec<Value>,
}

impl Talk {
    fn new(path: &'static str, stream: bool) -> Self {
        Self { path, headers: vec![("x-api-key", "k")], stream, metadata: json!({}), messages: Vec::new() }
    }

    fn session(mut self, session: &str) -> Self {
        let user = json!({ "device_id": "d", "account_uuid": "", "session_id": session }).to_string();
        self.metadata = json!({ "user_id": user });
        self
    }

    /// Says something more, which its answer repeats with its own name.
    async fn say(&mut self, gateway: &Gateway, name: &str, text: &str) {
        self.messages.push(json!({ "role": "user", "content": text }));
        let body = json!({ "model": name, "stream": self.stream, "messages": self.messages, "metadata": self.metadata,
            "tools": [{ "name": "f" }] });
        let mut client = http1(gateway.address()).await;
        let mut request = client.request("POST", self.path);
        let say = json!([name, text, self.stream]).to_string();
        request = request.header("x-say", say);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let answer = client.call(request.body(crate::harness::body(body.to_string())).unwrap()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.messages.push(json!({ "role": "assistant", "content": format!("I am {name}, and heard {text}") }));
    }
}

/// An answer with words that only calls to this model get.
fn said(request: &Received) -> crate::harness::Script {
    let (name, heard, stream): (String, String, bool) = serde_json::from_str(request.header("x-say").unwrap()).unwrap();
    let text = format!("I am {name}, and heard {heard}");
    let is_chat = request.target.contains("chat");
    if stream {
        let pieces: Vec<Value> = text.split_inclusive(' ').map(|piece| json!(piece)).collect();
        let events: Vec<Value> = if is_chat {
            let delta = |piece: &Value| json!({ "choices": [{ "index": 0, "delta": { "content": piece }, "finish_reason": null }] });
            let last = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
            pieces.iter().map(delta).chain([last]).collect()
        } else {
            let delta = |piece: &Value| json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": piece } });
            let first = json!({ "type": "message_start", "message": { "id": "m", "usage": { "input_tokens": 1 } } });
            let last = [
                json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 1 } }),
                json!({ "type": "message_stop" }),
            ];
            [first].into_iter().chain(pieces.iter().map(delta)).chain(last).collect()
        };
        let events: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        return sse().data(events.as_bytes()).end();
    }
    let body = if is_chat {
        json!({ "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }] })
    } else {
        json!({ "id": "m", "type": "message", "content": [{ "type": "text", "text": text }], "stop_reason": "end_turn",
            "usage": { "input_tokens": 1, "output_tokens": 1 } })
    };
    answer(200).header("content-type", "application/json").body(body.to_string())
}

/// The conversations of the calls to each model, once there are so many rows.
async fn conversations(gateway: &Gateway, count: usize) -> HashMap<String, Vec<(String, String)>> {
    let ledger = gateway.folder().join("ledger.db");
    let rows = || {
        let script = "import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute(\
            'SELECT model, conversation_id, coalesce(parent_conversation_id, \"\") FROM api_requests ORDER BY created_at'): print(*row, sep=\"|\")";
        let output = std::process::Command::new("python3").args(["-c", script]).arg(&ledger).output();
        String::from_utf8(output.unwrap().stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("all rows", async || rows().len() == count).await;
    let mut found: HashMap<String, Vec<(String, String)>> = HashMap::new();
    for row in rows() {
        let parts: Vec<&str> = row.split('|').collect();
        found.entry(parts[0].to_owned()).or_default().push((parts[1].to_owned(), parts[2].to_owned()));
    }
    found
}

#[tokio::test]
async fn sessions_that_begin_alike_at_the_same_time_never_mix() {
    let origin = origin().await;
    origin.answers_with(said);
    let gateway = gateway().upstream(&origin).settings(USAGE_LOG).start().await;
    let mut talks = Vec::new();
    for (path, stream) in [("/v1/messages", false), ("/v1/messages", true), ("/v1/chat/completions", true)] {
        for session in [None, None, Some("s1"), Some("s2")] {
            let talk = Talk::new(path, stream);
            talks.push(session.map_or_else(|| Talk::new(path, stream), |session| talk.session(session)));
        }
    }
    for text in ["hello", "and?", "and?"] {
        let all = talks.iter_mut().enumerate().map(|(number, talk)| {
            let gateway = &gateway;
            async move { talk.say(gateway, &format!("m{number}"), text).await }
        });
        futures_util::future::join_all(all).await;
    }
    let found = conversations(&gateway, talks.len() * 3).await;
    let mut all: Vec<&str> = Vec::new();
    for calls in found.values() {
        assert_eq!(calls.len(), 3);
        assert!(calls.iter().all(|call| call == &calls[0]), "{calls:?}");
        all.push(&calls[0].0);
    }
    all.sort_unstable();
    // those of one session are one, whatever they speak
    all.dedup();
    assert_eq!(all.len(), 6 + 2, "{found:?}");
}

#[tokio::test]
async fn a_subagent_has_a_parent_and_a_renewed_token_splits_nothing() {
    let origin = origin().await;
    origin.answers_with(said);
    let gateway = gateway().upstream(&origin).settings(USAGE_LOG).start().await;
    let mut main = Talk::new("/v1/messages", false).session("s");
    main.headers = vec![("authorization", "Bearer sk-ant-oat01-one")];
    main.say(&gateway, "main", "hello").await;
    main.headers = vec![("authorization", "Bearer sk-ant-oat01-two")];
    main.say(&gateway, "main", "and?").await;
    let mut compacted = Talk::new("/v1/messages", true).session("s");
    compacted.headers.clone_from(&main.headers);
    compacted.say(&gateway, "main", "This session is being continued from a previous conversation.").await;
    let mut agent = Talk::new("/v1/messages", false).session("s");
    agent.headers = vec![("authorization", "Bearer sk-ant-oat01-two"), ("x-claude-code-agent-id", "a1")];
    agent.say(&gateway, "agent", "look around").await;
    agent.say(&gateway, "agent", "more").await;
    let found = conversations(&gateway, 5).await;
    let (main, agent) = (&found["main"], &found["agent"]);
    assert!(main.iter().all(|call| call == &main[0]) && main[0].1.is_empty(), "{found:?}");
    assert!(agent.iter().all(|call| call == &agent[0]), "{found:?}");
    assert_eq!(agent[0].1, main[0].0);
    assert_ne!(agent[0].0, main[0].0);
}

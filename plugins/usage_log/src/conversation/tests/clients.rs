//! Clients, and a gateway that reads their calls and answers as the real one does: by their bytes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use plugin_api::{Endpoint, Hashing, Outcome, Record as Exchange};
use prices::Prices;
use protocols::{AnswerReader, ParsedBody, parse};
use serde_json::{Value, json};

use super::super::*;
use crate::entry::Entry;

/// Who calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    pub(super) domain: &'static str,
    pub(super) key: &'static str,
    pub(super) key_name: Option<&'static str>,
    pub(super) tenant: Option<&'static str>,
    pub(super) session: Option<&'static str>,
    pub(super) is_shared: bool,
    pub(super) user: Option<&'static str>,
    pub(super) agent: Option<(&'static str, Option<&'static str>)>,
    pub(super) is_claude_code: bool,
    pub(super) class: Option<&'static str>,
    pub(super) tools: bool,
}

/// A client's messages so far, and the answers to them.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    pub(super) client: Client,
    pub(super) messages: Vec<Value>,
}

/// What the model says.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// Blocks of content.
    Blocks(Vec<Value>),
    /// A text that the client has left in the middle.
    Part(String),
    /// The call failed.
    Nothing,
}

impl Client {
    pub(super) fn of_key(key: &'static str) -> Self {
        Self { domain: "a.example", key, ..Self::default() }
    }

    pub(super) fn talk(&self) -> Talk {
        Talk { client: self.clone(), messages: Vec::new() }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set =
            |name: &'static str, value: &str| drop(headers.insert(name, HeaderValue::from_str(value).unwrap()));
        set("authorization", &format!("Bearer {}", self.key));
        if self.is_claude_code {
            set("x-claude-code-session-id", self.session.unwrap());
        }
        if let Some((agent, parent)) = self.agent {
            set("x-claude-code-agent-id", agent);
            parent.into_iter().for_each(|parent| set("x-claude-code-parent-agent-id", parent));
        }
        self.class.into_iter().for_each(|class| set("x-claude-code-request-class", class));
        headers
    }
}

impl Said {
    pub(super) fn text(text: &str) -> Self {
        Self::Blocks(vec![json!({ "type": "text", "text": text })])
    }

    pub(super) fn tool(id: &str) -> Self {
        Self::Blocks(vec![json!({ "type": "tool_use", "id": id, "name": "Bash", "input": { "command": "ls" } })])
    }

    pub(super) fn tasks(prompts: &[&str]) -> Self {
        let task = |(number, prompt): (usize, &&str)| json!({ "type": "tool_use", "id": format!("t{number}"), "name": "Task", "input": { "prompt": prompt } });
        Self::Blocks(prompts.iter().enumerate().map(task).collect())
    }

    /// An answer of some kind that no other number has.
    pub(super) fn some(kind: usize, number: usize) -> Self {
        let text = json!({ "type": "text", "text": format!("\n Answer \"{number}\",\t said. \n") });
        let thinking = json!({ "type": "thinking", "thinking": "hm", "signature": "x" });
        match kind {
            0 => Self::tool(&format!("toolu_{number}")),
            1 => Self::Blocks(vec![thinking, text]),
            2 => Self::Blocks(vec![
                text,
                json!({ "type": "text", "text": "" }),
                json!({ "type": "tool_use", "id": format!("toolu_{number}"), "name": "f", "input": {} }),
            ]),
            _ => Self::Blocks(vec![text]),
        }
    }
}

/// What the gateway has noted.
pub(super) struct Gateway {
    pub(super) known: Conversations,
    /// Whether its clients speak `OpenAI`'s chat.
    pub(super) chat: bool,
    pub(super) calls: u128,
    pub(super) now: SystemTime,
    pub(super) last: Option<Record>,
}

impl Default for Gateway {
    fn default() -> Self {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        Self { known: Conversations::default(), chat: false, calls: 0, now, last: None }
    }
}

impl Gateway {
    /// Has a client say something more, and the model answer. The conversation that the call becomes a turn of.
    pub(super) fn call(&mut self, talk: &mut Talk, text: &str, said: Said) -> Uuid {
        let record = self.record(talk, text, &said);
        self.last = Some(record);
        self.again()
    }

    /// Ships the last row once more.
    pub(super) fn again(&mut self) -> Uuid {
        let mut records = vec![self.last.take().unwrap()];
        assert!(self.known.unknown(&records).len() <= 2);
        self.known.link(&mut records);
        self.last = records.pop();
        self.row().conversation_id.unwrap()
    }

    pub(super) fn row(&self) -> &Row {
        let Some(Record::Request(row)) = &self.last else { unreachable!() };
        row
    }

    pub(super) fn parent(&self) -> Option<Uuid> {
        self.row().parent_conversation_id
    }

    pub(super) fn wait(&mut self, microseconds: i64) {
        self.now += Duration::from_micros(microseconds.cast_unsigned());
    }

    /// A call of Responses that sends what is new alone.
    pub(super) fn respond(&mut self, client: &Client, previous: Option<&str>, id: &str) -> Uuid {
        let body = json!({ "previous_response_id": previous, "input": [{ "role": "user", "content": "the same" }] });
        let answer = json!({ "id": id, "status": "completed", "output": [] });
        let record =
            self.row_of(client, Endpoint::RESPONSES, &body, &answer.to_string(), StatusCode::OK, Outcome::Completed);
        self.last = Some(record);
        self.again()
    }

    /// The row of such a call.
    pub(super) fn record(&mut self, talk: &mut Talk, text: &str, said: &Said) -> Record {
        talk.messages.push(json!({ "role": "user", "content": text }));
        let tools = if talk.client.tools { json!([{ "name": "f" }]) } else { json!([]) };
        let body = json!({ "messages": talk.messages, "tools": tools });
        let (status, outcome) = match said {
            Said::Blocks(_) => (StatusCode::OK, Outcome::Completed),
            Said::Part(_) => (StatusCode::OK, Outcome::ClientGone),
            Said::Nothing => (StatusCode::TOO_MANY_REQUESTS, Outcome::Completed),
        };
        let endpoint = if self.chat { Endpoint::CHAT_COMPLETIONS } else { Endpoint::MESSAGES };
        let answer = match (said, self.chat) {
            (Said::Blocks(blocks), false) if self.calls.is_multiple_of(2) => stream(blocks),
            (Said::Blocks(blocks), false) => {
                json!({ "id": "m", "content": blocks, "stop_reason": "end_turn", "usage": {} }).to_string()
            }
            (Said::Blocks(blocks), true) if self.calls.is_multiple_of(2) => chat_stream(&chat_message(blocks)),
            (Said::Blocks(blocks), true) => {
                json!({ "choices": [{ "index": 0, "message": chat_message(blocks), "finish_reason": "stop" }] })
                    .to_string()
            }
            (Said::Part(text), _) => stream(&[json!({ "type": "text", "text": text })]).replace("message_stop", "ping"),
            (Said::Nothing, _) => json!({ "type": "error", "error": { "type": "overloaded_error" } }).to_string(),
        };
        let record = self.row_of(&talk.client, endpoint, &body, &answer, status, outcome);
        if let Said::Blocks(blocks) = said {
            talk.messages.push(if self.chat { chat_message(blocks) } else { self.sent_back(blocks) });
        }
        record
    }

    /// How a client sends an answer back: as it came, or without what the model thought, or trimmed.
    fn sent_back(&self, blocks: &[Value]) -> Value {
        let thinks = |block: &&Value| block["type"] != "thinking";
        let kept: Vec<_> = blocks.iter().filter(thinks).cloned().collect();
        let content = match (self.calls % 3, &*kept) {
            (0, _) => json!(blocks),
            (1, [only]) if only["type"] == "text" => json!(only["text"].as_str().unwrap().trim()),
            _ => json!(kept),
        };
        json!({ "role": "assistant", "content": content })
    }

    fn row_of(
        &mut self,
        client: &Client,
        endpoint: Endpoint,
        body: &Value,
        answer: &str,
        status: StatusCode,
        outcome: Outcome,
    ) -> Record {
        self.calls += 1;
        let (headers, body) = (client.headers(), body.to_string());
        let (parsed, hashes) = parse(endpoint, &headers, body.as_bytes(), Hashing::Conversation);
        let mut entry = Entry { caller: Caller::of_head(&headers), ..Entry::default() };
        entry.api_key_hash = Some(client.key.into());
        let ParsedBody::Calls(calls) = &parsed else { unreachable!() };
        entry.caller.read_call(&calls[0], body.as_bytes());
        let mut reader = AnswerReader::new(endpoint, status, &HeaderMap::new()).with_words();
        answer.as_bytes().chunks(97).for_each(|piece| reader.feed(piece));
        reader.finish();
        let mut exchange = Exchange::begun(Uuid::from_u128(self.calls), self.now);
        exchange.host = client.domain.into();
        exchange.endpoint = Some(endpoint);
        exchange.conversation = hashes.conversation;
        exchange.answer = Some(reader.into_answer().into());
        (exchange.status, exchange.outcome) = (Some(status), outcome);
        let principal = exchange.context.principal_mut();
        let text = |text: Option<&str>| text.map(Arc::<str>::from);
        (principal.key_name, principal.tenant) = (text(client.key_name), text(client.tenant));
        (principal.session, principal.user) = (text(client.session), text(client.user));
        principal.session_is_shared = client.is_shared;
        let prices = Prices::new(&indexmap::IndexMap::new()).unwrap();
        Record::Request(Box::new(entry.row(&exchange, &prices)))
    }
}

/// Blocks as events.
fn stream(blocks: &[Value]) -> String {
    let mut events = vec![json!({ "type": "message_start", "message": { "id": "m", "usage": {} } })];
    for (index, block) in blocks.iter().enumerate() {
        let mut begun = block.clone();
        let mut deltas = Vec::new();
        match block["type"].as_str() {
            Some("text") => {
                begun["text"] = json!("");
                let text: Vec<char> = block["text"].as_str().unwrap().chars().collect();
                let pieces = text.chunks(3).map(|piece| piece.iter().collect::<String>());
                deltas.extend(pieces.map(|piece| json!({ "type": "text_delta", "text": piece })));
            }
            Some("tool_use") => {
                begun["input"] = json!({});
                deltas.push(json!({ "type": "input_json_delta", "partial_json": block["input"].to_string() }));
            }
            _ => {}
        }
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": begun }));
        events.extend(
            deltas.into_iter().map(|delta| json!({ "type": "content_block_delta", "index": index, "delta": delta })),
        );
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": {} }));
    events.push(json!({ "type": "message_stop" }));
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// Blocks as a message of `OpenAI`'s chat.
fn chat_message(blocks: &[Value]) -> Value {
    let texts = blocks.iter().filter_map(|block| block["text"].as_str());
    let calls = blocks.iter().filter(|block| block["type"] == "tool_use");
    let calls: Vec<_> = calls.map(|block| json!({ "id": block["id"], "type": "function" })).collect();
    json!({ "role": "assistant", "content": texts.collect::<String>(), "tool_calls": calls })
}

fn chat_stream(message: &Value) -> String {
    let chunk = |delta: Value| json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] });
    let mut chunks = vec![chunk(json!({ "role": "assistant", "content": "" }))];
    let text: Vec<char> = message["content"].as_str().unwrap().chars().collect();
    chunks.extend(text.chunks(4).map(|piece| chunk(json!({ "content": piece.iter().collect::<String>() }))));
    let calls = message["tool_calls"].as_array().unwrap();
    chunks.extend(calls.iter().enumerate().map(|(index, call)| {
        chunk(json!({ "tool_calls": [{ "index": index, "id": call["id"], "function": { "arguments": "{}" } }] }))
    }));
    chunks.push(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }));
    let events: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    events + "data: [DONE]\n\n"
}

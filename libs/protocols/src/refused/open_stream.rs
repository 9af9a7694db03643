//! A stream on its way to the client, of which enough is remembered to end it properly before its time.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::body::{refuse_ollama, refuse_response};
use super::{Closing, MESSAGE, openai_error};
use crate::Endpoint;

/// A stream, as far as it has reached the client: enough to end it properly.
#[derive(Debug)]
pub struct OpenStream {
    closing: Closing,
    /// Members that every chunk repeats (`id`, `model`, …); of the Responses API the response itself.
    frame: Option<Map<String, Value>>,
    /// What is open: content blocks, or choices without a reason to stop.
    open: BTreeSet<u64>,
    output_tokens: u64,
    sequence: u64,
}

impl OpenStream {
    /// A stream of which nothing has come.
    #[must_use]
    pub fn new(endpoint: Option<Endpoint>) -> Self {
        Self { closing: Closing::of(endpoint), frame: None, open: BTreeSet::new(), output_tokens: 0, sequence: 0 }
    }

    /// Takes the data of an event, or a line, that goes to the client.
    pub fn observe(&mut self, data: &[u8]) {
        let Ok(Value::Object(event)) = serde_json::from_slice(data) else { return };
        match self.closing {
            Closing::Message => self.observe_message(event),
            Closing::Deltas | Closing::Texts => self.observe_chunk(event),
            Closing::Response => self.observe_response(event),
            Closing::Line => self.frame = Some(event),
            Closing::NamedError | Closing::Error => {}
        }
    }

    fn observe_message(&mut self, event: Map<String, Value>) {
        let index = event.get("index").and_then(Value::as_u64);
        match (event.get("type").and_then(Value::as_str), index) {
            (Some("message_start"), _) => {
                let tokens = event.get("message").and_then(|message| message.pointer("/usage/output_tokens"));
                self.output_tokens = tokens.and_then(Value::as_u64).unwrap_or(0);
                self.frame = Some(event);
            }
            (Some("content_block_start"), Some(index)) => {
                self.open.insert(index);
            }
            (Some("content_block_stop"), Some(index)) => {
                self.open.remove(&index);
            }
            _ => {}
        }
    }

    fn observe_chunk(&mut self, mut event: Map<String, Value>) {
        if let Some(Value::Array(choices)) = event.remove("choices") {
            for choice in choices {
                let Some(index) = choice.get("index").and_then(Value::as_u64) else { continue };
                if choice.get("finish_reason").is_none_or(Value::is_null) {
                    self.open.insert(index);
                } else {
                    self.open.remove(&index);
                }
            }
        }
        event.retain(|name, _| matches!(&**name, "id" | "object" | "created" | "model" | "system_fingerprint"));
        self.frame = Some(event);
    }

    fn observe_response(&mut self, mut event: Map<String, Value>) {
        self.sequence = event.get("sequence_number").and_then(Value::as_u64).unwrap_or(self.sequence);
        if let Some(Value::Object(response)) = event.remove("response") {
            self.frame = Some(response);
        }
    }

    /// The events, or the line, with which the stream ends here.
    #[must_use]
    pub fn end(&self) -> Bytes {
        let Some(frame) = &self.frame else { return self.error() };
        match self.closing {
            Closing::Message => self.end_message(),
            Closing::Deltas => self.end_chunks(frame, "delta", &json!({})),
            Closing::Texts => self.end_chunks(frame, "text", &json!("")),
            Closing::Response => {
                let mut response = frame.clone();
                refuse_response(&mut response);
                let event = json!({
                    "type": "response.incomplete",
                    "sequence_number": self.sequence + 1,
                    "response": response,
                });
                named_event(&event).into()
            }
            Closing::Line => {
                let mut line = frame.clone();
                refuse_ollama(&mut line);
                format!("{}\n", Value::Object(line)).into()
            }
            Closing::NamedError | Closing::Error => self.error(),
        }
    }

    fn end_message(&self) -> Bytes {
        let stops = self.open.iter().map(|index| named_event(&json!({ "type": "content_block_stop", "index": index })));
        let delta = json!({
            "type": "message_delta",
            "delta": { "stop_reason": "refusal", "stop_sequence": null },
            "usage": { "output_tokens": self.output_tokens },
        });
        let end = [named_event(&delta), named_event(&json!({ "type": "message_stop" }))];
        stops.chain(end).collect::<String>().into()
    }

    fn end_chunks(&self, frame: &Map<String, Value>, content: &str, nothing: &Value) -> Bytes {
        let mut out = String::new();
        for index in &self.open {
            let mut chunk = frame.clone();
            let choice =
                json!({ "index": index, content: nothing, "logprobs": null, "finish_reason": "content_filter" });
            chunk.insert("choices".into(), json!([choice]));
            out += &format!("data: {}\n\n", Value::Object(chunk));
        }
        (out + "data: [DONE]\n\n").into()
    }

    fn error(&self) -> Bytes {
        match self.closing {
            Closing::Message | Closing::NamedError => {
                let error = json!({ "type": "error", "error": { "type": "permission_error", "message": MESSAGE } });
                named_event(&error).into()
            }
            Closing::Line => format!("{}\n", json!({ "error": MESSAGE })).into(),
            Closing::Deltas | Closing::Texts | Closing::Response | Closing::Error => {
                format!("data: {}\n\n", openai_error()).into()
            }
        }
    }
}

fn named_event(event: &Value) -> String {
    let name = event.get("type").and_then(Value::as_str).unwrap_or_default();
    format!("event: {name}\ndata: {event}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(endpoint: Endpoint, events: &[Value]) -> String {
        let mut stream = OpenStream::new(Some(endpoint));
        events.iter().for_each(|event| stream.observe(event.to_string().as_bytes()));
        String::from_utf8(stream.end().to_vec()).unwrap()
    }

    fn data(stream: &str) -> Vec<Value> {
        let lines =
            stream.lines().filter_map(|line| line.strip_prefix("data: ").or(line.starts_with('{').then_some(line)));
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    #[test]
    fn a_message_closes_its_blocks_and_stops_for_a_refusal() {
        let start = json!({ "type": "message_start", "message": { "id": "m", "usage": { "output_tokens": 3 } } });
        let block = |kind: &str, index: u64| json!({ "type": format!("content_block_{kind}"), "index": index });
        let end = ended(Endpoint::MESSAGES, &[start, block("start", 0), block("stop", 0), block("start", 1)]);
        assert_eq!(
            end,
            concat!(
                "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
                "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"refusal\",",
                "\"stop_sequence\":null},\"usage\":{\"output_tokens\":3}}\n\n",
                "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
            )
        );
    }

    #[test]
    fn every_open_choice_stops_for_the_content_filter() {
        let chunk = |index: u64, reason: Value| {
            let choice = json!({ "index": index, "delta": { "content": "x" }, "finish_reason": reason });
            json!({ "id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice], "obfuscation": "o" })
        };
        let end =
            ended(Endpoint::CHAT_COMPLETIONS, &[chunk(0, Value::Null), chunk(1, Value::Null), chunk(0, json!("stop"))]);
        let choice = json!({ "index": 1, "delta": {}, "logprobs": null, "finish_reason": "content_filter" });
        let last = json!({ "id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice] });
        assert_eq!(end, format!("data: {last}\n\ndata: [DONE]\n\n"));
        let text = json!({ "id": "c", "choices": [{ "index": 0, "text": "x", "finish_reason": null }] });
        let end = data(&ended(Endpoint::COMPLETIONS, &[text]));
        assert_eq!(end[0]["choices"][0]["text"], "");
        assert_eq!(end[0]["choices"][0]["finish_reason"], "content_filter");
    }

    #[test]
    fn a_response_is_incomplete_and_a_line_of_ollamas_is_the_last() {
        let created = json!({ "type": "response.created", "sequence_number": 0, "response": { "id": "r", "status": "in_progress" } });
        let delta = json!({ "type": "response.output_text.delta", "sequence_number": 7, "delta": "x" });
        let end = &data(&ended(Endpoint::RESPONSES, &[created, delta]))[0];
        assert_eq!((&end["type"], &end["sequence_number"]), (&json!("response.incomplete"), &json!(8)));
        assert_eq!((&end["response"]["id"], &end["response"]["status"]), (&json!("r"), &json!("incomplete")));
        assert_eq!(end["response"]["incomplete_details"]["reason"], "content_filter");
        let line = json!({ "model": "l", "message": { "role": "assistant", "content": "x" }, "done": false });
        let end = &data(&ended(Endpoint::OLLAMA, &[line]))[0];
        assert_eq!((&end["model"], &end["message"]["content"], &end["done"]), (&json!("l"), &json!(""), &json!(true)));
    }

    #[test]
    fn a_stream_of_which_nothing_has_come_ends_with_an_error() {
        assert!(ended(Endpoint::MESSAGES, &[]).starts_with("event: error\ndata: {\"type\":\"error\""));
        assert_eq!(data(&ended(Endpoint::CHAT_COMPLETIONS, &[]))[0]["error"]["code"], "content_filter");
        assert_eq!(data(&ended(Endpoint::OLLAMA, &[]))[0]["error"], MESSAGE);
    }
}

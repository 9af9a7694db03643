//! `OpenAI`'s chat completions: chunks.

use serde_json::{Map, Value, json};

use super::Events;

pub(super) fn write(events: &mut Events, completion: &Value, reports_usage: bool) -> Option<()> {
    let choices = completion["choices"].as_array()?;
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = Map::new();
        for (name, value) in completion.as_object().into_iter().flatten() {
            match name.as_str() {
                "object" => chunk.insert(name.clone(), json!("chat.completion.chunk")),
                "choices" => chunk.insert(name.clone(), choices.clone()),
                "usage" => None,
                _ => chunk.insert(name.clone(), value.clone()),
            };
        }
        if reports_usage {
            chunk.insert("usage".to_owned(), usage);
        }
        Value::Object(chunk)
    };
    let of_choice = |choice: &Value, delta: Value, finish_reason: &Value, logprobs: &Value| {
        let index = &choice["index"];
        json!([{ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason }])
    };
    for choice in choices {
        let delta = of_choice(choice, delta(&choice["message"]), &Value::Null, &choice["logprobs"]);
        events.data(&chunk(delta, Value::Null));
    }
    for choice in choices {
        let end = of_choice(choice, json!({}), &choice["finish_reason"], &Value::Null);
        events.data(&chunk(end, Value::Null));
    }
    if reports_usage {
        events.data(&chunk(json!([]), completion["usage"].clone()));
    }
    events.0.extend_from_slice(b"data: [DONE]\n\n");
    Some(())
}

/// A message as one delta. Tool calls have an index in a stream.
fn delta(message: &Value) -> Value {
    let mut delta = message.as_object().cloned().unwrap_or_default();
    if let Some(calls) = delta.get_mut("tool_calls").and_then(Value::as_array_mut) {
        for (index, call) in calls.iter_mut().enumerate() {
            if let Some(call) = call.as_object_mut() {
                call.insert("index".to_owned(), index.into());
            }
        }
    }
    Value::Object(delta)
}

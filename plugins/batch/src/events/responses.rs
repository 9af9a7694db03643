//! `OpenAI`'s responses: numbered events, of which the last has the whole.

use serde_json::{Value, json};

use super::Events;

pub(super) fn write(events: &mut Events, response: &Value) -> Option<()> {
    let output = response["output"].as_array()?;
    let mut begun = response.clone();
    let object = begun.as_object_mut()?;
    for (name, value) in [("output", json!([])), ("status", json!("in_progress")), ("usage", Value::Null)] {
        object.insert(name.to_owned(), value);
    }
    let mut numbered = Numbered { events, next: 0 };
    numbered.event("response.created", json!({ "response": begun }));
    numbered.event("response.in_progress", json!({ "response": begun }));
    for (index, item) in output.iter().enumerate() {
        self::item(&mut numbered, index, item);
    }
    let last = match response["status"].as_str() {
        Some("incomplete") => "response.incomplete",
        Some("failed") => "response.failed",
        _ => "response.completed",
    };
    numbered.event(last, json!({ "response": response }));
    Some(())
}

struct Numbered<'a> {
    events: &'a mut Events,
    next: u64,
}

impl Numbered<'_> {
    /// An event of a type with these members.
    fn event(&mut self, kind: &str, members: Value) {
        let mut event = json!({ "type": kind });
        if let (Some(event), Value::Object(members)) = (event.as_object_mut(), members) {
            event.extend(members);
            event.insert("sequence_number".to_owned(), self.next.into());
        }
        self.next += 1;
        self.events.named(&event);
    }
}

fn item(numbered: &mut Numbered<'_>, output_index: usize, item: &Value) {
    let id = &item["id"];
    let mut begun = item.clone();
    if let Some(object) = begun.as_object_mut() {
        for (name, empty) in [("content", json!([])), ("arguments", json!(""))] {
            if object.contains_key(name) {
                object.insert(name.to_owned(), empty);
            }
        }
        if object.contains_key("status") {
            object.insert("status".to_owned(), json!("in_progress"));
        }
    }
    numbered.event("response.output_item.added", json!({ "output_index": output_index, "item": begun }));
    if let Some(arguments) = item["arguments"].as_str() {
        let place = json!({ "item_id": id, "output_index": output_index });
        let with = |name: &str| merged(&place, &[(name, json!(arguments))]);
        numbered.event("response.function_call_arguments.delta", with("delta"));
        numbered.event("response.function_call_arguments.done", with("arguments"));
    }
    for (index, part) in item["content"].as_array().into_iter().flatten().enumerate() {
        let place = json!({ "item_id": id, "output_index": output_index, "content_index": index });
        let (kind, field) = match part["type"].as_str() {
            Some("output_text") => ("response.output_text", "text"),
            Some("refusal") => ("response.refusal", "refusal"),
            _ => continue,
        };
        let mut empty = part.clone();
        if let Some(object) = empty.as_object_mut() {
            object.insert(field.to_owned(), json!(""));
        }
        numbered.event("response.content_part.added", merged(&place, &[("part", empty)]));
        numbered.event(&format!("{kind}.delta"), merged(&place, &[("delta", part[field].clone())]));
        numbered.event(&format!("{kind}.done"), merged(&place, &[(field, part[field].clone())]));
        numbered.event("response.content_part.done", merged(&place, &[("part", part.clone())]));
    }
    numbered.event("response.output_item.done", json!({ "output_index": output_index, "item": item }));
}

fn merged(place: &Value, members: &[(&str, Value)]) -> Value {
    let mut object = place.as_object().cloned().unwrap_or_default();
    object.extend(members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    Value::Object(object)
}

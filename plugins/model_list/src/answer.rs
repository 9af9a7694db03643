//! Models and lists of them as the JSON of either dialect. What is not known of a model is the dialect's way of saying so.

use plugin_api::Bytes;
use serde_json::{Value, json};

use crate::page::Cut;

/// When a model was released, where nobody knows (Anthropic's documentation: an epoch value).
const NO_DATE: &str = "1970-01-01T00:00:00Z";
/// Who is said to own models.
const OWNER: &str = "tollgate";

/// A model in Anthropic's API.
pub(crate) fn anthropic(id: &str) -> Bytes {
    bytes(&anthropic_model(id))
}

/// A page of models in Anthropic's API.
pub(crate) fn anthropic_list(page: &Cut<'_>) -> Bytes {
    let data: Vec<Value> = page.names.iter().map(|id| anthropic_model(id)).collect();
    let (first, last) = (page.names.first(), page.names.last());
    bytes(&json!({ "data": data, "has_more": page.has_more, "first_id": first, "last_id": last }))
}

/// A model in `OpenAI`'s API.
pub(crate) fn openai(id: &str) -> Bytes {
    bytes(&openai_model(id))
}

/// All models in `OpenAI`'s API, which has no pages of them.
pub(crate) fn openai_list(names: &[&str]) -> Bytes {
    let data: Vec<Value> = names.iter().map(|id| openai_model(id)).collect();
    bytes(&json!({ "object": "list", "data": data }))
}

fn anthropic_model(id: &str) -> Value {
    json!({ "type": "model", "id": id, "display_name": id, "created_at": NO_DATE })
}

fn openai_model(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": 0, "owned_by": OWNER })
}

fn bytes(value: &Value) -> Bytes {
    value.to_string().into()
}

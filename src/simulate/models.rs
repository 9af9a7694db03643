//! The models a simulator says it has, in either provider's shape. It answers for any other just as well.

use super::dialect::Dialect;
use serde::Serialize;

use super::sse::json;

const MODELS: [&str; 4] = ["claude-opus-4-6", "claude-haiku-4-5", "gpt-5-nano", "text-embedding-3-small"];

/// When all of them came out: the second and its date.
const CREATED: (u64, &str) = (1_767_225_600, "2026-01-01T00:00:00Z");

/// The answer to `GET /v1/models`.
pub(super) fn list(dialect: Dialect) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    match dialect {
        Dialect::Anthropic => {
            let [first_id, .., last_id] = MODELS;
            json(
                &mut out,
                &AnthropicList { data: MODELS.map(AnthropicModel::new), has_more: false, first_id, last_id },
            );
        }
        Dialect::OpenAi => json(&mut out, &OpenAiList { object: "list", data: MODELS.map(OpenAiModel::new) }),
    }
    out
}

/// The answer to `GET /v1/models/{id}`.
pub(super) fn one(dialect: Dialect, id: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    match dialect {
        Dialect::Anthropic => json(&mut out, &AnthropicModel::new(id)),
        Dialect::OpenAi => json(&mut out, &OpenAiModel::new(id)),
    }
    out
}

#[derive(Serialize)]
struct AnthropicList {
    data: [AnthropicModel<'static>; MODELS.len()],
    has_more: bool,
    first_id: &'static str,
    last_id: &'static str,
}

#[derive(Serialize)]
struct AnthropicModel<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: &'static str,
}

impl<'a> AnthropicModel<'a> {
    fn new(id: &'a str) -> Self {
        Self { kind: "model", id, display_name: id, created_at: CREATED.1 }
    }
}

#[derive(Serialize)]
struct OpenAiList {
    object: &'static str,
    data: [OpenAiModel<'static>; MODELS.len()],
}

#[derive(Serialize)]
struct OpenAiModel<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl<'a> OpenAiModel<'a> {
    fn new(id: &'a str) -> Self {
        Self { id, object: "model", created: CREATED.0, owned_by: "simulator" }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_dialect_lists_in_its_own_shape() {
        let anthropic: Value = serde_json::from_slice(&list(Dialect::Anthropic)).unwrap();
        assert_eq!(anthropic["first_id"], anthropic["data"][0]["id"]);
        assert_eq!(anthropic["last_id"], anthropic["data"][3]["id"]);
        assert_eq!(anthropic["has_more"], false);
        let openai: Value = serde_json::from_slice(&list(Dialect::OpenAi)).unwrap();
        assert_eq!(openai["object"], "list");
        assert_eq!(openai["data"][2]["object"], "model");
    }

    #[test]
    fn one_model_is_named_as_it_was_asked_for() {
        let model: Value = serde_json::from_slice(&one(Dialect::OpenAi, "gpt-6")).unwrap();
        assert_eq!(model["id"], "gpt-6");
    }
}

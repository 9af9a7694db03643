//! The names of what spans tell of models, which the semantic conventions change: one table for each that is spoken.

use plugin_api::SemConv;

/// Names that are not the same in all conventions.
pub(super) struct Names {
    /// The schema that they are of.
    pub(super) schema_url: &'static str,
    /// Input tokens that were written to the provider's cache.
    pub(super) cache_write: &'static str,
    /// Output tokens that are reasoning.
    pub(super) reasoning: Option<&'static str>,
    /// The seconds to the first content of a stream.
    pub(super) first_chunk: Option<&'static str>,
    /// Whether a stream was asked for.
    pub(super) stream: Option<&'static str>,
}

impl Names {
    pub(super) fn of(semconv: SemConv) -> &'static Self {
        match semconv {
            SemConv::Latest => &Self {
                schema_url: "",
                cache_write: "gen_ai.usage.cache_write.input_tokens",
                reasoning: Some("gen_ai.usage.reasoning.output_tokens"),
                first_chunk: Some("gen_ai.response.time_to_first_chunk"),
                stream: Some("gen_ai.request.stream"),
            },
            SemConv::V1_41 => &Self {
                schema_url: "https://opentelemetry.io/schemas/1.41.0",
                cache_write: "gen_ai.usage.cache_creation.input_tokens",
                reasoning: None,
                first_chunk: None,
                stream: None,
            },
        }
    }
}

/// `gen_ai.operation.name` of an endpoint.
pub(super) fn operation(endpoint: &str) -> &str {
    match endpoint {
        "messages" | "chat_completions" | "responses" | "chat" => "chat",
        "completions" | "generate" => "text_completion",
        "embeddings" | "embed" => "embeddings",
        other => other,
    }
}

/// `gen_ai.provider.name` of a model that has one by its name.
pub(super) fn provider(model: &str) -> Option<&'static str> {
    let name = model.rsplit('/').next().unwrap_or(model);
    let known = [
        ("anthropic", &["claude"][..]),
        ("openai", &["gpt-", "o1", "o3", "o4", "text-embedding-", "chatgpt-"]),
        ("gcp.gemini", &["gemini-"]),
        ("mistral_ai", &["mistral-", "magistral-", "codestral-"]),
        ("deepseek", &["deepseek-"]),
        ("x_ai", &["grok-"]),
    ];
    known.iter().find(|(_, prefixes)| prefixes.iter().any(|prefix| name.starts_with(prefix))).map(|(name, _)| *name)
}

//! What the servers that speak `OpenAI`'s API do differently: one table entry for each. A server that puts usage or an error in
//! another place needs an entry here, and a member list below where the place is new; nothing elsewhere.
//!
//! An answer does not say which server made it, so of all entries the first that fits counts.

mod errors;
mod usage;

use crate::slot::{Members, Pattern, Slot};

pub(crate) use errors::{ERROR_MEMBERS, error_name, is_failure, name_of, unnamed};
pub(crate) use usage::{cost, is_read, usage};

use usage::Figure::{CacheRead, CacheWrite, CacheWrite1h, Completion, Prompt, Reasoning, Total};

/// What one server, or several that do the same, add to the protocol.
pub(crate) struct Variant {
    /// Where they put the object with their usage.
    usage_at: &'static [Slot],
    /// The members of that object, and what they count. Of those for one figure the first that is there counts.
    figures: &'static [(usage::Figure, &'static str)],
    /// The members that say what they charge, and how many of their units are a dollar, as a power of ten.
    costs: &'static [(&'static str, i64)],
    /// Reasons to stop that say that the answer is none.
    failures: &'static [&'static str],
}

/// The variants, those of the most servers first.
pub(crate) static VARIANTS: [Variant; 17] = [
    // OpenAI's chat, and nearly all
    Variant {
        usage_at: &[Slot::Usage],
        figures: &[
            (Prompt, "prompt_tokens"),
            (Completion, "completion_tokens"),
            (Total, "total_tokens"),
            (CacheRead, "prompt_tokens_details.cached_tokens"),
            (CacheWrite, "prompt_tokens_details.cache_write_tokens"),
            (Reasoning, "completion_tokens_details.reasoning_tokens"),
        ],
        ..PLAIN
    },
    // OpenAI's responses, images and audio
    Variant {
        figures: &[
            (Prompt, "input_tokens"),
            (Completion, "output_tokens"),
            (CacheRead, "input_tokens_details.cached_tokens"),
            (CacheRead, "input_token_details.cached_tokens"), // transcriptions
            (CacheWrite, "input_tokens_details.cache_write_tokens"),
            (Reasoning, "output_tokens_details.reasoning_tokens"),
        ],
        ..PLAIN
    },
    // Ollama's own API
    Variant { figures: &[(Prompt, "prompt_eval_count"), (Completion, "eval_count")], ..PLAIN },
    // Groq, in the last chunk of a stream
    Variant { usage_at: &[Slot::GroqUsage], ..PLAIN },
    // DeepSeek
    Variant {
        figures: &[(CacheRead, "prompt_cache_hit_tokens")],
        failures: &["insufficient_system_resource"],
        ..PLAIN
    },
    // Moonshot, Together
    Variant { usage_at: &[Slot::ChoiceUsage], figures: &[(CacheRead, "cached_tokens")], ..PLAIN },
    // Mistral
    Variant { figures: &[(CacheRead, "num_cached_tokens")], ..PLAIN },
    // LiteLLM
    Variant {
        figures: &[
            (CacheWrite, "prompt_tokens_details.cache_creation_tokens"),
            (CacheWrite1h, "prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens"),
        ],
        ..PLAIN
    },
    // Qwen
    Variant {
        figures: &[
            (CacheWrite, "prompt_tokens_details.cache_creation_input_tokens"),
            (CacheWrite1h, "prompt_tokens_details.cache_creation.ephemeral_1h_input_tokens"),
        ],
        ..PLAIN
    },
    // those that pass Anthropic's own words on, such as LiteLLM
    Variant {
        figures: &[
            (CacheRead, "cache_read_input_tokens"),
            (CacheWrite, "cache_creation_input_tokens"),
            (Reasoning, "output_tokens_details.thinking_tokens"),
        ],
        ..PLAIN
    },
    // SGLang
    Variant { failures: &["abort"], figures: &[(Reasoning, "reasoning_tokens")], ..PLAIN },
    // OpenRouter, LiteLLM
    Variant { costs: &[("cost", 0)], failures: &["error"], ..PLAIN },
    // Perplexity
    Variant { costs: &[("cost.total_cost", 0)], ..PLAIN },
    // DeepInfra
    Variant { costs: &[("estimated_cost", 0)], ..PLAIN },
    // xAI
    Variant { costs: &[("cost_in_usd_ticks", 10)], ..PLAIN },
    // vLLM, and those before it
    Variant { failures: &["error", "abort", "aborted"], ..PLAIN },
    // Zhipu
    Variant { failures: &["network_error"], ..PLAIN },
];

/// A variant that adds nothing.
const PLAIN: Variant = Variant { usage_at: &[], figures: &[], costs: &[], failures: &[] };

/// What servers add to a chunk or an answer.
pub(crate) const CHUNK_MEMBERS: Members = &[
    // Groq
    ("x_groq", Pattern::Members(&[("usage", Pattern::Value(Slot::GroqUsage)), ("error", Pattern::Value(Slot::Error))])),
];

/// What servers add to a choice.
pub(crate) const CHOICE_MEMBERS: Members = &[
    ("usage", Pattern::Value(Slot::ChoiceUsage)), // Moonshot
    ("error", Pattern::Value(Slot::Error)),       // OpenRouter, of what failed on its way
];

/// The places of an answer that may hold its usage; the first that is there counts.
pub(crate) fn usage_places() -> impl Iterator<Item = Slot> {
    VARIANTS.iter().flat_map(|variant| variant.usage_at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_says_in_what_its_servers_differ() {
        for Variant { usage_at, figures, costs, failures } in &VARIANTS {
            assert!(!(usage_at.is_empty() && figures.is_empty() && costs.is_empty() && failures.is_empty()));
        }
    }

    #[test]
    fn no_member_counts_two_things_and_none_is_listed_twice() {
        let mut paths: Vec<&str> = VARIANTS.iter().flat_map(|variant| variant.figures).map(|(_, path)| *path).collect();
        paths.extend(VARIANTS.iter().flat_map(|variant| variant.costs).map(|(path, _)| *path));
        let all = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), all);
    }
}

//! Usage as the servers give it, and what it means. Recorded, or made after their documentation and their users' reports.

use super::*;

/// Input, cache read, cache write, output, reasoning.
type Expected = [Option<u64>; 5];

fn tokens(usage: &str) -> Expected {
    let tokens = super::usage(&LenientObject::of(usage).unwrap()).tokens;
    [tokens.input, tokens.cache_read, tokens.cache_creation, tokens.output, tokens.reasoning]
}

#[test]
fn each_server_is_understood_by_its_own_convention() {
    let none = None;
    let cases: &[(&str, &str, Expected)] = &[
        (
            "OpenAI",
            r#"{"prompt_tokens":1000,"completion_tokens":10,"total_tokens":1010,"prompt_tokens_details":{"cached_tokens":300,"cache_write_tokens":200},"completion_tokens_details":{"reasoning_tokens":4}}"#,
            [Some(500), Some(300), Some(200), Some(10), Some(4)],
        ),
        (
            "xAI: reasoning beside the completion",
            r#"{"prompt_tokens":10120,"completion_tokens":1499,"total_tokens":14428,"prompt_tokens_details":{"cached_tokens":128},"completion_tokens_details":{"reasoning_tokens":2809}}"#,
            [Some(9992), Some(128), none, Some(4308), Some(2809)],
        ),
        (
            "xAI's responses: a part of the output",
            r#"{"input_tokens":32,"output_tokens":103,"total_tokens":135,"output_tokens_details":{"reasoning_tokens":94}}"#,
            [Some(32), none, none, Some(103), Some(94)],
        ),
        (
            "xAI without a sum: more reasoning than there is completion",
            r#"{"prompt_tokens":12,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":317}}"#,
            [Some(12), none, none, Some(319), Some(317)],
        ),
        (
            "Groq",
            r#"{"queue_time":0.03,"prompt_tokens":24,"prompt_time":0.001,"completion_tokens":387,"total_tokens":411,"completion_tokens_details":{"reasoning_tokens":60}}"#,
            [Some(24), none, none, Some(387), Some(60)],
        ),
        (
            "DeepSeek",
            r#"{"prompt_tokens":1700,"completion_tokens":300,"total_tokens":2000,"prompt_cache_hit_tokens":1664,"prompt_cache_miss_tokens":36,"completion_tokens_details":{"reasoning_tokens":200}}"#,
            [Some(36), Some(1664), none, Some(300), Some(200)],
        ),
        (
            "Moonshot",
            r#"{"prompt_tokens":19,"completion_tokens":13,"total_tokens":32,"cached_tokens":10}"#,
            [Some(9), Some(10), none, Some(13), none],
        ),
        (
            "Mistral",
            r#"{"prompt_tokens":20,"total_tokens":26,"completion_tokens":6,"num_cached_tokens":16,"prompt_audio_seconds":{}}"#,
            [Some(4), Some(16), none, Some(6), none],
        ),
        (
            "OpenRouter",
            r#"{"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":0},"cost":0.95,"prompt_tokens":194,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":100},"total_tokens":196}"#,
            [Some(94), Some(0), Some(100), Some(2), Some(0)],
        ),
        (
            "LiteLLM in front of Anthropic",
            r#"{"completion_tokens":30,"prompt_tokens":2070,"total_tokens":2100,"prompt_tokens_details":{"cached_tokens":2000,"cache_creation_tokens":50},"cache_creation_input_tokens":50,"cache_read_input_tokens":2000}"#,
            [Some(20), Some(2000), Some(50), Some(30), none],
        ),
        (
            "vLLM",
            r#"{"prompt_tokens":5,"total_tokens":12,"completion_tokens":7,"prompt_tokens_details":null}"#,
            [Some(5), none, none, Some(7), none],
        ),
        (
            "SGLang",
            r#"{"prompt_tokens":5,"total_tokens":12,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4},"reasoning_tokens":3}"#,
            [Some(1), Some(4), none, Some(7), Some(3)],
        ),
        (
            "Ollama's own API",
            r#"{"prompt_eval_count":26,"eval_count":298,"total_duration":5043500667}"#,
            [Some(26), none, none, Some(298), none],
        ),
        (
            "MiniMax",
            r#"{"total_tokens":249,"total_characters":0,"prompt_tokens":26,"completion_tokens":223,"completion_tokens_details":{"reasoning_tokens":214}}"#,
            [Some(26), none, none, Some(223), Some(214)],
        ),
        ("MiniMax with nothing but a sum", r#"{"total_tokens":249,"total_characters":0}"#, [none; 5]),
        (
            "Qwen",
            r#"{"prompt_tokens":3019,"completion_tokens":104,"total_tokens":3123,"prompt_tokens_details":{"cached_tokens":2048,"cache_creation_input_tokens":256}}"#,
            [Some(715), Some(2048), Some(256), Some(104), none],
        ),
        (
            "Gemini: what it thought is in the sum alone",
            r#"{"prompt_tokens":20,"completion_tokens":198,"total_tokens":623}"#,
            [Some(20), none, none, Some(603), Some(405)],
        ),
        (
            "Gemini that only thought",
            r#"{"prompt_tokens":12,"total_tokens":1036}"#,
            [Some(12), none, none, Some(1024), Some(1024)],
        ),
        (
            "Bedrock's own counts, passed on",
            r#"{"prompt_tokens":4,"completion_tokens":20,"total_tokens":1124,"cache_read_input_tokens":1000,"cache_creation_input_tokens":100}"#,
            [Some(4), Some(1000), Some(100), Some(20), none],
        ),
        (
            "counts of the cache that are no part of the prompt, without a sum",
            r#"{"prompt_tokens":4,"completion_tokens":20,"cached_tokens":1000}"#,
            [Some(4), Some(1000), none, Some(20), none],
        ),
        (
            "Perplexity: more reasoning than completion, and a sum that says that it is a part",
            r#"{"prompt_tokens":7,"completion_tokens":3632,"total_tokens":3639,"reasoning_tokens":73997}"#,
            [Some(7), none, none, Some(3632), Some(73997)],
        ),
        ("an embedding", r#"{"prompt_tokens":7,"total_tokens":7}"#, [Some(7), none, none, none, none]),
        (
            "a sum that fits nothing",
            r#"{"prompt_tokens":7,"completion_tokens":3,"total_tokens":2}"#,
            [Some(7), none, none, Some(3), none],
        ),
        ("nothing", "{}", [none; 5]),
    ];
    for (server, usage, wanted) in cases {
        assert_eq!(tokens(usage), *wanted, "{server}");
    }
}

#[test]
fn what_the_provider_charges_is_read_exactly() {
    for (usage, picos) in [
        (r#"{"cost":0.00014,"cost_details":{"upstream_inference_cost":19}}"#, Some(140_000_000)),
        (r#"{"cost":{"input_tokens_cost":0.1,"total_cost":1.5e-3}}"#, Some(1_500_000_000)),
        (r#"{"cost_in_usd_ticks":232856000}"#, Some(23_285_600_000)),
        (r#"{"cost":0}"#, Some(0)),
        (r#"{"cost":null}"#, None),
        (r#"{"cost":"1"}"#, None),
        (r#"{"cost":1e400}"#, None),
    ] {
        assert_eq!(cost(&LenientObject::of(usage).unwrap()), picos, "{usage}");
    }
}

#[test]
fn what_is_read_is_known_by_its_name() {
    for name in ["prompt_tokens", "prompt_tokens_details", "iterations", "cost", "output_tokens_details"] {
        assert!(is_read(name), "{name}");
    }
    for name in ["", "prompt", "cached", "total_characters"] {
        assert!(!is_read(name), "{name}");
    }
}

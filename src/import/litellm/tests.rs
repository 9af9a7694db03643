//! Configurations as `LiteLLM`'s users write them, what becomes of them, and that the result loads.

use std::path::Path;

use super::*;
use crate::config::{Config, parse};

/// The configuration, which must load with any variables, and what was left out.
fn imported(text: &str) -> (Config, String, String) {
    let Imported { yaml, left_out } = import("config.yaml", text).unwrap();
    let variable = |name: &str| {
        Some(match name {
            name if name.ends_with("_SHA256") => "ab".repeat(32),
            name if name.ends_with("_BASE") => "http://model.internal:8000".to_owned(),
            name if name.ends_with("_PORT") => "6379".to_owned(),
            name => name.to_lowercase().replace('_', "-"),
        })
    };
    let config =
        parse("tollgate.yaml", &yaml, Path::new(""), &variable).unwrap_or_else(|errors| panic!("{errors}\n{yaml}"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    (config, yaml, left_out.join("\n"))
}

const PROVIDERS: &str = "
model_list:
  - model_name: gpt-4o
    litellm_params: { model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, rpm: 480 }
  - model_name: claude
    litellm_params: { model: anthropic/claude-sonnet-4-5, api_key: \"os.environ/ANTHROPIC_API_KEY\", rpm: 480 }
    model_info: { mode: chat }
  - model_name: embed
    litellm_params:
      model: text-embedding-3-small
      rpm: 480
litellm_settings:
  num_retries: 3
  request_timeout: 600
  fallbacks: [{ gpt-4o: [claude] }]
  set_verbose: false
  drop_params: true
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
";

#[test]
fn names_keys_fallbacks_retries_and_timeouts_are_carried_over() {
    let (config, yaml, left_out) = imported(PROVIDERS);
    let names: Vec<&str> = config.upstreams.keys().map(String::as_str).collect();
    assert_eq!(names, ["anthropic", "openai", "openai-2"], "{yaml}");
    let fallback = config.upstreams["openai"].fallback.as_ref().unwrap();
    assert_eq!((&*fallback.upstream, fallback.model.as_deref()), ("anthropic", Some("claude-sonnet-4-5")));
    assert!(config.upstreams.values().all(|upstream| upstream.retry.attempts.get() == 4));
    assert!(config.upstreams.values().all(|upstream| upstream.timeouts.total.get().as_secs() == 600));
    let rules: Vec<_> = config.routes[0].models.iter().map(|entry| entry.rule()).collect();
    let told = |at: usize| (rules[at].pattern.as_str(), rules[at].model.as_deref(), rules[at].upstream.as_deref());
    assert_eq!(told(0), ("gpt-4o", None, Some("openai")));
    assert_eq!(told(1), ("claude", Some("claude-sonnet-4-5"), Some("anthropic")));
    assert_eq!(told(2), ("embed", Some("text-embedding-3-small"), Some("openai-2")));
    assert!(
        yaml.contains("x-api-key: \"${ANTHROPIC_API_KEY}\"") && yaml.contains("\"Bearer ${OPENAI_API_KEY}\""),
        "{yaml}"
    );
    assert!(yaml.contains("by: model, requests: \"480/m\""), "{yaml}");
    assert!(
        left_out.contains("litellm_settings.drop_params: has no counterpart") && !left_out.contains("set_verbose"),
        "{left_out}"
    );
    assert!(left_out.contains("LITELLM_MASTER_KEY_SHA256"), "{left_out}");
    assert!(left_out.lines().all(|line| yaml.contains(&format!("# Left out: {line}\n"))));
}

#[test]
fn deployments_of_one_model_are_servers_with_weights_and_what_differs_takes_over() {
    let (config, yaml, left_out) = imported(
        "
model_list:
  - { model_name: llama, litellm_params: { model: hosted_vllm/meta/llama, api_base: \"http://gpu1:8000/v1\", weight: 2 } }
  - { model_name: llama, litellm_params: { model: hosted_vllm/meta/llama, api_base: \"http://gpu2:8000/v1/\", weight: 1 } }
  - { model_name: llama, litellm_params: { model: openai/llama-large, api_base: os.environ/VLLM_BASE, api_key: sk-1234567890 } }
  - { model_name: local, litellm_params: { model: ollama/qwen3, api_base: \"http://localhost:11434\", timeout: 30 } }
router_settings:
  routing_strategy: latency-based-routing
  model_group_alias: { gpt-4: llama, old: { model: local, hidden: true }, gone: nothing }
  allowed_fails: 3
  cooldown_time: 30
litellm_settings: { default_fallbacks: [local] }
",
    );
    let vllm = &config.upstreams["hosted_vllm"];
    let servers: Vec<_> = vllm.servers.iter().map(|server| (server.address.to_string(), server.weight.get())).collect();
    assert_eq!(servers, [("http://gpu1:8000".to_owned(), 2), ("http://gpu2:8000".to_owned(), 1)]);
    let second = vllm.fallback.as_ref().unwrap();
    assert_eq!((&*second.upstream, second.model.as_deref()), ("openai", Some("llama-large")));
    assert_eq!(&*config.upstreams["openai"].fallback.as_ref().unwrap().upstream, "ollama");
    assert_eq!(config.upstreams["ollama"].timeouts.total.get().as_secs(), 30);
    let names: Vec<String> =
        config.routes[0].models.iter().map(|entry| entry.rule().pattern.as_str().to_owned()).collect();
    assert_eq!(names, ["llama", "local", "gpt-4", "old"]);
    assert!(yaml.contains("balance: peak_ewma") && yaml.contains("max_fails: 4, fail_timeout: \"30s\""), "{yaml}");
    assert!(!yaml.contains("sk-1234567890") && yaml.contains("Bearer ${LITELLM_SECRET_1}"), "{yaml}");
    for wanted in
        ["LITELLM_SECRET_1", "`llama`): 2 deployments differ", "model_group_alias.gone", "api_base: the variable"]
    {
        assert!(left_out.contains(wanted), "{wanted}: {left_out}");
    }
}

#[test]
fn what_cannot_be_passed_on_is_named_and_the_rest_is_served() {
    let (config, yaml, left_out) = imported(
        "
model_list:
  - { model_name: azure-gpt, litellm_params: { model: azure/gpt-4o, api_base: \"https://x.openai.azure.com/\", api_version: v } }
  - { model_name: bedrock, litellm_params: { model: bedrock/anthropic.claude-v2, aws_region_name: us-east-1 } }
  - { model_name: groq, litellm_params: { model: openai/llama, api_base: \"https://api.groq.com/openai/v1\" } }
  - { model_name: \"anthropic/*\", litellm_params: { model: \"anthropic/*\" } }
  - { model_name: \"*\", litellm_params: { model: \"openai/*\", tpm: 1000 } }
  - { model_name: \"claude-*\", litellm_params: { model: \"anthropic/claude-*\", temperature: 0.2 } }
litellm_settings:
  cache: true
  cache_params: { type: redis, host: os.environ/REDIS_HOST, port: os.environ/REDIS_PORT, password: os.environ/REDIS_PASSWORD, ttl: 600, mode: default_on }
  max_budget: 100
  budget_duration: 30d
  success_callback: [langfuse]
general_settings: { master_key: sk-1234, database_url: \"postgresql://u:p@h/d\", global_max_parallel_requests: 50 }
environment_variables: { A: b }
",
    );
    assert_eq!((&**config.routes[0].upstream, config.routes[0].models.len()), ("openai", 1), "{yaml}");
    assert!(
        yaml.contains("url: \"redis://:${REDIS_PASSWORD}@${REDIS_HOST}:${REDIS_PORT}\"")
            && yaml.contains("ttl: \"600s\""),
        "{yaml}"
    );
    assert!(yaml.contains("by: all, concurrent: 50") && yaml.contains("by: all, usd: \"100/month\""), "{yaml}");
    // the hash of the key, and never the key
    assert!(yaml.contains("sha256") && !yaml.contains("sk-1234") && !yaml.contains("u:p@h"), "{yaml}");
    for wanted in [
        "model_list[0] (`azure-gpt`): LiteLLM translates calls for `azure`",
        "model_list[1] (`bedrock`)",
        "model_list[2] (`groq`): its API lies below the path",
        "model_list[3]: names that `anthropic/*` takes",
        "model_list[5].litellm_params.temperature",
        "budget.unpriced: no price is known for `*`, `claude-*`",
        "success_callback",
        "database_url",
        "cache_params.mode",
        "environment_variables",
        "(`*`): rpm 0, tpm 1000",
    ] {
        assert!(left_out.contains(wanted), "{wanted}: {left_out}");
    }
}

/// The line that every file without the model `*` has.
const NO_PATTERN: &str = "model_list: models that are not in it go to the upstream `openai`, where LiteLLM answers 400";

/// A file with one model of each sort of price, and these sections behind them.
fn with_budgets(sections: &str) -> String {
    format!(
        "
model_list:
  - {{ model_name: gpt-4o, litellm_params: {{ model: openai/gpt-4o }} }}
  - model_name: llama
    litellm_params:
      model: hosted_vllm/llama
      api_base: http://gpu:8000
      input_cost_per_token: 0.0000015
    model_info: {{ output_cost_per_token: 2.5e-06 }}
general_settings: {{ master_key: sk-1 }}
{sections}"
    )
}

#[test]
fn a_budget_for_all_is_held_by_the_calendar_that_litellm_means() {
    for (duration, rate) in
        [("1d", "25.5/day"), ("24h", "25.5/day"), ("7d", "25.5/week"), ("30d", "25.5/month"), ("1mo", "25.5/month")]
    {
        let settings = format!("{{ max_budget: 25.5, budget_duration: {duration}, timezone: Europe/Berlin }}");
        let (config, yaml, left_out) = imported(&with_budgets(&format!("litellm_settings: {settings}\n")));
        assert_eq!(left_out, NO_PATTERN, "{yaml}");
        let names: Vec<_> = config.plugins.iter().map(|plugin| plugin.name()).collect();
        assert_eq!(names, ["api_keys", "model_list", "budget", "usage_log"], "{yaml}");
        assert!(yaml.contains(&format!("limits: [{{ by: all, usd: \"{rate}\" }}]")), "{yaml}");
        assert!(yaml.contains("time_zone: Europe/Berlin") && !yaml.contains("unpriced"), "{yaml}");
        // the file's own price, in dollars for a million; what a cache holds is not free
        assert!(
            yaml.contains("llama: { input: 1.5, output: 2.5, cache_read: 1.5, cache_write: 1.5, cache_write_1h: 1.5 }"),
            "{yaml}"
        );
    }
}

#[test]
fn a_budget_that_no_calendar_has_is_named() {
    for (settings, words) in [
        ("max_budget: 100", "max_budget: 100 USD that never begin anew"),
        ("max_budget: 100, budget_duration: 12h", "max_budget: 100 USD per 12h"),
        ("max_budget: 1e9, budget_duration: 30d", "max_budget: 1000000000.0 USD are not between"),
        ("max_budget: os.environ/MOST, budget_duration: 30d", "`os.environ/MOST` is no amount"),
        (
            "max_internal_user_budget: 5, internal_user_budget_duration: 1mo",
            "add { by: key, usd: 5/month } to the `limits`",
        ),
        ("max_end_user_budget: 0.5", "max_end_user_budget: 0.5 USD that never begin anew"),
        (
            "default_internal_user_params: { max_budget: 5, tpm_limit: 10 }",
            "default_internal_user_params: what LiteLLM writes",
        ),
        ("default_team_params: { rpm_limit: 10 }", "default_team_params: what LiteLLM writes"),
        ("upperbound_key_generate_params: { tpm_limit: 10 }", "upperbound_key_generate_params: what LiteLLM writes"),
    ] {
        let (_, yaml, left_out) = imported(&with_budgets(&format!("litellm_settings: {{ {settings} }}\n")));
        let price = "model_list[1].litellm_params.input_cost_per_token: without a budget nothing needs it";
        assert!(left_out.lines().count() == 3 && left_out.contains(words) && left_out.contains(price), "{left_out}");
        assert!(!yaml.contains("- budget") && !yaml.contains("usage_log:"), "{yaml}");
    }
    let providers = "router_settings: { provider_budget_config: { openai: { budget_limit: 1, time_period: 1d } } }\n";
    let (_, _, left_out) = imported(&with_budgets(providers));
    assert!(left_out.contains("provider_budget_config.openai: budgets here are by key"), "{left_out}");
    // none at all
    let (_, yaml, left_out) = imported(&with_budgets("litellm_settings: { max_budget: 0 }\n"));
    assert!(!left_out.contains("max_budget") && !yaml.contains("- budget"), "{yaml}{left_out}");
}

#[test]
fn prices_of_the_files_own_count_once_for_each_name() {
    let (_, yaml, left_out) = imported(
        "
model_list:
  - { model_name: a, litellm_params: { model: openai/x, input_cost_per_token: 1e-06, output_cost_per_token: 0, cache_read_input_token_cost: 1e-07 } }
  - { model_name: b, litellm_params: { model: openai/x, input_cost_per_token: 2e-06, output_cost_per_token: 0 } }
  - { model_name: c, litellm_params: { model: openai/y, input_cost_per_token: 2e-06 } }
  - { model_name: d, litellm_params: { model: openai/z, input_cost_per_token: many, output_cost_per_token: 0 } }
litellm_settings: { max_budget: 1, budget_duration: 1d }
",
    );
    assert!(yaml.contains("x: { input: 1, output: 0, cache_read: 0.1, cache_write: 1, cache_write_1h: 1 }"), "{yaml}");
    for wanted in [
        "model_list[1].litellm_params.input_cost_per_token: another deployment of `x` has another price",
        "model_list[2].litellm_params.input_cost_per_token: a price has both input and output",
        "model_list[3].litellm_params.input_cost_per_token: a price has both input and output",
        "budget.unpriced: no price is known for `y`, `z`",
    ] {
        assert!(left_out.contains(wanted), "{wanted}: {left_out}");
    }
}

#[test]
fn what_each_model_may_spend_or_use_is_by_model_only_where_all_have_the_same() {
    let list = |entries: &[(&str, &str, &str)]| {
        let entry = |(name, model, limit): &(&str, &str, &str)| {
            format!("  - {{ model_name: \"{name}\", litellm_params: {{ model: \"openai/{model}\", {limit} }} }}\n")
        };
        format!("model_list:\n{}", entries.iter().map(entry).collect::<String>())
    };
    const BUDGET: &str = "max_budget: 2, budget_duration: 1d";
    let (_, yaml, _) = imported(&list(&[("a", "gpt-4o", BUDGET), ("b", "gpt-4o-mini", BUDGET)]));
    assert!(yaml.contains("limits: [{ by: model, usd: \"2/day\" }]"), "{yaml}");
    // the models of one pattern share what it has
    let (_, yaml, _) = imported(&list(&[("*", "*", BUDGET)]));
    assert!(yaml.contains("limits: [{ by: all, usd: \"2/day\" }], unpriced: allow"), "{yaml}");
    let (_, yaml, _) = imported(&list(&[("*", "*", "rpm: 10")]));
    assert!(yaml.contains("by: all, requests: \"10/m\""), "{yaml}");
    for others in [
        [("a", "gpt-4o", BUDGET), ("b", "gpt-4o-mini", "max_budget: 3, budget_duration: 1d")],
        [("a", "gpt-4o", BUDGET), ("b", "gpt-4o-mini", "rpm: 1")],
        [("a", "gpt-4o", BUDGET), ("a", "gpt-4o-mini", BUDGET)],
        [("a", "gpt-4o", BUDGET), ("*", "*", BUDGET)],
    ] {
        let (_, yaml, left_out) = imported(&list(&others));
        assert!(!yaml.contains("- budget"), "{yaml}");
        assert!(left_out.contains("model_list[0].litellm_params.max_budget: budgets by model"), "{left_out}");
    }
    let aliased = list(&[("a", "gpt-4o", BUDGET)]) + "router_settings: { model_group_alias: { b: a } }\n";
    assert!(imported(&aliased).2.contains("has one deployment and one name"));
}

#[test]
fn a_file_without_a_model_that_can_be_served_is_an_error_with_its_reason() {
    let error = import("c.yaml", "model_list: [{ model_name: a, litellm_params: { model: bedrock/x } }]").unwrap_err();
    assert!(error.starts_with("c.yaml: no model") && error.contains("bedrock"), "{error}");
    assert!(import("c.yaml", "").unwrap_err().starts_with("c.yaml:"));
    assert!(import("c.yaml", "model_list: [\n").unwrap_err().starts_with("c.yaml:"));
}

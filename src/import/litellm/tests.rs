//! Configurations as `LiteLLM`'s users write them, what becomes of them, and that the result loads.

mod limits;

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
    let rules: Vec<_> = config.routes[0].models().iter().map(|entry| entry.rule()).collect();
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
        config.routes[0].models().iter().map(|entry| entry.rule().pattern.as_str().to_owned()).collect();
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
    assert_eq!(
        (&**config.routes[0].target.upstream().unwrap().upstream, config.routes[0].models().len()),
        ("openai", 1),
        "{yaml}"
    );
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

#[test]
fn a_file_without_a_model_that_can_be_served_is_an_error_with_its_reason() {
    let error = import("c.yaml", "model_list: [{ model_name: a, litellm_params: { model: bedrock/x } }]").unwrap_err();
    assert!(error.starts_with("c.yaml: no model") && error.contains("bedrock"), "{error}");
    assert!(import("c.yaml", "").unwrap_err().starts_with("c.yaml:"));
    assert!(import("c.yaml", "model_list: [\n").unwrap_err().starts_with("c.yaml:"));
}

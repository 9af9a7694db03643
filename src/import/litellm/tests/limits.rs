//! What becomes of budgets, of the file's own prices and of limits by model.

use super::imported;

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
fn a_price_of_the_files_own_is_that_of_a_name_and_needs_both_input_and_output() {
    let (_, yaml, left_out) = imported(
        "
model_list:
  - { model_name: a, litellm_params: { model: openai/x, input_cost_per_token: 1e-06, output_cost_per_token: 0, cache_read_input_token_cost: 1e-07 } }
  - { model_name: b, litellm_params: { model: openai/x, api_base: \"http://gpu\", input_cost_per_token: 1e-06, output_cost_per_token: 0, cache_read_input_token_cost: 1e-07 } }
  - { model_name: c, litellm_params: { model: openai/y, input_cost_per_token: 2e-06 } }
  - { model_name: d, litellm_params: { model: openai/z, input_cost_per_token: many, output_cost_per_token: 0 } }
litellm_settings: { max_budget: 1, budget_duration: 1d }
",
    );
    let price = "prices: { x: { input: 1, output: 0, cache_read: 0.1, cache_write: 1, cache_write_1h: 1 } }";
    assert!(yaml.contains(price), "{yaml}");
    for wanted in [
        "model_list[2].litellm_params.input_cost_per_token: a price has both input and output",
        "model_list[3].litellm_params.input_cost_per_token: a price has both input and output",
        "budget.unpriced: no price is known for `y`, `z`",
    ] {
        assert!(left_out.contains(wanted), "{wanted}: {left_out}");
    }
    assert!(!left_out.contains("another deployment"), "{left_out}");
}

#[test]
fn a_price_never_counts_for_a_deployment_that_has_another_or_none() {
    const NONE: &str = "";
    let priced = |entries: &[(&str, &str, &str)]| {
        let entry = |(name, model, cost): &(&str, &str, &str)| {
            let cost = match *cost {
                NONE => String::new(),
                cost => {
                    format!("api_base: \"http://gpu\", input_cost_per_token: {cost}, output_cost_per_token: {cost}")
                }
            };
            format!("  - {{ model_name: \"{name}\", litellm_params: {{ model: \"openai/{model}\", {cost} }} }}\n")
        };
        let list: String = entries.iter().map(entry).collect();
        imported(&format!("model_list:\n{list}litellm_settings: {{ max_budget: 100, budget_duration: 30d }}\n"))
    };
    for (entries, left) in [
        ([("local", "gpt-4o", "0"), ("gpt-4o", "gpt-4o", NONE)], "[0]"),
        ([("gpt-4o", "gpt-4o", NONE), ("local", "gpt-4o", "0")], "[1]"),
        ([("a", "x", "1e-06"), ("b", "x", "2e-06")], "[0][1]"),
        // a pattern's would count for names that have none, and a name's for calls that a pattern takes
        ([("gpt-*", "gpt-*", "0"), ("mini", "gpt-4o-mini", NONE)], "[0]"),
        ([("local", "gpt-4o", "0"), ("*", "*", NONE)], "[0]"),
    ] {
        let (_, yaml, left_out) = priced(&entries);
        assert!(!yaml.contains("prices:"), "{yaml}");
        for at in 0..entries.len() {
            let line = format!("model_list[{at}].litellm_params.input_cost_per_token: another deployment");
            assert_eq!(left_out.contains(&line), left.contains(&format!("[{at}]")), "{left_out}");
        }
    }
    // these are told apart, and nobody else is asked for the names
    for entries in [
        [("gpt-*", "gpt-*", "1e-06"), ("gpt-4o-mini", "gpt-4o-mini", "2e-06")],
        [("gpt-4o", "gpt-4o", "1e-06"), ("*", "*", NONE)],
        [("local", "llama", "1e-06"), ("*", "*", NONE)],
    ] {
        let (_, yaml, left_out) = priced(&entries);
        let written = yaml.matches("{ input: ").count();
        assert_eq!(written, entries.iter().filter(|(_, _, cost)| *cost != NONE).count(), "{yaml}");
        assert!(!left_out.contains("another deployment"), "{left_out}");
    }
}

/// A file with entries of a name, a model of `OpenAI`'s and what limits it.
fn with_limits(entries: &[(&str, &str, &str)]) -> String {
    let entry = |(name, model, limit): &(&str, &str, &str)| {
        format!("  - {{ model_name: \"{name}\", litellm_params: {{ model: \"openai/{model}\", {limit} }} }}\n")
    };
    format!("model_list:\n{}", entries.iter().map(entry).collect::<String>())
}

const BUDGET: &str = "max_budget: 2, budget_duration: 1d";

#[test]
fn what_each_model_may_spend_or_use_is_by_model_only_where_all_have_the_same() {
    let (_, yaml, _) = imported(&with_limits(&[("a", "gpt-4o", BUDGET), ("b", "gpt-4o-mini", BUDGET)]));
    assert!(yaml.contains("limits: [{ by: model, usd: \"2/day\" }]"), "{yaml}");
    // the models of one pattern share what it has
    let (_, yaml, _) = imported(&with_limits(&[("*", "*", BUDGET)]));
    assert!(yaml.contains("limits: [{ by: all, usd: \"2/day\" }], unpriced: allow"), "{yaml}");
    let (_, yaml, _) = imported(&with_limits(&[("*", "*", "rpm: 10")]));
    assert!(yaml.contains("by: all, requests: \"10/m\""), "{yaml}");
    for others in [
        [("a", "gpt-4o", BUDGET), ("b", "gpt-4o-mini", "max_budget: 3, budget_duration: 1d")],
        [("a", "gpt-4o", BUDGET), ("b", "gpt-4o-mini", "rpm: 1")],
        [("a", "gpt-4o", BUDGET), ("a", "gpt-4o-mini", BUDGET)],
        [("a", "gpt-4o", BUDGET), ("*", "*", BUDGET)],
    ] {
        let (_, yaml, left_out) = imported(&with_limits(&others));
        assert!(!yaml.contains("- budget"), "{yaml}");
        assert!(left_out.contains("model_list[0].litellm_params.max_budget: budgets by model"), "{left_out}");
    }
}

#[test]
fn a_budget_of_deployments_is_by_model_only_where_each_has_a_name_of_its_own_and_nothing_falls_back() {
    let pair = [("a", "gpt-4o", BUDGET), ("b", "gpt-4o-mini", BUDGET)];
    for (entries, sections, why) in [
        (&pair[..1], "router_settings: { model_group_alias: { b: a } }", "each deployment must have one name"),
        // as many names as deployments
        (&[pair[0], pair[0]], "router_settings: { model_group_alias: { b: a } }", "each deployment must have one name"),
        // two names of one model, which share what is counted for it
        (
            &[("gpt-4o", "gpt-4o", BUDGET), ("openai/gpt-4o", "gpt-4o", BUDGET)],
            "",
            "each deployment must have one name",
        ),
        (&pair, "litellm_settings: { fallbacks: [{ a: [b] }] }", "what falls back"),
        (&pair, "router_settings: { fallbacks: [{ a: [b] }] }", "what falls back"),
        (&pair, "litellm_settings: { default_fallbacks: [b] }", "what falls back"),
    ] {
        let (_, yaml, left_out) = imported(&format!("{}{sections}\n", with_limits(entries)));
        assert!(!yaml.contains("- budget"), "{yaml}");
        for at in 0..entries.len() {
            let line = format!("model_list[{at}].litellm_params.max_budget: budgets by model");
            assert!(left_out.contains(&line) && left_out.contains(why), "{left_out}");
        }
    }
}

#[test]
fn names_of_one_model_upstream_share_what_they_may_use_and_that_is_named() {
    let shared = [("a", "gpt-4o", "rpm: 10"), ("b", "GPT-4o", "rpm: 20")];
    let (_, yaml, left_out) = imported(&with_limits(&shared));
    assert!(yaml.contains("by: model, requests: \"30/m\""), "{yaml}");
    assert!(left_out.contains("model_list (`a`, `b`): rpm 30, tpm 0: they share it"), "{left_out}");
    let (_, yaml, left_out) = imported(&with_limits(&[shared[0], shared[1], ("c", "gpt-4o-mini", "rpm: 10")]));
    assert!(!yaml.contains("- rate_limit"), "{yaml}");
    assert!(left_out.contains("(`a`, `b`): rpm 30, tpm 0: a limit by model is the same for all"), "{left_out}");
    assert!(left_out.contains("(`c`): rpm 10, tpm 0: a limit by model is the same for all"), "{left_out}");
    // nothing holds for a name without a limit
    let (_, yaml, left_out) = imported(&with_limits(&[shared[0], ("b", "gpt-4o", "")]));
    assert!(
        !yaml.contains("- rate_limit") && left_out.contains("(`a`, `b`): rpm 10, tpm 0: a limit"),
        "{yaml}{left_out}"
    );
    // by the name of the first that is asked
    let (_, yaml, left_out) =
        imported(&with_limits(&[shared[0], ("a", "gpt-4o-mini", "rpm: 5"), ("c", "x", "rpm: 15")]));
    assert!(yaml.contains("by: model, requests: \"15/m\"") && !left_out.contains("they share"), "{yaml}{left_out}");
}

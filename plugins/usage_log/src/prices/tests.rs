use plugin_api::Iteration;

use super::*;

fn tokens(input: u64, output: u64) -> Tokens {
    Tokens { input: Some(input), output: Some(output), ..Tokens::default() }
}

fn cost_by(prices: &Prices, model: &str, usage: &Usage) -> Option<String> {
    prices.bill(usage, Some(model)).cost.map(|cost| cost.to_string())
}

fn cost(model: &str, usage: &Usage) -> Option<String> {
    cost_by(&Prices::default(), model, usage)
}

fn own(yaml: &str) -> Prices {
    Prices::new(&serde_json::from_str(yaml).unwrap()).unwrap()
}

#[test]
fn every_class_has_its_own_price() {
    let tokens = Tokens {
        input: Some(1_000),
        output: Some(100),
        cache_read: Some(10_000),
        cache_creation: Some(3_000),
        cache_creation_1h: Some(1_000),
        reasoning: Some(50),
    };
    // 5·1000 + 25·100 + 0.5·10000 + 6.25·2000 + 10·1000 = 35000 millionths of a dollar
    let usage = Usage { tokens, ..Usage::default() };
    assert_eq!(cost("claude-opus-5", &usage).as_deref(), Some("0.035"));
    let us = Usage { inference_geo: Some("us".into()), ..usage.clone() };
    assert_eq!(cost("claude-opus-5", &us).as_deref(), Some("0.0385"));
    let fast = Usage { speed: Some("fast".into()), ..usage.clone() };
    assert_eq!(cost("claude-opus-5", &fast).as_deref(), Some("0.07"));
    assert_eq!(Prices::default().bill_batch(&usage, Some("claude-opus-5")).cost.unwrap().to_string(), "0.0175");
    let searched = Usage { web_search_requests: Some(3), ..usage };
    assert_eq!(cost("claude-opus-5", &searched).as_deref(), Some("0.065"));
}

#[test]
fn a_long_context_costs_its_tier() {
    let usage = |input| Usage { tokens: tokens(input, 1_000), ..Usage::default() };
    assert_eq!(cost("gemini-2.5-pro", &usage(200_000)).as_deref(), Some("0.26"));
    assert_eq!(cost("gemini-2.5-pro", &usage(200_001)).as_deref(), Some("0.5150025"));
    let read = Tokens { cache_read: Some(200_000), ..tokens(1, 0) };
    assert_eq!(cost("gemini-2.5-pro", &Usage { tokens: read, ..Usage::default() }).as_deref(), Some("0.0500025"));
}

#[test]
fn a_tier_has_its_own_prices_or_none() {
    let usage = |tier: &str| Usage { tokens: tokens(1_000, 0), service_tier: Some(tier.into()), ..Usage::default() };
    for (tier, cost_usd) in [
        ("default", Some("0.00125")),
        ("standard", Some("0.00125")),
        ("flex", Some("0.000625")),
        ("batch", Some("0.000625")),
        ("priority", Some("0.0025")),
        ("scale", None),
    ] {
        assert_eq!(cost("gpt-5", &usage(tier)).as_deref(), cost_usd, "{tier}");
    }
    assert_eq!(cost("claude-opus-5", &usage("priority")), None, "is sold by contract");
}

#[test]
fn what_is_not_known_is_no_cost_and_never_nothing() {
    let usage = |tokens| Usage { tokens, ..Usage::default() };
    assert_eq!(cost("mystery", &usage(tokens(1, 1))), None);
    assert_eq!(cost("gpt-5", &usage(Tokens::default())), None, "nothing was reported");
    assert_eq!(cost("gpt-5", &usage(tokens(0, 0))).as_deref(), Some("0"), "0 is a figure");
    let written = Tokens { cache_creation: Some(1), ..tokens(1, 1) };
    assert_eq!(cost("gpt-5", &usage(written)), None, "that class has no price");
    assert_eq!(Prices::default().bill(&usage(tokens(1, 1)), None).cost, None);
}

#[test]
fn samplings_are_billed_by_their_own_models_and_the_sum_is_not_added() {
    let iteration = |model: Option<&str>, input| Iteration {
        kind: "message".into(),
        model: model.map(Into::into),
        tokens: tokens(input, 0),
    };
    let usage = Usage {
        tokens: tokens(5, 5),
        iterations: vec![iteration(None, 1_000), iteration(Some("claude-sonnet-4-5"), 2_000)],
        ..Usage::default()
    };
    let bill = Prices::default().bill(&usage, Some("claude-opus-5"));
    assert_eq!(bill.cost.unwrap().to_string(), "0.011");
    let parts: Vec<_> =
        bill.parts.iter().map(|part| (part.model.as_deref(), part.cost_usd.unwrap().to_string())).collect();
    assert_eq!(parts, [(Some("claude-opus-5"), "0.005".into()), (Some("claude-sonnet-4-5"), "0.006".into())]);
    let unknown = Usage { iterations: vec![iteration(Some("mystery"), 1), iteration(None, 1)], ..usage };
    assert_eq!(Prices::default().bill(&unknown, Some("claude-opus-5")).cost, None);
}

#[test]
fn own_prices_come_first_the_exact_name_before_the_longest_beginning() {
    let prices = own(
        r#"{"claude-*":{"input":1},"claude-opus-*":{"input":2},"claude-opus-5":{"input":"3.5","above":[{"tokens":10,"input":4}]},
            "llama-3":{"input":0,"output":0}}"#,
    );
    let usage = |input| Usage { tokens: tokens(input, 0), ..Usage::default() };
    for (model, cost_usd) in [
        ("claude-haiku-9", "0.00001"),
        ("claude-opus-9", "0.00002"),
        ("claude-opus-5", "0.000035"),
        ("gpt-5", "0.0000125"),
        ("llama-3", "0"),
    ] {
        assert_eq!(cost_by(&prices, model, &usage(10)).as_deref(), Some(cost_usd), "{model}");
    }
    assert_eq!(cost_by(&prices, "claude-opus-5", &usage(11)).as_deref(), Some("0.000044"));
    let error = Prices::new(&serde_json::from_str(r#"{"a*b":{}}"#).unwrap()).unwrap_err();
    assert!(error.contains("`a*b`"), "{error}");
}

#[test]
fn no_figure_of_a_provider_breaks_the_sum() {
    let all = Tokens {
        input: Some(u64::MAX),
        output: Some(u64::MAX),
        cache_read: Some(u64::MAX),
        cache_creation: Some(1),
        cache_creation_1h: Some(u64::MAX),
        reasoning: Some(u64::MAX),
    };
    let usage = Usage { tokens: all, web_search_requests: Some(u64::MAX), ..Usage::default() };
    let most = Cost::from_picos(i128::MAX).to_string();
    assert_eq!(cost("claude-opus-5", &usage), Some(most));
}

//! Costs by the published table and by own prices.

use proptest::prelude::*;

use super::*;

fn tokens(input: u64, output: u64) -> Tokens {
    Tokens { input: Some(input), output: Some(output), ..Tokens::default() }
}

fn tier(tier: &str) -> Terms<'_> {
    Terms { tier: Some(tier), ..Terms::default() }
}

fn cost_at(model: &str, tokens: &Tokens, terms: Terms<'_>) -> Option<String> {
    Prices::default().cost(model, tokens, terms).map(|cost| cost.to_string())
}

fn cost(model: &str, tokens: &Tokens) -> Option<String> {
    cost_at(model, tokens, Terms::default())
}

fn own(json: &str) -> Prices {
    Prices::new(&serde_json::from_str(json).unwrap()).unwrap()
}

#[test]
fn every_class_has_its_own_price() {
    let tokens = Tokens {
        input: Some(1_000),
        output: Some(100),
        cache_read: Some(10_000),
        cache_write: Some(3_000),
        cache_write_1h: Some(1_000),
        reasoning: Some(50),
    };
    // 5·1000 + 25·100 + 0.5·10000 + 6.25·2000 + 10·1000 = 35000 millionths of a dollar
    assert_eq!(cost("claude-opus-5", &tokens).as_deref(), Some("0.035"));
    let us = Terms { geo: Some("us"), ..Terms::default() };
    assert_eq!(cost_at("claude-opus-5", &tokens, us).as_deref(), Some("0.0385"));
    let fast = Terms { speed: Some("fast"), ..Terms::default() };
    assert_eq!(cost_at("claude-opus-5", &tokens, fast).as_deref(), Some("0.07"));
    assert_eq!(cost_at("claude-opus-5", &tokens, tier("batch")).as_deref(), Some("0.0175"));
    assert_eq!(Prices::default().searches("claude-opus-5", 3).unwrap().to_string(), "0.03");
}

#[test]
fn a_long_context_has_prices_of_its_own() {
    assert_eq!(cost("gemini-2.5-pro", &tokens(200_000, 1_000)).as_deref(), Some("0.26"));
    assert_eq!(cost("gemini-2.5-pro", &tokens(200_001, 1_000)).as_deref(), Some("0.5150025"));
    let read = Tokens { cache_read: Some(200_000), ..tokens(1, 0) };
    assert_eq!(cost("gemini-2.5-pro", &read).as_deref(), Some("0.0500025"));
}

#[test]
fn a_tier_has_its_own_prices_or_none() {
    for (name, expected) in [
        ("default", Some("0.00125")),
        ("standard", Some("0.00125")),
        ("flex", Some("0.000625")),
        ("batch", Some("0.000625")),
        ("priority", Some("0.0025")),
        ("scale", None),
    ] {
        assert_eq!(cost_at("gpt-5", &tokens(1_000, 0), tier(name)).as_deref(), expected, "{name}");
    }
    assert_eq!(cost_at("claude-opus-5", &tokens(1_000, 0), tier("priority")), None, "is sold by contract");
}

#[test]
fn an_unknown_price_is_no_cost_and_never_zero() {
    assert_eq!(cost("mystery", &tokens(1, 1)), None);
    assert_eq!(cost("gpt-5", &Tokens::default()), None, "nothing was reported");
    assert_eq!(cost("gpt-5", &tokens(0, 0)).as_deref(), Some("0"), "0 is a figure");
    let written = Tokens { cache_write: Some(1), ..tokens(1, 1) };
    assert_eq!(cost("gpt-5", &written), None, "that class has no price");
    assert_eq!(Prices::default().searches("mystery", 1), None);
}

#[test]
fn own_prices_come_first_the_exact_name_before_the_longest_beginning() {
    let prices = own(
        r#"{"claude-*":{"input":1},"claude-opus-*":{"input":2},"claude-opus-5":{"input":"3.5","above":[{"tokens":10,"input":4}]},
            "llama-3":{"input":0,"output":0}}"#,
    );
    let cost = |model, input| prices.cost(model, &tokens(input, 0), Terms::default()).unwrap().to_string();
    for (model, expected) in [
        ("claude-haiku-9", "0.00001"),
        ("claude-opus-9", "0.00002"),
        ("claude-opus-5", "0.000035"),
        ("gpt-5", "0.0000125"),
        ("llama-3", "0"),
    ] {
        assert_eq!(cost(model, 10), expected, "{model}");
    }
    assert_eq!(cost("claude-opus-5", 11), "0.000044");
    for (model, name) in [
        ("claude-opus-5", Some("claude-opus-5")),
        ("claude-opus-9", Some("claude-opus-")),
        ("openai/gpt-5", Some("gpt-5")),
        ("mystery", None),
    ] {
        assert_eq!(prices.name(model), name);
    }
    let error = Prices::new(&serde_json::from_str(r#"{"a*b":{}}"#).unwrap()).unwrap_err();
    assert!(error.contains("`a*b`"), "{error}");
}

#[test]
fn no_figure_of_a_provider_breaks_the_sum() {
    let all = Tokens {
        input: Some(u64::MAX),
        output: Some(u64::MAX),
        cache_read: Some(u64::MAX),
        cache_write: Some(1),
        cache_write_1h: Some(u64::MAX),
        reasoning: Some(u64::MAX),
    };
    let most = Cost::from_picos(i128::MAX);
    assert_eq!(cost("claude-opus-5", &all), Some(most.to_string()));
    assert_eq!(Prices::default().searches("claude-opus-5", u64::MAX), Some(most));
}

proptest! {
    /// Parts of a call, priced one by one, come to what the call does: no sum is rounded.
    #[test]
    fn the_cost_of_a_sum_is_the_sum_of_the_costs(
        first in (0..1_000_000_u64, 0..1_000_000_u64),
        second in (0..1_000_000_u64, 0..1_000_000_u64),
    ) {
        let cost = |(input, output)| Prices::default().cost("claude-opus-5", &tokens(input, output), Terms::default()).unwrap();
        prop_assert_eq!(cost((first.0 + second.0, first.1 + second.1)), cost(first) + cost(second));
    }
}

//! What an answer comes to: its tokens by its model's price, or each of its samplings by its own.

use plugin_api::Usage;
use prices::{Cost, Prices, Terms};

use crate::row::Billed;

/// What an answer comes to.
#[derive(Debug, Default)]
pub(crate) struct Bill {
    /// All of it; `None` where a price is unknown, or there is nothing to price.
    pub(crate) cost: Option<Cost>,
    /// Each sampling, where the sum of the tokens is not what is billed.
    pub(crate) parts: Vec<Billed>,
}

impl Bill {
    /// The bill of an answer that this model gave.
    pub(crate) fn of(prices: &Prices, usage: &Usage, model: Option<&str>) -> Self {
        Self::at(prices, usage, model, usage.service_tier.as_deref())
    }

    /// The bill of a result of a batch.
    pub(crate) fn of_batch(prices: &Prices, usage: &Usage, model: Option<&str>) -> Self {
        Self::at(prices, usage, model, Some("batch"))
    }

    fn at(prices: &Prices, usage: &Usage, model: Option<&str>, tier: Option<&str>) -> Self {
        let terms = Terms { tier, geo: usage.inference_geo.as_deref(), speed: usage.speed.as_deref() };
        let cost = |model: Option<&str>, tokens| prices.cost(model?, &priced(tokens), terms);
        let parts = usage.iterations.iter().map(|iteration| {
            let own = iteration.model.as_deref().or(model);
            Billed {
                kind: iteration.kind.replace('\0', "\u{FFFD}"),
                model: own.map(|model| model.replace('\0', "\u{FFFD}").into()),
                tokens: iteration.tokens.into(),
                cost_usd: cost(own, &iteration.tokens),
            }
        });
        let parts: Vec<Billed> = parts.collect();
        let tokens = if parts.is_empty() {
            cost(model, &usage.tokens)
        } else {
            parts.iter().try_fold(Cost::ZERO, |sum, part| Some(sum + part.cost_usd?))
        };
        let searches = match usage.web_search_requests.unwrap_or(0) {
            0 => Some(Cost::ZERO),
            searches => model.and_then(|model| prices.searches(model, searches)),
        };
        Self { cost: tokens.zip(searches).map(|(tokens, searches)| tokens + searches), parts }
    }
}

/// The tokens as the prices class them.
fn priced(tokens: &plugin_api::Tokens) -> prices::Tokens {
    prices::Tokens {
        input: tokens.input,
        output: tokens.output,
        cache_read: tokens.cache_read,
        cache_write: tokens.cache_creation,
        cache_write_1h: tokens.cache_creation_1h,
        reasoning: tokens.reasoning,
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::{Iteration, Tokens};

    use super::*;

    fn tokens(input: u64, output: u64) -> Tokens {
        Tokens { input: Some(input), output: Some(output), ..Tokens::default() }
    }

    fn cost(usage: &Usage) -> Option<String> {
        Bill::of(&Prices::default(), usage, Some("claude-opus-5")).cost.map(|cost| cost.to_string())
    }

    #[test]
    fn a_bill_has_every_class_the_terms_and_the_searches() {
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
        assert_eq!(cost(&usage).as_deref(), Some("0.035"));
        let batch = Bill::of_batch(&Prices::default(), &usage, Some("claude-opus-5"));
        assert_eq!(batch.cost.unwrap().to_string(), "0.0175");
        let us = Usage { inference_geo: Some("us".into()), ..usage.clone() };
        assert_eq!(cost(&us).as_deref(), Some("0.0385"));
        let fast = Usage { speed: Some("fast".into()), ..usage.clone() };
        assert_eq!(cost(&fast).as_deref(), Some("0.07"));
        let priority = Usage { service_tier: Some("priority".into()), ..usage.clone() };
        assert_eq!(cost(&priority), None, "is sold by contract");
        let searched = Usage { web_search_requests: Some(3), ..usage };
        assert_eq!(cost(&searched).as_deref(), Some("0.065"));
    }

    #[test]
    fn what_is_not_known_is_no_cost_and_never_zero() {
        let usage = Usage { tokens: tokens(1, 1), ..Usage::default() };
        assert_eq!(Bill::of(&Prices::default(), &usage, Some("mystery")).cost, None);
        assert_eq!(Bill::of(&Prices::default(), &usage, None).cost, None);
        assert_eq!(cost(&Usage::default()), None, "nothing was reported");
        let searched = Usage { web_search_requests: Some(u64::MAX), ..usage };
        assert_eq!(cost(&searched), Some(Cost::from_picos(i128::MAX).to_string()), "no figure breaks the sum");
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
        let bill = Bill::of(&Prices::default(), &usage, Some("claude-opus-5"));
        assert_eq!(bill.cost.unwrap().to_string(), "0.011");
        let parts: Vec<_> =
            bill.parts.iter().map(|part| (part.model.as_deref(), part.cost_usd.unwrap().to_string())).collect();
        assert_eq!(parts, [(Some("claude-opus-5"), "0.005".into()), (Some("claude-sonnet-4-5"), "0.006".into())]);
        let unknown = Usage { iterations: vec![iteration(Some("mystery"), 1), iteration(None, 1)], ..usage };
        assert_eq!(cost(&unknown), None);
    }
}

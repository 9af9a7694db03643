//! What an answer reports to have cost, in the classes that are billed apart. Only figures; prices are for plugins.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The tokens of one answer. A figure that the provider did not give is `None`; 0 is a figure.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Usage {
    /// The classes of tokens, as the answer sums them up.
    pub tokens: Tokens,
    /// Where the sum is not the bill: what each sampling cost, by model (Anthropic's `usage.iterations`). Empty otherwise.
    pub iterations: Vec<Iteration>,
    /// Web searches that the provider ran, each billed.
    pub web_search_requests: Option<u64>,
    /// Web pages that it fetched.
    pub web_fetch_requests: Option<u64>,
    /// `service_tier`: `standard`, `priority`, `batch`, …
    pub service_tier: Option<String>,
    /// `inference_geo`.
    pub inference_geo: Option<String>,
    /// `speed`: `standard` or `fast`.
    pub speed: Option<String>,
    /// What the provider says that it charges, in picodollars (10⁻¹² US dollars).
    #[serde(default)]
    pub provider_cost_picos: Option<u64>,
    /// The provider's own object, as JSON: all of the above, and what nobody here knows of.
    pub raw: Option<Box<RawValue>>,
}

impl Usage {
    /// Adds what another answer to the same call used. What either of them does not say of its charge is not known of the sum.
    pub fn add(&mut self, other: &Self) {
        if !self.iterations.is_empty() {
            // they are what is billed
            self.iterations.push(Iteration { kind: "discarded".to_owned(), model: None, tokens: other.tokens });
        }
        self.tokens.add(&other.tokens);
        self.web_search_requests = sum(self.web_search_requests, other.web_search_requests);
        self.web_fetch_requests = sum(self.web_fetch_requests, other.web_fetch_requests);
        let charges = self.provider_cost_picos.zip(other.provider_cost_picos);
        self.provider_cost_picos = charges.map(|(own, other)| own.saturating_add(other));
    }

    /// Its texts, which strangers wrote, but for the provider's own object.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let own = [&mut self.service_tier, &mut self.inference_geo, &mut self.speed].into_iter().flatten();
        let iterations = self.iterations.iter_mut();
        own.chain(iterations.flat_map(|iteration| std::iter::once(&mut iteration.kind).chain(&mut iteration.model)))
    }
}

/// Classes of tokens that have prices of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Tokens {
    /// Input that came from no cache: never a part of the next three. `OpenAI`'s `prompt_tokens` without its cached part.
    pub input: Option<u64>,
    /// Input read from the provider's prompt cache.
    pub cache_read: Option<u64>,
    /// Input written to the provider's prompt cache, whatever its lifetime.
    pub cache_creation: Option<u64>,
    /// What of `cache_creation` is kept for one hour, at a higher price; the rest is kept for five minutes.
    pub cache_creation_1h: Option<u64>,
    /// Output, reasoning included.
    pub output: Option<u64>,
    /// What of `output` is reasoning.
    pub reasoning: Option<u64>,
}

impl Tokens {
    /// Adds others, class by class.
    pub fn add(&mut self, other: &Self) {
        let Self { input, cache_read, cache_creation, cache_creation_1h, output, reasoning } = self;
        for (own, other) in [
            (input, other.input),
            (cache_read, other.cache_read),
            (cache_creation, other.cache_creation),
            (cache_creation_1h, other.cache_creation_1h),
            (output, other.output),
            (reasoning, other.reasoning),
        ] {
            *own = sum(*own, other);
        }
    }
}

/// The sum of two figures; the one that is known where the other is not.
fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.zip(other).map(|(one, other)| one.saturating_add(other)).or(one).or(other)
}

/// One sampling within an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Iteration {
    /// Its kind: `message`, `compaction`, `advisor_message`, …
    pub kind: String,
    /// The model that it ran on; the answer's where it does not say.
    pub model: Option<String>,
    /// What it cost.
    pub tokens: Tokens,
}

/// The result of one request of a batch, as a download of results lists it. The same result can be downloaded again:
/// it is known by its batch and its `custom_id`.
#[derive(Clone, Debug)]
pub struct BatchResult {
    /// The batch's id, from the path.
    pub batch: String,
    /// The request's name within the batch.
    pub custom_id: String,
    /// The model that answered.
    pub model: Option<String>,
    /// What it cost.
    pub usage: Usage,
}

impl BatchResult {
    /// Its texts, which strangers wrote, but for the provider's own usage object.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        [&mut self.batch, &mut self.custom_id].into_iter().chain(&mut self.model).chain(self.usage.texts_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_has_each_class_and_no_charge_that_one_does_not_say() {
        let tokens = |input, cache_read| Tokens { input: Some(input), cache_read, ..Tokens::default() };
        let usage = |tokens, provider_cost_picos| Usage { tokens, provider_cost_picos, ..Usage::default() };
        let mut all = usage(tokens(5, None), Some(7));
        all.add(&usage(tokens(2, Some(3)), Some(1)));
        assert_eq!((all.tokens, all.provider_cost_picos), (tokens(7, Some(3)), Some(8)));
        all.add(&usage(tokens(1, Some(0)), None));
        assert_eq!((all.tokens, all.provider_cost_picos), (tokens(8, Some(3)), None));
        // what is billed apart gets its part
        let one = Iteration { tokens: tokens(1, None), ..Iteration::default() };
        let mut parts = Usage { iterations: vec![one], ..Usage::default() };
        parts.add(&usage(tokens(4, None), None));
        assert_eq!(parts.iterations[1].tokens, tokens(4, None));
    }
}

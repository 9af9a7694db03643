//! What a call may cost: estimated before it is sent, by the ledger's prices, what it asks for, and what such calls used.

use plugin_api::{AnswerState, CallFacts, Common, Endpoint, ModelCall, Record, Tokens, Usage};
use prices::{Cost, Prices, Terms};
use quota::{Caution, Estimates, Subject};

use crate::settings::Reserve;

/// What a call may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Nothing.
    Free,
    /// So many picodollars.
    Priced(u64),
    /// It is not known: the model has no price, or none on these terms, or cannot be told.
    Unpriced,
    /// There is no telling how much: it does not say how long its answer may be.
    Unbounded,
}

/// What is learned from once a call has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Learn {
    /// Of its text.
    bytes: u64,
    answers: u64,
    model: Subject,
    with_caller: Subject,
}

/// How tokens of input count, in thousandths of one from no cache.
const CACHE_READ: u64 = 100;
const CACHE_WRITE: u64 = 1250;

/// What the call's cost is estimated by.
pub(crate) struct Estimator<'a> {
    pub(crate) common: &'a Common,
    pub(crate) estimates: &'a Estimates,
    pub(crate) reserve: Reserve,
    /// The name of the caller's key.
    pub(crate) key: Option<&'a str>,
    /// In nanoseconds, by a clock that never goes back.
    pub(crate) now: u64,
}

impl Estimator<'_> {
    /// What a body that was read may cost.
    pub(crate) fn demand(&self, body: &ModelCall) -> Demand {
        let endpoint = body.endpoint();
        if endpoint == Endpoint::COUNT_TOKENS {
            return Demand::Free;
        }
        let generates = !endpoint.token_fields.is_empty() || endpoint.is_batch();
        let calls = body.calls();
        let bytes = (body.text().len() as u64).div_ceil((calls.len() as u64).max(1));
        let mut sum = Cost::ZERO;
        let renamed = body.model_rule().ok().flatten().and_then(|rule| rule.model.as_deref());
        for call in calls {
            match self.call(call, renamed, bytes, generates, endpoint.is_batch()) {
                Ok(cost) => sum = sum + cost,
                Err(demand) => return demand,
            }
        }
        if calls.is_empty() { Demand::Unpriced } else { Demand::Priced(u64::try_from(sum.picos()).unwrap_or(0)) }
    }

    /// What one call may cost, under the name that the route gives its model, if it does.
    fn call(
        &self,
        call: &CallFacts,
        renamed: Option<&str>,
        bytes: u64,
        generates: bool,
        is_batch: bool,
    ) -> Result<Cost, Demand> {
        let tier = if is_batch { Some("batch") } else { call.service_tier.as_deref().filter(|tier| !is_plain(tier)) };
        let speed = call.speed.as_deref();
        let mut highest = Cost::ZERO;
        // a server may read any of the names that it gives for its model
        for model in [&call.model].into_iter().chain(&call.other_models) {
            let Some(model) = renamed.or(model.as_deref()) else { return Err(Demand::Unpriced) };
            let cost = match self.reserve {
                Reserve::Expected => {
                    let terms = Terms { tier, geo: None, speed };
                    let (input, output) = self.expected(call, model, bytes, generates);
                    let tokens = prices::Tokens { input: Some(input), output: Some(output), ..Default::default() };
                    self.common.spending.highest(|prices: &Prices| prices.cost(model, &tokens, terms))
                }
                Reserve::MaxTokens => {
                    let output = if generates { call.most_tokens().ok_or(Demand::Unbounded)? } else { 0 };
                    let output = output.saturating_mul(call.answer_count());
                    // no tokenizer makes more tokens of a text than it has bytes; served in the US it may cost more
                    let terms = Terms { tier, geo: Some("us"), speed };
                    self.common.spending.highest(|prices: &Prices| prices.most(model, bytes, output, terms))
                }
            };
            highest = highest.max(cost.ok_or(Demand::Unpriced)?);
        }
        Ok(highest)
    }

    /// The tokens of input and output that such calls use.
    fn expected(&self, call: &CallFacts, model: &str, bytes: u64, generates: bool) -> (u64, u64) {
        let input = self.estimates.input(Subject::of([model]), bytes, Caution::Expected, self.now);
        if !generates {
            return (input, 0);
        }
        let usual = self.estimates.output(with_caller(model, self.key), self.now);
        let output = call.most_tokens().unwrap_or(u64::MAX).min(usual);
        (input, output.saturating_mul(call.answer_count()))
    }

    /// What is to be learned of a call.
    pub(crate) fn learn(&self, body: &ModelCall) -> Option<Learn> {
        let call = body.call().filter(|_| self.reserve == Reserve::Expected)?;
        // by the name that the estimate goes by
        let model = body.upstream_model()?;
        Some(Learn {
            bytes: body.text().len() as u64,
            answers: call.answer_count(),
            model: Subject::of([model]),
            with_caller: with_caller(model, self.key),
        })
    }
}

impl Learn {
    /// Learns from a call that ended well what the next one like it will use.
    pub(crate) fn from(self, record: &Record, estimates: &Estimates, now: u64) {
        let whole = record.answer.as_ref().filter(|answer| answer.state == AnswerState::Complete);
        let Some(Usage { tokens, .. }) = whole.and_then(|answer| answer.usage.as_ref()) else { return };
        let Tokens { input, cache_read, cache_creation, output, .. } = *tokens;
        let classes = [(input, 1000), (cache_read, CACHE_READ), (cache_creation, CACHE_WRITE)];
        let all = classes.iter().fold(0, |sum: u64, (count, _)| sum.saturating_add(count.unwrap_or(0)));
        let counted = classes
            .iter()
            .fold(0, |sum: u64, (count, weight)| sum.saturating_add(count.unwrap_or(0).saturating_mul(*weight)));
        estimates.learn_input(self.model, self.bytes, all, counted.div_ceil(1000), now);
        if let Some(output) = output {
            estimates.learn_output(self.with_caller, output.div_ceil(self.answers), now);
        }
    }
}

/// Whether these are the words for no other terms than the usual ones.
fn is_plain(tier: &str) -> bool {
    matches!(tier, "standard_only" | "auto" | "default" | "standard")
}

fn with_caller(model: &str, key: Option<&str>) -> Subject {
    Subject::of([model, key.unwrap_or_default()])
}

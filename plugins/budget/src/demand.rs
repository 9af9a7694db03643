//! What a call may cost: estimated before it is sent, by the ledger's prices, what it asks for, and what such calls used.

use std::borrow::Cow;

use plugin_api::{AnswerState, AssumedCost, CallFacts, Common, Endpoint, ModelCall, Record, Tokens, Usage};
use prices::{Cost, Prices, Terms};
use quota::{Caution, Estimate, Estimates};

use crate::settings::Reserve;

/// What a call may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Nothing.
    Free,
    /// So many picodollars.
    Priced {
        /// All of it.
        picos: u64,
        /// What counts where its cost does not become known; `None` for a batch, of which its results tell.
        assumed: Option<AssumedCost>,
    },
    /// It is not known: the model has no price, or none on these terms, or cannot be told.
    Unpriced,
    /// There is no telling how much: it does not say how long its answer may be.
    Unbounded,
}

/// What is learned from once a call has ended.
#[derive(Debug)]
pub(crate) struct Learn {
    /// Of its text.
    bytes: u64,
    answers: u64,
    estimate: Estimate,
}

/// What one call may cost.
#[derive(Clone, Copy, Default)]
struct CallCost {
    whole: Cost,
    /// What counts at least where it is cut off before anything is known of it.
    cut_off: Cost,
    input: Cost,
    most_output: u64,
}

/// What is known of the calls to one model.
pub(crate) struct ModelEstimate<'a> {
    model: &'a str,
    estimate: Estimate,
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
    /// What is known of calls to the model that a body asks for, where a reservation goes by that.
    pub(crate) fn model_estimate<'b>(&self, body: &'b ModelCall) -> Option<ModelEstimate<'b>> {
        let model = body.upstream_model().filter(|_| self.reserve == Reserve::Expected)?;
        Some(ModelEstimate { model, estimate: self.estimate(model) })
    }

    fn estimate(&self, model: &str) -> Estimate {
        self.estimates.of(model, self.key, Caution::Expected, self.now)
    }

    /// What a body that was read may cost.
    pub(crate) fn demand(&self, body: &ModelCall, known: Option<&ModelEstimate<'_>>) -> Demand {
        let endpoint = body.endpoint();
        if endpoint == Endpoint::COUNT_TOKENS {
            return Demand::Free;
        }
        let calls = body.calls();
        let bytes = (body.text().len() as u64).div_ceil((calls.len() as u64).max(1));
        let mut all = CallCost::default();
        for call in calls {
            match self.call(body, call, known, bytes) {
                Ok(cost) => all = all.with(cost),
                Err(demand) => return demand,
            }
        }
        if calls.is_empty() {
            return Demand::Unpriced;
        }
        let assumed = (!endpoint.is_batch()).then(|| all.assumed());
        Demand::Priced { picos: u64::try_from(all.whole.picos()).unwrap_or(0), assumed }
    }

    /// What one call may cost, under the name that the route gives its model, if it does. Where it is cut off, what such calls cost counts,
    /// or where the most is reserved, the most that its input can cost.
    fn call(
        &self,
        body: &ModelCall,
        call: &CallFacts,
        known: Option<&ModelEstimate<'_>>,
        bytes: u64,
    ) -> Result<CallCost, Demand> {
        let endpoint = body.endpoint();
        let renamed = body.model_rule_of(call).ok().flatten().and_then(|rule| rule.model.as_deref());
        let generates = !endpoint.token_fields.is_empty() || endpoint.is_batch();
        let tier = if endpoint.is_batch() {
            Some("batch")
        } else {
            call.service_tier.as_deref().filter(|tier| !is_plain(tier))
        };
        let speed = call.speed.as_deref();
        let most_output = call.most_tokens().unwrap_or(u64::MAX).saturating_mul(call.answer_count());
        let mut highest = CallCost { most_output, ..CallCost::default() };
        // a server may read any of the names that it gives for its model
        for model in [&call.model].into_iter().chain(&call.other_models) {
            let Some(model) = renamed.or(model.as_deref()) else { return Err(Demand::Unpriced) };
            let cost = match self.reserve {
                Reserve::Expected => {
                    let terms = Terms { tier, geo: None, speed };
                    let own = known.filter(|known| known.model == model).map(|known| Cow::Borrowed(&known.estimate));
                    let estimate = own.unwrap_or_else(|| Cow::Owned(self.estimate(model)));
                    let output = if generates { expected_output(call, &estimate) } else { 0 };
                    let input = Some(estimate.input(bytes));
                    let tokens = |output| prices::Tokens { input, output: Some(output), ..Default::default() };
                    let costs = self.common.spending.highest(|prices: &Prices| {
                        let price = prices.find(model)?;
                        Some([price.cost(&tokens(output), terms)?, price.cost(&tokens(0), terms)?])
                    });
                    costs.map(|[whole, input]| (whole, whole, input))
                }
                Reserve::MaxTokens => {
                    let output = if generates { call.most_tokens().ok_or(Demand::Unbounded)? } else { 0 };
                    let output = output.saturating_mul(call.answer_count());
                    // no tokenizer makes more tokens of a text than it has bytes; served in the US it may cost more
                    let terms = Terms { tier, geo: Some("us"), speed };
                    let costs = self.common.spending.highest(|prices: &Prices| {
                        let price = prices.find(model)?;
                        Some([price.most(bytes, output, terms)?, price.most(bytes, 0, terms)?])
                    });
                    costs.map(|[whole, input]| (whole, input, input))
                }
            };
            let (whole, cut_off, input) = cost.ok_or(Demand::Unpriced)?;
            highest.whole = highest.whole.max(whole);
            highest.cut_off = highest.cut_off.max(cut_off);
            highest.input = highest.input.max(input);
        }
        Ok(highest)
    }
}

impl CallCost {
    fn with(self, other: Self) -> Self {
        Self {
            whole: self.whole + other.whole,
            cut_off: self.cut_off + other.cut_off,
            input: self.input + other.input,
            most_output: self.most_output.saturating_add(other.most_output),
        }
    }

    fn assumed(self) -> AssumedCost {
        AssumedCost {
            answered: Some(self.whole.picos()),
            cut_off: self.cut_off.picos(),
            input: self.input.picos(),
            most_output: self.most_output,
        }
    }
}

impl ModelEstimate<'_> {
    /// What is to be learned of a call.
    pub(crate) fn learn(self, body: &ModelCall) -> Option<Learn> {
        let call = body.call()?;
        Some(Learn { bytes: body.text().len() as u64, answers: call.answer_count(), estimate: self.estimate })
    }
}

/// The tokens that the answers to such a call have, at most what it asks for.
fn expected_output(call: &CallFacts, estimate: &Estimate) -> u64 {
    call.most_tokens().unwrap_or(u64::MAX).min(estimate.output()).saturating_mul(call.answer_count())
}

impl Learn {
    /// Learns from a call that ended well what the next one like it will use.
    pub(crate) fn from(self, record: &Record) {
        let whole = record.answer.as_ref().filter(|answer| answer.state == AnswerState::Complete);
        let Some(Usage { tokens, .. }) = whole.and_then(|answer| answer.usage.as_ref()) else { return };
        let Tokens { input, cache_read, cache_creation, output, .. } = *tokens;
        let classes = [(input, 1000), (cache_read, CACHE_READ), (cache_creation, CACHE_WRITE)];
        let all = classes.iter().fold(0, |sum: u64, (count, _)| sum.saturating_add(count.unwrap_or(0)));
        let counted = classes
            .iter()
            .fold(0, |sum: u64, (count, weight)| sum.saturating_add(count.unwrap_or(0).saturating_mul(*weight)));
        self.estimate.learn_input(self.bytes, all, counted.div_ceil(1000));
        if let Some(output) = output {
            self.estimate.learn_output(output.div_ceil(self.answers));
        }
    }
}

/// Whether these are the words for no other terms than the usual ones.
fn is_plain(tier: &str) -> bool {
    matches!(tier, "standard_only" | "auto" | "default" | "standard")
}

//! What a call may use of limits on tokens: estimated before it is sent, by what it asks for and what such calls used.

use std::borrow::Cow;

use plugin_api::{CallFacts, Endpoint, ModelCall};
use quota::{Caution, Estimate, Estimates};

use crate::settings::{Config, Reserve, Weights};

/// What a request may use.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    /// Tokens to reserve, weighted; 0 for what is no call.
    pub(crate) reserved: u64,
    /// The part of it that is input.
    pub(crate) input: u64,
    /// What it may use at the most, weighted: its input, and all the output that it asks for.
    pub(crate) most: u64,
    /// What counts where a call ends well and its answer says nothing of tokens.
    pub(crate) unreported: u64,
    /// Whether it is a connection whose calls are counted each by itself: it counts as a request, and as no call in progress.
    pub(crate) is_connection: bool,
    /// Whether it is the first call on such a connection: the request that the connection counted as is this one.
    pub(crate) is_first_on_connection: bool,
    /// What is learned from once it has ended; `None` for a batch, and where the body was not read.
    pub(crate) learn: Option<Learn>,
}

/// What the call says about the figures in its record.
#[derive(Debug)]
pub(crate) struct Learn {
    /// Of its text.
    pub(crate) bytes: u64,
    pub(crate) answers: u64,
    pub(crate) estimate: Estimate,
}

/// The one model that a body asks for, by the name that its upstream will read, in lower case: neither another case nor another
/// alias of it has a limit of its own. None where it asks for several, or a server may read another.
pub(crate) fn model(body: &ModelCall) -> Option<Cow<'_, str>> {
    let mut calls = body.calls().iter().map(|call| sole_model(call).and_then(|_| body.upstream_model_of(call)));
    let model = calls.next().flatten()?;
    let is_sole = calls.all(|other| other.is_some_and(|other| other.eq_ignore_ascii_case(model)));
    let has_upper = || model.bytes().any(|byte| byte.is_ascii_uppercase());
    is_sole.then(|| if has_upper() { model.to_ascii_lowercase().into() } else { model.into() })
}

fn sole_model(call: &CallFacts) -> Option<&str> {
    call.model.as_deref().filter(|model| call.other_models.iter().all(|other| other.as_deref() == Some(*model)))
}

impl Demand {
    /// Of a body that is not read, or cannot be.
    pub(crate) fn unread(tokens: u64) -> Self {
        Self { reserved: tokens, input: tokens, most: tokens, unreported: tokens, ..Self::default() }
    }

    /// Of a body that was read, which asks for this model with this key.
    pub(crate) fn of(
        body: &ModelCall,
        model: Option<&str>,
        key: Option<&str>,
        config: &Config,
        estimates: &Estimates,
        now: u64,
    ) -> Self {
        let endpoint = body.endpoint();
        if endpoint == Endpoint::COUNT_TOKENS {
            return Self::default();
        }
        let weights = &config.weights;
        let bytes = body.text().len() as u64;
        let caution = match config.reserve {
            Reserve::Expected => Caution::Expected,
            Reserve::MaxTokens => Caution::Most,
        };
        let estimate = estimates.of(model.unwrap_or_default(), key, caution, now);
        let (input, usual) = match config.reserve {
            // what is learned of it is weighted already
            Reserve::Expected => (estimate.input(bytes), Some(estimate.output())),
            Reserve::MaxTokens => (weighted(estimate.input(bytes), weights.input.0.max(weights.cache_write.0)), None),
        };
        let generates = !endpoint.token_fields.is_empty() || endpoint.is_batch();
        let of_all = |usual| {
            let outputs = body.calls().iter().filter(|_| generates).map(|call| output(call, usual));
            weighted(outputs.fold(0, u64::saturating_add), weights.output.0)
        };
        let output = of_all(usual);
        let reserved = input.saturating_add(output);
        let most = input.saturating_add(of_all(None));
        // a call without a bound may be reserved as all there is, but nobody is charged that for an answer that says nothing
        let likely = if generates { estimate.output() } else { 0 };
        let all_answers = body.calls().iter().map(CallFacts::answer_count).fold(0, u64::saturating_add);
        let likely = weighted(likely.saturating_mul(all_answers), weights.output.0);
        let learn = body.call().map(|call| Learn { bytes, answers: call.answer_count(), estimate });
        Self {
            reserved: reserved.max(1),
            input,
            most,
            unreported: input.saturating_add(output.min(likely)),
            is_connection: false,
            is_first_on_connection: body.is_first_on_websocket,
            learn,
        }
    }
}

/// The most tokens that the answers to a call may have: what it asks for, in whatever spelling a server might read; where it is
/// known what is usual, no more than that.
fn output(call: &CallFacts, usual: Option<u64>) -> u64 {
    let asked = call.most_tokens().unwrap_or(u64::MAX);
    asked.min(usual.unwrap_or(u64::MAX)).saturating_mul(call.answer_count())
}

/// So many tokens of this weight, in thousandths, rounded up.
fn weighted(tokens: u64, weight: u64) -> u64 {
    from_thousandths(u128::from(tokens) * u128::from(weight))
}

/// Rounded up; the most there can be where it is more.
fn from_thousandths(thousandths: u128) -> u64 {
    match u64::try_from(thousandths) {
        Ok(thousandths) => thousandths.div_ceil(1000),
        Err(_) => u64::try_from(thousandths.div_ceil(1000)).unwrap_or(u64::MAX),
    }
}

/// What tokens count together.
pub(crate) fn count(tokens: &plugin_api::Tokens, weights: &Weights) -> u64 {
    let class = |tokens: Option<u64>, weight: u64| u128::from(tokens.unwrap_or(0)) * u128::from(weight);
    let thousandths = class(tokens.input, weights.input.0)
        + class(tokens.cache_read, weights.cache_read.0)
        + class(tokens.cache_creation, weights.cache_write.0)
        + class(tokens.output, weights.output.0);
    from_thousandths(thousandths)
}

#[cfg(test)]
mod tests {
    use plugin_api::testing::{TestCall, batch};
    use plugin_api::{AnswerModel, Glob, ModelRule, RouteModels};

    use super::*;

    #[test]
    fn another_case_or_alias_of_a_model_is_no_other_model() {
        let call = |name: &str| TestCall::new().model(name).to(Endpoint::MESSAGES);
        assert_eq!(model(&call("Claude-OPUS-5")).as_deref(), Some("claude-opus-5"));
        let (pattern, answer_model) = (Glob::new("fast*"), AnswerModel::Served);
        let rule = ModelRule { pattern, model: Some("Claude-Haiku-4-5".into()), upstream: None, answer_model };
        let models = RouteModels::new(vec![rule]);
        for alias in ["fast", "FAST-2", "fast3"] {
            let aliased = call(alias).on_route(models.clone());
            assert_eq!(model(&aliased).as_deref(), Some("claude-haiku-4-5"), "{alias}");
        }
        let of_batch = |names: &[&str]| {
            let calls = names.iter().map(|name| TestCall::new().model(name)).collect();
            model(&batch(calls).on_route(models.clone())).map(Cow::into_owned)
        };
        assert_eq!(of_batch(&["fast", "claude-haiku-4-5", "FAST-2"]).as_deref(), Some("claude-haiku-4-5"));
        assert_eq!(of_batch(&["fast", "claude-opus-5"]), None);
    }
}

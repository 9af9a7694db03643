//! Tokens that answers report, and the time to the first token, under the names of existing dashboards (`claude_tokens_total`) and
//! those of OpenTelemetry's conventions for generative AI.

use std::collections::hash_map::Entry;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use ahash::{AHashMap, AHashSet};
use plugin_api::{Endpoint, Record, Tokens as Counts};
use prometheus::{Histogram, HistogramOpts, IntCounter, Opts, Registry};

use super::models::{ModelNames, OTHER};

/// The most models with a label of their own. All others share one.
const MOST_MODELS: usize = 100;

/// The buckets for tokens: powers of four as the conventions advise, without some that separate few answers.
const TOKENS: [f64; 8] = [16.0, 256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0];
/// The buckets for the time to the first token, in seconds.
const SECONDS: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The tokens of all answers.
#[derive(Debug)]
pub(super) struct Tokens {
    registry: Registry,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    models: AHashSet<Box<str>>,
    domains: AHashMap<Box<str>, AHashMap<Box<str>, Counters>>,
    histograms: AHashMap<Operation, AHashMap<Box<str>, Histograms>>,
}

/// The counters of one domain and model. The sum of the four classes is all tokens; reasoning is a part of the output and has a counter
/// of its own.
#[derive(Debug)]
struct Counters {
    input: IntCounter,
    cache_read: IntCounter,
    cache_creation: IntCounter,
    output: IntCounter,
    reasoning: IntCounter,
}

/// The OpenTelemetry histograms of one operation and model. Each is created with its first value.
#[derive(Debug, Default)]
struct Histograms {
    input: Option<Histogram>,
    output: Option<Histogram>,
    first_token: Option<Histogram>,
}

/// The values of one answer for the histograms.
#[derive(Clone, Copy, Debug)]
struct Observation {
    input: Option<u64>,
    output: Option<u64>,
    first_token: Option<Duration>,
}

/// An operation and its provider, as the conventions name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Operation {
    name: &'static str,
    provider: &'static str,
}

impl Operation {
    fn of(endpoint: Endpoint) -> Self {
        Self { name: endpoint.operation, provider: endpoint.protocol.provider }
    }
}

impl Tokens {
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, known: RwLock::default() }
    }

    /// Counts the usage of an upstream's answer. Answers from plugins, such as cached ones, are not billed and not counted.
    pub(super) fn finished(&self, domain: &str, models: &ModelNames, record: &Record) {
        let (Some(endpoint), Some(answer)) = (record.endpoint, &record.answer) else { return };
        let counts = answer.usage.as_ref().map(|usage| usage.tokens);
        if counts.is_none() && record.first_token.is_none() {
            return;
        }
        let model =
            answer.model.as_deref().or_else(|| record.model_at_upstream()).map_or(OTHER, |model| models.label(model));
        let one =
            AnswerCounts { domain, model, operation: Operation::of(endpoint), counts, first_token: record.first_token };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.count(&one) {
            return;
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = known.learn(&self.registry, &one) {
            super::cannot_be_made(&error);
            return;
        }
        known.count(&one);
    }
}

/// The labels and values of one answer.
struct AnswerCounts<'a> {
    domain: &'a str,
    model: &'a str,
    operation: Operation,
    counts: Option<Counts>,
    first_token: Option<Duration>,
}

impl AnswerCounts<'_> {
    fn observation(&self) -> Observation {
        let inputs = self.counts.map(|counts| [counts.input, counts.cache_read, counts.cache_creation]);
        let known = inputs.filter(|inputs| inputs.iter().any(Option::is_some));
        Observation {
            input: known.map(|known| known.iter().flatten().fold(0, |sum: u64, part| sum.saturating_add(*part))),
            output: self.counts.and_then(|counts| counts.output),
            first_token: self.first_token,
        }
    }
}

impl Known {
    fn label<'a>(&self, model: &'a str) -> &'a str {
        if self.models.contains(model) { model } else { OTHER }
    }

    /// Counts an answer if its series exist and its model needs no new label.
    fn count(&self, one: &AnswerCounts<'_>) -> bool {
        let model = self.label(one.model);
        if model == OTHER && self.may_learn(one.model) {
            return false;
        }
        let counters = self.domains.get(one.domain).and_then(|models| models.get(model));
        let histograms = self.histograms.get(&one.operation).and_then(|models| models.get(model));
        let (Some(counters), Some(histograms)) = (counters, histograms) else { return false };
        if !histograms.observe(one.observation()) {
            return false;
        }
        if let Some(counts) = one.counts {
            counters.add(counts);
        }
        true
    }

    fn may_learn(&self, model: &str) -> bool {
        model != OTHER && self.models.len() < MOST_MODELS
    }

    /// Creates the series that this answer lacks.
    fn learn(&mut self, registry: &Registry, one: &AnswerCounts<'_>) -> prometheus::Result<()> {
        if self.may_learn(one.model) {
            self.models.insert(one.model.into());
        }
        let model = self.label(one.model);
        let models = self.domains.entry(one.domain.into()).or_default();
        if let Entry::Vacant(counters) = models.entry(model.into()) {
            counters.insert(Counters::new(registry, one.domain, model)?);
        }
        let models = self.histograms.entry(one.operation).or_default();
        models.entry(model.into()).or_default().learn(registry, one.operation, model, one.observation())
    }
}

impl Counters {
    fn new(registry: &Registry, domain: &str, model: &str) -> prometheus::Result<Self> {
        let options =
            |name: &str, help: &str| Opts::new(name, help).const_label("domain", domain).const_label("model", model);
        let counter = |options: Opts| {
            let counter = IntCounter::with_opts(options)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let of_type = |kind| {
            let options = options("claude_tokens_total", "Tokens that upstreams reported; input is uncached");
            counter(options.const_label("type", kind))
        };
        Ok(Self {
            input: of_type("input")?,
            cache_read: of_type("cache_read")?,
            cache_creation: of_type("cache_creation")?,
            output: of_type("output")?,
            reasoning: counter(options("tollgate_reasoning_tokens_total", "Tokens of the output that were reasoning"))?,
        })
    }

    fn add(&self, counts: Counts) {
        for (counter, count) in [
            (&self.input, counts.input),
            (&self.cache_read, counts.cache_read),
            (&self.cache_creation, counts.cache_creation),
            (&self.output, counts.output),
            (&self.reasoning, counts.reasoning),
        ] {
            counter.inc_by(count.unwrap_or(0));
        }
    }
}

impl Histograms {
    /// Creates the histograms that this answer needs.
    fn learn(
        &mut self,
        registry: &Registry,
        operation: Operation,
        model: &str,
        observation: Observation,
    ) -> prometheus::Result<()> {
        let make = |histogram: &mut Option<Histogram>, is_needed: bool, options: HistogramOpts| {
            if histogram.is_none() && is_needed {
                let options = options
                    .const_label("gen_ai_operation_name", operation.name)
                    .const_label("gen_ai_provider_name", operation.provider)
                    .const_label("gen_ai_response_model", model);
                let made = Histogram::with_opts(options)?;
                registry.register(Box::new(made.clone()))?;
                *histogram = Some(made);
            }
            Ok::<_, prometheus::Error>(())
        };
        let usage = |kind| {
            let options = HistogramOpts::new("gen_ai_client_token_usage", "Tokens of an answer, cached input included");
            options.buckets(TOKENS.to_vec()).const_label("gen_ai_token_type", kind)
        };
        let help = "Seconds from the head of a request to the first content of its stream";
        let first_token = HistogramOpts::new("gen_ai_server_time_to_first_token", help).buckets(SECONDS.to_vec());
        make(&mut self.input, observation.input.is_some(), usage("input"))?;
        make(&mut self.output, observation.output.is_some(), usage("output"))?;
        make(&mut self.first_token, observation.first_token.is_some(), first_token)
    }

    /// Observes an answer if the histograms that it needs exist.
    #[expect(clippy::cast_precision_loss, reason = "a histogram's sum is a float anyway")]
    fn observe(&self, observation: Observation) -> bool {
        let all = [
            (&self.input, observation.input.map(|tokens| tokens as f64)),
            (&self.output, observation.output.map(|tokens| tokens as f64)),
            (&self.first_token, observation.first_token.map(|time| time.as_secs_f64())),
        ];
        if all.iter().any(|(histogram, figure)| histogram.is_none() && figure.is_some()) {
            return false;
        }
        for (histogram, figure) in all {
            if let (Some(histogram), Some(figure)) = (histogram, figure) {
                histogram.observe(figure);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;

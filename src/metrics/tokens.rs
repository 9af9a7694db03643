//! Tokens that answers report, and the speed of streams, under the names of existing dashboards (`claude_tokens_total`) and
//! those of OpenTelemetry's conventions for generative AI.

mod answers;

use std::collections::hash_map::Entry;
use std::sync::{PoisonError, RwLock};

use ahash::{AHashMap, AHashSet};
use plugin_api::{Record, Tokens as Counts};
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{IntCounter, Opts, Registry};

use super::family::family;
use super::models::{ModelNames, OTHER};
use answers::{Histograms, Observation, Operation};

/// The most models with a label of their own. All others share one.
const MOST_MODELS: usize = 100;

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
        let observation = Observation::of(record, counts);
        let one = AnswerCounts { domain, model, operation: Operation::of(endpoint), counts, observation };
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

    /// All tokens so far, under their name in the conventions of today.
    pub(super) fn inference_tokens(&self) -> MetricFamily {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let by_model =
            known.histograms.iter().flat_map(|(operation, models)| models.iter().map(move |one| (*operation, one)));
        family(
            "gen_ai_client_inference_tokens",
            "Tokens that answers reported, cached input included",
            MetricType::COUNTER,
            by_model.flat_map(|(operation, (model, histograms))| histograms.tokens(operation, model)).collect(),
        )
    }
}

/// The labels and values of one answer.
struct AnswerCounts<'a> {
    domain: &'a str,
    model: &'a str,
    operation: Operation,
    counts: Option<Counts>,
    observation: Observation,
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
        if !histograms.observe(one.observation) {
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
        models.entry(model.into()).or_default().learn(registry, one.operation, model, one.observation)
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

#[cfg(test)]
mod tests;

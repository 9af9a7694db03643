//! The figures of answers under the names of OpenTelemetry's conventions for generative AI: tokens, and the speed of streams.

use std::time::Duration;

use plugin_api::{Endpoint, Outcome, Record, Tokens as Counts};
use prometheus::proto::{LabelPair, Metric};
use prometheus::{Histogram, HistogramOpts, Registry};

use crate::metrics::family::{counter, label};

/// The buckets for tokens: powers of four as the conventions advise, without some that separate few answers.
const TOKENS: [f64; 8] = [16.0, 256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0];
/// The buckets for the time to the first token, in seconds.
const FIRST: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// The buckets for the time of each further token, in seconds.
const FURTHER: [f64; 11] = [0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.4, 1.0, 2.5];

/// An operation and its provider, as the conventions name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) provider: &'static str,
}

/// The figures of one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    input: Option<u64>,
    output: Option<u64>,
    first_token: Option<Duration>,
    /// The time of each token behind the first.
    per_token: Option<Duration>,
}

/// The histograms of one operation and model. Each is created with its first value.
#[derive(Debug, Default)]
pub(super) struct Histograms {
    input: Option<Histogram>,
    output: Option<Histogram>,
    first_token: Option<Histogram>,
    per_token: Option<Histogram>,
}

impl Operation {
    pub(super) fn of(endpoint: Endpoint) -> Self {
        Self { name: endpoint.operation, provider: endpoint.protocol.provider }
    }
}

impl Observation {
    /// The figures of an answer whose tokens are these.
    pub(super) fn of(record: &Record, counts: Option<Counts>) -> Self {
        let inputs = counts.map(|counts| [counts.input, counts.cache_read, counts.cache_creation]);
        let known = inputs.filter(|inputs| inputs.iter().any(Option::is_some));
        let output = counts.and_then(|counts| counts.output);
        Self {
            input: known.map(|known| known.iter().flatten().fold(0, |sum: u64, part| sum.saturating_add(*part))),
            output,
            first_token: record.first_token,
            per_token: per_token(record, output),
        }
    }
}

/// The time of each token behind the first, of a stream that came to its end.
fn per_token(record: &Record, output: Option<u64>) -> Option<Duration> {
    let further = u32::try_from(output?.saturating_sub(1)).ok().filter(|further| *further > 0)?;
    let is_whole = record.outcome == Outcome::Completed;
    record.first_token.filter(|_| is_whole).map(|first| record.total.saturating_sub(first) / further)
}

impl Histograms {
    /// Creates the histograms that this answer needs.
    pub(super) fn learn(
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
        let first_token = HistogramOpts::new("gen_ai_server_time_to_first_token", help).buckets(FIRST.to_vec());
        let help = "Seconds of each token behind the first, of streams that came to their end";
        let per_token = HistogramOpts::new("gen_ai_server_time_per_output_token", help).buckets(FURTHER.to_vec());
        make(&mut self.input, observation.input.is_some(), usage("input"))?;
        make(&mut self.output, observation.output.is_some(), usage("output"))?;
        make(&mut self.first_token, observation.first_token.is_some(), first_token)?;
        make(&mut self.per_token, observation.per_token.is_some(), per_token)
    }

    /// Observes an answer if the histograms that it needs exist.
    #[expect(clippy::cast_precision_loss, reason = "a histogram's sum is a float anyway")]
    pub(super) fn observe(&self, observation: Observation) -> bool {
        let all = [
            (&self.input, observation.input.map(|tokens| tokens as f64)),
            (&self.output, observation.output.map(|tokens| tokens as f64)),
            (&self.first_token, observation.first_token.map(|time| time.as_secs_f64())),
            (&self.per_token, observation.per_token.map(|time| time.as_secs_f64())),
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

    /// All tokens so far by type, as the conventions of today count them: the sums of the histograms that those before had.
    pub(super) fn tokens<'a>(&'a self, operation: Operation, model: &'a str) -> impl Iterator<Item = Metric> + 'a {
        let by_type = [("input", &self.input), ("output", &self.output)];
        by_type.into_iter().filter_map(move |(kind, histogram)| {
            let labels: [(&str, &str); 4] = [
                ("gen_ai_operation_name", operation.name),
                ("gen_ai_provider_name", operation.provider),
                ("gen_ai_response_model", model),
                ("gen_ai_token_type", kind),
            ];
            let labels: Vec<LabelPair> = labels.iter().map(|(name, value)| label(name, value)).collect();
            Some(counter(labels, histogram.as_ref()?.get_sample_sum() as u64))
        })
    }
}

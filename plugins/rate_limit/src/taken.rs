//! What was reserved for a request, and how it is settled once the request is over.

use std::sync::Arc;

use plugin_api::{AnswerState, CallMeter, Endpoint, Outcome, Record, Tokens, Usage, WindowCount};
use quota::{Now, Reservation, Subject};
use quota_leases::Leases;

use crate::demand::{self, Demand};
use crate::rules::Measure;
use crate::settings::{Config, Weights};

/// What was reserved for a request. Dropped, it gives back what is held.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) reservations: Vec<Reservation>,
    pub(crate) count: Arc<CallCount>,
}

/// How a request is counted once it is over. The ledger asks it for the same as the limits.
#[derive(Debug)]
pub(crate) struct CallCount {
    demand: Demand,
    weights: Weights,
    charge_hits: bool,
    /// The days and months that it is counted in and that outlive a restart.
    windows: Vec<CountedWindow>,
}

/// A count of a day or a month.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedWindow {
    pub(crate) limit: Subject,
    pub(crate) subject: Subject,
    pub(crate) measure: Measure,
    /// The first second behind it.
    pub(crate) until: i64,
}

impl Taken {
    /// The request is over: what it used is counted, and the rest given back.
    pub(crate) fn settle(self, record: &Record, config: &Config, now: Now, leases: Option<&Arc<Leases>>) {
        self.count.demand.learn_from(record, config);
        let used = self.count.used(record);
        for reservation in self.reservations {
            let amount = Measure::of(&reservation).used(used);
            if let Some(leases) = leases {
                leases.settle(reservation, amount, now);
            } else {
                reservation.settle(amount, now);
            }
        }
    }
}

impl CallCount {
    pub(crate) fn new(demand: Demand, config: &Config, windows: Vec<CountedWindow>) -> Self {
        Self { demand, weights: config.weights, charge_hits: config.charge_hits, windows }
    }
}

impl CallMeter for CallCount {
    fn used(&self, record: &Record) -> Option<u64> {
        let (demand, weights) = (&self.demand, &self.weights);
        let usage = record.answer.as_ref().and_then(|answer| answer.usage.as_ref());
        let reported = usage.map(|usage| demand::count(&usage.tokens, weights));
        let was_sent = record.attempts > 0;
        if let Some(batched) = &record.context.batched {
            // what it will use is not known yet, and later nobody counts it
            if batched.outlives_request() {
                return Some(demand.reserved);
            }
            if batched.is_counted() || batched.counts_nothing() {
                return None;
            }
        }
        match record.outcome {
            Outcome::Cached if self.charge_hits => {
                let saved = record.saved.as_ref().and_then(|answer| answer.usage.as_ref());
                Some(saved.map_or(demand.unreported, |usage| demand::count(&usage.tokens, weights)))
            }
            Outcome::Cached => None,
            // what was used is that of an answer that was discarded
            _ if record.outcome != Outcome::Completed && !was_sent => reported,
            // nothing came of it; unless the provider says that it was used, it was not
            Outcome::Refused | Outcome::UpstreamFailed if !has_begun(record) => reported,
            Outcome::Refused | Outcome::UpstreamFailed | Outcome::ClientGone | Outcome::Aborted => {
                Some(so_far(demand, record, usage, weights))
            }
            Outcome::Completed => Some(reported.unwrap_or_else(|| {
                let is_free = !record.is_success() || record.endpoint == Some(Endpoint::COUNT_TOKENS);
                if is_free { 0 } else { demand.unreported }
            })),
        }
    }

    fn changes(&self, before: Option<u64>, now: Option<u64>) -> Vec<WindowCount> {
        let whole = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
        let changes = self.windows.iter().map(|window| WindowCount {
            limit: window.limit.to_bytes(),
            subject: window.subject.to_bytes(),
            until: window.until,
            amount: whole(window.measure.used(now)).saturating_sub(whole(window.measure.used(before))),
        });
        changes.filter(|change| change.amount != 0).collect()
    }
}

/// Whether the client has got some of an answer of the upstream's.
fn has_begun(record: &Record) -> bool {
    record.response_bytes > 0 && record.is_success()
}

/// What a call used that was cut off: its input, and as much output as came, however little of it the answer had said by then.
/// A stream of Anthropic's begins with the figures of its input, and with an output of one.
fn so_far(demand: &Demand, record: &Record, usage: Option<&Usage>, weights: &Weights) -> u64 {
    if let Some(answer) = record.answer.as_ref().filter(|answer| answer.state == AnswerState::Complete)
        && let Some(usage) = &answer.usage
    {
        return demand::count(&usage.tokens, weights);
    }
    let came = record.output_by_bytes();
    let output = |tokens: u64| Tokens { output: Some(tokens), ..Tokens::default() };
    match usage {
        Some(Usage { tokens, .. }) => {
            let known = Tokens { output: Some(tokens.output.unwrap_or(0).max(came)), ..*tokens };
            // what an answer has said is true, and what is only inferred stays within what was asked for
            let most = demand.most.max(demand::count(tokens, weights));
            demand::count(&known, weights).min(most)
        }
        None => demand.input.saturating_add(demand::count(&output(came), weights)).min(demand.most),
    }
}

impl Demand {
    /// Learns from a call that ended well what the next one like it will use.
    fn learn_from(&self, record: &Record, config: &Config) {
        let whole = record.answer.as_ref().filter(|answer| answer.state == AnswerState::Complete);
        let (Some(learn), Some(Usage { tokens, .. })) = (&self.learn, whole.and_then(|answer| answer.usage.as_ref()))
        else {
            return;
        };
        let input = Tokens { output: None, ..*tokens };
        let all =
            [input.input, input.cache_read, input.cache_creation].into_iter().flatten().fold(0, u64::saturating_add);
        let counted = demand::count(&input, &config.weights);
        learn.estimate.learn_input(learn.bytes, all, counted);
        if let Some(output) = tokens.output {
            learn.estimate.learn_output(output.div_ceil(learn.answers));
        }
    }
}

#[cfg(test)]
mod tests;

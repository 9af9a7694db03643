//! What was reserved for a request, and how it is settled once the request is over.

use std::sync::Arc;

use plugin_api::{AnswerState, Endpoint, Outcome, Record, Usage};
use quota::Reservation;
use quota_leases::Leases;

use crate::demand::{self, Demand};
use crate::figures::Held;
use crate::rules::Measure;
use crate::settings::Config;
use crate::shared::Shared;

/// Bytes of an answer for each of its tokens, where nothing else is known of it: of a stream of events, and of others.
const BYTES_PER_TOKEN: (u64, u64) = (64, 4);

/// What was reserved for a request. Dropped, it gives back what is held.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) items: Vec<Item>,
    pub(crate) demand: Demand,
}

/// What was reserved of one limit.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) reservation: Reservation,
    pub(crate) measure: Measure,
    /// Shows it for as long as it is held.
    pub(crate) held: Option<Held>,
}

impl Taken {
    /// The request is over: what it used is counted, and the rest given back.
    pub(crate) fn settle(self, record: &Record, config: &Config, shared: &Shared, leases: Option<&Arc<Leases>>) {
        let now = shared.now();
        self.demand.learn_from(record, config, shared, now.nanos);
        let used = used(&self.demand, record, config);
        for Item { reservation, measure, held } in self.items {
            let amount = match (measure, used) {
                (Measure::Requests, Some(_)) => 1,
                (Measure::Tokens, Some(tokens)) => tokens,
                (Measure::Concurrent, _) | (_, None) => 0,
            };
            if let Some(leases) = leases {
                leases.settle(reservation, amount);
            } else {
                reservation.settle(amount, now);
            }
            drop(held);
        }
    }
}

/// The tokens that a request used, weighted; `None` where it costs nothing, not even a request.
fn used(demand: &Demand, record: &Record, config: &Config) -> Option<u64> {
    let usage = record.answer.as_ref().and_then(|answer| answer.usage.as_ref());
    let reported = usage.map(|usage| demand::count(&usage.tokens, &config.weights));
    let was_sent = record.attempts > 0;
    match record.outcome {
        Outcome::Cached if config.charge_hits => {
            let saved = record.saved.as_ref().and_then(|answer| answer.usage.as_ref());
            Some(saved.map_or(demand.unreported, |usage| demand::count(&usage.tokens, &config.weights)))
        }
        Outcome::Cached => None,
        // refused below, or nothing came of it; unless the provider says that it was used, it was not
        Outcome::Refused | Outcome::UpstreamFailed => reported,
        Outcome::ClientGone | Outcome::Aborted if !was_sent => None,
        Outcome::ClientGone | Outcome::Aborted => Some(reported.unwrap_or_else(|| so_far(demand, record))),
        Outcome::Completed => Some(reported.unwrap_or_else(|| {
            let is_success = record.status.is_some_and(|status| status.is_success());
            let is_free = !is_success || record.endpoint == Some(Endpoint::COUNT_TOKENS);
            if is_free { 0 } else { demand.unreported }
        })),
    }
}

/// What a call used that was cut off before its answer said so: its input, and as much output as came.
fn so_far(demand: &Demand, record: &Record) -> u64 {
    let bytes = if record.streaming == Some(true) { BYTES_PER_TOKEN.0 } else { BYTES_PER_TOKEN.1 };
    demand.input.saturating_add(record.response_bytes / bytes).min(demand.reserved)
}

impl Demand {
    /// Learns from a call that ended well what the next one like it will use.
    fn learn_from(&self, record: &Record, config: &Config, shared: &Shared, now: u64) {
        let whole = record.answer.as_ref().filter(|answer| answer.state == AnswerState::Complete);
        let (Some(learn), Some(Usage { tokens, .. })) = (self.learn, whole.and_then(|answer| answer.usage.as_ref()))
        else {
            return;
        };
        let input = plugin_api::Tokens { output: None, ..*tokens };
        let all =
            [input.input, input.cache_read, input.cache_creation].into_iter().flatten().fold(0, u64::saturating_add);
        let counted = demand::count(&input, &config.weights);
        shared.estimates.learn_input(learn.model.alone, learn.bytes, all, counted, now);
        if let Some(output) = tokens.output {
            shared.estimates.learn_output(learn.model.with_caller, output.div_ceil(learn.answers), now);
        }
    }
}

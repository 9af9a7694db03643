//! The metrics of the plugin.

use std::sync::Arc;

use plugin_api::constant_metric;
use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts};

use crate::entry::Failure;
use crate::state::{Phase, Stage};
use crate::store::Store;

/// The metrics, of all stores together.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    calls: IntCounterVec,
    submissions: IntCounterVec,
    waiting: IntGaugeVec,
    bytes: IntGauge,
}

/// What becomes of a call where it is answered, beside the failures.
pub(crate) const ANSWERED: &str = "answered";
pub(crate) const DEFERRED: &str = "deferred";
pub(crate) const FETCHED: &str = "fetched";

impl Figures {
    pub(crate) fn new() -> Self {
        let counters = |name: &str, help: &str| constant_metric(IntCounterVec::new(Opts::new(name, help), &["result"]));
        let calls = counters(
            "tollgate_batch_calls_total",
            "Requests that asked for a batch, by what the client got: answered, deferred (202), fetched, or why there was no answer",
        );
        let submissions = counters("tollgate_batch_submissions_total", "Steps of batches, by what came of them");
        let waiting = IntGaugeVec::new(
            Opts::new("tollgate_batch_stored_calls", "Calls in the store, by how far they are"),
            &["stage"],
        );
        let bytes = IntGauge::new("tollgate_batch_stored_bytes", "Bytes of calls and answers in the store");
        let figures = Self { calls, submissions, waiting: constant_metric(waiting), bytes: constant_metric(bytes) };
        // series that begin at 0 show their first increase
        for result in [ANSWERED, DEFERRED, FETCHED] {
            figures.calls.with_label_values(&[result]);
        }
        for result in ["made", "ended", "unclear", "found", "absent", "refused"] {
            figures.submissions.with_label_values(&[result]);
        }
        figures
    }

    /// A client got this.
    pub(crate) fn call(&self, result: &str) {
        self.calls.with_label_values(&[result]).inc();
    }

    /// A client got no answer from a batch.
    pub(crate) fn failed(&self, why: Failure) {
        self.call(why.as_str());
    }

    /// Something came of a submission.
    pub(crate) fn submission(&self, result: &str) {
        self.submissions.with_label_values(&[result]).inc();
    }

    /// The stores hold this now.
    pub(crate) fn show(&self, stores: &[Arc<Store>]) {
        let mut counts = [("collecting", 0), ("unclear", 0), ("submitted", 0), ("answered", 0)];
        let mut bytes = 0;
        for store in stores {
            let inner = store.lock();
            bytes += inner.state.bytes();
            for held in inner.state.calls.values() {
                let stage = match &held.stage {
                    Stage::Collecting => 0,
                    Stage::In(id) => match inner.state.submissions.get(id).map(|submission| &submission.phase) {
                        Some(Phase::Unclear { .. }) => 1,
                        _ => 2,
                    },
                    Stage::Answered(_) => 3,
                };
                counts[stage].1 += 1;
            }
        }
        for (stage, count) in counts {
            self.waiting.with_label_values(&[stage]).set(count);
        }
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The metrics.
    pub(crate) fn all(&self) -> [&dyn Collector; 4] {
        [&self.calls, &self.submissions, &self.waiting, &self.bytes]
    }
}

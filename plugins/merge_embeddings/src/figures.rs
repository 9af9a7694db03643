//! What is counted of merged calls.

use std::time::Duration;

use plugin_api::constant_metric;
use plugin_api::prometheus::core::Collector;
use plugin_api::prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts};

/// How a call went upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Went {
    /// By itself, as it came.
    Alone,
    /// Together with others.
    Merged,
    /// By itself, after a merged call was of no use.
    Again,
}

/// The counts of a process.
#[derive(Debug)]
pub(crate) struct Figures {
    calls: IntCounterVec,
    merged: IntCounter,
    members: Histogram,
    waits: Histogram,
    discarded: IntCounter,
}

impl Default for Figures {
    fn default() -> Self {
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            constant_metric(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
        };
        let calls = Opts::new("tollgate_merge_calls_total", "Embedding calls by how they went upstream");
        let calls = constant_metric(IntCounterVec::new(calls, &["sent"]));
        for went in [Went::Alone, Went::Merged, Went::Again] {
            calls.with_label_values(&[went.word()]);
        }
        let counter = |name: &str, help: &str| constant_metric(IntCounter::new(name, help));
        Self {
            calls,
            merged: counter("tollgate_merge_upstream_calls_total", "Upstream calls that were made of several"),
            members: histogram(
                "tollgate_merge_members",
                "Calls that an upstream call was made of",
                &[2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
            ),
            waits: histogram(
                "tollgate_merge_wait_seconds",
                "How long calls waited for others, those included that then went alone",
                &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0],
            ),
            discarded: counter(
                "tollgate_merge_discarded_tokens_total",
                "Tokens of merged calls whose answers could not be taken apart, and that their calls' rows have beside their own; estimated where an answer could not be read, and then in no row",
            ),
        }
    }
}

impl Went {
    fn word(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Merged => "merged",
            Self::Again => "again",
        }
    }
}

impl Figures {
    pub fn went(&self, went: Went) {
        self.calls.with_label_values(&[went.word()]).inc();
    }

    pub fn waited(&self, time: Duration) {
        self.waits.observe(time.as_secs_f64());
    }

    /// A call is made of so many.
    pub fn merged(&self, members: usize) {
        self.merged.inc();
        self.members.observe(members as f64);
    }

    pub fn discarded(&self, tokens: u64) {
        self.discarded.inc_by(tokens);
    }

    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.calls.clone()),
            Box::new(self.merged.clone()),
            Box::new(self.members.clone()),
            Box::new(self.waits.clone()),
            Box::new(self.discarded.clone()),
        ]
    }
}

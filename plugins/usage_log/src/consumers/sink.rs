//! Where a consumer delivers: the contract of a sink, and which sinks there are.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use journal::Entry;
use plugin_api::OtlpSettings;

use crate::Record;
use crate::metrics::LedgerMetrics;
use crate::otlp::OtlpSink;

/// Takes records from a consumer. Its methods may block the thread that they run on.
#[async_trait]
pub(crate) trait Sink: Send {
    /// Whether a record is wanted, by its bytes: one that is not is not even decoded.
    fn wants(&self, _: &Entry<'_>) -> bool {
        true
    }

    /// Takes records, of which there is at least one, in the order of the journal. Once this has returned, they are safe: they do not come
    /// again. After a crash before that they do; and a correction of a row that came before comes as a row with the same id and a higher
    /// revision. Cancelled at any `await` where the consumer must end.
    ///
    /// # Errors
    /// Why it took none of them, or not all: they all come again.
    async fn deliver(&mut self, records: &[Record]) -> Result<(), SinkError>;
}

/// Why records were not taken.
#[derive(Clone, Debug)]
pub(crate) struct SinkError {
    /// In a word, for the metrics.
    pub(crate) kind: &'static str,
    /// In full, without secrets.
    pub(crate) why: String,
    /// When to try again, where the other side says so.
    pub(crate) retry_after: Option<Duration>,
}

/// Counts what the other side will never take.
#[derive(Clone, Debug)]
pub(crate) struct Rejections {
    metrics: Arc<LedgerMetrics>,
    consumer: String,
}

impl Rejections {
    /// So much was rejected.
    pub(crate) fn count(&self, rejected: u64) {
        self.metrics.consumer_rejected(&self.consumer, rejected);
    }
}

/// A sink that a configuration names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SinkConfig {
    /// Spans, to a collector.
    Otlp(OtlpSettings),
}

impl SinkConfig {
    /// Its name, which is that of its position, of its thread, and of its metrics. No two of a ledger have the same.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Otlp(_) => "otlp",
        }
    }

    /// The sink.
    pub(crate) fn open(&self, metrics: &Arc<LedgerMetrics>) -> Box<dyn Sink> {
        let rejections = Rejections { metrics: metrics.clone(), consumer: self.name().to_owned() };
        match self {
            Self::Otlp(settings) => Box::new(OtlpSink::new(settings, rejections)),
        }
    }
}

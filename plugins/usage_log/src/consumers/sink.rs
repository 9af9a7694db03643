//! Where a consumer delivers: the contract of a sink, and which sinks there are.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use journal::{Entry, Position};
use plugin_api::OtlpSettings;

use super::ConsumerProgress;
use crate::export::CloudEventsSink;
#[cfg(feature = "parquet")]
use crate::export::{ParquetConfig, ParquetSink};
use crate::ledger_journal::Journal;
use crate::metrics::LedgerMetrics;
use crate::otlp::OtlpSink;
use crate::{CloudEventsSettings, Record};

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
    async fn deliver(&mut self, delivery: &Delivery) -> Result<(), SinkError>;

    /// There is nothing to take at the moment; called about once a second then, and with `ending` when nothing comes any more.
    ///
    /// # Errors
    /// What it could not do. It is called again.
    async fn idle(&mut self, _ending: bool) -> Result<(), SinkError> {
        Ok(())
    }

    /// Whether a row and its correction come as one, where both are delivered together: as the row is in the end.
    fn merges_corrections(&self) -> bool {
        true
    }
}

/// Records that are delivered together.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The records, in order.
    pub(crate) records: Vec<Record>,
    /// Where they begin in the journal, and where they end.
    pub(crate) from: Position,
    pub(crate) to: Position,
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

/// What a sink has of its consumer.
#[derive(Clone, Debug)]
pub(crate) struct SinkContext {
    /// The journal that is consumed.
    pub(crate) journal: Arc<Journal>,
    pub(crate) metrics: Arc<LedgerMetrics>,
    pub(crate) progress: Arc<ConsumerProgress>,
}

impl SinkContext {
    /// The other side will never take so much.
    pub(crate) fn rejected(&self, rejected: u64) {
        self.metrics.consumer_rejected(self.progress.name(), rejected);
    }
}

#[cfg(test)]
impl SinkContext {
    /// That of a consumer of an empty journal in this folder.
    pub(crate) fn in_folder(folder: &std::path::Path) -> Self {
        let metrics = Arc::new(LedgerMetrics::new());
        let (journal, _) = crate::ledger_journal::open(&folder.join("journal"), 1 << 20, &metrics).unwrap();
        let progress = Arc::new(ConsumerProgress::new("test", &journal));
        Self { journal, metrics, progress }
    }
}

/// A sink that a configuration names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SinkConfig {
    /// Spans, to a collector.
    Otlp(OtlpSettings),
    /// Files in a folder.
    #[cfg(feature = "parquet")]
    Parquet(ParquetConfig),
    /// Events, to a receiver.
    CloudEvents(CloudEventsSettings),
}

impl SinkConfig {
    /// Its name, which is that of its position, of its thread, and of its metrics. No two of a ledger have the same.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Otlp(_) => "otlp",
            #[cfg(feature = "parquet")]
            Self::Parquet(_) => "parquet",
            Self::CloudEvents(_) => "cloudevents",
        }
    }

    /// The sink.
    pub(crate) fn open(&self, context: SinkContext) -> Box<dyn Sink> {
        match self {
            Self::Otlp(settings) => Box::new(OtlpSink::new(settings, context)),
            #[cfg(feature = "parquet")]
            Self::Parquet(config) => Box::new(ParquetSink::new(config, context)),
            Self::CloudEvents(settings) => Box::new(CloudEventsSink::new(settings, context)),
        }
    }
}

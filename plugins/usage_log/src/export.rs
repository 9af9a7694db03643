//! Where the ledger's rows go besides its database: Parquet files by hour, and `CloudEvents` by HTTP. Each is a consumer of the journal of
//! its own, so that none waits for another, nor a request or the database for any of them.

mod cloudevents;
#[cfg(feature = "parquet")]
mod parquet;

use std::path::Path;

use crate::Config;
use crate::consumers::SinkConfig;

pub(crate) use cloudevents::CloudEventsSink;
#[cfg(feature = "parquet")]
pub(crate) use parquet::{ParquetConfig, ParquetSink};

/// The sinks that a ledger's settings name; relative paths start from `base`.
pub(crate) fn sinks(config: &Config, base: &Path) -> Vec<SinkConfig> {
    let cloudevents = config.export.cloudevents.clone().map(SinkConfig::CloudEvents);
    #[cfg(feature = "parquet")]
    let parquet = ParquetConfig::new(config, base).map(SinkConfig::Parquet);
    #[cfg(not(feature = "parquet"))]
    let parquet = {
        let _ = base;
        None
    };
    [parquet, cloudevents].into_iter().flatten().collect()
}

//! Quarantine for records that the database refuses while it takes others.

use std::path::Path;

use log::error;
use plugin_api::LogLimit;

use crate::metrics::LedgerMetrics;
use crate::{Record, rejected};

/// What is written of them; each has its line in the file.
static REJECTED: LogLimit<&str> = LogLimit::new();

/// Quarantines a record. If that fails, the record is counted as lost.
pub(super) fn put(metrics: &LedgerMetrics, folder: &Path, record: &Record, why: &str) {
    metrics.rejected();
    let id = match record {
        Record::Request(row) => row.id,
        Record::Batch(row) => row.request_id,
    };
    let kept = rejected::append(folder, record, why);
    let path = rejected::path(folder);
    let file = path.display();
    match kept {
        Ok(()) => {
            if let Some(suppressed) = REJECTED.pass("kept") {
                error!(id:%, why, file:%, suppressed; "the database rejects a row of the ledger; it is quarantined");
            }
        }
        Err(error) => {
            metrics.lost("row", 1);
            if let Some(suppressed) = REJECTED.pass("lost") {
                error!(id:%, why, error:%, file:%, suppressed; "the database rejects a row of the ledger, and it cannot be quarantined");
            }
        }
    }
}

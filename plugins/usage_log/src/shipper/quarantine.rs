//! Records that the database refuses while it takes others: put aside, and told of.

use std::path::Path;

use log::error;
use plugin_api::LogLimit;

use crate::metrics::Figures;
use crate::{Record, rejected};

/// What is written of them; each has its line in the file.
static REJECTED: LogLimit<&str> = LogLimit::new();

/// Puts a record aside. It is counted as lost where even that is not possible.
pub(super) fn put(figures: &Figures, folder: &Path, record: &Record, why: &str) {
    figures.rejected();
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
                error!(id:%, why, file:%, suppressed; "the database rejects a row of the ledger; it is put aside");
            }
        }
        Err(error) => {
            figures.lost("row", 1);
            if let Some(suppressed) = REJECTED.pass("lost") {
                error!(id:%, why, error:%, file:%, suppressed; "the database rejects a row of the ledger, and it cannot be put aside");
            }
        }
    }
}

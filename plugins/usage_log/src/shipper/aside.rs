//! Records that the database refuses while it takes others: put aside, and told of.

use std::sync::Arc;

use log::error;

use crate::journal::Journal;
use crate::{Record, rejected};

/// Puts a record aside. It is counted as lost where even that is not possible.
pub(super) fn put(journal: &Arc<Journal>, record: &Record, why: &str) {
    let figures = journal.figures();
    figures.rejected();
    let id = match record {
        Record::Request(row) => row.id,
        Record::Batch(row) => row.request_id,
    };
    let kept = rejected::append(journal.folder(), record, why);
    let path = rejected::path(journal.folder());
    let file = path.display();
    match kept {
        Ok(()) => error!(id:%, why, file:%; "the database rejects a row of the ledger; it is put aside"),
        Err(error) => {
            figures.lost("row", 1);
            error!(id:%, why, error:%, file:%; "the database rejects a row of the ledger, and it cannot be put aside");
        }
    }
}

//! What waits in a ledger's journal, for the commands that compare it with the database.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use journal::{Inspection, inspect};
use uuid::Uuid;

use super::DrainingJournals;
use crate::rejected::quarantined;
use crate::{Record, encoding};

/// What a journal holds that the database may not have: the rows, by instance and number.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// Rows that are still to be shipped.
    pub rows: HashSet<(Uuid, i64)>,
    /// Rows that the database refused and that are quarantined.
    pub quarantined: HashSet<(Uuid, i64)>,
    /// Records of a later release, which a start of that release ships.
    pub unknown: u64,
    /// Those of them that are rows, where their instance is known.
    pub unknown_rows: HashSet<(Uuid, i64)>,
    /// The highest number of each instance, as far as the journal still knows.
    pub highest: Vec<(Uuid, i64)>,
}

impl Waiting {
    /// Whether a row waits here, in whichever way.
    #[must_use]
    pub fn has(&self, row: &(Uuid, i64)) -> bool {
        self.rows.contains(row) || self.quarantined.contains(row) || self.unknown_rows.contains(row)
    }
}

/// Reads the journal in a folder, and those of processes that gave it up and drain; a folder that is not there holds nothing.
///
/// # Errors
/// The disk cannot be read.
pub fn waiting(folder: &Path) -> io::Result<Waiting> {
    if !folder.exists() {
        return Ok(Waiting::default());
    }
    let mut rows = HashSet::new();
    let mut each = |record| {
        if let Record::Request(row) = record {
            rows.insert((row.instance, row.sequence));
        }
    };
    let mut found = Vec::new();
    // before this journal, which takes their rows in: what it takes meanwhile is in both, and not in neither
    let draining = DrainingJournals(folder);
    for other in draining.list()?.into_iter().chain(draining.kept()?) {
        match inspect(&other, encoding::decode, &mut each) {
            // it was taken in meanwhile
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            inspection => found.push(inspection?),
        }
    }
    found.push(inspect(folder, encoding::decode, &mut each)?);
    let Inspection { mut unknown, mut unknown_numbers, mut highest } = Inspection::default();
    for one in found {
        unknown += one.unknown;
        unknown_numbers.extend(one.unknown_numbers);
        highest.extend(one.highest);
    }
    let signed = |(instance, number): (Uuid, u64)| (instance, i64::try_from(number).unwrap_or(i64::MAX));
    Ok(Waiting {
        rows,
        quarantined: quarantined(folder)?.rows,
        unknown,
        unknown_rows: unknown_numbers.into_iter().map(signed).collect(),
        highest: highest.into_iter().map(signed).collect(),
    })
}

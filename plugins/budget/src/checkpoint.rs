//! What is stored of each budget, in a small file beside the ledger's journal: with the journal's records it is what was spent, also
//! where the database does not answer at a start.

use std::fs;
use std::io;
use std::path::Path;

use plugin_api::{LogLimit, RecordNumber, Uuid};
use quota::{Now, TimeZone};
use serde::{Deserialize, Serialize};

use crate::account::StoredUpTo;
use crate::amounts::word;
use crate::budget::{Budget, BudgetOf, Texts};

const NAME: &str = "budgets.json";
const VERSION: u32 = 1;

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    version: u32,
    /// The last record in it that has a number.
    #[serde(default)]
    mark: Option<(Uuid, i64, i16)>,
    budgets: Vec<Saved>,
}

/// One budget, in one span of time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    name: String,
    by: Vec<String>,
    span: String,
    time_zone: TimeZone,
    /// The first second of the span of time, since 1970, UTC.
    pub(crate) since: i64,
    pub(crate) spent: Vec<Spent>,
}

/// What one spender spent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) by: Texts,
    pub(crate) picos: i64,
}

impl Checkpoint {
    /// What is stored up to this point.
    pub(crate) fn of<'a>(
        budgets: impl Iterator<Item = &'a Budget>,
        point: StoredUpTo<'_>,
        last: Option<RecordNumber>,
        now: Now,
    ) -> Self {
        let saved = budgets.map(|budget| {
            let limit = budget.terms().limit;
            let spent = budget.accounts().into_iter().filter_map(|account| {
                let picos = account.stored(point, &limit, now);
                (picos != 0).then(|| Spent { by: account.texts.clone(), picos })
            });
            Saved {
                name: budget.of.name.to_string(),
                by: budget.of.by.clone().into(),
                span: word(budget.of.unit).to_owned(),
                time_zone: budget.of.time_zone,
                since: budget.of.window(now).0,
                spent: spent.collect(),
            }
        });
        let mark = last.map(|last| (last.instance, last.sequence, last.revision));
        Self { version: VERSION, mark, budgets: saved.collect() }
    }

    /// The last record in it that has a number.
    pub(crate) fn mark(&self) -> Option<RecordNumber> {
        self.mark.map(|(instance, sequence, revision)| RecordNumber { instance, sequence, revision })
    }

    /// What it has of a budget, in whatever span of time.
    pub(crate) fn find(&self, of: &BudgetOf) -> Option<&Saved> {
        let by: Vec<String> = of.by.clone().into();
        self.budgets.iter().find(|saved| {
            *saved.name == *of.name && saved.by == by && saved.span == word(of.unit) && saved.time_zone == of.time_zone
        })
    }

    /// Reads the file in a folder; nothing where there is none, or none that can be read.
    pub(crate) fn read(folder: &Path) -> Self {
        read_json(&folder.join(NAME)).filter(|read: &Self| read.version == VERSION).unwrap_or_default()
    }

    /// Writes the file in a folder. Returns its bytes.
    pub(crate) fn write(&self, folder: &Path) -> usize {
        write_json(&folder.join(NAME), self)
    }
}

/// Reads a file; nothing where there is none. One that cannot be read is logged.
pub(crate) fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    let error = match fs::read(path) {
        Ok(text) => match serde_json::from_slice(&text) {
            Ok(read) => return Some(read),
            Err(error) => error.to_string(),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => error.to_string(),
    };
    log::warn!(error, file:% = path.display(); "a file of the budgets cannot be read; they go on without it");
    None
}

/// Puts a private file in place as a whole, and returns its bytes. Where the disk does not allow it, the old one stays, and that is
/// logged.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> usize {
    let written = serde_json::to_vec(value).map_err(io::Error::from);
    let written = written.and_then(|text| private_files::replace(path, &text).map(|()| text.len()));
    written.unwrap_or_else(|error| {
        static FAILED: LogLimit = LogLimit::new();
        if let Some(suppressed) = FAILED.pass(()) {
            log::warn!(error:%, file:% = path.display(), suppressed; "a file of the budgets cannot be written");
        }
        0
    })
}

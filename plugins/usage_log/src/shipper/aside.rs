//! Records that the database will never take, one JSON object a line, for a person to look at. Nothing reads them again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use log::error;
use serde::Serialize;

use crate::Record;
use crate::journal::Journal;

const NAME: &str = "rejected.jsonl";
/// The most that is kept of them.
const MOST: u64 = 256 << 20;

/// The place for them, beside the journal.
#[derive(Debug)]
pub(super) struct Aside {
    path: PathBuf,
    journal: Arc<Journal>,
    file: Option<File>,
}

#[derive(Serialize)]
struct Line<'a> {
    why: &'a str,
    record: &'a Record,
}

impl Aside {
    pub(super) fn new(journal: &Arc<Journal>) -> Self {
        Self { path: journal.folder().join(NAME), journal: journal.clone(), file: None }
    }

    /// Puts a record aside. It is counted as lost where even that is not possible.
    pub(super) fn put(&mut self, record: &Record, why: &str) {
        let figures = self.journal.figures().clone();
        figures.rejected();
        let id = match record {
            Record::Request(row) => row.id,
            Record::Batch(row) => row.request_id,
        };
        let kept = self.write(record, why);
        let file = self.path.display();
        match kept {
            Ok(()) => error!(id:%, why, file:%; "the database rejects a row of the ledger; it is put aside"),
            Err(error) => {
                figures.lost("row", 1);
                error!(id:%, why, error:%, file:%; "the database rejects a row of the ledger, and it cannot be put aside");
            }
        }
    }

    fn write(&mut self, record: &Record, why: &str) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line { why, record })?;
        line.push(b'\n');
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().append(true).create(true).open(&self.path)?),
        };
        if file.metadata()?.len() + line.len() as u64 > MOST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "there are too many of them"));
        }
        file.write_all(&line)
    }
}

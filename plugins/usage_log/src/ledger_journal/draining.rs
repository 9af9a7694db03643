//! The journals of processes that gave theirs up and drain: what each still records, until it has ended. Then its records go to the journal
//! of the process that took over. Ships nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use journal::{OpenError, inspect};
use log::{info, warn};
use plugin_api::{LogLimit, Uuid};

use super::{Journal, LedgerJournal, Reader};
use crate::{Record, encoding};

/// The folder with their folders, in the one of the journal.
const FOLDER: &str = "draining";
/// What such a folder is called once its records are taken, if files remain in it: those for an operator, and records of a later release,
/// which a start of that release takes.
const KEPT: &str = "kept";
/// Files that an operator may want to see, or that a later release reads.
const REMAINS: [&str; 3] = ["damaged", "lost", "unread"];

/// The folder of a journal, as far as it has those of others in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainingJournals<'a>(pub(crate) &'a Path);

impl DrainingJournals<'_> {
    /// The folder of another one.
    pub(crate) fn another(self) -> PathBuf {
        self.0.join(FOLDER).join(Uuid::now_v7().to_string())
    }

    /// The folders there are, those of processes that still run included; the oldest first.
    pub(crate) fn list(self) -> io::Result<Vec<PathBuf>> {
        self.named(|name| Uuid::parse_str(name).is_ok())
    }

    /// The folders whose records were taken as far as this release or an earlier one knew them.
    pub(crate) fn kept(self) -> io::Result<Vec<PathBuf>> {
        let is_kept = |name: &str| name.strip_suffix(KEPT).and_then(|name| name.strip_suffix('.')).map(Uuid::parse_str);
        self.named(|name| is_kept(name).is_some_and(|id| id.is_ok()))
    }

    fn named(self, is_wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.0.join(FOLDER)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut folders = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if name.to_str().is_some_and(&is_wanted) {
                folders.push(self.0.join(FOLDER).join(name));
            }
        }
        folders.sort_unstable();
        Ok(folders)
    }
}

impl LedgerJournal {
    /// Takes in what processes left that gave this journal up and have ended since; `each` is called for every record, with its place here.
    /// What cannot be taken in now waits for the next time.
    pub(crate) fn take_in(&self, each: impl FnMut(&Record, u64)) {
        self.take_in_from(DrainingJournals(self.get().folder()).list(), each);
    }

    /// The same with what a release could not take in that did not know it. Once a process is enough.
    pub(crate) fn take_in_kept(&self, each: impl FnMut(&Record, u64)) {
        let kept = DrainingJournals(self.get().folder()).kept().and_then(|folders| {
            let known = folders.into_iter().map(|folder| Ok(has_known(&folder)?.then_some(folder)));
            known.filter_map(Result::transpose).collect()
        });
        self.take_in_from(kept, each);
    }

    fn take_in_from(&self, folders: io::Result<Vec<PathBuf>>, mut each: impl FnMut(&Record, u64)) {
        let own = self.get();
        let taken = folders.and_then(|folders| {
            folders.iter().try_for_each(|folder| match super::open(folder, own.max_bytes(), &self.metrics) {
                Ok((journal, reader)) => self.take_in_one(folder, &journal, reader, &mut each),
                // its process still runs
                Err(OpenError::InUse(_)) => Ok(()),
                Err(OpenError::Disk(_, error)) => Err(error),
            })
        });
        if let Err(error) = taken {
            static FAILED: LogLimit = LogLimit::new();
            if let Some(suppressed) = FAILED.pass(()) {
                let journal = own.folder().display();
                warn!(error:%, journal:%, suppressed; "what a former process left of the ledger cannot be taken in; it is tried again");
            }
        }
    }

    fn take_in_one(
        &self,
        folder: &Path,
        journal: &Journal,
        mut reader: Reader,
        each: &mut impl FnMut(&Record, u64),
    ) -> io::Result<()> {
        let mut rows = 0_u64;
        // one at a time: a kill in between doubles one at most, which the database notices
        while let Some(mut batch) = reader.next_batch(1, 1)? {
            for record in &mut batch.records {
                let place = self.try_append(record).map_err(|error| io::Error::other(error.to_string()))?;
                each(record, place);
                rows += 1;
            }
            reader.done(&batch)?;
        }
        if rows > 0 {
            info!(rows, journal:% = folder.display(); "rows of a process that has ended are taken in");
        }
        let remains = |path: &Path| path.extension().is_some_and(|own| REMAINS.iter().any(|kept| own == *kept));
        let has_remains = fs::read_dir(folder)?.flatten().any(|entry| remains(&entry.path()));
        if has_remains || journal.unknown() > 0 {
            return fs::rename(folder, folder.with_extension(KEPT));
        }
        fs::remove_dir_all(folder)
    }
}

/// Whether this release knows a record that waits in a folder.
fn has_known(folder: &Path) -> io::Result<bool> {
    let mut known = false;
    inspect(folder, encoding::decode, |_| known = true)?;
    Ok(known)
}

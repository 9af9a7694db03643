//! How a segment leaves the journal: removed, once the database has its records, or put aside, where it cannot be read.

use std::fs;
use std::io;
use std::sync::atomic::Ordering;

use log::error;

use super::{Journal, segment};

impl Journal {
    /// So many records are in the database, and with them all segments below a number.
    pub(super) fn let_go(&self, below: u64, records: u64) {
        self.no_longer_waiting(records);
        loop {
            let number = self.disk().closed.front().map(|closed| closed.number).filter(|number| *number < below);
            let Some(number) = number else { return };
            let path = segment::path(&self.folder, number);
            if let Err(error) = fs::remove_file(&path) {
                error!(error:%, file:% = path.display(); "a segment of the ledger's journal that is done with cannot be removed");
            }
            let mut disk = self.disk();
            disk.forget(number);
            self.bytes.store(disk.bytes, Ordering::Relaxed);
        }
    }

    /// The first segment that is not done with cannot be read: what is left of it is lost to the database. It is kept for a person
    /// to look at.
    ///
    /// # Errors
    /// That it cannot be put aside; then it is still there.
    pub(super) fn put_aside(&self, number: u64, why: &str) -> io::Result<()> {
        {
            let mut disk = self.disk();
            if disk.current.number == number {
                disk.begin(&self.folder, self.salt)?;
            }
        }
        let path = segment::path(&self.folder, number);
        let aside = path.with_extension("damaged");
        let gone = match fs::rename(&path, &aside) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder.is_dir() => true,
            Err(error) => return Err(error),
        };
        let rows = {
            let mut disk = self.disk();
            let rows = self.waiting().saturating_sub(disk.records_behind(number));
            disk.forget(number);
            self.bytes.store(disk.bytes, Ordering::Relaxed);
            rows
        };
        self.no_longer_waiting(rows);
        self.figures.lost("damaged", rows.max(1));
        let file = aside.display();
        if gone {
            error!(why, rows, file:% = path.display(); "a segment of the ledger's journal is gone, and its rows with it");
        } else {
            error!(why, rows, file:%; "a segment of the ledger's journal cannot be read: it is put aside, and its rows are not in the database; \
                once it can be read, it is shipped at a start that finds it as a `.journal` of a number above all others");
        }
        Ok(())
    }

    fn no_longer_waiting(&self, records: u64) {
        // those of an earlier process may not have been counted
        let _ = self
            .waiting
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| Some(waiting.saturating_sub(records)));
    }
}

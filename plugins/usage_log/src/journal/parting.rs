//! How a segment leaves the journal: removed, once the database has its records, or put aside, where it cannot be read. And
//! what is told of records that cannot be.

use std::fs;
use std::io;
use std::sync::atomic::Ordering;

use log::{error, warn};

use super::count::Loss;
use super::position::Position;
use super::run::Run;
use super::{Journal, run, segment};

impl Journal {
    /// So many records are in the database or lost, up to a place, and with them all segments before it.
    pub(super) fn let_go(&self, to: Position, records: u64) {
        self.no_longer_waiting(to, records);
        loop {
            let number = self.disk().closed.front().map(|closed| closed.number).filter(|number| *number < to.segment);
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
                disk.begin(&self.folder, self.own.salt)?;
            }
        }
        let path = segment::path(&self.folder, number);
        let aside = path.with_extension("damaged");
        let gone = match fs::rename(&path, &aside) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder.is_dir() => true,
            Err(error) => return Err(error),
        };
        {
            let mut disk = self.disk();
            disk.forget(number);
            self.bytes.store(disk.bytes, Ordering::Relaxed);
        }
        // what comes behind it tells how much that is, but not behind what an earlier release wrote
        if number < self.own.first && run::of_segment(&self.old, number).is_none() {
            self.figures.lost("damaged", 1);
        }
        let file = aside.display();
        if gone {
            error!(why, file:% = path.display(); "a segment of the ledger's journal is gone, and its rows with it");
        } else {
            error!(why, file:%; "a segment of the ledger's journal cannot be read: it is put aside, and its rows are not in the database; \
                once it can be read, it is shipped at a start that finds it as a `.journal` of a number above all others");
        }
        Ok(())
    }

    /// Tells of what was kept in a run and cannot be read any more.
    pub(super) fn tell_loss(&self, salt: u32, loss: Loss) {
        let Loss { rows, corrections, results } = loss;
        let run = self.old.iter().find(|run| run.salt == salt).copied();
        let run = run.or_else(|| (salt == self.own.salt).then(|| Run { end: self.disk().count, ..self.own }));
        let instance = run.map_or_else(String::new, |run| run.instance.to_string());
        let journal = self.folder.display();
        error!(rows, results, corrections, instance, journal:%; "the ledger's journal is damaged, and rows in it are lost; `tollgate usage verify` tells which");
        self.figures.lost("damaged", rows + results);
        self.figures.lost_corrections(corrections);
        if rows > 0
            && let Some(run) = run
            && let Err(error) = run.note_loss(&self.folder)
        {
            warn!(error:%, instance, journal:%; "the ledger cannot note which rows are lost");
        }
    }

    /// All that earlier processes left was read.
    pub(super) fn forget_old_runs(&self) {
        for run in &self.old {
            // the next start removes what is left of them
            let _ = run.remove(&self.folder);
        }
    }

    fn no_longer_waiting(&self, to: Position, records: u64) {
        let disk = self.disk();
        // what an earlier release left is counted only as far as it can be read
        let left = if disk.is_end(to) { 0 } else { self.waiting().saturating_sub(records) };
        self.waiting.store(left, Ordering::Relaxed);
    }
}

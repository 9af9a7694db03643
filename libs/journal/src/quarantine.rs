//! Segments that cannot be read, and records that are lost with them.

use std::fs;
use std::io;

use crate::count::Loss;
use crate::event::Event;
use crate::run::{self, Run};
use crate::segment::{self, DAMAGED};
use crate::{Journal, segment::path};

impl<T> Journal<T> {
    /// The first segment that is not done with cannot be read: the rest of it is lost. It is renamed, for an operator to look at.
    ///
    /// # Errors
    /// It cannot be renamed; then it is still there.
    pub(crate) fn quarantine(&self, number: u64, why: &str) -> io::Result<()> {
        {
            let mut disk = self.disk();
            if disk.current.number == number {
                disk.begin(&self.folder, self.own.salt)?;
            }
        }
        let (path, damaged) = (path(&self.folder, number), segment::file(&self.folder, number, DAMAGED));
        let gone = match fs::rename(&path, &damaged) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder.is_dir() => true,
            Err(error) => return Err(error),
        };
        self.forget(number);
        // the frames behind it tell how much that is, but not behind a segment of a release without runs
        let uncounted = number < self.own.first && run::of_segment(&self.old, number).is_none();
        self.report(&match gone {
            true => Event::Gone { file: &path, why, uncounted },
            false => Event::Quarantined { file: &damaged, why, uncounted },
        });
        Ok(())
    }

    /// Reports records of a run that cannot be read any more.
    pub(crate) fn report_loss(&self, salt: u32, loss: Loss) {
        let run = self.old.iter().find(|run| run.salt == salt).copied();
        let run = run.or_else(|| (salt == self.own.salt).then(|| Run { end: self.disk().count, ..self.own }));
        self.report(&Event::Lost { loss, instance: run.map(|run| run.instance) });
        if loss.numbered > 0
            && let Some(run) = run
            && let Err(error) = run.note_loss(&self.folder)
        {
            self.report(&Event::LossNotNoted { instance: run.instance, error: &error });
        }
    }
}

//! What of a journal may not be on the disk yet, and bringing it there. Appends do not wait for that: the segments are locked only
//! while they are looked at.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::position::Position;
use crate::segment;

/// What may not be on the disk.
#[derive(Debug)]
pub(crate) struct Unsynced {
    /// Segments that ended since.
    ended: Vec<u64>,
    /// The one that is written to.
    current: Arc<File>,
    /// Whether that one is new: then its name may not be on the disk either.
    new: bool,
    /// All before it is on the disk afterwards.
    pub(crate) to: Position,
}

impl Unsynced {
    /// What was written since the last time; `None` if nothing was.
    pub(crate) fn of(disk: &Disk) -> Option<Self> {
        let current = &disk.current;
        let to = Position { segment: current.number, offset: current.end };
        let Position { segment, .. } = disk.synced;
        (disk.synced != to).then(|| Self {
            ended: disk
                .held
                .iter()
                .map(|held| &held.segment)
                .chain(&disk.closed)
                .map(|closed| closed.number)
                .filter(|number| *number >= segment)
                .collect(),
            current: current.file.clone(),
            new: current.number != segment,
            to,
        })
    }

    /// Asks the system to bring all of it to the disk, and waits for it. What fails keeps nothing else from being tried.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn sync(&self, folder: &Path) -> io::Result<()> {
        let mut synced = self.current.sync_data();
        for number in &self.ended {
            synced = synced.and(Self::sync_ended(folder, *number));
        }
        if self.new {
            synced = synced.and(File::open(folder).and_then(|folder| folder.sync_all()));
        }
        synced
    }

    fn sync_ended(folder: &Path, number: u64) -> io::Result<()> {
        match File::open(segment::path(folder, number)) {
            Ok(file) => file.sync_data(),
            // retired meanwhile
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

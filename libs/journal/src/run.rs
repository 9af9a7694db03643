//! The runs of a journal: a run is what one process appended. A file beside the segments says how much that is, so that it is
//! known even where segments are cut off or gone.
//!
//! A run's file is named after its first segment (`0000000000000001.run`) and is removed when all of the run was read. A run
//! that lost records leaves a copy (`0000000000000001.lost`) until an operator deletes it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use uuid::Uuid;

use crate::checksum::checksum;
use crate::count::Count;
use crate::segment;

const RUN: &str = "run";
const LOST: &str = "lost";
/// The salt, the instance, the count and a checksum.
pub(crate) const LENGTH: usize = 4 + 16 + Count::LENGTH + 4;

/// A run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Its first segment.
    pub(crate) first: u64,
    /// The salt of its segments.
    pub(crate) salt: u32,
    /// Its id, which no other run has.
    pub(crate) instance: Uuid,
    /// All that it appended.
    pub(crate) end: Count,
}

/// The file of a run that goes on.
#[derive(Debug)]
pub(crate) struct RunFile(File);

impl RunFile {
    /// Creates it.
    pub(crate) fn create(folder: &Path, run: &Run) -> io::Result<Self> {
        let path = segment::file(folder, run.first, RUN);
        let file = private_files::options().write(true).create(true).truncate(true).open(&path)?;
        file.write_all_at(&run.bytes(), 0).inspect_err(|_| drop(fs::remove_file(&path)))?;
        Ok(Self(file))
    }

    /// Notes how much the run has appended, behind each append.
    pub(crate) fn keep(&self, run: &Run) {
        // where the disk does not take it, the frames still tell what is missing between them
        let _ = self.0.write_all_at(&run.bytes(), 0);
    }
}

impl Run {
    pub(crate) fn bytes(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&self.salt.to_le_bytes());
        bytes[4..20].copy_from_slice(self.instance.as_bytes());
        bytes[20..LENGTH - 4].copy_from_slice(&self.end.bytes());
        let sum = checksum(0, &bytes[..LENGTH - 4]);
        bytes[LENGTH - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(first: u64, bytes: &[u8]) -> Option<Self> {
        let (run, sum) = bytes.split_at_checked(LENGTH - 4)?;
        if sum != checksum(0, run).to_le_bytes() {
            return None;
        }
        let salt = u32::from_le_bytes(run[..4].try_into().ok()?);
        Some(Self { first, salt, instance: Uuid::from_slice(&run[4..20]).ok()?, end: Count::parse(&run[20..])? })
    }

    /// Notes that records of it are lost.
    pub(crate) fn note_loss(&self, folder: &Path) -> io::Result<()> {
        let path = segment::file(folder, self.first, LOST);
        let file = private_files::options().write(true).create(true).truncate(true).open(path)?;
        file.write_all_at(&self.bytes(), 0)
    }

    /// All of it was read.
    pub(crate) fn remove(&self, folder: &Path) -> io::Result<()> {
        fs::remove_file(segment::file(folder, self.first, RUN))
    }
}

/// The runs in a folder that were not read to their end, in order. A run whose file is damaged is known by its frames alone.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<Run>> {
    read(folder, RUN)
}

/// The highest number that each run has given to a record: of the runs that are not read to their end, and of those with losses.
pub(crate) fn numbers(folder: &Path) -> io::Result<Vec<(Uuid, u64)>> {
    let mut runs = read(folder, RUN)?;
    runs.extend(read(folder, LOST)?);
    Ok(runs.into_iter().map(|run| (run.instance, run.end.sequence)).collect())
}

/// The highest number by which the file of a run is named.
pub(crate) fn highest(folder: &Path) -> io::Result<u64> {
    let last = |suffix| Ok::<_, io::Error>(segment::numbered(folder, suffix)?.last().copied().unwrap_or(0));
    Ok(last(RUN)?.max(last(LOST)?))
}

/// The run that a segment belongs to by its number.
pub(crate) fn of_segment<'a>(runs: impl IntoIterator<Item = &'a Run>, number: u64) -> Option<&'a Run> {
    runs.into_iter().filter(|run| run.first <= number).last()
}

fn read(folder: &Path, suffix: &str) -> io::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for first in segment::numbered(folder, suffix)? {
        match fs::read(segment::file(folder, first, suffix)) {
            Ok(bytes) => runs.extend(Run::parse(first, &bytes)),
            // read to its end meanwhile
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(runs)
}

//! The runs of a journal: each is what one process kept in it. How much that is stands in a file beside the segments, so that it
//! is known even where the segments are cut off or gone.
//!
//! A run's file is named after its first segment (`0000000000000001.run`), and goes when all of the run was read. One that has
//! lost rows leaves a copy (`0000000000000001.lost`), by which `tollgate usage verify` knows of them until somebody deletes it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use plugin_api::private;
use uuid::Uuid;
use zlib_rs::crc32::crc32;

use super::count::Count;
use super::segment;

const SUFFIX: &str = "run";
const LOST: &str = "lost";
/// The salt, the instance, the count and a checksum.
const LENGTH: usize = 4 + 16 + Count::LENGTH + 4;

/// A run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Its first segment.
    pub(super) first: u64,
    /// The salt of its segments.
    pub(super) salt: u32,
    /// What its rows call it.
    pub(super) instance: Uuid,
    /// All that it kept.
    pub(super) end: Count,
}

/// The file of a run that goes on.
#[derive(Debug)]
pub(super) struct RunFile(File);

impl RunFile {
    /// Creates it.
    pub(super) fn create(folder: &Path, run: &Run) -> io::Result<Self> {
        let path = path(folder, run.first, SUFFIX);
        let file = private::options().write(true).create(true).truncate(true).open(&path)?;
        file.write_all_at(&run.bytes(), 0).inspect_err(|_| drop(fs::remove_file(&path)))?;
        Ok(Self(file))
    }

    /// Notes how much the run has kept, after it was.
    pub(super) fn keep(&self, run: &Run) {
        // where the disk does not take it, the frames still tell what is missing between them
        let _ = self.0.write_all_at(&run.bytes(), 0);
    }
}

impl Run {
    fn bytes(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&self.salt.to_le_bytes());
        bytes[4..20].copy_from_slice(self.instance.as_bytes());
        bytes[20..LENGTH - 4].copy_from_slice(&self.end.bytes());
        let sum = crc32(0, &bytes[..LENGTH - 4]);
        bytes[LENGTH - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn parse(first: u64, bytes: &[u8]) -> Option<Self> {
        let (run, sum) = bytes.split_at_checked(LENGTH - 4)?;
        if sum != crc32(0, run).to_le_bytes() {
            return None;
        }
        let salt = u32::from_le_bytes(run[..4].try_into().ok()?);
        Some(Self { first, salt, instance: Uuid::from_slice(&run[4..20]).ok()?, end: Count::parse(&run[20..])? })
    }

    /// Notes that rows of it are lost.
    pub(super) fn note_loss(&self, folder: &Path) -> io::Result<()> {
        let path = path(folder, self.first, LOST);
        let file = private::options().write(true).create(true).truncate(true).open(path)?;
        file.write_all_at(&self.bytes(), 0)
    }

    /// All of it was read.
    pub(super) fn remove(&self, folder: &Path) -> io::Result<()> {
        fs::remove_file(path(folder, self.first, SUFFIX))
    }
}

/// The runs in a folder that were not read to their end, in order. One whose file is damaged is known by its frames alone.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Run>> {
    read(folder, SUFFIX)
}

/// How many numbers of rows each run has given, as far as it is known: of those that are not read, and of those that lost rows.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<(Uuid, u64)>> {
    let mut runs = read(folder, SUFFIX)?;
    runs.extend(read(folder, LOST)?);
    Ok(runs.into_iter().map(|run| (run.instance, run.end.sequence)).collect())
}

/// The highest number that a run is named by.
pub(super) fn highest(folder: &Path) -> io::Result<u64> {
    let last = |suffix| Ok::<_, io::Error>(segment::numbered(folder, suffix)?.last().copied().unwrap_or(0));
    Ok(last(SUFFIX)?.max(last(LOST)?))
}

/// The run that a segment belongs to by its number.
pub(super) fn of_segment(runs: &[Run], number: u64) -> Option<&Run> {
    runs.iter().rfind(|run| run.first <= number)
}

fn read(folder: &Path, suffix: &str) -> io::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for first in segment::numbered(folder, suffix)? {
        match fs::read(path(folder, first, suffix)) {
            Ok(bytes) => runs.extend(Run::parse(first, &bytes)),
            // read to its end meanwhile
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(runs)
}

fn path(folder: &Path, first: u64, suffix: &str) -> PathBuf {
    folder.join(format!("{first:016x}.{suffix}"))
}

//! How far the journal has been read, kept in a file of its own. A position that is lost costs reading again, no more.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use zlib_rs::crc32::crc32;

const NAME: &str = "position";
const LENGTH: usize = 20;

/// A place in the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// The segment.
    pub(super) segment: u64,
    /// The byte in it.
    pub(super) offset: u64,
}

/// The file in which it is kept how far the journal was read: all before that is in the database.
#[derive(Debug)]
pub(super) struct PositionFile(File);

impl PositionFile {
    /// Opens it; the position is the very beginning if there is none, or it is damaged.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Position)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(NAME))?;
        let mut bytes = [0; LENGTH];
        let position = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => parse(&bytes).unwrap_or_default(),
            Err(_) => Position::default(),
        };
        Ok((Self(file), position))
    }

    /// Keeps a position.
    pub(super) fn keep(&self, position: Position) -> io::Result<()> {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(&position.segment.to_le_bytes());
        bytes[8..16].copy_from_slice(&position.offset.to_le_bytes());
        let sum = crc32(0, &bytes[..16]);
        bytes[16..].copy_from_slice(&sum.to_le_bytes());
        self.0.write_all_at(&bytes, 0)
    }
}

/// The position that is kept in a folder, read only; the very beginning if there is none, or it is damaged.
pub(super) fn read(folder: &Path) -> Position {
    let read = std::fs::read(folder.join(NAME)).ok();
    read.and_then(|bytes| bytes.try_into().ok()).and_then(|bytes| parse(&bytes)).unwrap_or_default()
}

fn parse(bytes: &[u8; LENGTH]) -> Option<Position> {
    let (place, sum) = bytes.split_at(16);
    if crc32(0, place).to_le_bytes() != *sum {
        return None;
    }
    let (segment, offset) = place.split_at(8);
    Some(Position {
        segment: u64::from_le_bytes(segment.try_into().ok()?),
        offset: u64::from_le_bytes(offset.try_into().ok()?),
    })
}

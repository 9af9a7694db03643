//! How far the journal has been read, in a file of its own. A lost position costs reading again, no more.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::checksum::checksum;
use crate::count::Count;

const NAME: &str = "position";
/// The place and a checksum, all that earlier releases wrote; and with salt, count and another checksum.
const SHORT: usize = 20;
const LENGTH: usize = SHORT + 4 + Count::LENGTH + 4;

/// A place in the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The segment.
    pub(crate) segment: u64,
    /// The byte in it.
    pub(crate) offset: u64,
}

/// How far the journal was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept {
    /// Up to there.
    pub(crate) at: Position,
    /// The run that was read last, by its salt.
    pub(crate) salt: u32,
    /// What was read of it.
    pub(crate) count: Count,
}

/// The file that says how far the journal was read: all before that is stored elsewhere.
#[derive(Debug)]
pub(crate) struct PositionFile(File);

impl PositionFile {
    /// Opens it, with what it holds; nothing if it is new or damaged.
    pub(crate) fn open(folder: &Path) -> io::Result<(Self, Option<Kept>)> {
        let options =
            private_files::options().read(true).write(true).create(true).truncate(false).open(folder.join(NAME));
        let kept = read(folder);
        Ok((Self(options?), kept))
    }

    /// Keeps how far the journal was read.
    pub(crate) fn keep(&self, Kept { at, salt, count }: Kept) -> io::Result<()> {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(&at.segment.to_le_bytes());
        bytes[8..16].copy_from_slice(&at.offset.to_le_bytes());
        let sum = checksum(0, &bytes[..16]);
        bytes[16..SHORT].copy_from_slice(&sum.to_le_bytes());
        bytes[SHORT..SHORT + 4].copy_from_slice(&salt.to_le_bytes());
        bytes[SHORT + 4..LENGTH - 4].copy_from_slice(&count.bytes());
        let sum = checksum(0, &bytes[..LENGTH - 4]);
        bytes[LENGTH - 4..].copy_from_slice(&sum.to_le_bytes());
        self.0.write_all_at(&bytes, 0)
    }
}

/// How far the journal in a folder was read; nothing if that is not known.
pub(crate) fn read(folder: &Path) -> Option<Kept> {
    let bytes = std::fs::read(folder.join(NAME)).ok()?;
    let place = verified(&bytes, SHORT)?;
    let number = |at: usize| Some(u64::from_le_bytes(place.get(at..at + 8)?.try_into().ok()?));
    let at = Position { segment: number(0)?, offset: number(8)? };
    let run = verified(&bytes, LENGTH).and_then(|bytes| bytes.get(SHORT..)?.split_first_chunk::<4>());
    let run = run.and_then(|(salt, count)| Some((u32::from_le_bytes(*salt), Count::parse(count)?)));
    let (salt, count) = run.unwrap_or_default();
    Some(Kept { at, salt, count })
}

/// The first so many bytes without the checksum at their end, if it is right.
fn verified(bytes: &[u8], length: usize) -> Option<&[u8]> {
    let (content, sum) = bytes.get(..length)?.split_last_chunk::<4>()?;
    (checksum(0, content).to_le_bytes() == *sum).then_some(content)
}

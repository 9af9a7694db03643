//! How far the journal has been read, by the reader or by a consumer, each in a file of its own. A lost position costs reading again,
//! no more.

use std::fmt::{self, Display, Formatter};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::checksum::checksum;
use crate::count::Count;

const NAME: &str = "position";
/// What the ending of a file's name says it is: the position of a consumer.
const CONSUMER: &str = "consumer";
/// The place and a checksum, all that earlier releases wrote; and with salt, count and another checksum.
const SHORT: usize = 20;
const LENGTH: usize = SHORT + 4 + Count::LENGTH + 4;

/// A place in the journal. As text, places are in the order of the letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The segment.
    pub(crate) segment: u64,
    /// The byte in it.
    pub(crate) offset: u64,
}

impl Display for Position {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:08x}", self.segment, self.offset)
    }
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
    /// Opens the reader's, with what it holds; nothing if it is new or damaged.
    pub(crate) fn open(folder: &Path) -> io::Result<(Self, Option<Kept>)> {
        Self::at(&folder.join(NAME))
    }

    /// Opens a consumer's.
    pub(crate) fn open_consumer(folder: &Path, name: &str) -> io::Result<Self> {
        Self::at(&consumer(folder, name)).map(|(file, _)| file)
    }

    fn at(path: &Path) -> io::Result<(Self, Option<Kept>)> {
        let options = private_files::options().read(true).write(true).create(true).truncate(false).open(path);
        let kept = read_file(path);
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
    read_file(&folder.join(NAME))
}

/// The names of the consumers that have a position in a folder, each with how far it has come. One whose position is damaged begins with
/// all that is there.
pub(crate) fn consumers(folder: &Path) -> io::Result<Vec<(String, Kept)>> {
    let mut consumers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(name) = name.filter(|_| path.extension().is_some_and(|own| own == CONSUMER)) {
            consumers.push((name.to_owned(), read_file(&path).unwrap_or_default()));
        }
    }
    Ok(consumers)
}

/// Where the position of a consumer is.
pub(crate) fn consumer(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.{CONSUMER}"))
}

fn read_file(path: &Path) -> Option<Kept> {
    let bytes = fs::read(path).ok()?;
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

//! What a file looks like from outside, and its bytes with that.

use std::error::Error;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Which contents a file has, as far as its metadata tell. A link that points elsewhere, a file renamed into its place and one
/// written in place each have others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    place: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
    length: u64,
}

impl Fingerprint {
    /// That of the file at a path, behind all links.
    ///
    /// # Errors
    /// The system's, such as that there is none.
    pub fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::new(&metadata))
    }

    fn new(metadata: &Metadata) -> Self {
        Self {
            place: (metadata.dev(), metadata.ino()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            length: metadata.len(),
        }
    }
}

/// How a file looks: its fingerprint, or why it has none.
pub type Appearance = Result<Fingerprint, io::ErrorKind>;

/// How the file at a path looks now.
pub fn appearance(path: &Path) -> Appearance {
    Fingerprint::of(path).map_err(|error| error.kind())
}

/// Why the bytes of a file are not to be had.
#[derive(Debug)]
pub enum Unreadable {
    /// The system says so.
    System(io::Error),
    /// There are more than asked for.
    TooLong,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => write!(f, "cannot be read: {error}"),
            Self::TooLong => f.write_str("is too long"),
        }
    }
}

impl Error for Unreadable {}

/// The bytes of a file, at most so many, with what it looked like when they were read.
///
/// # Errors
/// Why they are not to be had.
pub fn read(path: &Path, most: usize) -> Result<(Vec<u8>, Fingerprint), Unreadable> {
    let mut file = File::open(path).map_err(Unreadable::System)?;
    let fingerprint = Fingerprint::new(&file.metadata().map_err(Unreadable::System)?);
    let mut bytes = Vec::new();
    file.by_ref().take(most as u64 + 1).read_to_end(&mut bytes).map_err(Unreadable::System)?;
    if bytes.len() > most { Err(Unreadable::TooLong) } else { Ok((bytes, fingerprint)) }
}

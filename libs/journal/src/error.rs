//! Why the journal cannot be opened, or does not take a record.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;

/// Why a record was not appended.
#[derive(Debug)]
pub enum AppendError {
    /// The journal has its `max_bytes`.
    Full,
    /// The record is longer than a frame may be.
    TooLong,
    /// The disk did not take it.
    Disk(io::Error),
}

/// Why the journal was not opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it open.
    InUse(PathBuf),
    /// The disk does not allow it.
    Disk(PathBuf, io::Error),
}

impl Display for AppendError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("it has its max_bytes"),
            Self::TooLong => f.write_str("the record is too long"),
            Self::Disk(error) => write!(f, "the disk does not take it: {error}"),
        }
    }
}

impl Display for OpenError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(folder) => {
                write!(f, "the journal in `{}` is in use by another process; each needs its own", folder.display())
            }
            Self::Disk(folder, error) => write!(f, "the journal cannot be kept in `{}`: {error}", folder.display()),
        }
    }
}

impl std::error::Error for AppendError {}

impl std::error::Error for OpenError {}

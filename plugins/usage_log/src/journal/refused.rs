//! Why the journal does not take a record.

use std::fmt::{self, Display, Formatter};
use std::io;

/// Why a record was not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The journal has its `max_bytes`.
    Full,
    /// The record is too long.
    TooLong,
    /// The disk did not take it.
    Disk(io::Error),
}

impl Refused {
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Full => "it has its max_bytes",
            Self::TooLong => "the record is too long",
            Self::Disk(_) => "the disk does not take it",
        }
    }
}

impl Display for Refused {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => write!(f, "the disk does not take it: {error}"),
            Self::Full | Self::TooLong => f.write_str(self.as_str()),
        }
    }
}

//! What the journal reports besides its results: damage, losses, and what the disk refuses. The journal writes no log.

use std::fmt;
use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::count::Loss;

/// Something that an operator should know.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Bytes that are no frame were passed over.
    Damaged {
        /// How many.
        bytes: u64,
        /// Gaps before frames of version 1, which do not say how many records are missing: at least one each.
        gaps: u64,
    },
    /// Records of a run are lost. Each is reported once.
    Lost {
        /// How many.
        loss: Loss,
        /// The run, where it is known.
        instance: Option<Uuid>,
    },
    /// The loss could not be noted in a `.lost` file.
    LossNotNoted {
        /// The run.
        instance: Uuid,
        /// Why.
        error: &'a io::Error,
    },
    /// A segment cannot be read, and is in quarantine.
    Quarantined {
        /// The file, as it is named now.
        file: &'a Path,
        /// What keeps it from being read.
        why: &'a str,
        /// No run tells how many records that is.
        uncounted: bool,
    },
    /// A segment is gone.
    Gone {
        /// The file, as it was named.
        file: &'a Path,
        /// What kept it from being read.
        why: &'a str,
        /// No run tells how many records that is.
        uncounted: bool,
    },
    /// A segment that is done with cannot be removed.
    NotRemoved {
        /// The file.
        file: &'a Path,
        /// Why.
        error: &'a io::Error,
    },
    /// The next segment cannot be created: the current one grows beyond its length.
    NotBegun {
        /// Why.
        error: &'a io::Error,
    },
    /// A segment that consumers had yet to read is removed, for want of room.
    ConsumersCut {
        /// The file.
        file: &'a Path,
        /// Its length.
        bytes: u64,
    },
    /// Records were met that this release does not know. They stay.
    Unknown {
        /// How many.
        records: u64,
    },
    /// The mark on a segment with such records, or what remains of it, cannot be written.
    UnknownNotKept {
        /// The file.
        file: &'a Path,
        /// Why.
        error: &'a io::Error,
    },
}

/// Hears of events, on the thread on which they happen.
pub trait Observer: fmt::Debug + Send + Sync {
    /// An event of the journal in a folder.
    fn on(&self, folder: &Path, event: &Event<'_>);
}

/// An observer that ignores everything.
#[derive(Debug)]
pub struct Silent;

impl Observer for Silent {
    fn on(&self, _: &Path, _: &Event<'_>) {}
}

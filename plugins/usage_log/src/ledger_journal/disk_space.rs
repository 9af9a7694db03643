//! How much room the disk of the journal has. Looked at by the ledger's thread, since a disk may hang.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::statvfs::statvfs;

/// Room that is not known.
const UNKNOWN: u64 = u64::MAX;

/// The room that there was.
#[derive(Debug)]
pub(super) struct DiskSpace(AtomicU64);

impl DiskSpace {
    /// That of the disk where a folder is.
    pub(super) fn of(folder: &Path) -> Self {
        let space = Self(AtomicU64::new(UNKNOWN));
        space.measure(folder);
        space
    }

    /// Looks again.
    pub(super) fn measure(&self, folder: &Path) {
        // what those may use who are not root
        let free = statvfs(folder).map(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()));
        self.0.store(free.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// In bytes; `None` where it is not known.
    pub(super) fn free(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|free| *free != UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_not_there_has_no_room_that_is_known() {
        let space = DiskSpace::of(&std::env::temp_dir());
        assert!(space.free().is_some_and(|free| free > 0));
        space.measure(Path::new("/nowhere/at/all"));
        assert_eq!(space.free(), None);
    }
}

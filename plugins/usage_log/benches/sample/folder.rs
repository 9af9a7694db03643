//! The folder of a bench's journal.

use std::fs;
use std::path::{Path, PathBuf};

use plugin_api::Uuid;

/// A folder of its own, gone when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// One that is made by whoever needs it.
    pub fn new() -> Self {
        Self(std::env::temp_dir().join(format!("tollgate-bench-{}", Uuid::now_v7())))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

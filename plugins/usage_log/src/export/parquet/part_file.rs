//! A file that appears as a whole: it is written under another name beside its place, brought to the disk, and put in place then.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A file that is not in its place yet. One that is never finished is removed, or overwritten by the next attempt.
#[derive(Debug)]
pub(super) struct PartFile {
    file: File,
    part: PathBuf,
    path: PathBuf,
    is_in_place: bool,
}

impl PartFile {
    /// Begins the file of this path, whose folder must be there. Its own name is hidden, and no pattern such as `*.parquet` matches it.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let part = path.with_file_name(format!(".{name}.part"));
        let file = private_files::options().write(true).create(true).truncate(true).open(&part)?;
        Ok(Self { file, part, path: path.into(), is_in_place: false })
    }

    /// What to write to.
    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Puts it in place, in place of what is there.
    ///
    /// # Errors
    /// What the disk says; what was there is there still.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.part, &self.path)?;
        self.is_in_place = true;
        self.path.parent().map_or(Ok(()), sync_folder)
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.is_in_place {
            // it takes space where there may be none
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Creates a folder with those above it that are missing, so that a loss of power takes none of them away.
///
/// # Errors
/// What the disk says.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_folder(parent)?;
    }
    private_files::create_dir_all(folder)?;
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::tests::Folder;

    #[test]
    fn a_file_is_there_as_a_whole_or_as_it_was() {
        let folder = Folder::new();
        create_folder(&folder.0.join("a/b")).unwrap();
        let path = folder.0.join("a/b/c.parquet");
        let write = |text: &str, finish: bool| {
            let mut part = PartFile::create(&path).unwrap();
            part.file().write_all(text.as_bytes()).unwrap();
            if finish {
                part.finish().unwrap();
            }
        };
        write("long one", true);
        write("broken", false);
        assert_eq!(fs::read_to_string(&path).unwrap(), "long one");
        write("new", true);
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.0.join("a/b")).unwrap().count(), 1);
    }
}

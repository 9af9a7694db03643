//! The file with the process id, for scripts that send signals.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use log::warn;

/// The file of this process. Dropping it removes it, unless another process has put its own there.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    text: String,
}

impl PidFile {
    /// Writes the file, in the place of what another process left or wrote there.
    ///
    /// # Errors
    /// The system's.
    pub fn write(path: &Path) -> io::Result<Self> {
        let file = Self { path: path.to_owned(), text: format!("{}\n", std::process::id()) };
        file.put()?;
        Ok(file)
    }

    /// Writes it again where it is not there any more: a process that was to take over may have put its own in its place.
    pub fn restore(&self) {
        let is_there = fs::read_to_string(&self.path).is_ok_and(|text| text == self.text);
        if !is_there && let Err(error) = self.put() {
            warn!(error:%, file:% = self.path.display(); "the file with the process id cannot be written again");
        }
    }

    fn put(&self) -> io::Result<()> {
        // readers find the old number or the new one, and never a part
        let new = self.path.with_extension(format!("{}.new", std::process::id()));
        fs::write(&new, &self.text)?;
        fs::rename(&new, &self.path).inspect_err(|_| drop(fs::remove_file(&new)))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text)
            && let Err(error) = fs::remove_file(&self.path)
        {
            warn!(error:%, file:% = self.path.display(); "the file with the process id cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_goes_with_its_process_and_stays_with_another() {
        let path = std::env::temp_dir().join(format!("tollgate-pid-{}", std::process::id()));
        let file = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        file.restore();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        fs::remove_file(&path).unwrap();
        assert!(PidFile::write(Path::new("/no/such/folder/pid")).is_err());
    }
}

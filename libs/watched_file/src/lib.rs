//! Files that are read again when they change. A change lasts for one look before it is read, since a file may be half written; a file that
//! cannot be read again keeps the contents there were. [`Watch`] is the thread that looks; [`Settling`] is for those who look and read by
//! themselves, such as at several files that belong together.

mod fingerprint;
mod settling;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};

pub use fingerprint::{Appearance, Fingerprint, Unreadable, appearance, read};
pub use settling::Settling;
pub use watch::{Look, Watch};

/// The contents of a file, as they were last read well.
pub struct WatchedFile<T> {
    path: PathBuf,
    read: Box<ReadContents<T>>,
    contents: ArcSwap<T>,
    progress: Mutex<Settling<Appearance>>,
    /// Since when the contents in force are not those of the file. Held only to be looked at: nobody waits for a file that is read.
    stale: Mutex<Option<Instant>>,
}

/// Reads the contents of a file, with the fingerprint of what was read.
type ReadContents<T> = dyn Fn(&Path) -> Result<(T, Fingerprint), String> + Send + Sync;

/// What came of a look at a file.
#[derive(Debug)]
pub enum Change<T> {
    /// It is as it was, or changes just now.
    None,
    /// Its contents, which are in force now.
    Read(Arc<T>),
    /// Why it cannot be read; the contents there were stay in force.
    Failed(String),
}

impl<T> WatchedFile<T> {
    /// The file at a path, whose contents `read` reads.
    ///
    /// # Errors
    /// What `read` says is wrong with it.
    pub fn open(
        path: &Path,
        read: impl Fn(&Path) -> Result<(T, Fingerprint), String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let (contents, fingerprint) = read(path)?;
        let progress = Mutex::new(Settling::new(Ok(fingerprint)));
        let (path, contents) = (path.to_owned(), ArcSwap::from_pointee(contents));
        Ok(Self { path, read: Box::new(read), contents, progress, stale: Mutex::default() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The contents in force.
    #[must_use]
    pub fn contents(&self) -> Guard<Arc<T>> {
        self.contents.load()
    }

    /// For how long the contents in force have not been those of the file.
    #[must_use]
    pub fn stale_for(&self, now: Instant) -> Duration {
        self.stale().map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn stale(&self) -> MutexGuard<'_, Option<Instant>> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the file has changed. What has is read at the second look at the latest, or, where it changes at each, at
    /// the fourth.
    pub fn look(&self) -> Change<T> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let now = appearance(&self.path);
        if !progress.look(now) {
            return Change::None;
        }
        match (self.read)(&self.path) {
            Ok((contents, fingerprint)) => {
                let contents = Arc::new(contents);
                self.contents.store(contents.clone());
                progress.read(Ok(fingerprint));
                *self.stale() = None;
                Change::Read(contents)
            }
            Err(error) => {
                progress.read(now);
                self.stale().get_or_insert_with(Instant::now);
                Change::Failed(error)
            }
        }
    }
}

impl<T> std::fmt::Debug for WatchedFile<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder of the test's own.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("watched-file-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    /// A file with a number in it.
    fn number(path: &Path) -> Result<(u32, Fingerprint), String> {
        let (bytes, fingerprint) = read(path, 10).map_err(|error| error.to_string())?;
        let number = String::from_utf8_lossy(&bytes).trim().parse().map_err(|_| "no number".to_owned())?;
        Ok((number, fingerprint))
    }

    #[test]
    fn a_change_is_read_once_it_lasts_and_a_broken_file_keeps_what_there_was() {
        let folder = Folder::new("change");
        let path = folder.0.join("number");
        fs::write(&path, "1").unwrap();
        let file = WatchedFile::open(&path, number).unwrap();
        assert!(matches!((file.look(), file.look()), (Change::None, Change::None)));
        fs::write(&path, "22").unwrap();
        assert!(matches!((file.look(), file.look()), (Change::None, Change::Read(number)) if *number == 22));
        assert_eq!(**file.contents(), 22);
        fs::write(&path, "333 x").unwrap();
        assert!(matches!((file.look(), file.look(), file.look()), (Change::None, Change::Failed(_), Change::None)));
        assert!(**file.contents() == 22 && !file.stale_for(Instant::now() + Duration::from_secs(1)).is_zero());
        fs::write(&path, "4").unwrap();
        assert!(matches!((file.look(), file.look()), (Change::None, Change::Read(_))));
        assert!(file.stale_for(Instant::now()).is_zero());
    }

    #[test]
    fn a_file_that_is_too_long_or_missing_is_an_error() {
        let folder = Folder::new("bounds");
        let path = folder.0.join("number");
        assert!(WatchedFile::open(&path, number).unwrap_err().contains("cannot be read"));
        fs::write(&path, "1".repeat(11)).unwrap();
        assert!(matches!(read(&path, 10), Err(Unreadable::TooLong)));
        assert!(read(&path, 11).is_ok());
    }
}

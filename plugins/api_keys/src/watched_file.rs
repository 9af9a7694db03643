//! A file of keys that is read again when it changes. Knows no thread: it is told when to look.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use log::{info, warn};

use crate::key_file::{self, Fingerprint};
use crate::key_set::KeySet;

/// How often a file that changes at every look is left alone before it is read nevertheless.
const RESTLESS: u32 = 3;

/// The keys of a file.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    path: PathBuf,
    max_keys: usize,
    keys: ArcSwap<KeySet>,
    progress: Mutex<Progress>,
    /// Since when the keys in force are not those of the file. Held only to be looked at: nobody waits for a file that is read.
    stale: Mutex<Option<Instant>>,
}

/// How a file looks: its fingerprint, or why it has none.
type Look = Result<Fingerprint, io::ErrorKind>;

#[derive(Debug)]
struct Progress {
    /// The look of what was last read, well or not.
    read: Look,
    /// Another look, which must last until the next time: the file may be half written.
    settling: Option<(Look, u32)>,
}

/// What came of a look at a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is as it was, or changes just now.
    None,
    /// Its keys are in force.
    Read,
    /// It cannot be read; the keys there were stay in force.
    Failed,
}

impl WatchedFile {
    /// The keys of the file at a path, of which there are at most so many.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn open(path: &Path, max_keys: usize) -> Result<Self, String> {
        let (keys, fingerprint) = key_file::read(path, max_keys)?;
        let progress = Mutex::new(Progress { read: Ok(fingerprint), settling: None });
        let (path, keys, stale) = (path.to_owned(), ArcSwap::from_pointee(keys), Mutex::default());
        Ok(Self { path, max_keys, keys, progress, stale })
    }

    /// Whether it is the file at this path, with this bound.
    pub(crate) fn is(&self, path: &Path, max_keys: usize) -> bool {
        self.path == path && self.max_keys == max_keys
    }

    /// The keys in force.
    pub(crate) fn keys(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.keys.load()
    }

    /// For how long the keys in force have not been those of the file.
    pub(crate) fn stale_for(&self, now: Instant) -> Duration {
        self.stale().map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn stale(&self) -> MutexGuard<'_, Option<Instant>> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the file has changed. What has is read at the second look at the latest, or, where it changes at each, at
    /// the fourth.
    pub(crate) fn look(&self) -> Change {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let look = Fingerprint::of(&self.path).map_err(|error| error.kind());
        if look == progress.read {
            progress.settling = None;
            return Change::None;
        }
        let looks = match progress.settling {
            Some((settled, _)) if settled == look => RESTLESS,
            Some((_, looks)) => looks + 1,
            None => 0,
        };
        if looks < RESTLESS {
            progress.settling = Some((look, looks));
            return Change::None;
        }
        progress.settling = None;
        match key_file::read(&self.path, self.max_keys) {
            Ok((keys, fingerprint)) => {
                info!(file:% = self.path.display(), keys = keys.len(); "API keys read again");
                self.keys.store(Arc::new(keys));
                progress.read = Ok(fingerprint);
                *self.stale() = None;
                Change::Read
            }
            Err(error) => {
                warn!(file:% = self.path.display(), error; "API keys cannot be read again; those that were read last stay in force");
                progress.read = look;
                self.stale().get_or_insert_with(Instant::now);
                Change::Failed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::digest::Digest;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("api-keys-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn list(names: &[&str]) -> String {
        if names.is_empty() {
            return "[]\n".to_owned();
        }
        let line = |name: &&str| format!("- {{ name: {name}, sha256: {} }}\n", Digest::of(name.as_bytes()));
        names.iter().map(line).collect()
    }

    fn knows(file: &WatchedFile, name: &str) -> bool {
        file.keys().find(&Digest::of(name.as_bytes())).is_some()
    }

    #[test]
    fn a_change_is_read_once_it_lasts_whichever_way_it_comes() {
        let folder = Folder::new("change");
        let (path, other) = (folder.0.join("keys.yaml"), folder.0.join("new.yaml"));
        fs::write(&path, list(&["a", "b"])).unwrap();
        let file = WatchedFile::open(&path, 10).unwrap();
        assert!(knows(&file, "a") && knows(&file, "b"));
        assert_eq!((file.look(), file.look()), (Change::None, Change::None));
        // in place
        fs::write(&path, list(&["a"])).unwrap();
        assert_eq!((file.look(), file.look(), file.look()), (Change::None, Change::Read, Change::None));
        assert!(knows(&file, "a") && !knows(&file, "b"));
        // by a rename
        fs::write(&other, list(&["c"])).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!((file.look(), file.look()), (Change::None, Change::Read));
        assert!(knows(&file, "c") && !knows(&file, "a"));
        // to none at all
        fs::write(&path, list(&[])).unwrap();
        assert_eq!((file.look(), file.look()), (Change::None, Change::Read));
        assert!(!knows(&file, "c"));
    }

    #[test]
    fn a_folder_that_kubernetes_swaps_is_a_change() {
        let folder = Folder::new("swap");
        let at = |name: &str| folder.0.join(name);
        for (version, names) in [("v1", ["a"]), ("v2", ["b"])] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("keys.yaml"), list(&names)).unwrap();
        }
        symlink("v1", at("..data")).unwrap();
        symlink("..data/keys.yaml", at("keys.yaml")).unwrap();
        let file = WatchedFile::open(&at("keys.yaml"), 10).unwrap();
        assert!(knows(&file, "a"));
        symlink("v2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        fs::remove_dir_all(at("v1")).unwrap();
        assert_eq!((file.look(), file.look()), (Change::None, Change::Read));
        assert!(knows(&file, "b") && !knows(&file, "a"));
    }

    #[test]
    fn a_broken_or_missing_file_keeps_the_keys_there_were_and_is_told_once() {
        let folder = Folder::new("broken");
        let path = folder.0.join("keys.yaml");
        fs::write(&path, list(&["a"])).unwrap();
        let file = WatchedFile::open(&path, 10).unwrap();
        for broken in ["", "- { name: a, sha256: 5 }", &list(&["b"; 2])] {
            fs::write(&path, broken).unwrap();
            assert_eq!((file.look(), file.look(), file.look()), (Change::None, Change::Failed, Change::None));
            assert!(knows(&file, "a") && !file.stale_for(Instant::now() + Duration::from_secs(5)).is_zero());
        }
        fs::remove_file(&path).unwrap();
        assert_eq!((file.look(), file.look(), file.look()), (Change::None, Change::Failed, Change::None));
        assert!(knows(&file, "a"));
        fs::write(&path, list(&["c"])).unwrap();
        assert_eq!((file.look(), file.look()), (Change::None, Change::Read));
        assert!(knows(&file, "c") && file.stale_for(Instant::now()).is_zero());
    }

    #[test]
    fn a_file_that_changes_all_the_time_is_read_nevertheless() {
        let folder = Folder::new("restless");
        let path = folder.0.join("keys.yaml");
        fs::write(&path, list(&["a"])).unwrap();
        let file = WatchedFile::open(&path, 10).unwrap();
        let changes: Vec<_> = (1..=4)
            .map(|length| {
                fs::write(&path, list(&["b", "c", "d", "e"][..length])).unwrap();
                file.look()
            })
            .collect();
        assert_eq!(changes, [Change::None, Change::None, Change::None, Change::Read]);
    }

    #[test]
    fn a_file_that_is_not_there_at_first_is_an_error() {
        let error = WatchedFile::open(Path::new("/no/such/keys.yaml"), 10).unwrap_err();
        assert!(error.contains("/no/such/keys.yaml: cannot be read: No such file"), "{error}");
    }
}

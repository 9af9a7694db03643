//! A file of keys that is read again when it changes. Knows no thread: it is told when to look.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};
use watched_file::Look;

use crate::key_file;
use crate::key_set::KeySet;

/// The keys of a file.
#[derive(Debug)]
pub(crate) struct WatchedKeys {
    max_keys: usize,
    file: watched_file::WatchedFile<KeySet>,
}

/// What came of a look at a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reread {
    /// It is as it was, or changes just now.
    NotNeeded,
    /// Its keys are in force.
    Done,
    /// It cannot be read; the keys there were stay in force.
    Failed,
}

impl WatchedKeys {
    /// The keys of the file at a path, of which there are at most so many.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn open(path: &Path, max_keys: usize) -> Result<Self, String> {
        let file = watched_file::WatchedFile::open(path, move |path| key_file::read(path, max_keys))?;
        Ok(Self { max_keys, file })
    }

    /// Whether it is the file at this path, with this bound.
    pub(crate) fn is(&self, path: &Path, max_keys: usize) -> bool {
        self.file.path() == path && self.max_keys == max_keys
    }

    /// The keys in force.
    pub(crate) fn keys(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.file.contents()
    }

    /// For how long the keys in force have not been those of the file.
    pub(crate) fn stale_for(&self, now: Instant) -> Duration {
        self.file.stale_for(now)
    }

    /// Looks whether the file has changed.
    pub(crate) fn look(&self) -> Reread {
        let path = self.file.path().display();
        match self.file.look() {
            watched_file::Change::None => Reread::NotNeeded,
            watched_file::Change::Read(keys) => {
                info!(file:% = path, keys = keys.len(); "API keys read again");
                Reread::Done
            }
            watched_file::Change::Failed(error) => {
                warn!(file:% = path, error; "API keys cannot be read again; those that were read last stay in force");
                Reread::Failed
            }
        }
    }
}

impl Look for WatchedKeys {
    fn look(&self) -> bool {
        Self::look(self) != Reread::Failed
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

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

    fn knows(file: &WatchedKeys, name: &str) -> bool {
        file.keys().find(&Digest::of(name.as_bytes())).is_some()
    }

    #[test]
    fn a_change_is_read_once_it_lasts_whichever_way_it_comes() {
        let folder = Folder::new("change");
        let (path, other) = (folder.0.join("keys.yaml"), folder.0.join("new.yaml"));
        fs::write(&path, list(&["a", "b"])).unwrap();
        let file = WatchedKeys::open(&path, 10).unwrap();
        assert!(knows(&file, "a") && knows(&file, "b"));
        assert_eq!((file.look(), file.look()), (Reread::NotNeeded, Reread::NotNeeded));
        // in place
        fs::write(&path, list(&["a"])).unwrap();
        assert_eq!((file.look(), file.look(), file.look()), (Reread::NotNeeded, Reread::Done, Reread::NotNeeded));
        assert!(knows(&file, "a") && !knows(&file, "b"));
        // by a rename
        fs::write(&other, list(&["c"])).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!((file.look(), file.look()), (Reread::NotNeeded, Reread::Done));
        assert!(knows(&file, "c") && !knows(&file, "a"));
        // to none at all
        fs::write(&path, list(&[])).unwrap();
        assert_eq!((file.look(), file.look()), (Reread::NotNeeded, Reread::Done));
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
        let file = WatchedKeys::open(&at("keys.yaml"), 10).unwrap();
        assert!(knows(&file, "a"));
        symlink("v2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        fs::remove_dir_all(at("v1")).unwrap();
        assert_eq!((file.look(), file.look()), (Reread::NotNeeded, Reread::Done));
        assert!(knows(&file, "b") && !knows(&file, "a"));
    }

    #[test]
    fn a_broken_or_missing_file_keeps_the_keys_there_were_and_is_told_once() {
        let folder = Folder::new("broken");
        let path = folder.0.join("keys.yaml");
        fs::write(&path, list(&["a"])).unwrap();
        let file = WatchedKeys::open(&path, 10).unwrap();
        for broken in ["", "- { name: a, sha256: 5 }", &list(&["b"; 2])] {
            fs::write(&path, broken).unwrap();
            assert_eq!((file.look(), file.look(), file.look()), (Reread::NotNeeded, Reread::Failed, Reread::NotNeeded));
            assert!(knows(&file, "a") && !file.stale_for(Instant::now() + Duration::from_secs(5)).is_zero());
        }
        fs::remove_file(&path).unwrap();
        assert_eq!((file.look(), file.look(), file.look()), (Reread::NotNeeded, Reread::Failed, Reread::NotNeeded));
        assert!(knows(&file, "a"));
        fs::write(&path, list(&["c"])).unwrap();
        assert_eq!((file.look(), file.look()), (Reread::NotNeeded, Reread::Done));
        assert!(knows(&file, "c") && file.stale_for(Instant::now()).is_zero());
    }

    #[test]
    fn a_file_that_changes_all_the_time_is_read_nevertheless() {
        let folder = Folder::new("restless");
        let path = folder.0.join("keys.yaml");
        fs::write(&path, list(&["a"])).unwrap();
        let file = WatchedKeys::open(&path, 10).unwrap();
        let changes: Vec<_> = (1..=4)
            .map(|length| {
                fs::write(&path, list(&["b", "c", "d", "e"][..length])).unwrap();
                file.look()
            })
            .collect();
        assert_eq!(changes, [Reread::NotNeeded, Reread::NotNeeded, Reread::NotNeeded, Reread::Done]);
    }

    #[test]
    fn a_file_that_is_not_there_at_first_is_an_error() {
        let error = WatchedKeys::open(Path::new("/no/such/keys.yaml"), 10).unwrap_err();
        assert!(error.contains("/no/such/keys.yaml: cannot be read: No such file"), "{error}");
    }
}

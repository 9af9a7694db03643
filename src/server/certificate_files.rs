//! Watches the files of the listeners' certificates, so that a renewed one is served without a reload. Says when to read them; reads
//! none.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The files of the certificates in force.
#[derive(Default)]
pub(super) struct CertificateFiles {
    files: Vec<PathBuf>,
    read: Vec<Look>,
    /// Another look, which must last until the next time: certificate and key may be written one after the other.
    settling: Option<Vec<Look>>,
}

/// How a file looks: its place on the disk, its length and its times; `None` where it is not there.
type Look = Option<(u64, u64, u64, i64, i64, i64, i64)>;

impl CertificateFiles {
    /// Watches these files from now on, as they look now.
    pub(super) fn watch(&mut self, files: Vec<PathBuf>) {
        self.read = look(&files);
        self.files = files;
        self.settling = None;
    }

    /// Waits until a file has changed and looks the same for a while. What is lost when this future is dropped is found at the next
    /// look.
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if self.files.is_empty() {
                continue;
            }
            let files = self.files.clone();
            // the files may be on a disk that does not answer
            let Ok(looks) = tokio::task::spawn_blocking(move || look(&files)).await else { continue };
            if self.came(looks) {
                return;
            }
        }
    }

    fn came(&mut self, looks: Vec<Look>) -> bool {
        if looks == self.read {
            self.settling = None;
            return false;
        }
        if self.settling.as_ref() == Some(&looks) {
            self.settling = None;
            self.read = looks;
            return true;
        }
        self.settling = Some(looks);
        false
    }
}

fn look(files: &[PathBuf]) -> Vec<Look> {
    files.iter().map(|file| look_at(file)).collect()
}

fn look_at(file: &Path) -> Look {
    // behind symbolic links: Kubernetes swaps the folder that one leads to
    let found = fs::metadata(file).ok()?;
    let times = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
    Some((found.dev(), found.ino(), found.len(), times.0, times.1, times.2, times.3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_look(length: u64) -> Look {
        Some((1, 2, length, 3, 4, 5, 6))
    }

    #[test]
    fn a_change_counts_once_it_lasts() {
        let mut files = CertificateFiles { read: vec![a_look(1), a_look(2)], ..CertificateFiles::default() };
        let steps = [
            (vec![a_look(1), a_look(2)], false),
            (vec![a_look(9), a_look(2)], false),
            (vec![a_look(9), a_look(8)], false),
            (vec![a_look(9), a_look(8)], true),
            (vec![a_look(9), a_look(8)], false),
            (vec![None, a_look(8)], false),
            (vec![a_look(9), a_look(8)], false),
            (vec![None, a_look(8)], false),
            (vec![None, a_look(8)], true),
        ];
        for (looks, counts) in steps {
            assert_eq!(files.came(looks), counts);
        }
    }
}

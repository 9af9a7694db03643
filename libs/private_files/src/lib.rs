//! Creates files that hold prompts, keys or rows: the owner can write them, and the owner's group can read them. A stricter umask
//! applies; an existing file keeps its mode.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const FILE: u32 = 0o640;
const FOLDER: u32 = 0o750;
/// What everybody on the machine may do by a mode: read a file, and reach what is in a folder.
const READ: u32 = 0o004;
const SEARCH: u32 = 0o001;

/// Options for opening a file that is private where they create it.
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE);
    options
}

/// Puts a private file in place as a whole: whoever reads it meanwhile finds the old content or the new one. Where the disk does not
/// allow it, the old one stays.
///
/// # Errors
/// What the disk says.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = options().write(true).create(true).truncate(true).open(&beside)?;
    file.write_all(content)?;
    fs::rename(&beside, path)
}

/// Creates a private folder, with those above it that are missing, which are private too; one that exists is left as it is.
///
/// # Errors
/// That the disk does not allow it.
pub fn create_dir_all(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(folder)
}

/// Whether this is a file that everybody on the machine may read, as far as its own mode says, or a folder whose files everybody
/// can reach.
#[must_use]
pub fn is_open_to_all(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| {
        let mode = found.permissions().mode();
        found.is_file() && mode & READ != 0 || found.is_dir() && mode & SEARCH != 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_created_is_private_and_what_exists_keeps_its_mode() {
        let folder = std::env::temp_dir().join(format!("private-files-{}", uuid::Uuid::now_v7()));
        let (inner, file) = (folder.join("a/b"), folder.join("a/b/file"));
        create_dir_all(&inner).unwrap();
        let open = || options().append(true).create(true).open(&file).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        drop(open());
        // whatever the umask takes away, nobody else is given anything
        assert!([&folder, &inner].into_iter().all(|folder| mode(folder) & 0o027 == 0));
        assert_eq!(mode(&file) & 0o137, 0);
        assert!(![&folder, &inner, &file].into_iter().any(|path| is_open_to_all(path)));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        drop(open());
        assert_eq!(mode(&file), 0o644);
        assert!(is_open_to_all(&file) && !is_open_to_all(Path::new("/dev/null")));
        fs::remove_dir_all(&folder).unwrap();
    }
}

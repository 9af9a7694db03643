//! A file of the journal: its name, and the head with the salt. The frames behind the head are for others.
//!
//! | bytes | content |
//! |---|---|
//! | 7 | `tglog`, and two zeros |
//! | 1 | the version of the segment |
//! | 2 × 8 | the salt, each time with its checksum: without the salt no frame can be read |
//!
//! A segment of a later version keeps the first 8 bytes, and has no valid salt at this place.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::checksum::checksum;

/// Begins every segment; the version is behind it.
const MAGIC: [u8; 7] = *b"tglog\0\0";
const VERSION: u8 = 1;
/// Begins a segment whose records were passed over before: those before, between and behind them are no concern of it.
const PASSED_MAGIC: [u8; 8] = *b"tgunread";
pub(crate) const HEAD: usize = 24;

/// What the ending of a file's name says it is.
pub(crate) const SEGMENT: &str = "journal";
pub(crate) const UNREAD: &str = "unread";
pub(crate) const PASSED: &str = "passed";
pub(crate) const DAMAGED: &str = "damaged";

/// What the head of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Known {
        salt: u32,
        /// Its records were passed over before.
        passed: bool,
    },
    /// The segment is of a later version.
    Later,
    Damaged,
}

/// Creates a segment with its head.
pub(crate) fn create(folder: &Path, number: u64, salt: u32) -> io::Result<File> {
    let path = path(folder, number);
    let file = private_files::options().read(true).write(true).create_new(true).open(&path)?;
    let mut head = [0; HEAD];
    head[..7].copy_from_slice(&MAGIC);
    head[7] = VERSION;
    head[8..].copy_from_slice(&salts(salt));
    file.write_all_at(&head, 0).inspect_err(|_| drop(fs::remove_file(&path)))?;
    Ok(file)
}

/// Makes the records of a segment ones that were passed over before.
pub(crate) fn set_passed(file: &File, salt: u32) -> io::Result<()> {
    file.write_all_at(&salts(salt), 8)?;
    file.write_all_at(&PASSED_MAGIC, 0)
}

fn salts(salt: u32) -> [u8; 16] {
    let mut salts = [0; 16];
    for copy in salts.chunks_exact_mut(8) {
        copy[..4].copy_from_slice(&salt.to_le_bytes());
        copy[4..].copy_from_slice(&checksum(0, &salt.to_le_bytes()).to_le_bytes());
    }
    salts
}

/// The head of a segment.
pub(crate) fn head(file: &File) -> io::Result<Head> {
    let mut head = [0; HEAD];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(head_in(&head)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Head::Damaged),
        Err(error) => Err(error),
    }
}

/// The head at the beginning of the bytes of a segment.
pub(crate) fn head_in(bytes: &[u8]) -> Head {
    let salt = [8, 16].into_iter().find_map(|copy| {
        let (salt, sum) = bytes.get(copy..copy + 8)?.split_at(4);
        let is_right = checksum(0, salt).to_le_bytes() == *sum;
        is_right.then(|| salt.try_into().map(u32::from_le_bytes).ok()).flatten()
    });
    match (salt, bytes.get(7)) {
        (Some(salt), _) => Head::Known { salt, passed: bytes.starts_with(&PASSED_MAGIC) },
        (None, Some(version)) if bytes.starts_with(&MAGIC) && *version > VERSION => Head::Later,
        _ => Head::Damaged,
    }
}

/// The numbers of the segments in a folder, in order.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    numbered(folder, SEGMENT)
}

/// The numbers by which files with this ending are named, in order.
pub(crate) fn numbered(folder: &Path, ending: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = PathBuf::from(entry?.file_name());
        let number = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| stem.len() == 16);
        let number = number.and_then(|stem| u64::from_str_radix(stem, 16).ok());
        numbers.extend(number.filter(|_| path.extension().is_some_and(|own| own == ending)));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Where a segment is.
pub(crate) fn path(folder: &Path, number: u64) -> PathBuf {
    file(folder, number, SEGMENT)
}

/// Where a file of this number and ending is.
pub(crate) fn file(folder: &Path, number: u64, ending: &str) -> PathBuf {
    folder.join(format!("{number:016x}.{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_of_a_later_version_is_told_from_a_damaged_one() {
        let mut head = [MAGIC.as_slice(), &[VERSION], &salts(7)].concat();
        assert_eq!(head_in(&head), Head::Known { salt: 7, passed: false });
        head[7] = 2;
        assert_eq!(head_in(&head), Head::Known { salt: 7, passed: false }, "a flipped bit is no version");
        head[8..].fill(0);
        assert_eq!(head_in(&head), Head::Later);
        head[7] = 0;
        assert_eq!(head_in(&head), Head::Damaged);
        assert_eq!(head_in(&head[..5]), Head::Damaged);
    }
}

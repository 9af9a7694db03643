//! A file of the journal: its name, and the salt at its head. What stands behind the head is for others.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use plugin_api::private;
use zlib_rs::crc32::crc32;

/// Begins every segment; the last byte is the version.
const MAGIC: [u8; 8] = *b"tglog\0\0\x01";
/// The magic, and the salt twice, each with its checksum: whoever loses the salt loses the segment.
pub(super) const HEAD: usize = 24;
const SUFFIX: &str = "journal";
/// That of a segment with records that a later release wrote: a start that may know them reads it again.
const UNREAD: &str = "unread";

/// Creates a segment with its head.
pub(super) fn create(folder: &Path, number: u64, salt: u32) -> io::Result<File> {
    let path = path(folder, number);
    let file = private::options().read(true).write(true).create_new(true).open(&path)?;
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    for copy in [8, 16] {
        head[copy..copy + 4].copy_from_slice(&salt.to_le_bytes());
        let sum = crc32(0, &salt.to_le_bytes());
        head[copy + 4..copy + 8].copy_from_slice(&sum.to_le_bytes());
    }
    file.write_all_at(&head, 0).inspect_err(|_| drop(fs::remove_file(&path)))?;
    Ok(file)
}

/// The salt of a segment; `None` if its head is damaged.
pub(super) fn salt(file: &File) -> io::Result<Option<u32>> {
    let mut head = [0; HEAD];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(salt_in(&head)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// The salt at the beginning of the bytes of a segment; `None` if that is damaged.
pub(super) fn salt_in(bytes: &[u8]) -> Option<u32> {
    [8, 16].into_iter().find_map(|copy| {
        let (salt, sum) = bytes.get(copy..copy + 8)?.split_at(4);
        let is_right = crc32(0, salt).to_le_bytes() == *sum;
        is_right.then(|| salt.try_into().map(u32::from_le_bytes).ok()).flatten()
    })
}

/// The numbers of the segments in a folder, in order.
pub(super) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    numbered(folder, SUFFIX)
}

/// The numbers of the segments that wait for a release that knows their records, in order.
pub(super) fn list_unread(folder: &Path) -> io::Result<Vec<u64>> {
    numbered(folder, UNREAD)
}

/// The numbers by which files with this suffix are named, in order.
pub(super) fn numbered(folder: &Path, suffix: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = PathBuf::from(entry?.file_name());
        let number = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| stem.len() == 16);
        let number = number.and_then(|stem| u64::from_str_radix(stem, 16).ok());
        numbers.extend(number.filter(|_| path.extension().is_some_and(|own| own == suffix)));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Where a segment is.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.{SUFFIX}"))
}

/// Where one is that waits for a release that knows its records.
pub(super) fn unread_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.{UNREAD}"))
}

/// Lets a segment stay for a release that knows its records, whatever becomes of it here.
pub(super) fn leave_unread(folder: &Path, number: u64) -> io::Result<()> {
    match fs::hard_link(path(folder, number), unread_path(folder, number)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

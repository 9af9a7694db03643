//! Records that this release does not know: they stay in the folder until a release opens the journal that knows them.
//!
//! A reader that passes over the first such record of a segment marks the segment (`.passed`). When all of the segment is read, the
//! frames of the records that are stored elsewhere lose their mark, the mark of those that are not stays, and the segment is
//! renamed to `.unread`. That needs no space on the disk, and a kill in the midst of it loses nothing. The next release that
//! knows any of the records makes a segment of the file again.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use uuid::Uuid;

use crate::Decoder;
use crate::frame::{self, Frame, MARK};
use crate::run::{self, Run};
use crate::segment::{self, Head, PASSED, UNREAD};

/// Precedes the run at the end of an `.unread` file.
const TRAILER: [u8; 8] = *b"tgrun\0\0\x01";

/// Marks a segment as one that holds unknown records, from a byte on, which were passed over. An earlier mark stays.
pub(crate) fn mark(folder: &Path, number: u64, from: u64) -> io::Result<()> {
    let options = private_files::options().write(true).create_new(true).open(segment::file(folder, number, PASSED));
    match options {
        Ok(file) => file.write_all_at(&from.to_le_bytes(), 0),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// From which byte on a segment holds records that were passed over, if it is marked. An earlier release gave such a segment a second
/// name, `.unread`.
pub(crate) fn marked(folder: &Path, number: u64) -> Option<u64> {
    match fs::read(segment::file(folder, number, PASSED)) {
        Ok(from) => Some(from.try_into().map_or(0, u64::from_le_bytes)),
        Err(_) => segment::file(folder, number, UNREAD).exists().then_some(0),
    }
}

/// Renames a segment to `.unread`, and removes its mark.
pub(crate) fn set_aside(folder: &Path, number: u64) -> io::Result<()> {
    let unread = segment::file(folder, number, UNREAD);
    // a second name of the same file would let the rename do nothing
    let _ = fs::remove_file(&unread);
    fs::rename(segment::path(folder, number), unread)?;
    let _ = fs::remove_file(segment::file(folder, number, PASSED));
    Ok(())
}

/// A segment with records that were passed over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed {
    pub(crate) salt: u32,
    /// All before this byte is stored elsewhere.
    pub(crate) from: u64,
}

/// A segment was read to its end: whatever the decoder knows of it is stored elsewhere. What it does not know is kept.
pub(crate) fn keep<T>(
    folder: &Path,
    number: u64,
    Passed { salt, from }: Passed,
    run: Option<&Run>,
    decode: Decoder<T>,
) -> io::Result<()> {
    let path = segment::path(folder, number);
    let bytes = fs::read(&path)?;
    let file = File::options().write(true).open(&path)?;
    let (mut met, mut left) = (HashSet::new(), 0);
    for (offset, frame) in frame::all(&bytes, segment::HEAD, salt) {
        let waits = offset as u64 >= from && !is_known(&frame, decode);
        // a copy of a frame is not kept
        if waits && frame.place.is_none_or(|place| met.insert(place.before.records())) {
            left += 1;
        } else {
            file.write_all_at(&[0; MARK.len()], offset as u64)?;
        }
    }
    if left == 0 {
        fs::remove_file(&path)?;
        let _ = fs::remove_file(segment::file(folder, number, PASSED));
        return Ok(());
    }
    segment::set_passed(&file, salt)?;
    if let Some(run) = run.filter(|_| run_in(&bytes).is_none()) {
        // only inspection needs it: what the disk has no room for is left out
        let _ = file.write_all_at(&[TRAILER.as_slice(), &run.bytes()].concat(), bytes.len() as u64);
    }
    file.sync_data()?;
    set_aside(folder, number)?;
    File::open(folder)?.sync_all()
}

/// What an `.unread` file holds.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    /// Records that the decoder does not know. A segment of a later version has at least one.
    pub(crate) unknown: u64,
    /// Those that have a number, with their run where the file tells it.
    pub(crate) numbers: Vec<(Option<Uuid>, u64)>,
    /// Records that the decoder knows.
    pub(crate) known: u64,
    /// Whether it is a segment of a later version.
    pub(crate) is_later: bool,
    /// The salt; `None` in a segment of a later version, or one whose head is damaged.
    pub(crate) salt: Option<u32>,
}

/// Looks into an `.unread` file, calling `each` for the records that the decoder knows.
pub(crate) fn look<T>(path: &Path, runs: &[Run], decode: Decoder<T>, mut each: impl FnMut(T)) -> io::Result<Unread> {
    let bytes = fs::read(path)?;
    let salt = match segment::head_in(&bytes) {
        Head::Known { salt, .. } => salt,
        Head::Later => return Ok(Unread { unknown: 1, is_later: true, ..Unread::default() }),
        Head::Damaged => return Ok(Unread::default()),
    };
    let instance = run_in(&bytes).or_else(|| runs.iter().find(|run| run.salt == salt).copied()).map(|run| run.instance);
    let mut unread = Unread { salt: Some(salt), ..Unread::default() };
    for (_, frame) in frame::all(&bytes, segment::HEAD, salt) {
        match frame.entry.and_then(|entry| decode(&entry)) {
            Some(decoded) => {
                unread.known += 1;
                each(decoded.record);
            }
            None => {
                unread.unknown += 1;
                unread.numbers.extend(frame.place.and_then(|place| place.number()).map(|number| (instance, number)));
            }
        }
    }
    Ok(unread)
}

/// Makes a segment with this number of an `.unread` file.
pub(crate) fn adopt(folder: &Path, unread: u64, salt: u32, number: u64) -> io::Result<()> {
    let path = segment::file(folder, unread, UNREAD);
    segment::set_passed(&File::options().write(true).open(&path)?, salt)?;
    fs::rename(path, segment::path(folder, number))
}

pub(crate) fn is_known<T>(frame: &Frame<'_>, decode: Decoder<T>) -> bool {
    frame.entry.is_some_and(|entry| decode(&entry).is_some())
}

/// The run at the end of an `.unread` file.
fn run_in(bytes: &[u8]) -> Option<Run> {
    let trailer = bytes.len().checked_sub(TRAILER.len() + run::LENGTH)?;
    Run::parse(0, bytes[trailer..].strip_prefix(&TRAILER)?)
}

//! Reads what waits in a journal, whether or not a process has it open. Changes nothing.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::segment::{self, Head, UNREAD};
use crate::{Decoder, frame, position, run, unknown};

/// What waits in a journal besides the records that the decoder knows.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// Records that the decoder does not know. They wait for a later release. A segment of a later version counts as one.
    pub unknown: u64,
    /// Those of them that have a number, with their run.
    pub unknown_numbers: HashSet<(Uuid, u64)>,
    /// The highest number of each run, as far as the journal still knows.
    pub highest: Vec<(Uuid, u64)>,
}

/// Reads the journal in a folder, calling `each` for every record that waits and that the decoder knows. A folder that is not there
/// holds nothing.
///
/// # Errors
/// The disk cannot be read.
pub fn inspect<T>(folder: &Path, decode: Decoder<T>, mut each: impl FnMut(T)) -> io::Result<Inspection> {
    let mut inspection = Inspection::default();
    if !folder.exists() {
        return Ok(inspection);
    }
    // before the records: a record that is appended meanwhile is not missed
    inspection.highest = run::numbers(folder)?;
    let (at, runs) = (position::read(folder).unwrap_or_default().at, run::list(folder)?);
    let instance = |salt: u32| runs.iter().find(|run| run.salt == salt).map(|run| run.instance);
    for number in segment::list(folder)?.into_iter().filter(|number| *number >= at.segment) {
        let Some(bytes) = read(&segment::path(folder, number))? else { continue };
        let salt = match segment::head_in(&bytes) {
            Head::Known { salt, .. } => Some(salt),
            Head::Later => {
                inspection.unknown += 1;
                continue;
            }
            Head::Damaged => run::of_segment(&runs, number).map(|run| run.salt),
        };
        let Some(salt) = salt else { continue };
        let read = if number == at.segment { at.offset } else { 0 };
        // before the position, what was passed over waits
        let from = unknown::marked(folder, number).map_or(read, |from| from.min(read));
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        for (_, frame) in frame::all(&bytes, from.max(segment::HEAD), salt) {
            match frame.entry.and_then(|entry| decode(&entry)) {
                Some(decoded) => each(decoded.record),
                None => {
                    inspection.unknown += 1;
                    let number = frame.place.and_then(|place| place.number());
                    inspection.unknown_numbers.extend(instance(salt).zip(number));
                }
            }
        }
    }
    for number in segment::numbered(folder, UNREAD)? {
        if segment::path(folder, number).exists() {
            // a second name of the segment, which an earlier release gave it
            continue;
        }
        match unknown::look(&segment::file(folder, number, UNREAD), &runs, decode, &mut each) {
            Ok(unread) => {
                inspection.unknown += unread.unknown;
                let numbers = unread.numbers.into_iter().filter_map(|(instance, number)| instance.zip(Some(number)));
                inspection.unknown_numbers.extend(numbers);
            }
            // taken up meanwhile
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(inspection)
}

/// The bytes of a segment; none if it was retired meanwhile.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

//! Reads what waits in a journal, whoever has it open. Changes nothing.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use uuid::Uuid;

use super::frame::{self, Found};
use super::{position, run, segment};
use crate::Record;
use crate::rejected::put_aside;

/// What a journal holds that the database may not have: the rows, by instance and number.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// Rows that are still to be shipped.
    pub rows: HashSet<(Uuid, i64)>,
    /// Rows that the database refused and that were put aside.
    pub aside: HashSet<(Uuid, i64)>,
    /// Records of a later release, which a start of that one ships.
    pub unread: u64,
    /// The highest number of each instance, as far as the journal still knows.
    pub highest: Vec<(Uuid, i64)>,
}

/// Reads the journal in a folder; one that is not there holds nothing.
///
/// # Errors
/// That the disk cannot be read.
pub fn waiting(folder: &Path) -> io::Result<Waiting> {
    if !folder.exists() {
        return Ok(Waiting::default());
    }
    // before the rows: one that is kept meanwhile is not missed
    let numbers = run::numbers(folder)?.into_iter();
    let highest = numbers.map(|(run, number)| (run, i64::try_from(number).unwrap_or(i64::MAX))).collect();
    let mut waiting = Waiting { aside: put_aside(folder)?.rows, highest, ..Waiting::default() };
    let (at, runs) = (position::read(folder).unwrap_or_default().at, run::list(folder)?);
    let whole =
        segment::list_unread(folder)?.into_iter().map(|number| (number, segment::unread_path(folder, number), 0));
    let left = segment::list(folder)?.into_iter().filter(|number| *number >= at.segment).map(|number| {
        let from = if number == at.segment { usize::try_from(at.offset).unwrap_or(usize::MAX) } else { 0 };
        (number, segment::path(folder, number), from)
    });
    for (number, path, from) in left.chain(whole) {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            // shipped meanwhile
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let salt = segment::salt_in(&bytes).or_else(|| run::of_segment(&runs, number).map(|run| run.salt));
        if let Some(salt) = salt {
            rows(bytes.get(from.max(segment::HEAD)..).unwrap_or_default(), salt, &mut waiting);
        }
    }
    Ok(waiting)
}

fn rows(mut bytes: &[u8], salt: u32, waiting: &mut Waiting) {
    while !bytes.is_empty() {
        let length = match frame::decode(bytes, salt) {
            Found::Frame(length, _, record) => {
                if let Record::Request(row) = *record {
                    waiting.rows.insert((row.instance, row.sequence));
                }
                length
            }
            Found::Unknown(length, _) => {
                waiting.unread += 1;
                length
            }
            Found::Damage(length) => length,
            // its end is not written, or never will be; what follows it may be whole
            Found::Needs(length) if length > bytes.len() => frame::next_mark(bytes),
            Found::Needs(length) => length,
        };
        bytes = bytes.get(length.max(1)..).unwrap_or_default();
    }
}

//! Reads what waits in a journal, whoever has it open. Changes nothing.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use uuid::Uuid;

use super::frame::{self, Found};
use super::{position, segment};
use crate::Record;
use crate::rejected::put_aside;

/// What a journal holds that the database may not have: the rows, by instance and number.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// Rows that are still to be shipped.
    pub rows: HashSet<(Uuid, i64)>,
    /// Rows that the database refused and that were put aside.
    pub aside: HashSet<(Uuid, i64)>,
}

/// Reads the journal in a folder; one that is not there holds nothing.
///
/// # Errors
/// That the disk cannot be read.
pub fn waiting(folder: &Path) -> io::Result<Waiting> {
    let mut waiting = Waiting { rows: HashSet::new(), aside: put_aside(folder)?.rows };
    let at = position::read(folder);
    let numbers = if folder.exists() { segment::list(folder)? } else { Vec::new() };
    for number in numbers.into_iter().filter(|number| *number >= at.segment) {
        let bytes = match fs::read(segment::path(folder, number)) {
            Ok(bytes) => bytes,
            // shipped meanwhile
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let Some(salt) = segment::salt(&File::open(segment::path(folder, number))?)? else { continue };
        let from = if number == at.segment { usize::try_from(at.offset).unwrap_or(usize::MAX) } else { 0 };
        rows(bytes.get(from.max(segment::HEAD)..).unwrap_or_default(), salt, &mut waiting.rows);
    }
    Ok(waiting)
}

fn rows(mut bytes: &[u8], salt: u32, found: &mut HashSet<(Uuid, i64)>) {
    while !bytes.is_empty() {
        let length = match frame::decode(bytes, salt) {
            Found::Frame(length, record) => {
                if let Record::Request(row) = *record {
                    found.insert((row.instance, row.sequence));
                }
                length
            }
            Found::Unknown(length) | Found::Damage(length) => length,
            // its end is not written, or never will be; what follows it may be whole
            Found::Needs(length) if length > bytes.len() => frame::next_mark(bytes),
            Found::Needs(length) => length,
        };
        bytes = bytes.get(length.max(1)..).unwrap_or_default();
    }
}

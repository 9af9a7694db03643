//! One record as bytes: a mark, a version, a length, a checksum, its place in the run, the record. Knows no files.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | the mark [`MARK`], by which a reader finds the next frame behind damaged bytes |
//! | 1 | the version of the encoding of the record |
//! | 4 | the length of the record, little-endian |
//! | 4 | CRC-32 of the record and all of the head but mark and checksum, little-endian |
//! | 1 | the [`Kind`] of the record |
//! | 32 | the [`Count`] of its run before it |
//! | … | the record, in postcard's encoding |
//!
//! The checksum begins with the salt of the segment, which is random: a body that is kept in a record cannot pass for
//! a frame of its own. Version 1, which earlier releases wrote, has neither kind nor count. A later version has the same head.

use zlib_rs::crc32::crc32;

use super::count::{Count, Kind, Place};
use crate::Record;

/// Begins every frame.
const MARK: [u8; 4] = [0xF1, 0x54, 0x47, 0xA6];
/// The version that is written.
const VERSION: u8 = 2;
/// The one without a place.
const FIRST_VERSION: u8 = 1;
/// What stands before a record in any version, and before one that is written.
const SHORT_HEAD: usize = 13;
pub(super) const HEAD: usize = SHORT_HEAD + 1 + Count::LENGTH;
/// The longest record. Bodies are cut far below.
const LONGEST: usize = 64 << 20;

/// Puts a record into a buffer as a frame that has yet to get its [place](place); whatever the buffer held is gone. `false` if
/// the record is too long.
pub(super) fn encode(record: &Record, salt: u32, buffer: &mut Vec<u8>) -> bool {
    buffer.clear();
    buffer.resize(HEAD, 0);
    // writing to memory fails for no record that the types allow
    let Ok(filled) = postcard::to_extend(record, std::mem::take(buffer)) else { return false };
    *buffer = filled;
    let length = buffer.len() - HEAD;
    if length > LONGEST {
        return false;
    }
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    buffer[..4].copy_from_slice(&MARK);
    buffer[4] = VERSION;
    buffer[5..9].copy_from_slice(&length.to_le_bytes());
    buffer[SHORT_HEAD] = Kind::of(record).byte();
    let sum = crc32(salt, &buffer[HEAD..]);
    buffer[9..SHORT_HEAD].copy_from_slice(&sum.to_le_bytes());
    true
}

/// Gives a frame its place in the run. That takes no time, however long the record is: its own checksum is known already.
pub(super) fn place(frame: &mut [u8], before: Count) {
    frame[SHORT_HEAD + 1..HEAD].copy_from_slice(&before.bytes());
    let sum = with_head(number(frame, 9), frame);
    frame[9..SHORT_HEAD].copy_from_slice(&sum.to_le_bytes());
}

/// What stands at the beginning of some bytes.
#[derive(Debug)]
pub(super) enum Found {
    /// A frame of so many bytes, its place where its version has one, and its record.
    Frame(usize, Option<Place>, Box<Record>),
    /// A frame of so many bytes, whole, whose record this build does not know.
    Unknown(usize, Option<Place>),
    /// The beginning of a frame that may be whole with so many bytes.
    Needs(usize),
    /// Damage. After so many bytes there may be a frame again.
    Damage(usize),
}

/// Looks for a frame at the beginning of `bytes`, of which there is at least one.
pub(super) fn decode(bytes: &[u8], salt: u32) -> Found {
    let marked = bytes.iter().zip(MARK).all(|(byte, mark)| *byte == mark);
    if !marked {
        return Found::Damage(next_mark(bytes));
    }
    if bytes.len() < SHORT_HEAD {
        return Found::Needs(SHORT_HEAD);
    }
    let (version, length) = (bytes[4], usize::try_from(number(bytes, 5)).unwrap_or(usize::MAX));
    if length > LONGEST {
        return Found::Damage(next_mark(bytes));
    }
    let head = if version == FIRST_VERSION { SHORT_HEAD } else { HEAD };
    let Some(record) = bytes.get(head..head + length) else { return Found::Needs(head + length) };
    let sum = match version {
        FIRST_VERSION => crc32(crc32(salt, &bytes[4..9]), record),
        _ => with_head(crc32(salt, record), bytes),
    };
    if sum != number(bytes, 9) {
        return Found::Damage(next_mark(bytes));
    }
    let place = (version != FIRST_VERSION).then(|| read_place(&bytes[SHORT_HEAD..HEAD])).flatten();
    match decoded(record) {
        Some(record) if version == FIRST_VERSION => Found::Frame(head + length, None, Box::new(record)),
        Some(record) if version == VERSION && place.is_some() => {
            Found::Frame(head + length, place, Box::new(numbered(record, place)))
        }
        _ => Found::Unknown(head + length, place),
    }
}

/// A record, of this build or of one that knew fewer fields. Fields are added at the end of a row only: an older build passes over
/// them, and what an older build did not write is read as nothing.
fn decoded(record: &[u8]) -> Option<Record> {
    // in this encoding a zero is every kind of nothing: `None`, 0, an empty text or list
    const NOTHING: [u8; 64] = [0; 64];
    match postcard::from_bytes(record) {
        Err(postcard::Error::DeserializeUnexpectedEnd) => postcard::from_bytes(&[record, &NOTHING].concat()).ok(),
        read => read.ok(),
    }
}

/// The record with the number that its place gives it.
fn numbered(mut record: Record, place: Option<Place>) -> Record {
    if let (Record::Request(row), Some(Place { kind: Kind::Row, before })) = (&mut record, place) {
        row.sequence = i64::try_from(before.refused().sequence).unwrap_or(i64::MAX);
    }
    record
}

fn read_place(bytes: &[u8]) -> Option<Place> {
    let (kind, before) = bytes.split_first()?;
    Some(Place { kind: Kind::parse(*kind)?, before: Count::parse(before)? })
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// How far it is from the first byte to where a frame may begin.
pub(super) fn next_mark(bytes: &[u8]) -> usize {
    let from = 1.min(bytes.len());
    let rest = &bytes[from..];
    let whole = rest.windows(MARK.len()).position(|window| window == MARK);
    // a mark may be cut by the end of the bytes
    let cut = || (1..MARK.len()).rev().find(|kept| rest.ends_with(&MARK[..*kept])).map(|kept| rest.len() - kept);
    from + whole.or_else(cut).unwrap_or(rest.len())
}

/// The checksum of a record together with the head of its frame.
fn with_head(record: u32, frame: &[u8]) -> u32 {
    crc32(crc32(record, &frame[4..9]), &frame[SHORT_HEAD..HEAD])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;

    #[test]
    fn a_row_without_the_fields_that_came_later_is_read_without_them() {
        let row = Row { domain: "a.example".into(), sequence: 7, ..Row::default() };
        let mut bytes = postcard::to_stdvec(&Record::Request(Box::new(row.clone()))).unwrap();
        assert_eq!(bytes.pop(), Some(0), "the last field is none");
        assert_eq!(decoded(&bytes), Some(Record::Request(Box::new(row))));
        assert_eq!(decoded(&[9]), None);
    }
}

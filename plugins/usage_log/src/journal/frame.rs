//! One record as bytes: a mark, a version, a length, a checksum, the record. Knows no files.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | the mark [`MARK`], by which a reader finds the next frame behind damaged bytes |
//! | 1 | the version of the encoding of the record |
//! | 4 | the length of the record, little-endian |
//! | 4 | CRC-32 of version, length and record, little-endian |
//! | … | the record, in postcard's encoding |
//!
//! The checksum begins with the salt of the segment, which is random: a body that is kept in a record cannot pass for
//! a frame of its own.

use zlib_rs::crc32::crc32;

use crate::Record;

/// Begins every frame.
const MARK: [u8; 4] = [0xF1, 0x54, 0x47, 0xA6];
/// The version that is written.
const VERSION: u8 = 1;
/// What stands before a record.
pub(super) const HEAD: usize = 13;
/// The longest record. Bodies are cut far below.
pub(super) const LONGEST: usize = 64 << 20;

/// Puts a record into a buffer as a frame; whatever the buffer held is gone. `false` if the record is too long.
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
    let sum = checksum(salt, &buffer[4..9], &buffer[HEAD..]);
    buffer[9..HEAD].copy_from_slice(&sum.to_le_bytes());
    true
}

/// What stands at the beginning of some bytes.
#[derive(Debug)]
pub(super) enum Found {
    /// A frame of so many bytes, and its record.
    Frame(usize, Box<Record>),
    /// A frame of so many bytes, whole, whose record this build does not know.
    Unknown(usize),
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
    if bytes.len() < HEAD {
        return Found::Needs(HEAD);
    }
    let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let length = usize::try_from(number(5)).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Found::Damage(next_mark(bytes));
    }
    let Some(record) = bytes.get(HEAD..HEAD + length) else { return Found::Needs(HEAD + length) };
    if checksum(salt, &bytes[4..9], record) != number(9) {
        return Found::Damage(next_mark(bytes));
    }
    match decoded(record) {
        Some(record) if bytes[4] == VERSION => Found::Frame(HEAD + length, Box::new(record)),
        _ => Found::Unknown(HEAD + length),
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

/// The length of the frame that seems to begin here; nothing of it is verified.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..HEAD).filter(|head| head[..4] == MARK)?;
    let length = u32::from_le_bytes([head[5], head[6], head[7], head[8]]);
    usize::try_from(length).ok().filter(|length| *length <= LONGEST).map(|length| HEAD + length)
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

fn checksum(salt: u32, head: &[u8], record: &[u8]) -> u32 {
    crc32(crc32(salt, head), record)
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

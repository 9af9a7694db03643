//! One record as bytes: a mark, a version, a length, a checksum, the record's place in the run, the record. Knows no files.
//!
//! | bytes | content |
//! |---|---|
//! | 4 | the mark [`MARK`], by which a reader finds the next frame behind damaged bytes |
//! | 1 | the version of the frame |
//! | 4 | the length of all that follows the head, little-endian |
//! | 4 | CRC-32 of all that follows the head, and of the head without mark and checksum, little-endian |
//! | 1 | the [`Kind`] of the record |
//! | 32 | the [`Count`] of its run before it |
//! | 1 | from version 3 on: the format of the record |
//! | … | the record |
//!
//! The checksum begins with the salt of the segment, which is random: bytes within a record cannot pass for a frame of their own.
//! Versions 1 and 2 have no format byte, and version 1 has neither kind nor count. Every later version keeps the first 46
//! bytes as they are, so that an earlier release knows a whole frame, counts it, and leaves it alone.

use crate::Entry;
use crate::checksum::checksum;
use crate::count::{Count, Kind, Place};

/// Begins every frame.
pub(crate) const MARK: [u8; 4] = [0xF1, 0x54, 0x47, 0xA6];
/// The version that is written.
const VERSION: u8 = 3;
/// The version without a format byte.
const WITHOUT_FORMAT: u8 = 2;
/// The version without a place.
const WITHOUT_PLACE: u8 = 1;
/// The head of version 1, and of all others.
const SHORT_HEAD: usize = 13;
pub(crate) const HEAD: usize = SHORT_HEAD + 1 + Count::LENGTH;
/// The longest record, in bytes.
const LONGEST: usize = 64 << 20;

/// Puts a record into a buffer as a frame that has yet to get its [place](place), in place of what the buffer held. `false` if the
/// record is too long.
pub(crate) fn encode(
    kind: Kind,
    format: u8,
    record: impl FnOnce(&mut Vec<u8>),
    salt: u32,
    buffer: &mut Vec<u8>,
) -> bool {
    buffer.clear();
    buffer.resize(HEAD, 0);
    buffer.push(format);
    record(buffer);
    let length = buffer.len().saturating_sub(HEAD);
    if length > LONGEST {
        return false;
    }
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    buffer[..4].copy_from_slice(&MARK);
    buffer[4] = VERSION;
    buffer[5..9].copy_from_slice(&length.to_le_bytes());
    buffer[SHORT_HEAD] = kind.byte();
    let sum = checksum(salt, &buffer[HEAD..]);
    buffer[9..SHORT_HEAD].copy_from_slice(&sum.to_le_bytes());
    true
}

/// Gives a frame its place in the run. This takes the same short time for every record: its own checksum is known already.
pub(crate) fn place(frame: &mut [u8], before: Count) {
    frame[SHORT_HEAD + 1..HEAD].copy_from_slice(&before.bytes());
    let sum = with_head(number(frame, 9), frame);
    frame[9..SHORT_HEAD].copy_from_slice(&sum.to_le_bytes());
}

/// A whole frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// The bytes that it takes.
    pub(crate) length: usize,
    /// Where its record stands, unless it is of version 1.
    pub(crate) place: Option<Place>,
    /// Its record; `None` if the frame is of a later version.
    pub(crate) entry: Option<Entry<'a>>,
}

/// What stands at the beginning of some bytes.
#[derive(Debug)]
pub(crate) enum Decoded<'a> {
    Frame(Frame<'a>),
    /// The beginning of a frame that may be whole with so many bytes.
    Needs(usize),
    /// Damage. After so many bytes there may be a frame again.
    Damage(usize),
}

/// Looks for a frame at the beginning of `bytes`, of which there is at least one.
pub(crate) fn decode(bytes: &[u8], salt: u32) -> Decoded<'_> {
    let marked = bytes.iter().zip(MARK).all(|(byte, mark)| *byte == mark);
    if !marked {
        return Decoded::Damage(next_mark(bytes));
    }
    if bytes.len() < SHORT_HEAD {
        return Decoded::Needs(SHORT_HEAD);
    }
    let (version, length) = (bytes[4], usize::try_from(number(bytes, 5)).unwrap_or(usize::MAX));
    if length > LONGEST {
        return Decoded::Damage(next_mark(bytes));
    }
    let head = if version == WITHOUT_PLACE { SHORT_HEAD } else { HEAD };
    let Some(content) = bytes.get(head..head + length) else { return Decoded::Needs(head + length) };
    let sum = match version {
        WITHOUT_PLACE => checksum(checksum(salt, &bytes[4..9]), content),
        _ => with_head(checksum(salt, content), bytes),
    };
    if sum != number(bytes, 9) {
        return Decoded::Damage(next_mark(bytes));
    }
    let place = (version != WITHOUT_PLACE).then(|| read_place(&bytes[SHORT_HEAD..HEAD])).flatten();
    let entry = |format, record| Entry {
        format,
        kind: place.map(|place| place.kind),
        number: place.and_then(Place::number),
        record,
    };
    let entry = match (version, place) {
        (WITHOUT_PLACE, _) | (WITHOUT_FORMAT, Some(_)) => Some(entry(0, content)),
        (VERSION, Some(_)) => content.split_first().map(|(format, record)| entry(*format, record)),
        _ => None,
    };
    Decoded::Frame(Frame { length: head + length, place, entry })
}

/// The frames of a segment that is in memory as a whole, each with its offset. Passes over everything else.
pub(crate) fn all(bytes: &[u8], from: usize, salt: u32) -> impl Iterator<Item = (usize, Frame<'_>)> {
    let mut at = from;
    std::iter::from_fn(move || {
        loop {
            let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
            let here = at;
            match decode(rest, salt) {
                Decoded::Frame(frame) => {
                    at += frame.length;
                    return Some((here, frame));
                }
                // its end is not written, or never will be; what follows it may be whole
                Decoded::Needs(_) => at += next_mark(rest),
                Decoded::Damage(length) => at += length,
            }
        }
    })
}

fn read_place(bytes: &[u8]) -> Option<Place> {
    let (kind, before) = bytes.split_first()?;
    Some(Place { kind: Kind::parse(*kind)?, before: Count::parse(before)? })
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The distance from the first byte to where a frame may begin.
pub(crate) fn next_mark(bytes: &[u8]) -> usize {
    let from = 1.min(bytes.len());
    let rest = &bytes[from..];
    let whole = rest.windows(MARK.len()).position(|window| window == MARK);
    // a mark may be cut by the end of the bytes
    let cut = || (1..MARK.len()).rev().find(|kept| rest.ends_with(&MARK[..*kept])).map(|kept| rest.len() - kept);
    from + whole.or_else(cut).unwrap_or(rest.len())
}

/// The checksum of a record together with the head of its frame.
fn with_head(record: u32, frame: &[u8]) -> u32 {
    checksum(checksum(record, &frame[4..9]), &frame[SHORT_HEAD..HEAD])
}

/// Makes the frame at the beginning of `bytes` one of another version.
#[cfg(test)]
pub(crate) fn set_version(bytes: &mut [u8], version: u8, salt: u32) {
    let length = usize::try_from(number(bytes, 5)).unwrap();
    bytes[4] = version;
    let sum = with_head(checksum(salt, &bytes[HEAD..HEAD + length]), bytes);
    bytes[9..SHORT_HEAD].copy_from_slice(&sum.to_le_bytes());
}

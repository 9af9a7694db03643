//! A record as bytes in the journal.

use journal::{Decoded, Entry, Kind};

use crate::Record;

/// The format that is written.
pub(crate) const FORMAT: u8 = 0;

/// Appends the bytes of a record.
pub(crate) fn encode(record: &Record, bytes: &mut Vec<u8>) {
    // writing to memory fails for no record that the types allow
    if let Ok(filled) = postcard::to_extend(record, std::mem::take(bytes)) {
        *bytes = filled;
    }
}

/// A record that any release wrote; `None` if it is of a later one.
pub(crate) fn decode(entry: &Entry<'_>) -> Option<Decoded<Record>> {
    let mut record = if entry.format == FORMAT { positional(entry.record)? } else { return None };
    let mut amends = None;
    if let Record::Request(row) = &mut record {
        if let Some(number) = entry.number {
            row.sequence = i64::try_from(number).unwrap_or(i64::MAX);
        }
        amends = u64::try_from(row.sequence).ok().filter(|_| entry.kind == Some(Kind::Amendment));
    }
    Some(Decoded { record, amends })
}

/// A record, of this build or of one that knew fewer fields. Fields are added at the end of a row only: an older build passes over
/// them, and what an older build did not write is read as nothing.
fn positional(record: &[u8]) -> Option<Record> {
    // in this encoding a zero is every kind of nothing: `None`, 0, an empty text or list
    const NOTHING: [u8; 64] = [0; 64];
    match postcard::from_bytes(record) {
        Err(postcard::Error::DeserializeUnexpectedEnd) => postcard::from_bytes(&[record, &NOTHING].concat()).ok(),
        read => read.ok(),
    }
}

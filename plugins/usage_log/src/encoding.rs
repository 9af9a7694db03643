//! A record as bytes in the journal. The numbers of its fields are declared with the [columns](crate::columns).

pub(crate) mod fields;
mod positional;

use journal::{Decoded, Entry, Kind};

use crate::row::{RowAttempt, RowSpans};
use crate::{Billed, Body, Piece, Record};

/// Formats of a record. A format is never changed and never given up: a journal may hold records of any release.
const POSITIONAL: u8 = 0;
const REQUEST: u8 = 1;
const BATCH_RESULT: u8 = 2;

fields::fields! { Body { 1 = bytes; 2 = encoding; 3 = truncated; } }

fields::fields! { Piece { 1 = after_ms; 2 = bytes; } }

fields::fields! { plugin_api::WindowCount { 1 = limit; 2 = subject; 3 = until; 4 = amount; } }

fields::fields! {
    RowSpans {
        1 = span;
        2 = parent;
        3 = flags;
        4 = total_us;
        5 = head_began_us;
        6 = head_ended_us;
        7 = call_began_us;
        8 = call_ended_us;
        9 = attempts;
    }
}

fields::fields! {
    RowAttempt {
        1 = wanted_us;
        2 = began_us;
        3 = ended_us;
        4 = upstream;
        5 = server;
        6 = address;
        7 = error;
        8 = status;
    }
}

fields::fields! {
    Billed {
        1 = kind;
        2 = model;
        3 = tokens.input;
        4 = tokens.output;
        5 = tokens.cache_read;
        6 = tokens.cache_creation;
        7 = tokens.cache_creation_1h;
        8 = tokens.reasoning;
        9 = cost_usd;
    }
}

/// The number of the field with the spans of a row.
pub(crate) const SPANS: u64 = 76;

/// Whether the record of a request has a field, found without decoding the record.
pub(crate) fn has_field(entry: &Entry<'_>, number: u64) -> bool {
    entry.format == REQUEST && fields::has(entry.record, number)
}

/// The format in which a record is written.
pub(crate) fn format(record: &Record) -> u8 {
    match record {
        Record::Request(_) => REQUEST,
        Record::Batch(_) => BATCH_RESULT,
    }
}

/// Appends the bytes of a record.
pub(crate) fn encode(record: &Record, bytes: &mut Vec<u8>) {
    match record {
        Record::Request(row) => fields::Fields::write(&**row, bytes),
        Record::Batch(row) => fields::Fields::write(&**row, bytes),
    }
}

/// A record that any release wrote; `None` if it is of a later one.
pub(crate) fn decode(entry: &Entry<'_>) -> Option<Decoded<Record>> {
    let mut record = match entry.format {
        POSITIONAL => positional::read(entry.record)?,
        REQUEST => Record::Request(Box::new(fields::read(entry.record)?)),
        BATCH_RESULT => Record::Batch(Box::new(fields::read(entry.record)?)),
        _ => return None,
    };
    let mut amends = None;
    if let Record::Request(row) = &mut record {
        if let Some(number) = entry.number {
            row.sequence = i64::try_from(number).unwrap_or(i64::MAX);
        }
        amends = u64::try_from(row.sequence).ok().filter(|_| entry.kind == Some(Kind::Amendment));
    }
    Some(Decoded { record, amends })
}

#[cfg(test)]
mod tests;

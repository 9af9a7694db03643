//! How much a run has kept before a record. It stands in the frame of each, so that whoever reads two of them knows exactly what
//! is missing between.

use std::ops::AddAssign;

use crate::Record;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first of a request's row. It gets the row's number.
    Row,
    /// What became of a row that has been kept before.
    Correction,
    /// A result of a batch.
    Result,
}

/// So much was kept in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    rows: u64,
    /// The highest number of a row. One that was refused has a number too.
    pub(super) sequence: u64,
    corrections: u64,
    results: u64,
}

/// Where a record stands in its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) before: Count,
}

/// What was kept and cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) rows: u64,
    pub(super) corrections: u64,
    pub(super) results: u64,
}

impl Kind {
    pub(super) fn of(record: &Record) -> Self {
        match record {
            Record::Request(row) if row.sequence == 0 => Self::Row,
            Record::Request(_) => Self::Correction,
            Record::Batch(_) => Self::Result,
        }
    }

    pub(super) fn byte(self) -> u8 {
        self as u8
    }

    pub(super) fn parse(byte: u8) -> Option<Self> {
        [Self::Row, Self::Correction, Self::Result].into_iter().find(|kind| kind.byte() == byte)
    }
}

impl Count {
    /// The bytes that it takes.
    pub(super) const LENGTH: usize = 32;

    /// All records. That of a record is its number in the run, from 0 on.
    pub(super) fn records(self) -> u64 {
        self.rows.saturating_add(self.corrections).saturating_add(self.results)
    }

    /// With one record more.
    pub(super) fn after(self, kind: Kind) -> Self {
        match kind {
            Kind::Row => Self { rows: self.rows.saturating_add(1), ..self.refused() },
            Kind::Correction => Self { corrections: self.corrections.saturating_add(1), ..self },
            Kind::Result => Self { results: self.results.saturating_add(1), ..self },
        }
    }

    /// With one row more that was not kept.
    pub(super) fn refused(self) -> Self {
        Self { sequence: self.sequence.saturating_add(1), ..self }
    }

    /// What was kept since an earlier moment.
    pub(super) fn since(self, earlier: Self) -> Loss {
        Loss {
            rows: self.rows.saturating_sub(earlier.rows),
            corrections: self.corrections.saturating_sub(earlier.corrections),
            results: self.results.saturating_sub(earlier.results),
        }
    }

    pub(super) fn bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        for (place, part) in bytes.chunks_exact_mut(8).zip([self.rows, self.sequence, self.corrections, self.results]) {
            place.copy_from_slice(&part.to_le_bytes());
        }
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let part = |index: usize| Some(u64::from_le_bytes(bytes.get(index * 8..index * 8 + 8)?.try_into().ok()?));
        Some(Self { rows: part(0)?, sequence: part(1)?, corrections: part(2)?, results: part(3)? })
    }
}

impl AddAssign for Loss {
    fn add_assign(&mut self, more: Self) {
        self.rows += more.rows;
        self.corrections += more.corrections;
        self.results += more.results;
    }
}

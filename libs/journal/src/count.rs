//! How much a run has appended before a record. It stands in the frame of each record, so that a reader of any two frames knows
//! exactly what is missing between them.

use std::ops::AddAssign;

/// What a record is to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A record that gets a number within its run: 1, 2, 3, …
    Numbered,
    /// A later version of a numbered record of the same run.
    Amendment,
    /// Any other record.
    Unnumbered,
}

/// What a run has appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    numbered: u64,
    /// The highest number of a record. A record that was refused has a number too.
    pub(crate) sequence: u64,
    amendments: u64,
    unnumbered: u64,
}

/// Where a record stands in its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) before: Count,
}

/// Records that were appended and cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Numbered records of which no amendment was read either.
    pub numbered: u64,
    /// Amendments.
    pub amendments: u64,
    /// Unnumbered records.
    pub unnumbered: u64,
}

impl Kind {
    pub(crate) fn byte(self) -> u8 {
        self as u8
    }

    pub(crate) fn parse(byte: u8) -> Option<Self> {
        [Self::Numbered, Self::Amendment, Self::Unnumbered].into_iter().find(|kind| kind.byte() == byte)
    }
}

impl Place {
    /// The number of the record, where it has one.
    pub(crate) fn number(self) -> Option<u64> {
        (self.kind == Kind::Numbered).then(|| self.before.refused().sequence)
    }
}

impl Count {
    /// The bytes of a count on the disk.
    pub(crate) const LENGTH: usize = 32;

    /// All records. For a record's place this is its index in the run, from 0 on.
    pub(crate) fn records(self) -> u64 {
        self.numbered.saturating_add(self.amendments).saturating_add(self.unnumbered)
    }

    /// With one record more.
    pub(crate) fn after(self, kind: Kind) -> Self {
        match kind {
            Kind::Numbered => Self { numbered: self.numbered.saturating_add(1), ..self.refused() },
            Kind::Amendment => Self { amendments: self.amendments.saturating_add(1), ..self },
            Kind::Unnumbered => Self { unnumbered: self.unnumbered.saturating_add(1), ..self },
        }
    }

    /// With one number more, of a record that was not appended.
    pub(crate) fn refused(self) -> Self {
        Self { sequence: self.sequence.saturating_add(1), ..self }
    }

    /// What was appended since an earlier moment.
    pub(crate) fn since(self, earlier: Self) -> Loss {
        Loss {
            numbered: self.numbered.saturating_sub(earlier.numbered),
            amendments: self.amendments.saturating_sub(earlier.amendments),
            unnumbered: self.unnumbered.saturating_sub(earlier.unnumbered),
        }
    }

    pub(crate) fn bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let parts = [self.numbered, self.sequence, self.amendments, self.unnumbered];
        for (place, part) in bytes.chunks_exact_mut(8).zip(parts) {
            place.copy_from_slice(&part.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let part = |index: usize| Some(u64::from_le_bytes(bytes.get(index * 8..index * 8 + 8)?.try_into().ok()?));
        Some(Self { numbered: part(0)?, sequence: part(1)?, amendments: part(2)?, unnumbered: part(3)? })
    }
}

impl AddAssign for Loss {
    fn add_assign(&mut self, more: Self) {
        self.numbered += more.numbered;
        self.amendments += more.amendments;
        self.unnumbered += more.unnumbered;
    }
}

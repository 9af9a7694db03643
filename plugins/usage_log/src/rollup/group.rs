//! A group of a table of sums: what its rows have in common, and their figures.

use std::borrow::Cow;

use ring::digest::{Context, SHA256};

use super::table::Dialect;
use crate::Timestamp;
use crate::store::calendar::Date;

/// The span of time of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Span {
    Day(Date),
    Minute(Timestamp),
}

/// What the rows of a group have in common: a span of time, a shard, and as many texts, in the order of the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key<'a, S, const TEXTS: usize> {
    pub(super) span: S,
    pub(super) shard: u8,
    pub(super) texts: [Option<Cow<'a, str>>; TEXTS],
}

/// What is to be added to a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group<'a> {
    pub(super) span: Span,
    pub(super) id: [u8; 16],
    pub(super) shard: u8,
    /// How much of what clients choose is left out, because there were too many groups: see [`Bound`](super::Bound).
    pub(super) others: u8,
    pub(super) texts: Vec<Option<Cow<'a, str>>>,
    pub(super) figures: Vec<i64>,
}

impl Span {
    pub(super) fn sql(self, dialect: &Dialect) -> String {
        match self {
            Self::Day(day) => format!("'{day}'"),
            Self::Minute(start) => (dialect.time)(start),
        }
    }
}

/// What a group is known by: two of different texts have different ids. Nobody can make two of the same.
pub(super) fn id(others: u8, texts: &[Option<Cow<'_, str>>]) -> [u8; 16] {
    let mut hash = Context::new(&SHA256);
    hash.update(&[others]);
    for text in texts {
        match text {
            Some(text) => {
                hash.update(&[1]);
                hash.update(&(text.len() as u64).to_le_bytes());
                hash.update(text.as_bytes());
            }
            None => hash.update(&[0]),
        }
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finish().as_ref()[..16]);
    id
}

/// Adds figures to others. What does not fit stays at the most that does.
pub(super) fn add(sums: &mut [i64], figures: &[i64], sign: i64) {
    for (sum, figure) in sums.iter_mut().zip(figures) {
        *sum = sum.saturating_add(figure.saturating_mul(sign));
    }
}

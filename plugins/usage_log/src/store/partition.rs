//! A span of time in which rows of a table stay and go together: a month of requests, a day of bodies. On Postgres a partition of
//! a partitioned table, for the two that are.

use crate::Timestamp;
use crate::columns::{BATCHES, BODIES, CHUNKS, REQUESTS};
use crate::store::calendar::Date;

/// A table that is cut by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Parent {
    /// `api_requests`, by month.
    Requests,
    /// `api_request_bodies`, by day.
    Bodies,
    /// `streaming_chunks`, by day; partitioned nowhere.
    Chunks,
    /// `batch_results`, by month; partitioned nowhere.
    Batches,
}

/// One of its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Partition {
    pub(super) parent: Parent,
    first: Date,
}

impl Parent {
    pub(super) const ALL: [Self; 4] = [Self::Requests, Self::Bodies, Self::Chunks, Self::Batches];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Requests => REQUESTS.name,
            Self::Bodies => BODIES.name,
            Self::Chunks => CHUNKS.name,
            Self::Batches => BATCHES.name,
        }
    }

    /// The names of its columns, with commas between, each as `name` has it.
    pub(super) fn columns(self, name: impl Fn(&'static str) -> String) -> String {
        match self {
            Self::Requests => REQUESTS.names(name),
            Self::Bodies => BODIES.names(name),
            Self::Chunks => CHUNKS.names(name),
            Self::Batches => BATCHES.names(name),
        }
    }

    /// The column that orders rows of the same time.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Requests | Self::Bodies => "id",
            Self::Chunks => "request_id, chunk_index",
            Self::Batches => "batch_id, custom_id",
        }
    }

    fn is_by_month(self) -> bool {
        matches!(self, Self::Requests | Self::Batches)
    }
}

impl Partition {
    /// The partition that holds a moment.
    pub(super) fn of(parent: Parent, time: Timestamp) -> Self {
        let day = Date::of(time);
        Self { parent, first: if parent.is_by_month() { day.month_start() } else { day } }
    }

    /// The partition that has this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let parent = *Parent::ALL.iter().find(|parent| {
            name.strip_prefix(parent.name()).is_some_and(|rest| rest.starts_with('_') && !rest.starts_with("_bodies"))
        })?;
        let mut numbers = name.strip_prefix(parent.name())?.split('_').skip(1).map(str::parse::<u16>);
        let year = numbers.next()?.ok()?.into();
        let month = u8::try_from(numbers.next()?.ok()?).ok()?;
        let day = if parent.is_by_month() { 1 } else { u8::try_from(numbers.next()?.ok()?).ok()? };
        let partition = Self { parent, first: Date::new(year, month, day)? };
        (partition.name() == name).then_some(partition)
    }

    /// The one after it.
    pub(super) fn next(self) -> Self {
        let first = if self.parent.is_by_month() { self.first.next_month() } else { self.first.next() };
        Self { first, ..self }
    }

    /// The first moment of its span.
    pub(super) fn start(self) -> Timestamp {
        self.first.start()
    }

    /// The end of its span: the first moment that it does not hold.
    pub(super) fn end(self) -> Timestamp {
        self.next().first.start()
    }

    /// `api_requests_2026_11`.
    pub(super) fn name(self) -> String {
        let (year, month, day) = (self.first.year(), self.first.month(), self.first.day());
        let of_month = format!("{}_{year:04}_{month:02}", self.parent.name());
        if self.parent.is_by_month() { of_month } else { format!("{of_month}_{day:02}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_known_by_its_name_and_ends_where_the_next_begins() {
        let at = |text: &str| {
            let parts: Vec<i32> = text.split('-').map(|part| part.parse().unwrap_or(0)).collect();
            Date::new(parts[0], parts[1] as u8, parts[2] as u8).unwrap().start()
        };
        let december = Partition::of(Parent::Requests, Timestamp::from_micros(at("2026-01-01").micros() - 1));
        assert_eq!(december.name(), "api_requests_2025_12");
        assert_eq!(december.end(), at("2026-01-01"));
        assert_eq!(december.next().name(), "api_requests_2026_01");
        let day = Partition::of(Parent::Bodies, at("2024-02-29"));
        assert_eq!((day.name().as_str(), day.end()), ("api_request_bodies_2024_02_29", at("2024-03-01")));
        let chunks = Partition::of(Parent::Chunks, at("2024-02-29"));
        assert_eq!((chunks.name().as_str(), chunks.end()), ("streaming_chunks_2024_02_29", at("2024-03-01")));
        for partition in [december, day, day.next(), chunks] {
            assert_eq!(Partition::parse(&partition.name()), Some(partition));
        }
        for name in ["api_requests", "api_requests_2026_13", "api_requests_2026_1", "api_requests_old", "x_2026_01"] {
            assert_eq!(Partition::parse(name), None, "{name}");
        }
    }
}

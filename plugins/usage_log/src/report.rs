//! Reads the ledger: who used what, and whether any row is missing. Writes nothing.

mod daily;
pub(crate) mod engine;
mod filter;
mod gaps;
#[cfg(feature = "parquet")]
pub(crate) mod page;
pub(crate) mod past;
mod spent;
mod sums;

use std::str::FromStr;

use plugin_api::{SpendingQuery, StoredSum};
use uuid::Uuid;

use crate::store::calendar::{self, Date};
use crate::store::{StoreError, csv};
use crate::{Database, PoolSettings, Timestamp};

use engine::Engine;

pub use crate::ledger_journal::{Waiting, waiting};
pub use crate::rejected::{Quarantine, Requeued, quarantined, requeue};
pub use crate::rollup::BUCKETS;
pub use crate::store::calendar::text;
pub use filter::Filter;
pub use gaps::Gap;
pub use sums::{Line, Sums, dollars};

/// What sums are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// The model that answered, or else the one asked for.
    Model,
    /// The host asked for.
    Domain,
    /// The caller's tenant, or else its key.
    Tenant,
    /// The name of the caller's key, or else its hash.
    Key,
    /// The session.
    Session,
    /// The user.
    User,
    /// The conversation.
    Conversation,
    /// The upstream.
    Upstream,
    /// How it ended.
    Outcome,
    /// The hour, in UTC.
    Hour,
    /// The day, in UTC.
    Day,
    /// The month, in UTC.
    Month,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Model,
        Self::Domain,
        Self::Tenant,
        Self::Key,
        Self::Session,
        Self::User,
        Self::Conversation,
        Self::Upstream,
        Self::Outcome,
        Self::Hour,
        Self::Day,
        Self::Month,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Domain => "domain",
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::Session => "session",
            Self::User => "user",
            Self::Conversation => "conversation",
            Self::Upstream => "upstream",
            Self::Outcome => "outcome",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

impl FromStr for By {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let words = Self::ALL.map(Self::as_str).join(", ");
        Self::ALL.into_iter().find(|by| by.as_str() == word).ok_or_else(|| format!("it is one of {words}"))
    }
}

/// A ledger that is read.
#[derive(Debug)]
pub struct Report(Box<dyn Engine>);

impl Report {
    /// The ledger in a database. It is reached only when something is asked of it.
    ///
    /// # Errors
    /// That its URL cannot be used, or its file is not there.
    pub fn open(database: &Database, pool: &PoolSettings) -> Result<Self, StoreError> {
        engine::open(database, pool).map(Self)
    }

    /// When the first of its rows was made, if it has any.
    ///
    /// # Errors
    /// That it cannot be read.
    pub async fn first(&self) -> Result<Option<Timestamp>, StoreError> {
        sums::first(&*self.0).await
    }

    /// The sums of what came from `since` on and before `until`, in the order of what they are made for.
    ///
    /// # Errors
    /// That it cannot be read.
    pub async fn sums(&self, by: &[By], since: Timestamp, until: Timestamp) -> Result<Vec<Line>, StoreError> {
        self.sums_of(by, &Filter::default(), false, since, until).await
    }

    /// The same, of the rows that a filter lets through, with the time of the last one where that is wanted.
    ///
    /// # Errors
    /// That it cannot be read.
    pub async fn sums_of(
        &self,
        by: &[By],
        filter: &Filter,
        with_last: bool,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Line>, StoreError> {
        sums::between(&*self.0, by, filter, with_last, since, until).await
    }

    /// What was spent, by spender: of the runs `own`, of which there is one at least, and of all runs but these.
    ///
    /// # Errors
    /// That it cannot be read.
    pub async fn spent(&self, query: &SpendingQuery, own: &[Uuid], all: &[Uuid]) -> Result<Vec<StoredSum>, StoreError> {
        spent::by_spender(&*self.0, query, own, all).await
    }

    /// The next rows of past calls; none behind the last.
    ///
    /// # Errors
    /// That they cannot be read.
    pub(crate) async fn past(&self, rows: &mut past::PastRows<'_>) -> Result<Vec<past::PastRow>, StoreError> {
        rows.page(&*self.0).await
    }

    /// The next rows of a run within a span of time.
    ///
    /// # Errors
    /// That they cannot be read.
    #[cfg(feature = "parquet")]
    pub(crate) async fn page(&self, query: &page::PageQuery) -> Result<Vec<page::Cells>, StoreError> {
        page::rows(&*self.0, query).await
    }

    /// The numbers that no row has, of every instance. A row that still waits in a journal is among them.
    ///
    /// # Errors
    /// That it cannot be read.
    pub async fn gaps(&self) -> Result<Vec<Gap>, StoreError> {
        self.gaps_up_to(&[]).await
    }

    /// The same, and those behind the last row of an instance up to its highest number, as a [journal](waiting) knows it.
    ///
    /// # Errors
    /// That it cannot be read.
    pub async fn gaps_up_to(&self, highest: &[(Uuid, i64)]) -> Result<Vec<Gap>, StoreError> {
        gaps::all(&*self.0, highest).await
    }
}

/// The days from one moment to another, each with its beginning and its end. The first and the last may be parts of days.
pub fn days(since: Timestamp, until: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let mut from = since;
    std::iter::from_fn(move || {
        let to = Date::of(from).next().start().min(until);
        let day = (from < until).then_some((from, to));
        from = to;
        day
    })
}

/// A text as a field of CSV (RFC 4180).
#[must_use]
pub fn csv_field(text: &str) -> String {
    let mut field = String::new();
    csv::text(&mut field, text);
    field
}

/// A moment as people write it in UTC: `2026-11-24`, `2026-11-24 13:30`, `2026-11-24T13:30:00Z`.
#[must_use]
pub fn moment(text: &str) -> Option<Timestamp> {
    calendar::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_each_other_without_a_gap() {
        let at = |text| calendar::parse(text).unwrap();
        let days: Vec<_> = days(at("2024-02-28 13:00"), at("2024-03-01 01:00")).collect();
        let ends = [at("2024-02-28 13:00"), at("2024-02-29"), at("2024-03-01"), at("2024-03-01 01:00")];
        assert_eq!(days, ends.windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>());
        assert_eq!(super::days(at("2024-03-01"), at("2024-03-01")).count(), 0);
        assert_eq!(super::days(at("2024-03-02"), at("2024-03-01")).count(), 0);
    }

    #[test]
    fn what_sums_are_made_for_has_a_word() {
        for by in By::ALL {
            assert_eq!(by.as_str().parse(), Ok(by));
        }
        assert!("week".parse::<By>().unwrap_err().starts_with("it is one of model, domain"));
    }
}

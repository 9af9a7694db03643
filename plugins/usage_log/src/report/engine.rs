//! How a report reads a database engine: its SQL where engines differ, and rows as text.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::store::StoreError;
use crate::{Database, PoolSettings, Timestamp};

/// A row of an answer. Every query casts its columns to text, so that no figure is rounded.
pub(crate) type TextRow = Vec<Option<String>>;

/// How an engine writes what the engines write differently.
pub(crate) struct Words {
    pub(crate) time: fn(Timestamp) -> String,
    /// `created_at` up to so many characters of `2026-11-24 13`.
    pub(crate) clock: fn(usize) -> String,
    /// A column of money, in picodollars.
    pub(crate) money: fn(&str) -> String,
    /// A column of times, as text.
    pub(crate) moment: fn(&str) -> String,
    /// A column of bytes, in hexadecimal digits.
    pub(crate) hex: fn(&str) -> String,
    /// A column of addresses, as text.
    #[cfg(feature = "parquet")]
    pub(crate) host: fn(&str) -> String,
    /// The earliest of a column of times, as text.
    pub(crate) earliest: fn(&str) -> String,
    /// The latest of a column of times, as text.
    pub(crate) latest: fn(&str) -> String,
    /// A text as an expression.
    pub(crate) text: fn(&str) -> String,
    /// The function that gives the larger of two numbers.
    pub(crate) larger: &'static str,
    /// What makes a UUID of a text.
    pub(crate) uuid: &'static str,
}

/// A database that is read.
#[async_trait]
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    fn words(&self) -> &'static Words;
    /// The rows of a query with this many columns.
    async fn rows(&self, query: &str, columns: usize, limit: Limit) -> Result<Vec<TextRow>, StoreError>;
}

/// How long a query may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// As a page that somebody waits for may take.
    Brief,
    /// As any statement.
    Usual,
    /// It goes through all of a table, and takes as long as it takes.
    None,
}

/// As long a brief query may take.
pub(crate) const BRIEF: Duration = Duration::from_secs(5);

/// The database of this URL. Connects only when it is asked.
pub(crate) fn open(database: &Database, pool: &PoolSettings) -> Result<Box<dyn Engine>, StoreError> {
    match database {
        #[cfg(feature = "postgres")]
        Database::Postgres(url) => Ok(Box::new(postgres::Postgres::open(url, pool)?)),
        #[cfg(feature = "sqlite")]
        Database::Sqlite(path) => Ok(Box::new(sqlite::Sqlite::open(path, pool)?)),
        #[cfg(not(all(feature = "postgres", feature = "sqlite")))]
        database => {
            let _ = pool;
            Err(StoreError::of_missing_engine(database))
        }
    }
}

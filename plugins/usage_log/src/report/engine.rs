//! How a report reads a database engine: its SQL where engines differ, and rows as text.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;

use async_trait::async_trait;

use crate::store::StoreError;
use crate::{Database, PoolSettings, Timestamp};

/// A row of an answer. Every query casts its columns to text, so that no figure is rounded.
pub(super) type TextRow = Vec<Option<String>>;

/// How an engine writes what the engines write differently.
pub(super) struct Words {
    pub(super) time: fn(Timestamp) -> String,
    /// `created_at` up to so many characters of `2026-11-24 13`.
    pub(super) clock: fn(usize) -> String,
    /// A column of money, in picodollars.
    pub(super) money: fn(&str) -> String,
    /// The earliest of a column of times, as text.
    pub(super) earliest: fn(&str) -> String,
    /// The function that gives the larger of two numbers.
    pub(super) larger: &'static str,
    /// What makes a UUID of a text.
    pub(super) uuid: &'static str,
}

/// A database that is read.
#[async_trait]
pub(super) trait Engine: fmt::Debug + Send + Sync {
    fn words(&self) -> &'static Words;
    /// The rows of a query with this many columns. One that is `long` goes through all of a table, and may take as long as it takes.
    async fn rows(&self, query: &str, columns: usize, long: bool) -> Result<Vec<TextRow>, StoreError>;
}

/// The database of this URL. Connects only when it is asked.
pub(super) fn open(database: &Database, pool: &PoolSettings) -> Result<Box<dyn Engine>, StoreError> {
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

//! What a database engine does for the ledger, and which engines this build has: each is a cargo feature.

use std::fmt;

use async_trait::async_trait;

use super::query_timer::QueryTimer;
use super::{Housekeeper, StoreError, Written};
use crate::{Conversation, Record, StoreSettings};

/// A connected database. [`Store`](super::Store) says what its methods promise.
#[async_trait]
pub(super) trait Engine: fmt::Debug + Send + Sync {
    async fn migrate(&mut self) -> Result<(), StoreError>;
    async fn write(&mut self, records: &[Record]) -> Result<Written, StoreError>;
    /// Writes records in a transaction that is rolled back.
    async fn try_out(&mut self, records: &[Record]) -> Result<(), StoreError>;
    async fn conversations(&mut self, turns: &[[u8; 32]]) -> Result<Vec<Option<Conversation>>, StoreError>;
    async fn maintain(&mut self, keeper: &mut Housekeeper) -> Result<(), StoreError>;
    async fn close(self: Box<Self>);
}

/// Connects to the database that the settings name.
pub(super) async fn connect(settings: &StoreSettings, watch: QueryTimer) -> Result<Box<dyn Engine>, StoreError> {
    match &settings.database {
        #[cfg(feature = "postgres")]
        crate::Database::Postgres(url) => Ok(Box::new(super::postgres::Postgres::connect(url, settings, watch).await?)),
        #[cfg(feature = "sqlite")]
        crate::Database::Sqlite(path) => Ok(Box::new(super::sqlite::Sqlite::connect(path, settings, watch).await?)),
        #[cfg(not(all(feature = "postgres", feature = "sqlite")))]
        database => {
            drop(watch);
            Err(StoreError::of_missing_engine(database))
        }
    }
}

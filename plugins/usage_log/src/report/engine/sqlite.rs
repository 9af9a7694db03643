//! A file of `SQLite`'s, opened to be read.

use std::path::Path;
use std::time::Instant;

use async_trait::async_trait;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::{BRIEF, Engine, Limit, TextRow, Words};
use crate::PoolSettings;
use crate::store::sqlite::open;
use crate::store::{StoreError, calendar};

/// After as many operations of its machine the engine looks at the clock.
const OPERATIONS: i32 = 20_000;

const WORDS: Words = Words {
    time: |time| format!("'{}'", calendar::text(time)),
    clock: |length| format!("substr(created_at, 1, {length})"),
    money: |column| format!("{column}_picos"),
    moment: str::to_owned,
    // of nothing it would make an empty text
    hex: |column| format!("CASE WHEN {column} IS NOT NULL THEN lower(hex({column})) END"),
    #[cfg(feature = "parquet")]
    host: str::to_owned,
    earliest: |column| format!("min({column})"),
    latest: |column| format!("max({column})"),
    text: |text| format!("'{}'", text.replace('\'', "''")),
    larger: "max",
    uuid: "",
};

#[derive(Debug)]
pub(super) struct Sqlite(SqlitePool);

impl Sqlite {
    pub(super) fn open(path: &Path, pool: &PoolSettings) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Unavailable(format!("there is no file {}", path.display())));
        }
        Ok(Self(open::to_read(path, pool)))
    }
}

#[async_trait]
impl Engine for Sqlite {
    fn words(&self) -> &'static Words {
        &WORDS
    }

    async fn rows(&self, query: &str, columns: usize, limit: Limit) -> Result<Vec<TextRow>, StoreError> {
        let rows = async {
            let mut held = self.0.acquire().await?;
            if limit == Limit::Brief {
                // the engine has no limit of its own
                let end = Instant::now() + BRIEF;
                held.lock_handle().await?.set_progress_handler(OPERATIONS, move || Instant::now() < end);
            } else {
                held.lock_handle().await?.remove_progress_handler();
            }
            sqlx::query(AssertSqlSafe(query.to_owned())).fetch_all(&mut *held).await
        };
        let rows = rows.await;
        let text = |row: &SqliteRow| (0..columns).map(|column| row.try_get(column)).collect();
        rows.and_then(|rows| rows.iter().map(text).collect()).map_err(|error| StoreError::of(&error))
    }
}

//! Postgres: each query is a transaction of its own, as a pooler needs it.

use async_trait::async_trait;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::{BRIEF, Engine, Limit, TextRow, Words};
use crate::PoolSettings;
use crate::store::postgres::{open, transaction};
use crate::store::{StoreError, calendar};

const WORDS: Words = Words {
    time: |time| format!("'{}+00'", calendar::text(time)),
    clock: |length| format!("left(to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24'), {length})"),
    money: |column| format!("({column}_usd * 1000000000000)::numeric(38, 0)"),
    moment: |column| format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"),
    hex: |column| format!("encode({column}, 'hex')"),
    #[cfg(feature = "parquet")]
    host: |column| format!("host({column})"),
    earliest: |column| format!("to_char(min({column}) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"),
    latest: |column| format!("to_char(max({column}) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"),
    text: transaction::text,
    larger: "greatest",
    uuid: "::uuid",
};

#[derive(Debug)]
pub(super) struct Postgres(PgPool);

impl Postgres {
    pub(super) fn open(url: &str, pool: &PoolSettings) -> Result<Self, StoreError> {
        open::pool(url, pool).map(Self)
    }
}

#[async_trait]
impl Engine for Postgres {
    fn words(&self) -> &'static Words {
        &WORDS
    }

    async fn rows(&self, query: &str, columns: usize, limit: Limit) -> Result<Vec<TextRow>, StoreError> {
        let query = match limit {
            Limit::Brief => transaction::alone_briefly(query, BRIEF),
            Limit::Usual => transaction::alone(query),
            Limit::None => transaction::alone_patiently(query),
        };
        let rows = sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(&self.0).await;
        let text = |row: &PgRow| (0..columns).map(|column| row.try_get(column)).collect();
        rows.and_then(|rows| rows.iter().map(text).collect()).map_err(|error| StoreError::of(&error))
    }
}

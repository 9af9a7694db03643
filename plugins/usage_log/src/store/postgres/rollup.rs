//! The sums beside the rows, in Postgres' SQL.

use std::collections::HashSet;
use std::hash::Hash;

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::{LIMIT, run, transaction};
use crate::Row;
use crate::report::dollars;
use crate::report::engine::TextRow;
use crate::rollup::{Bound, Changes, Dialect, MINUTES, MINUTES_KEPT, Replaced, replaced_columns};
use crate::store::fill::Fillable;
use crate::store::query_timer::QueryTimer;
use crate::store::{StoreError, calendar};

pub(crate) const DIALECT: Dialect = Dialect {
    text: transaction::text,
    id: |id| format!("'{}'", Uuid::from_bytes(*id)),
    time: |time| format!("'{}+00'", calendar::text(time)),
    money_name: |name| format!("{name}_usd"),
    money: |picos| dollars(picos.into()),
    picos: |column| format!("({column}_usd * 1000000000000)::numeric(38, 0)"),
    time_text: |column| format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"),
    hex: |bytes| format!("encode({bytes}, 'hex')"),
    picos_sum: |column| format!("(sum({column}_usd) * 1000000000000)::numeric(38, 0)"),
    binary_order: " COLLATE \"C\"",
    has_limited_money: false,
    smaller: "least",
    larger: "greatest",
};

/// The statements that make changes of the sums. Reads which groups there are, where that is not known.
pub(super) async fn statements(
    connection: &mut PgConnection,
    changes: Changes<'_>,
    bound: &mut Bound,
    watch: &QueryTimer,
) -> Result<String, StoreError> {
    for day in changes.days() {
        if !bound.knows(day) {
            let query = Bound::query(day);
            let rows = sqlx::raw_sql(AssertSqlSafe(query.clone())).fetch_all(&mut *connection);
            let rows = watch.statement(&query, LIMIT, rows).await?;
            let ids = rows.iter().map(|row| row.try_get::<Uuid, _>(0).map(Uuid::into_bytes));
            let ids: Result<Vec<_>, _> = ids.collect();
            bound.learn(day, ids.map_err(|error| StoreError::of(&error))?);
        }
    }
    Ok(changes.sql(bound, &DIALECT))
}

/// What corrections are about to replace. Nobody else changes these rows before the end of the transaction.
pub(super) async fn replaced(
    connection: &mut PgConnection,
    corrections: &[&Row],
    watch: &QueryTimer,
) -> Result<Vec<Row>, StoreError> {
    const WHAT: &str = "SELECT … FROM api_requests WHERE id IN (…) FOR UPDATE";
    let times = corrections.iter().map(|row| row.created_at);
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else { return Ok(Vec::new()) };
    let ids: Vec<String> = corrections.iter().map(|row| format!("'{}'", row.id)).collect();
    let query = format!(
        "SELECT {} FROM api_requests WHERE id IN ({}) AND created_at >= {} AND created_at <= {}
         ORDER BY created_at, id FOR UPDATE",
        replaced_columns(&DIALECT),
        ids.join(", "),
        (DIALECT.time)(first),
        (DIALECT.time)(last),
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(connection);
    let rows = watch.statement(WHAT, LIMIT, rows).await?;
    rows.iter().map(|row| Row::of_replaced(texts(row).map_err(|error| StoreError::of(&error))?)).collect()
}

fn texts(row: &PgRow) -> Result<Replaced, sqlx::Error> {
    let mut texts = Replaced::default();
    for (at, text) in texts.iter_mut().enumerate() {
        *text = row.try_get(at)?;
    }
    Ok(texts)
}

/// The keys that a statement returns, column by column.
pub(super) async fn keys<K>(
    connection: &mut PgConnection,
    statement: &str,
    key: fn(&PgRow) -> Result<K, sqlx::Error>,
    watch: &QueryTimer,
) -> Result<HashSet<K>, StoreError>
where
    K: Eq + Hash,
{
    let rows = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).fetch_all(connection);
    let rows = watch.statement(statement, LIMIT, rows).await?;
    rows.iter().map(key).collect::<Result<_, _>>().map_err(|error| StoreError::of(&error))
}

/// Deletes the sums of minutes that are over for long.
pub(super) async fn forget_minutes(connection: &mut PgConnection, watch: &QueryTimer) -> Result<(), StoreError> {
    let kept = MINUTES_KEPT.as_secs();
    let delete = format!("DELETE FROM {} WHERE minute < now() - interval '{kept} seconds'", MINUTES.name);
    run(watch, connection, &transaction::alone(&delete)).await.map(drop)
}

/// A connection, as filling needs it. Each statement is a transaction of its own, as a pooler needs it.
pub(super) struct Filling<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) watch: &'a QueryTimer,
}

#[async_trait]
impl Fillable for Filling<'_> {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn rows(&mut self, query: &str, columns: usize) -> Result<Vec<TextRow>, StoreError> {
        let read = sqlx::raw_sql(AssertSqlSafe(transaction::alone_patiently(query))).fetch_all(&mut *self.connection);
        let text = |row: &PgRow| (0..columns).map(|column| row.try_get(column)).collect();
        self.watch.patient(query, async { read.await?.iter().map(text).collect() }).await
    }

    fn begin(&self) -> String {
        transaction::begin()
    }

    async fn execute(&mut self, statements: &str) -> Result<u64, StoreError> {
        run(self.watch, self.connection, statements).await
    }
}

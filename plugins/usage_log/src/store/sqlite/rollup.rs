//! The sums beside the rows, in `SQLite`'s SQL.

use std::collections::HashMap;
use std::time::SystemTime;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::{LIMIT, run};
use crate::report::engine::TextRow;
use crate::rollup::{Bound, Changes, Dialect, MINUTES, MINUTES_KEPT, Replaced, replaced_columns};
use crate::store::fill::Fillable;
use crate::store::query_timer::QueryTimer;
use crate::store::{StoreError, calendar};
use crate::{BatchRow, Row, Timestamp};

/// As many keys are looked up by one statement.
const AT_A_TIME: usize = 500;

pub(crate) const DIALECT: Dialect = Dialect {
    text: |text| format!("'{}'", text.replace('\'', "''")),
    id: |id| format!("x'{}'", Uuid::from_bytes(*id).simple()),
    time: |time| format!("'{}'", calendar::text(time)),
    money_name: |name| format!("{name}_picos"),
    money: |picos| picos.to_string(),
    picos: |column| format!("{column}_picos"),
    time_text: str::to_owned,
    // of nothing it would make an empty text
    hex: |bytes| format!("CASE WHEN {bytes} IS NULL THEN NULL ELSE hex({bytes}) END"),
    picos_sum: |column| format!("sum({column}_picos)"),
    binary_order: "",
    has_limited_money: true,
    smaller: "min",
    larger: "max",
};

/// Makes changes of the sums. Reads which groups there are, where that is not known.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    changes: Changes<'_>,
    bound: &mut Bound,
    watch: &QueryTimer,
) -> Result<(), StoreError> {
    const WHAT: &str = "INSERT INTO usage_daily …; INSERT INTO usage_minutes …";
    for day in changes.days() {
        if !bound.knows(day) {
            let query = Bound::query(day);
            let rows = sqlx::raw_sql(AssertSqlSafe(query.clone())).fetch_all(&mut *connection);
            let rows = watch.statement(&query, LIMIT, rows).await?;
            let ids = rows.iter().filter_map(|row| row.try_get::<Vec<u8>, _>(0).ok()?.try_into().ok());
            bound.learn(day, ids);
        }
    }
    let statements = changes.sql(bound, &DIALECT);
    if statements.is_empty() {
        return Ok(());
    }
    let work = sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection);
    watch.statement(WHAT, LIMIT, async { work.await.map(drop) }).await
}

/// Those of these requests that are there, as they are there.
pub(super) async fn known(
    connection: &mut SqliteConnection,
    rows: &[&Row],
    watch: &QueryTimer,
) -> Result<HashMap<(Uuid, Timestamp), Row>, StoreError> {
    const WHAT: &str = "SELECT … FROM api_requests WHERE id IN (…)";
    let mut known = HashMap::new();
    for part in rows.chunks(AT_A_TIME) {
        let ids: Vec<String> = part.iter().map(|row| format!("'{}'", row.id)).collect();
        let query = format!("SELECT {} FROM api_requests WHERE id IN ({})", replaced_columns(&DIALECT), ids.join(", "));
        let found = sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(&mut *connection);
        for row in watch.statement(WHAT, LIMIT, found).await? {
            let row = Row::of_replaced(texts(&row).map_err(|error| StoreError::of(&error))?)?;
            known.insert((row.id, row.created_at), row);
        }
    }
    Ok(known)
}

fn texts(row: &SqliteRow) -> Result<Replaced, sqlx::Error> {
    let mut texts = Replaced::default();
    for (at, text) in texts.iter_mut().enumerate() {
        *text = row.try_get(at)?;
    }
    Ok(texts)
}

/// Those of these results of batches that are not there.
pub(super) async fn new_results<'a>(
    connection: &mut SqliteConnection,
    rows: &[&'a BatchRow],
    watch: &QueryTimer,
) -> Result<Vec<&'a BatchRow>, StoreError> {
    const WHAT: &str = "SELECT count(*) FROM batch_results WHERE batch_id = ? AND custom_id = ?";
    let mut new = Vec::new();
    for row in rows {
        let count = sqlx::query_scalar::<_, i64>(WHAT).bind(row.batch.replace('\0', "\u{fffd}"));
        let count = count.bind(row.custom_id.replace('\0', "\u{fffd}")).fetch_one(&mut *connection);
        if watch.statement(WHAT, LIMIT, count).await? == 0 {
            new.push(*row);
        }
    }
    Ok(new)
}

/// Deletes the sums of minutes that are over for long.
pub(super) async fn forget_minutes(connection: &mut SqliteConnection, watch: &QueryTimer) -> Result<(), StoreError> {
    let kept = i64::try_from(MINUTES_KEPT.as_micros()).unwrap_or(i64::MAX);
    let before = Timestamp::from_micros(Timestamp::from(SystemTime::now()).micros().saturating_sub(kept));
    let delete = format!("DELETE FROM {} WHERE minute < {}", MINUTES.name, (DIALECT.time)(before));
    run(watch, connection, &delete).await.map(drop)
}

/// A connection, as filling needs it.
pub(super) struct Filling<'a> {
    pub(super) connection: &'a mut SqliteConnection,
    pub(super) watch: &'a QueryTimer,
}

#[async_trait]
impl Fillable for Filling<'_> {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn rows(&mut self, query: &str, columns: usize) -> Result<Vec<TextRow>, StoreError> {
        let read = sqlx::raw_sql(AssertSqlSafe(query.to_owned())).fetch_all(&mut *self.connection);
        let text = |row: &SqliteRow| (0..columns).map(|column| row.try_get(column)).collect();
        self.watch.patient(query, async { read.await?.iter().map(text).collect() }).await
    }

    fn begin(&self) -> String {
        "BEGIN IMMEDIATE".to_owned()
    }

    async fn execute(&mut self, statements: &str) -> Result<u64, StoreError> {
        run(self.watch, self.connection, statements).await
    }
}

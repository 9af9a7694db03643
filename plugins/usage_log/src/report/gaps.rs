//! Numbers that no row has: each is a row that is not in the database.

use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::Engine;
use crate::store::{StoreError, transaction};

/// Numbers of an instance that no row has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The instance.
    pub instance: Uuid,
    /// The first of them.
    pub first: i64,
    /// The last of them.
    pub last: i64,
}

impl Gap {
    /// How many rows that is.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.last.abs_diff(self.first) + 1
    }
}

/// The numbers that no row has; also those up to the highest of an instance, where that is known.
pub(super) async fn all(engine: &Engine, highest: &[(Uuid, i64)]) -> Result<Vec<Gap>, StoreError> {
    let wrong = |error: sqlx::Error| StoreError::of(&error);
    let gap =
        |(instance, first, last): (Option<Uuid>, i64, i64)| instance.map(|instance| Gap { instance, first, last });
    let rows = match engine {
        Engine::Postgres(pool) => {
            // it reads every row, which takes as long as it takes
            let query = transaction::alone_patiently(&query("greatest", "::uuid", highest));
            let rows = sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(pool).await.map_err(wrong)?;
            let read = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
            read.collect::<Result<Vec<_>, _>>()
        }
        Engine::Sqlite(pool) => {
            let rows = sqlx::query(AssertSqlSafe(query("max", "", highest))).fetch_all(pool).await.map_err(wrong)?;
            let read = rows.iter().map(|row| {
                let instance: String = row.try_get(0)?;
                Ok((Uuid::try_parse(&instance).ok(), row.try_get(1)?, row.try_get(2)?))
            });
            read.collect()
        }
    };
    Ok(rows.map_err(wrong)?.into_iter().filter_map(gap).collect())
}

/// The numbers missing before each row, and before the one that would come next. What retention took is not missing.
fn query(larger: &str, uuid: &str, highest: &[(Uuid, i64)]) -> String {
    let next = highest.iter().filter(|(_, number)| *number > 0);
    let next = next.map(|(instance, number)| {
        format!(" UNION ALL SELECT '{instance}'{uuid}, CAST({} AS bigint)", number.saturating_add(1))
    });
    let next: String = next.collect();
    format!(
        "SELECT instance, before + 1, sequence - 1 FROM (
            SELECT r.instance, r.sequence, {larger}(
                coalesce(lag(r.sequence) OVER (PARTITION BY r.instance ORDER BY r.sequence), 0),
                coalesce(t.sequence, 0)) AS before
            FROM (SELECT instance, sequence FROM api_requests{next}) AS r LEFT JOIN ledger_retired AS t ON t.instance = r.instance
            WHERE r.sequence > 0
        ) AS numbered WHERE sequence > before + 1 ORDER BY 1, 2"
    )
}

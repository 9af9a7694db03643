//! Numbers that no row has: each is a row that is not in the database.

use uuid::Uuid;

use super::engine::{Engine, Limit, Words};
use crate::store::StoreError;

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
pub(super) async fn all(engine: &dyn Engine, highest: &[(Uuid, i64)]) -> Result<Vec<Gap>, StoreError> {
    // it reads every row
    let rows = engine.rows(&query(engine.words(), highest), 3, Limit::None).await?;
    Ok(rows.iter().filter_map(|row| gap(row)).collect())
}

fn gap(row: &[Option<String>]) -> Option<Gap> {
    let [Some(instance), Some(first), Some(last)] = row else { return None };
    let instance = Uuid::try_parse(instance).ok()?;
    Some(Gap { instance, first: first.parse().ok()?, last: last.parse().ok()? })
}

/// The numbers missing before each row, and before the one that would come next. What retention took is not missing.
fn query(words: &Words, highest: &[(Uuid, i64)]) -> String {
    let Words { larger, uuid, .. } = words;
    let next = highest.iter().filter(|(_, number)| *number > 0);
    let next = next.map(|(instance, number)| {
        format!(" UNION ALL SELECT '{instance}'{uuid}, CAST({} AS bigint)", number.saturating_add(1))
    });
    let next: String = next.collect();
    format!(
        "SELECT CAST(instance AS text), CAST(before + 1 AS text), CAST(sequence - 1 AS text) FROM (
            SELECT r.instance, r.sequence, {larger}(
                coalesce(lag(r.sequence) OVER (PARTITION BY r.instance ORDER BY r.sequence), 0),
                coalesce(t.sequence, 0)) AS before
            FROM (SELECT instance, sequence FROM api_requests{next}) AS r LEFT JOIN ledger_retired AS t ON t.instance = r.instance
            WHERE r.sequence > 0
        ) AS numbered WHERE sequence > before + 1 ORDER BY numbered.instance, before"
    )
}

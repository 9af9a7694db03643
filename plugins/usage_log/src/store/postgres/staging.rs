//! Records that may be in the database already: they go there by way of temporary tables, and the database says which of them are new.

use std::collections::{HashMap, HashSet};

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::{LIMIT, Postgres, copy, copy_in, key, rollup};
use crate::columns::{BATCHES, REQUESTS, Table};
use crate::store::StoreError;
use crate::{BatchRow, Row};

impl Postgres {
    /// Writes requests: which of them are new, and the rows in whose places there are others now.
    pub(super) async fn stage_requests(
        &self,
        connection: &mut PgConnection,
        rows: &[&Row],
    ) -> Result<(HashSet<(Uuid, i64)>, HashMap<Uuid, Row>), StoreError> {
        if rows.is_empty() {
            return Ok(Default::default());
        }
        let (insert, keep) =
            (self.fill_staging(connection, &REQUESTS, rows.iter().copied()).await?, REQUESTS.on_conflict_keep());
        let insert_new =
            format!("{insert} {keep} RETURNING id, CAST(extract(epoch FROM created_at) * 1000000 AS bigint)");
        let id_and_time = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
        let new: HashSet<(Uuid, i64)> = rollup::keys(connection, &insert_new, id_and_time, &self.watch).await?;
        let corrections: HashMap<Uuid, &Row> =
            rows.iter().filter(|row| row.revision > 0 && !new.contains(&key(row))).map(|row| (row.id, *row)).collect();
        let corrected: Vec<&Row> = corrections.values().copied().collect();
        let mut replaced = HashMap::new();
        for old in rollup::replaced(connection, &corrected, &self.watch).await? {
            let correction = corrections.get(&old.id);
            if correction.is_some_and(|row| row.created_at == old.created_at && row.revision > old.revision) {
                replaced.insert(old.id, old);
            }
        }
        if !replaced.is_empty() {
            let update = format!("{insert} WHERE revision > 0 {}", REQUESTS.on_conflict(copy::name));
            self.run(connection, &update).await?;
        }
        Ok((new, replaced))
    }

    /// Writes results of batches: the keys of those that are new.
    pub(super) async fn stage_results(
        &self,
        connection: &mut PgConnection,
        rows: &[&BatchRow],
    ) -> Result<HashSet<(String, String)>, StoreError> {
        if rows.is_empty() {
            return Ok(HashSet::new());
        }
        let (insert, keep) =
            (self.fill_staging(connection, &BATCHES, rows.iter().copied()).await?, BATCHES.on_conflict_keep());
        let key = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
        rollup::keys(connection, &format!("{insert} {keep} RETURNING batch_id, custom_id"), key, &self.watch).await
    }

    pub(super) async fn stage<'a, R: 'a>(
        &self,
        connection: &mut PgConnection,
        table: &Table<R>,
        rows: impl ExactSizeIterator<Item = &'a R>,
    ) -> Result<(), StoreError> {
        if rows.len() == 0 {
            return Ok(());
        }
        let insert = self.fill_staging(connection, table, rows).await?;
        self.run(connection, &format!("{insert} WHERE true {}", table.on_conflict(copy::name))).await.map(drop)
    }

    /// Brings rows into a temporary table, and returns the statement that inserts them from there, up to its conditions.
    async fn fill_staging<'a, R: 'a>(
        &self,
        connection: &mut PgConnection,
        table: &Table<R>,
        rows: impl ExactSizeIterator<Item = &'a R>,
    ) -> Result<String, StoreError> {
        let (name, names, staging) = (table.name, copy::names(table), format!("staged_{}", table.name));
        let create =
            format!("CREATE TEMPORARY TABLE {staging} ON COMMIT DROP AS SELECT {names} FROM {name} WITH NO DATA");
        self.run(connection, &create).await?;
        let statement = copy::statement(table, &staging);
        let rows = copy::rows(table, rows);
        self.watch.statement(&statement, LIMIT, copy_in(connection, &statement, rows)).await?;
        Ok(format!("INSERT INTO {name} ({names}) SELECT {names} FROM {staging}"))
    }
}

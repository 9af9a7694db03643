//! The ledger in a file of `SQLite`'s, within the gateway's own process.

pub(crate) mod open;
mod retention;
pub(crate) mod rollup;
mod schema;
mod turns;
mod write;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use plugin_api::LogLimit;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use turns::RecentTurns;
use write::Inserts;

use super::batch::Batch;
use super::connections::Counted;
use super::engine::Engine;
use super::pooled::PooledConnection;
use super::query_timer::QueryTimer;
use super::{Housekeeper, StoreError, Written, fill, migration};
use crate::columns::{BATCHES, BODIES, CHUNKS, Chunk, REQUESTS};
use crate::rollup::{Bound, Changes};
use crate::{BatchRow, Conversation, Record, Row, StoreSettings};

/// The end of a transaction that keeps what it wrote.
const COMMIT: &str = "COMMIT";
/// How long a statement may take.
const LIMIT: Duration = Duration::from_secs(35);

/// An `SQLite` database.
#[derive(Debug)]
pub(super) struct Sqlite {
    pool: SqlitePool,
    watch: QueryTimer,
    settings: StoreSettings,
    inserts: AllInserts,
    bound: Bound,
    recent: RecentTurns,
    /// Its schema is a later build's.
    is_newer: bool,
    _limit: Counted,
}

/// What inserts into each table.
#[derive(Debug)]
struct AllInserts {
    requests: Inserts<Row>,
    batches: Inserts<BatchRow>,
    bodies: Inserts<Row>,
    chunks: Inserts<Chunk>,
}

#[async_trait]
impl Engine for Sqlite {
    async fn migrate(&mut self) -> Result<(), StoreError> {
        let mut held = self.acquire().await?;
        self.is_newer = schema::migrate(&mut held, self.settings.migrate, &self.watch).await?;
        self.recent.look(&mut held, &self.watch).await?;
        held.release().await;
        self.put_turns().await
    }

    async fn write(&mut self, records: &[Record]) -> Result<Written, StoreError> {
        let written = self.write_until(records, COMMIT).await?;
        if self.recent.are_many()
            && let Err(error) = self.put_turns().await
        {
            // the rows are committed, and their turns known here
            static UNKNOWN: LogLimit = LogLimit::new();
            if let Some(suppressed) = UNKNOWN.pass(()) {
                log::warn!(error:%, suppressed; "the ledger cannot note the turns of its rows; it tries again");
            }
        }
        Ok(written)
    }

    async fn try_out(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.write_until(records, "ROLLBACK").await.map(drop)
    }

    async fn conversations(&mut self, turns: &[[u8; 32]]) -> Result<Vec<Option<Conversation>>, StoreError> {
        let mut held = self.acquire().await?;
        let mut found = Vec::with_capacity(turns.len());
        for turn in turns {
            found.push(self.recent.conversation(&mut held, *turn, &self.watch).await?);
        }
        held.release().await;
        Ok(found)
    }

    async fn maintain(&mut self, keeper: &mut Housekeeper) -> Result<(), StoreError> {
        self.migrate().await?;
        if self.is_newer {
            // an archive would lack the columns that this build does not know, and their rows would go
            migration::log_newer();
            return Ok(());
        }
        let mut held = self.acquire().await?;
        // a day's rows, or a month's, are sorted here, for which no memory is enough
        self.run(&mut held, "PRAGMA temp_store = FILE").await?;
        rollup::forget_minutes(&mut held, &self.watch).await?;
        // rows are summed up before they go
        let mut filling = rollup::Filling { connection: &mut held, watch: &self.watch };
        if fill::turn(&mut filling).await? {
            let has_turns = self.recent.has_table();
            retention::keep(&mut held, keeper, &self.settings, has_turns, &self.watch).await?;
            if has_turns {
                turns::drop_parts(&mut held, &self.watch).await?;
            }
        }
        held.release().await;
        Ok(())
    }

    async fn close(self: Box<Self>) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.pool.close()).await;
    }
}

impl Sqlite {
    pub(super) async fn connect(path: &Path, settings: &StoreSettings, watch: QueryTimer) -> Result<Self, StoreError> {
        let pool = open::to_write(path, &settings.pool);
        let inserts = AllInserts {
            requests: Inserts::of(&REQUESTS),
            batches: Inserts::of(&BATCHES),
            bodies: Inserts::of(&BODIES),
            chunks: Inserts::of(&CHUNKS),
        };
        let (bound, recent) = (Bound::default(), RecentTurns::default());
        let _limit = watch.metrics.connections.pool(settings.pool.max.get());
        let store = Self { pool, watch, settings: settings.clone(), inserts, bound, recent, is_newer: false, _limit };
        store.acquire().await?.release().await;
        Ok(store)
    }

    /// Writes records in one transaction that ends so.
    async fn write_until(&mut self, records: &[Record], end: &str) -> Result<Written, StoreError> {
        let batch = Batch::of(records);
        let mut held = self.acquire().await?;
        // most batches have nothing that is there already: which records are is looked up only where the counts say that some are
        let written = match self.write_batch(&mut held, &batch, false, end).await? {
            Some(written) => Some(written),
            None => self.write_batch(&mut held, &batch, true, end).await?,
        };
        held.release().await;
        if end == COMMIT && written.is_some() {
            self.recent.note(&batch.requests);
        }
        written.ok_or_else(|| StoreError::Unavailable("rows changed while they were written".into()))
    }

    /// Writes a batch; nothing is written, and nothing told, where something is there already that was not looked up.
    async fn write_batch(
        &mut self,
        held: &mut SqliteConnection,
        batch: &Batch<'_>,
        looks_up: bool,
        end: &str,
    ) -> Result<Option<Written>, StoreError> {
        self.run(held, "BEGIN IMMEDIATE").await?;
        let (new, corrections): (Vec<&Row>, Vec<&Row>) = batch.requests.iter().partition(|row| row.revision == 0);
        let known = rollup::known(held, if looks_up { &batch.requests } else { &corrections }, &self.watch).await?;
        let results = if looks_up {
            rollup::new_results(held, &batch.batches, &self.watch).await?
        } else {
            batch.batches.clone()
        };
        let (watch, AllInserts { requests, batches, bodies, chunks }) = (&self.watch, &mut self.inserts);
        let inserted = requests.run(watch, held, &new, false).await?;
        let corrected = requests.run(watch, held, &corrections, true).await?;
        let told = batches.run(watch, held, &results, false).await?;
        bodies.run(watch, held, &batch.bodies, true).await?;
        let pieces: Vec<_> = batch.chunks.iter().collect();
        chunks.run(watch, held, &pieces, false).await?;
        let mut changes = Changes::none();
        let (mut expected, mut corrected_rows) = (0, Vec::new());
        for row in &batch.requests {
            let old = known.get(&(row.id, row.created_at));
            if old.is_none_or(|old| old.revision < row.revision) {
                changes.add(row);
                if let Some(old) = old {
                    changes.take_out(old);
                    corrected_rows.push(*row);
                }
                expected += 1;
            }
        }
        results.iter().for_each(|row| changes.add_result(row));
        if inserted + corrected != expected || told != results.len() as u64 {
            self.run(held, "ROLLBACK").await?;
            return Ok(None);
        }
        rollup::write(held, changes, &mut self.bound, &self.watch).await?;
        if self.recent.has_table() {
            turns::put_corrected(held, &corrected_rows, &self.watch).await?;
        }
        self.run(held, end).await?;
        Ok(Some(batch.written(expected + told)))
    }

    /// Puts the turns of all rows into the table of turns, if there is one.
    async fn put_turns(&mut self) -> Result<(), StoreError> {
        if self.recent.has_table() {
            let mut held = self.acquire().await?;
            turns::put_all(&mut held, &self.watch).await?;
            held.release().await;
        }
        self.recent.clear();
        Ok(())
    }

    async fn run(&self, connection: &mut SqliteConnection, statement: &str) -> Result<u64, StoreError> {
        run(&self.watch, connection, statement).await
    }

    async fn acquire(&self) -> Result<PooledConnection<sqlx::Sqlite>, StoreError> {
        let connections = &self.watch.metrics.connections;
        PooledConnection::acquire(&self.pool, self.settings.pool.connect_timeout.get(), connections).await
    }
}

/// Runs statements that return no rows.
async fn run(watch: &QueryTimer, connection: &mut SqliteConnection, statement: &str) -> Result<u64, StoreError> {
    let work = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection);
    watch.statement(statement, LIMIT, async { Ok(work.await?.rows_affected()) }).await
}

/// The same for those that take as long as they take.
async fn patiently(watch: &QueryTimer, connection: &mut SqliteConnection, statement: &str) -> Result<(), StoreError> {
    let work = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection);
    watch.patient(statement, async { work.await.map(drop) }).await
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::Clock;
    use super::*;
    use crate::tests::Folder;
    use crate::{Config, Migrate, StoreMetrics};

    #[tokio::test]
    async fn housekeeping_sorts_in_files_and_batches_in_memory() {
        let (folder, config) = (Folder::new(), Config::default());
        let settings = config.store_settings(&folder.0);
        let watch = QueryTimer { slow: settings.slow_query, metrics: StoreMetrics::new().unwrap() };
        let mut store = Sqlite::connect(&folder.0.join("ledger.db"), &settings, watch).await.unwrap();
        let temp_store = async |store: &Sqlite| -> i64 {
            let mut held = store.acquire().await.unwrap();
            let kept = sqlx::query_scalar("PRAGMA temp_store").fetch_one(&mut *held).await.unwrap();
            held.release().await;
            kept
        };
        assert_eq!(temp_store(&store).await, 2);
        store.migrate().await.unwrap();
        assert_eq!(temp_store(&store).await, 2);
        store.maintain(&mut Housekeeper::new(Clock::start().read())).await.unwrap();
        assert_eq!(temp_store(&store).await, 1);
    }

    #[tokio::test]
    async fn a_database_that_is_not_to_be_migrated_takes_rows_without_a_table_of_turns() {
        let (folder, config) = (Folder::new(), Config::default());
        let path = folder.0.join("ledger.db");
        let open = async || {
            let settings = StoreSettings { migrate: Migrate::Off, ..config.store_settings(&folder.0) };
            let watch = QueryTimer { slow: settings.slow_query, metrics: StoreMetrics::new().unwrap() };
            Sqlite::connect(&path, &settings, watch).await.unwrap()
        };
        let store = open().await;
        let mut held = store.acquire().await.unwrap();
        for step in &migration::SQLITE[..15] {
            store.run(&mut held, step.sql).await.unwrap();
        }
        held.release().await;
        let row = |id, hash| Row { id: Uuid::from_u128(id), turn_hash: Some([hash; 32]), ..Row::default() };
        for (id, hash) in [(1, 7), (2, 8)] {
            let mut store = open().await;
            store.migrate().await.unwrap();
            store.write(&[Record::Request(Box::new(row(id, hash)))]).await.unwrap();
            store.maintain(&mut Housekeeper::new(Clock::start().read())).await.unwrap();
        }
        let mut store = open().await;
        store.migrate().await.unwrap();
        let found = store.conversations(&[[7; 32], [8; 32], [9; 32]]).await.unwrap();
        let ids: Vec<_> = found.into_iter().map(|found| found.map(|conversation| conversation.id.as_u128())).collect();
        assert_eq!(ids, [Some(1), Some(2), None]);
    }
}

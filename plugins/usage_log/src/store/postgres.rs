//! The ledger in Postgres: connections, batches, conversations. What falls due with time is in `retention` and `maintenance`.

mod copy;
mod maintenance;
pub(crate) mod open;
mod retention;
pub(crate) mod rollup;
mod schema;
mod staging;
pub(crate) mod transaction;

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::batch::Batch;
use super::connections::Counted;
use super::engine::Engine;
use super::partition::{Parent, Partition};
use super::pooled::PooledConnection;
use super::query_timer::QueryTimer;
use super::{Housekeeper, StoreError, Written, fill, migration};
use crate::columns::{BODIES, CHUNKS, REQUESTS};
use crate::rollup::{Bound, Changes};
use crate::{BatchRow, Conversation, Record, Row, StoreSettings, Timestamp};

/// How long a statement may take: a little longer than the server gives it.
const LIMIT: Duration = Duration::from_secs(35);
/// How an error ends that may say that no partition takes a row; a constraint of an operator's own says the same.
const NO_PARTITION: &str = "(23514)";
/// How far back a conversation is looked for: nobody takes one up after so long, and no older partition is searched.
const CONVERSATION_DAYS: i32 = 31;

/// A Postgres database.
#[derive(Debug)]
pub(super) struct Postgres {
    pool: PgPool,
    watch: QueryTimer,
    settings: StoreSettings,
    partitions: HashSet<Partition>,
    bound: Bound,
    /// Its schema is a later build's.
    is_newer: bool,
    _limit: Counted,
}

#[async_trait]
impl Engine for Postgres {
    async fn migrate(&mut self) -> Result<(), StoreError> {
        let mut held = self.acquire().await?;
        self.is_newer = schema::migrate(&mut held, self.settings.migrate, &self.watch).await?;
        held.release().await;
        self.partitions.clear();
        self.make_partitions(Timestamp::from(std::time::SystemTime::now())).await?;
        if let Err(error) = self.read_total_time().await {
            // no row waits for a figure
            log::debug!(error:%; "pg_stat_statements cannot be read");
        }
        Ok(())
    }

    async fn write(&mut self, records: &[Record]) -> Result<Written, StoreError> {
        let batch = Batch::of(records);
        match self.write_batch(&batch).await {
            Err(StoreError::Rejected(why)) if why.ends_with(NO_PARTITION) => {
                // somebody may have taken it away since it was last seen
                self.partitions.clear();
                self.write_batch(&batch).await
            }
            written => written,
        }
    }

    async fn try_out(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let batch = Batch::of(records);
        self.make_for(&batch).await?;
        self.write_new(&batch, "SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK").await.map(drop)
    }

    async fn conversations(&mut self, turns: &[[u8; 32]]) -> Result<Vec<Option<Conversation>>, StoreError> {
        const WHAT: &str = "SELECT … conversation_id … FROM api_requests WHERE turn_hash = …";
        let mut found = vec![None; turns.len()];
        if turns.is_empty() {
            return Ok(found);
        }
        let values = turns.iter().enumerate();
        let values = values.map(|(number, hash)| format!("({number}, {})", transaction::bytes(hash)));
        let query = format!(
            "SELECT t.n::bigint, r.conversation_id, r.parent_conversation_id
            FROM (VALUES {}) AS t (n, hash)
            CROSS JOIN LATERAL (
                SELECT coalesce(conversation_id, id) AS conversation_id, parent_conversation_id FROM api_requests
                WHERE turn_hash = t.hash AND created_at > now() - make_interval(days => {CONVERSATION_DAYS})
                ORDER BY created_at DESC LIMIT 1
            ) AS r",
            values.collect::<Vec<_>>().join(", ")
        );
        let mut held = self.acquire().await?;
        let rows = sqlx::raw_sql(AssertSqlSafe(transaction::alone(&query))).fetch_all(&mut *held);
        let rows = self.watch.statement(WHAT, LIMIT, rows).await?;
        held.release().await;
        for row in rows {
            let number = row.try_get::<i64, _>(0).map_err(|error| StoreError::of(&error))?;
            let place = usize::try_from(number).ok().and_then(|index| found.get_mut(index));
            if let Some(place) = place {
                let ids = || Ok((row.try_get(1)?, row.try_get(2)?));
                let (id, parent) = ids().map_err(|error: sqlx::Error| StoreError::of(&error))?;
                *place = Some(Conversation { id, parent });
            }
        }
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
        rollup::forget_minutes(&mut held, &self.watch).await?;
        // rows are summed up before they go
        let mut filling = rollup::Filling { connection: &mut held, watch: &self.watch };
        if fill::turn(&mut filling).await? {
            retention::keep(&mut held, keeper, &self.settings, &self.watch).await?;
        }
        maintenance::analyze(&mut held, &self.watch).await?;
        held.release().await;
        Ok(())
    }

    async fn close(self: Box<Self>) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.pool.close()).await;
    }
}

impl Postgres {
    pub(super) async fn connect(url: &str, settings: &StoreSettings, watch: QueryTimer) -> Result<Self, StoreError> {
        let pool = open::pool(url, &settings.pool)?;
        let (partitions, bound) = (HashSet::new(), Bound::default());
        let _limit = watch.metrics.connections.pool(settings.pool.max.get());
        let store = Self { pool, watch, settings: settings.clone(), partitions, bound, is_newer: false, _limit };
        let mut held = match store.acquire().await {
            Ok(held) => held,
            // the pool tries again and again, and then says only that
            Err(late) => return Err(open::why_not(url, &settings.pool).await.unwrap_or(late)),
        };
        schema::check_encoding(&mut held, &store.watch).await?;
        held.release().await;
        Ok(store)
    }

    /// Takes over what the server sums up of its statements.
    async fn read_total_time(&self) -> Result<(), StoreError> {
        let mut held = self.acquire().await?;
        self.watch.metrics.set_total_time(maintenance::statement_time(&mut held, &self.watch).await?);
        held.release().await;
        Ok(())
    }

    async fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, StoreError> {
        self.make_for(batch).await?;
        let written = if batch.is_plain() { self.write_at_once(batch).await? } else { None };
        match written {
            Some(written) => Ok(written),
            None => self.write_new(batch, "COMMIT").await,
        }
    }

    /// Writes requests straight into the table, which costs half as much; nothing is written, and nothing told, where one is
    /// there already.
    async fn write_at_once(&mut self, batch: &Batch<'_>) -> Result<Option<Written>, StoreError> {
        let mut held = self.acquire().await?;
        self.run(&mut held, &transaction::begin()).await?;
        let statement = copy::statement(&REQUESTS, REQUESTS.name);
        let rows = copy::rows(&REQUESTS, batch.requests.iter().copied());
        let written = self
            .watch
            .statement(&statement, LIMIT, async {
                match copy_in(&mut held, &statement, rows).await {
                    Ok(new) => Ok(Some(Written { new, known: 0 })),
                    Err(error) if is_duplicate(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?;
        if written.is_some() {
            let mut changes = Changes::none();
            batch.requests.iter().for_each(|row| changes.add(row));
            self.end_with(&mut held, changes, "COMMIT").await?;
        } else {
            // a row that is there already says nothing against the connection
            self.run(&mut held, "ROLLBACK").await?;
        }
        held.release().await;
        Ok(written)
    }

    /// Writes what is not there yet, by way of temporary tables, in one transaction that ends so.
    async fn write_new(&mut self, batch: &Batch<'_>, end: &str) -> Result<Written, StoreError> {
        let mut held = self.acquire().await?;
        self.run(&mut held, &transaction::begin()).await?;
        let (new, replaced) = self.stage_requests(&mut held, &batch.requests).await?;
        let results = self.stage_results(&mut held, &batch.batches).await?;
        self.stage(&mut held, &BODIES, batch.bodies.iter().copied()).await?;
        self.stage(&mut held, &CHUNKS, batch.chunks.iter()).await?;
        let mut changes = Changes::none();
        for row in &batch.requests {
            let old = replaced.get(&row.id);
            if new.contains(&key(row)) || old.is_some() {
                changes.add(row);
            }
            old.into_iter().for_each(|old| changes.take_out(old));
        }
        let is_new = |row: &&&BatchRow| {
            results.contains(&(row.batch.replace('\0', "\u{fffd}"), row.custom_id.replace('\0', "\u{fffd}")))
        };
        batch.batches.iter().filter(is_new).for_each(|row| changes.add_result(row));
        self.end_with(&mut held, changes, end).await?;
        held.release().await;
        Ok(batch.written((new.len() + replaced.len() + results.len()) as u64))
    }

    /// Makes changes of the sums, and ends the transaction.
    async fn end_with(
        &mut self,
        connection: &mut PgConnection,
        changes: Changes<'_>,
        end: &str,
    ) -> Result<(), StoreError> {
        const WHAT: &str = "INSERT INTO usage_daily …; INSERT INTO usage_minutes …";
        let statements = rollup::statements(connection, changes, &mut self.bound, &self.watch).await?;
        let work = sqlx::raw_sql(AssertSqlSafe(statements + end)).execute(connection);
        self.watch.statement(WHAT, LIMIT, async { work.await.map(drop) }).await
    }

    /// Makes the partitions that a batch needs.
    async fn make_for(&mut self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let mut needed: BTreeSet<Partition> = batch.times().map(|time| Partition::of(Parent::Requests, time)).collect();
        needed.extend(batch.bodies.iter().map(|row| Partition::of(Parent::Bodies, row.created_at)));
        self.make(needed).await
    }

    /// Makes the partitions of this month and of the next two.
    async fn make_partitions(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let this = Partition::of(Parent::Requests, now);
        self.make([this, this.next(), this.next().next()].into()).await
    }

    async fn make(&mut self, mut needed: BTreeSet<Partition>) -> Result<(), StoreError> {
        needed.retain(|partition| !self.partitions.contains(partition));
        if needed.is_empty() {
            return Ok(());
        }
        let mut held = self.acquire().await?;
        for partition in needed {
            schema::make_partition(&mut held, partition, &self.watch).await?;
            self.partitions.insert(partition);
        }
        held.release().await;
        Ok(())
    }

    async fn run(&self, connection: &mut PgConnection, statement: &str) -> Result<u64, StoreError> {
        run(&self.watch, connection, statement).await
    }

    async fn acquire(&self) -> Result<PooledConnection<sqlx::Postgres>, StoreError> {
        let connections = &self.watch.metrics.connections;
        PooledConnection::acquire(&self.pool, self.settings.pool.connect_timeout.get(), connections).await
    }
}

/// The key of a request's row.
fn key(row: &Row) -> (Uuid, i64) {
    (row.id, row.created_at.micros())
}

/// Runs statements that return no rows.
async fn run(watch: &QueryTimer, connection: &mut PgConnection, statement: &str) -> Result<u64, StoreError> {
    let work = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection);
    watch.statement(statement, LIMIT, async { Ok(work.await?.rows_affected()) }).await
}

/// Runs statements that take as long as they take, where the server lets them.
async fn patiently(watch: &QueryTimer, connection: &mut PgConnection, statement: &str) -> Result<(), StoreError> {
    let work = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection);
    watch.patient(statement, async { work.await.map(drop) }).await
}

async fn copy_in(connection: &mut PgConnection, statement: &str, rows: Vec<u8>) -> Result<u64, sqlx::Error> {
    let mut copy = connection.copy_in_raw(statement).await?;
    copy.send(rows).await?;
    copy.finish().await
}

/// Whether a row is there already.
fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

//! Old partitions go: cut off, then written to the archive, then dropped; of tables without partitions, old rows do. Whatever stops it
//! midway, the next turn takes it up, and nothing goes before its archive is on the disk.

use std::collections::BTreeSet;
use std::path::Path;

use futures_util::StreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::schema::{add_columns, begin_with_lock, is_attached, lock};
use super::{LIMIT, copy, patiently, run, transaction};
use crate::store::archive::Archive;
use crate::store::clock::Evidence;
use crate::store::cutoffs::Cutoffs;
use crate::store::housekeeper::{Housekeeper, MOST};
use crate::store::partition::{Parent, Partition};
use crate::store::query_timer::QueryTimer;
use crate::store::{StoreError, calendar};
use crate::{Retention, StoreSettings, Timestamp};

/// What a table that is cut off is called until it is gone.
const RETIRED: &str = "retired_";
/// Whoever holds it archives and drops: one more than the schema's.
const LOCK: i64 = 0x746f_6c6c_6761_7466;

/// Retires what is older than the settings keep, as far as the housekeeper lets go of it.
pub(super) async fn keep(
    connection: &mut PgConnection,
    keeper: &mut Housekeeper,
    settings: &StoreSettings,
    watch: &QueryTimer,
) -> Result<(), StoreError> {
    const NOW: &str = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')";
    keeper.begin(settings);
    if settings.retention == Retention::default() {
        return Ok(());
    }
    let clock = time(connection, NOW, watch).await?;
    let newest = newest(connection, "<", keeper.since(), watch).await?;
    let Some(time) = keeper.time(Evidence { clock, newest }) else { return Ok(()) };
    let cutoffs = Cutoffs::at(time, self::newest(connection, "<=", time, watch).await?, settings);
    let mut old = Vec::new();
    for parent in [Parent::Requests, Parent::Bodies] {
        if cutoffs.of(parent).is_some() {
            finish_detaching(connection, parent, watch).await?;
            let partitions = partitions(connection, parent, watch).await?;
            old.extend(partitions.into_iter().filter(|partition| cutoffs.has(*partition)).take(MOST));
        }
    }
    for parent in [Parent::Chunks, Parent::Batches] {
        let (mut from, before) = (None, old.len());
        while let Some(partition) =
            first(connection, parent, from, watch).await?.filter(|partition| cutoffs.has(*partition))
        {
            from = Some(partition.end());
            old.push(partition);
            if old.len() - before >= MOST {
                break;
            }
        }
    }
    for partition in keeper.due(&old, cutoffs, settings.archive.is_some()) {
        match partition.parent {
            Parent::Requests | Parent::Bodies => {
                // one that an earlier turn could not end comes before one that late rows have made since
                finish(connection, partition, settings, watch).await?;
                cut_off(connection, partition, watch).await?;
                finish(connection, partition, settings, watch).await?;
            }
            Parent::Chunks | Parent::Batches => delete(connection, partition, settings, watch).await?,
        }
    }
    Ok(())
}

/// The partitions of a table, whether they are still a part of it, were cut off and no more, or are on their way out.
async fn partitions(
    connection: &mut PgConnection,
    parent: Parent,
    watch: &QueryTimer,
) -> Result<BTreeSet<Partition>, StoreError> {
    let mut names = tables(connection, parent.name(), watch).await?;
    names.extend(tables(connection, &format!("{RETIRED}{}", parent.name()), watch).await?);
    let partitions = names.iter().filter_map(|name| Partition::parse(name.strip_prefix(RETIRED).unwrap_or(name)));
    Ok(partitions.filter(|partition| partition.parent == parent).collect())
}

/// The newest row of before a moment, or up to it.
async fn newest(
    connection: &mut PgConnection,
    before: &str,
    moment: Timestamp,
    watch: &QueryTimer,
) -> Result<Option<Timestamp>, StoreError> {
    let moment = calendar::text(moment);
    let newest = format!("SELECT max(created_at) FROM api_requests WHERE created_at {before} '{moment}+00'");
    time(connection, &in_utc(&newest), watch).await
}

/// The span that the oldest row of a table is in, of those from a moment on.
async fn first(
    connection: &mut PgConnection,
    parent: Parent,
    from: Option<Timestamp>,
    watch: &QueryTimer,
) -> Result<Option<Partition>, StoreError> {
    let from = from.map(|from| format!(" WHERE created_at >= '{}+00'", calendar::text(from))).unwrap_or_default();
    let first = format!("SELECT min(created_at) FROM {}{from}", parent.name());
    Ok(time(connection, &in_utc(&first), watch).await?.map(|time| Partition::of(parent, time)))
}

/// A query for a moment, as one for what a clock in UTC shows.
fn in_utc(query: &str) -> String {
    format!("SELECT to_char(({query}) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')")
}

/// The moment that a query finds.
async fn time(connection: &mut PgConnection, query: &str, watch: &QueryTimer) -> Result<Option<Timestamp>, StoreError> {
    let read = sqlx::raw_sql(AssertSqlSafe(transaction::alone(query))).fetch_one(connection);
    let time = watch.statement(query, LIMIT, async { read.await?.try_get::<Option<String>, _>(0) }).await?;
    Ok(time.and_then(|text| calendar::parse(&text)))
}

/// The plain tables whose names begin so.
async fn tables(connection: &mut PgConnection, prefix: &str, watch: &QueryTimer) -> Result<Vec<String>, StoreError> {
    let query = format!(
        "SELECT relname::text FROM pg_class
         WHERE relkind = 'r' AND pg_table_is_visible(oid) AND starts_with(relname::text, '{prefix}')"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(query.clone())).fetch_all(connection);
    let rows = watch.statement(&query, LIMIT, rows).await?;
    rows.iter().map(|row| row.try_get(0).map_err(|error| StoreError::of(&error))).collect()
}

/// Ends a DETACH that somebody did not live to end; until then nothing else can be cut off.
async fn finish_detaching(connection: &mut PgConnection, parent: Parent, watch: &QueryTimer) -> Result<(), StoreError> {
    let query = format!(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass('{}') AND inhdetachpending",
        parent.name()
    );
    let pending = sqlx::raw_sql(AssertSqlSafe(query.clone())).fetch_optional(&mut *connection);
    if let Some(row) = watch.statement(&query, LIMIT, pending).await? {
        let partition: String = row.try_get(0).map_err(|error| StoreError::of(&error))?;
        let finalize = format!("ALTER TABLE {} DETACH PARTITION {partition} FINALIZE", parent.name());
        patiently(watch, connection, &finalize).await?;
    }
    Ok(())
}

/// Cuts a partition off, in a way that no writer waits for, and gives it the name of what is on its way out.
async fn cut_off(connection: &mut PgConnection, partition: Partition, watch: &QueryTimer) -> Result<(), StoreError> {
    let (parent, name) = (partition.parent.name(), partition.name());
    if is_attached(connection, partition, watch).await? {
        let detach = format!("ALTER TABLE {parent} DETACH PARTITION {name} CONCURRENTLY");
        patiently(watch, connection, &detach).await?;
    }
    // a late row may have taken it back meanwhile
    begin_with_lock(connection, watch).await?;
    if !is_attached(connection, partition, watch).await? {
        run(watch, connection, &format!("ALTER TABLE IF EXISTS {name} RENAME TO {RETIRED}{name}")).await?;
    }
    run(watch, connection, "COMMIT").await?;
    Ok(())
}

/// Archives and drops a partition that is cut off. Of many gateways, one does.
async fn finish(
    connection: &mut PgConnection,
    partition: Partition,
    settings: &StoreSettings,
    watch: &QueryTimer,
) -> Result<(), StoreError> {
    let table = format!("{RETIRED}{}", partition.name());
    run(watch, connection, &transaction::begin_patiently()).await?;
    if is_mine(connection, watch).await? && tables(connection, &table, watch).await?.contains(&table) {
        if let Some(folder) = &settings.archive {
            add_columns(connection, &table, partition.parent.name(), watch).await?;
            archive(connection, folder, partition, &table, watch).await?;
        }
        run(watch, connection, &lock()).await?;
        if partition.parent == Parent::Requests {
            let numbers = format!(
                "INSERT INTO ledger_retired (instance, sequence) SELECT instance, max(sequence) FROM {table} GROUP BY instance
                 ON CONFLICT (instance) DO UPDATE SET sequence = greatest(ledger_retired.sequence, excluded.sequence)"
            );
            patiently(watch, connection, &numbers).await?;
        }
        run(watch, connection, &format!("DROP TABLE {table}")).await?;
        log::info!(table = partition.name().as_str(); "the ledger dropped what is older than it keeps");
    }
    run(watch, connection, "COMMIT").await?;
    Ok(())
}

/// Takes the right to archive and drop until the end of the transaction, unless another gateway has it.
async fn is_mine(connection: &mut PgConnection, watch: &QueryTimer) -> Result<bool, StoreError> {
    let query = format!("SELECT pg_try_advisory_xact_lock({LOCK})");
    let locked = sqlx::raw_sql(AssertSqlSafe(query.clone())).fetch_one(connection);
    watch.statement(&query, LIMIT, async { locked.await?.try_get::<bool, _>(0) }).await
}

/// Writes rows to the archive: a table, or a part of one.
async fn archive(
    connection: &mut PgConnection,
    folder: &Path,
    partition: Partition,
    rows: &str,
    watch: &QueryTimer,
) -> Result<(), StoreError> {
    let archive = Archive::begin(folder, &partition.name())?;
    let (names, key) = (partition.parent.columns(copy::name), partition.parent.key());
    let statement =
        format!("COPY (SELECT {names} FROM {rows} ORDER BY created_at, {key}) TO STDOUT (FORMAT csv, HEADER true)");
    let copied = async {
        let mut pieces = connection.copy_out_raw(&statement).await?;
        while let Some(piece) = pieces.next().await {
            archive.write(piece?).await?;
        }
        Ok(())
    };
    watch.patient(&statement, copied).await?;
    let statement = format!("SELECT count(*) FROM {rows}");
    let counted = sqlx::raw_sql(AssertSqlSafe(statement.clone())).fetch_one(connection);
    let counted = watch.patient(&statement, async { counted.await?.try_get::<i64, _>(0) }).await?;
    archive.finish(counted.cast_unsigned()).await.map(drop)
}

/// Archives and deletes a span of a table that has no partitions. What goes to the archive and what is deleted is seen at one moment:
/// a row that comes later stays for the next turn.
async fn delete(
    connection: &mut PgConnection,
    partition: Partition,
    settings: &StoreSettings,
    watch: &QueryTimer,
) -> Result<(), StoreError> {
    let (start, end) = (calendar::text(partition.start()), calendar::text(partition.end()));
    let rows = format!("{} WHERE created_at >= '{start}+00' AND created_at < '{end}+00'", partition.parent.name());
    // while the archive is read back, the transaction is idle
    run(watch, connection, &transaction::begin_at_one_moment()).await?;
    if is_mine(connection, watch).await? {
        if let Some(folder) = &settings.archive {
            archive(connection, folder, partition, &rows, watch).await?;
        }
        patiently(watch, connection, &format!("DELETE FROM {rows}")).await?;
        log::info!(rows = partition.name().as_str(); "the ledger dropped what is older than it keeps");
    }
    run(watch, connection, "COMMIT").await?;
    Ok(())
}

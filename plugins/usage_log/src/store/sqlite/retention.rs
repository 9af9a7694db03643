//! Old rows go: a month of requests or a day of bodies at a time, written to the archive before they are deleted. What partitions is
//! marked first: a row that comes later, however old it is, stays for the next turn.

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, TypeInfo, ValueRef};

use super::{LIMIT, patiently, run, turns, write};
use crate::store::archive::Archive;
use crate::store::clock::Evidence;
use crate::store::cutoffs::Cutoffs;
use crate::store::housekeeper::{Housekeeper, MOST};
use crate::store::partition::{Parent, Partition};
use crate::store::query_timer::QueryTimer;
use crate::store::{StoreError, calendar, csv};
use crate::{Retention, StoreSettings, Timestamp};

/// Rows deleted at a time, so that the writer gets its turn.
const AT_A_TIME: u64 = 2000;

/// Deletes what is older than the settings keep, as far as the housekeeper lets go of it. The database may have a table of turns.
pub(super) async fn keep(
    connection: &mut SqliteConnection,
    keeper: &mut Housekeeper,
    settings: &StoreSettings,
    has_turns: bool,
    watch: &QueryTimer,
) -> Result<(), StoreError> {
    keeper.begin(settings);
    if settings.retention == Retention::default() {
        return Ok(());
    }
    // its clock is this machine's, which is what is in question
    let newest = newest(connection, "<", keeper.since(), watch).await?;
    let Some(time) = keeper.time(Evidence { clock: None, newest }) else { return Ok(()) };
    let cutoffs = Cutoffs::at(time, self::newest(connection, "<=", time, watch).await?, settings);
    let mut old = Vec::new();
    for parent in Parent::ALL {
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
        retire(connection, partition, settings, has_turns, watch).await?;
    }
    Ok(())
}

/// The newest row of before a moment, or up to it.
async fn newest(
    connection: &mut SqliteConnection,
    before: &str,
    moment: Timestamp,
    watch: &QueryTimer,
) -> Result<Option<Timestamp>, StoreError> {
    let moment = calendar::text(moment);
    time(connection, format!("SELECT max(created_at) FROM api_requests WHERE created_at {before} '{moment}'"), watch)
        .await
}

/// The span that the oldest row is in, of those from a moment on.
async fn first(
    connection: &mut SqliteConnection,
    parent: Parent,
    from: Option<Timestamp>,
    watch: &QueryTimer,
) -> Result<Option<Partition>, StoreError> {
    let from = from.map(|from| format!(" WHERE created_at >= '{}'", calendar::text(from))).unwrap_or_default();
    let first = time(connection, format!("SELECT min(created_at) FROM {}{from}", parent.name()), watch).await?;
    Ok(first.map(|time| Partition::of(parent, time)))
}

async fn time(
    connection: &mut SqliteConnection,
    statement: String,
    watch: &QueryTimer,
) -> Result<Option<Timestamp>, StoreError> {
    let read = sqlx::query(AssertSqlSafe(statement.clone())).fetch_one(connection);
    let time = watch.statement(&statement, LIMIT, async { read.await?.try_get::<Option<String>, _>(0) }).await?;
    Ok(time.and_then(|text| calendar::parse(&text)))
}

async fn retire(
    connection: &mut SqliteConnection,
    partition: Partition,
    settings: &StoreSettings,
    has_turns: bool,
    watch: &QueryTimer,
) -> Result<(), StoreError> {
    let (table, start, end) =
        (partition.parent.name(), calendar::text(partition.start()), calendar::text(partition.end()));
    let rows = format!("FROM {table} WHERE created_at >= '{start}' AND created_at < '{end}'");
    run(watch, connection, "CREATE TEMPORARY TABLE IF NOT EXISTS leaving (number INTEGER PRIMARY KEY)").await?;
    // what partitions and what goes to the archive is seen at one moment, and no writer waits
    run(watch, connection, "DELETE FROM leaving; BEGIN").await?;
    patiently(watch, connection, &format!("INSERT INTO leaving SELECT rowid {rows}")).await?;
    let archived = match &settings.archive {
        Some(folder) => {
            let (names, key) = (partition.parent.columns(write::name), partition.parent.key());
            let select = format!("SELECT {names} {rows} ORDER BY created_at, {key}");
            let archive = Archive::begin(folder, &partition.name())?;
            let rows = watch.patient(&select, copy_out(connection, &select, &names, &archive)).await?;
            Some((archive, rows))
        }
        None => None,
    };
    run(watch, connection, "COMMIT").await?;
    if let Some((archive, rows)) = archived {
        archive.finish(rows).await?;
    }
    if partition.parent == Parent::Requests {
        let numbers = format!(
            "INSERT INTO ledger_retired (instance, sequence)
             SELECT instance, max(sequence) FROM {table} WHERE rowid IN (SELECT number FROM leaving) GROUP BY instance
             ON CONFLICT (instance) DO UPDATE SET sequence = max(sequence, excluded.sequence)"
        );
        run(watch, connection, &numbers).await?;
    }
    delete(connection, table, has_turns && partition.parent == Parent::Requests, watch).await?;
    log::info!(rows = partition.name().as_str(); "the ledger dropped what is older than it keeps");
    Ok(())
}

/// Writes what a query finds to an archive, and returns the number of rows.
async fn copy_out(
    connection: &mut SqliteConnection,
    select: &str,
    names: &str,
    archive: &Archive,
) -> Result<u64, sqlx::Error> {
    archive.write(format!("{}\n", names.replace(['"', ' '], "")).into()).await?;
    let mut rows = sqlx::query(AssertSqlSafe(select.to_owned())).fetch(connection);
    let (mut written, mut piece) = (0, String::new());
    while let Some(row) = rows.try_next().await? {
        record(&mut piece, &row)?;
        written += 1;
        if piece.len() > 1 << 16 {
            archive.write(std::mem::take(&mut piece).into()).await?;
        }
    }
    archive.write(piece.into()).await?;
    Ok(written)
}

/// One row as CSV. What is nothing is an empty field, and bytes are as Postgres writes them.
fn record(csv: &mut String, row: &SqliteRow) -> Result<(), sqlx::Error> {
    for index in 0..row.len() {
        if index > 0 {
            csv.push(',');
        }
        let value = row.try_get_raw(index)?;
        if value.is_null() {
            continue;
        }
        match value.type_info().name() {
            "INTEGER" => csv.push_str(&row.try_get::<i64, _>(index)?.to_string()),
            "BLOB" => csv::bytes(csv, &row.try_get::<Vec<u8>, _>(index)?),
            _ => csv::text(csv, &row.try_get::<String, _>(index)?),
        }
    }
    csv.push('\n');
    Ok(())
}

/// Deletes what partitions, some at a time. The table of turns may name its rows.
async fn delete(
    connection: &mut SqliteConnection,
    table: &str,
    has_turns: bool,
    watch: &QueryTimer,
) -> Result<(), StoreError> {
    let first = format!("(SELECT number FROM leaving ORDER BY number LIMIT {AT_A_TIME})");
    let delete = format!("DELETE FROM {table} WHERE rowid IN {first}");
    // the number of a row that is gone may be given to another
    let forget = format!("DELETE FROM leaving WHERE number IN {first}");
    loop {
        run(watch, connection, "BEGIN IMMEDIATE").await?;
        let deleted = run(watch, connection, &delete).await?;
        if has_turns {
            turns::release_numbers(connection, watch).await?;
        }
        run(watch, connection, "COMMIT").await?;
        if deleted == 0 {
            return Ok(());
        }
        run(watch, connection, &forget).await?;
    }
}

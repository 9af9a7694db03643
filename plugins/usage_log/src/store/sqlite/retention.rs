//! Old rows go: a month of requests or a day of bodies at a time, written to the archive before they are deleted. What leaves is
//! marked first: a row that comes later, however old it is, stays for the next turn.

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, TypeInfo, ValueRef};

use super::{LIMIT, patiently, run, write};
use crate::StoreSettings;
use crate::store::archive::Archive;
use crate::store::cuts::Cuts;
use crate::store::held::Held;
use crate::store::leaf::{Leaf, Parent};
use crate::store::table;
use crate::store::watch::Watch;
use crate::store::{StoreError, calendar, csv};

/// Rows deleted at a time, so that the writer gets its turn.
const AT_A_TIME: u64 = 2000;

/// Deletes what is older than the settings keep.
pub(super) async fn keep(pool: &SqlitePool, settings: &StoreSettings, watch: &Watch) -> Result<(), StoreError> {
    let mut held = Held::acquire(pool, settings.pool.connect_timeout.get()).await?;
    let cuts = Cuts::now(settings);
    for parent in Parent::ALL {
        let Some(cut) = cuts.of(parent) else { continue };
        while let Some(leaf) = oldest(&mut held, parent, watch).await?.filter(|leaf| leaf.end() <= cut) {
            retire(&mut held, leaf, settings, watch).await?;
        }
    }
    held.release();
    Ok(())
}

/// The span that the oldest row is in.
async fn oldest(connection: &mut SqliteConnection, parent: Parent, watch: &Watch) -> Result<Option<Leaf>, StoreError> {
    let statement = format!("SELECT min(created_at) FROM {}", parent.name());
    let read = sqlx::query(AssertSqlSafe(statement.clone())).fetch_one(connection);
    let oldest = watch.statement(&statement, LIMIT, async { read.await?.try_get::<Option<String>, _>(0) }).await?;
    Ok(oldest.and_then(|text| calendar::parse(&text)).map(|time| Leaf::of(parent, time)))
}

async fn retire(
    connection: &mut SqliteConnection,
    leaf: Leaf,
    settings: &StoreSettings,
    watch: &Watch,
) -> Result<(), StoreError> {
    let (table, start, end) = (leaf.parent.name(), calendar::text(leaf.start()), calendar::text(leaf.end()));
    let rows = format!("FROM {table} WHERE created_at >= '{start}' AND created_at < '{end}'");
    run(watch, connection, "CREATE TEMPORARY TABLE IF NOT EXISTS leaving (number INTEGER PRIMARY KEY)").await?;
    // what leaves and what goes to the archive is seen at one moment, and no writer waits
    run(watch, connection, "DELETE FROM leaving; BEGIN").await?;
    patiently(watch, connection, &format!("INSERT INTO leaving SELECT rowid {rows}")).await?;
    let archived = match &settings.archive {
        Some(folder) => {
            let (names, key) = (table::names(leaf.parent, write::name), leaf.parent.key());
            let select = format!("SELECT {names} {rows} ORDER BY created_at, {key}");
            let archive = Archive::begin(folder, &leaf.name())?;
            let rows = watch.patient(&select, copy_out(connection, &select, &names, &archive)).await?;
            Some((archive, rows))
        }
        None => None,
    };
    run(watch, connection, "COMMIT").await?;
    if let Some((archive, rows)) = archived {
        archive.finish(rows).await?;
    }
    if leaf.parent == Parent::Requests {
        let numbers = format!(
            "INSERT INTO ledger_retired (instance, sequence)
             SELECT instance, max(sequence) FROM {table} WHERE rowid IN (SELECT number FROM leaving) GROUP BY instance
             ON CONFLICT (instance) DO UPDATE SET sequence = max(sequence, excluded.sequence)"
        );
        run(watch, connection, &numbers).await?;
    }
    delete(connection, table, watch).await?;
    log::info!(rows = leaf.name().as_str(); "the ledger dropped what is older than it keeps");
    Ok(())
}

/// Writes what a query finds to an archive, and tells how many rows.
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

/// Deletes what leaves, some at a time.
async fn delete(connection: &mut SqliteConnection, table: &str, watch: &Watch) -> Result<(), StoreError> {
    let first = format!("(SELECT number FROM leaving ORDER BY number LIMIT {AT_A_TIME})");
    let delete = format!("DELETE FROM {table} WHERE rowid IN {first}");
    // the number of a row that is gone may be given to another
    let forget = format!("DELETE FROM leaving WHERE number IN {first}");
    while run(watch, connection, &delete).await? > 0 {
        run(watch, connection, &forget).await?;
    }
    Ok(())
}

//! Old leaves go: cut off, then written to the archive, then dropped; of tables without leaves, old rows do. Whatever stops it
//! midway, the next turn takes it up, and nothing goes before its archive is on the disk.

use std::path::Path;

use futures_util::StreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::schema::{begin_with_lock, is_attached};
use super::{LIMIT, copy, patiently, run};
use crate::store::archive::Archive;
use crate::store::cuts::Cuts;
use crate::store::leaf::{Leaf, Parent};
use crate::store::table;
use crate::store::watch::Watch;
use crate::store::{StoreError, calendar};
use crate::{StoreSettings, Timestamp};

/// What a table that is cut off is called until it is gone.
const RETIRED: &str = "retired_";

/// Retires what is older than the settings keep.
pub(super) async fn keep(
    connection: &mut PgConnection,
    settings: &StoreSettings,
    watch: &Watch,
) -> Result<(), StoreError> {
    let cuts = Cuts::now(settings);
    for parent in [Parent::Requests, Parent::Bodies] {
        finish(connection, parent, settings, watch).await?;
        let Some(cut) = cuts.of(parent) else { continue };
        finish_detaching(connection, parent, watch).await?;
        for leaf in old_leaves(connection, parent, cut, watch).await? {
            cut_off(connection, leaf, watch).await?;
        }
        finish(connection, parent, settings, watch).await?;
    }
    for parent in [Parent::Chunks, Parent::Batches] {
        let Some(cut) = cuts.of(parent) else { continue };
        while let Some(leaf) = oldest(connection, parent, watch).await?.filter(|leaf| leaf.end() <= cut) {
            delete(connection, leaf, settings, watch).await?;
        }
    }
    Ok(())
}

/// The leaves all of whose rows are older, whether they are still a part of their table or were cut off and no more.
async fn old_leaves(
    connection: &mut PgConnection,
    parent: Parent,
    cut: Timestamp,
    watch: &Watch,
) -> Result<Vec<Leaf>, StoreError> {
    let names = tables(connection, parent.name(), watch).await?;
    let leaves = names.iter().filter_map(|name| Leaf::parse(name));
    Ok(leaves.filter(|leaf| leaf.parent == parent && leaf.end() <= cut).collect())
}

/// The plain tables whose names begin so, oldest first.
async fn tables(connection: &mut PgConnection, prefix: &str, watch: &Watch) -> Result<Vec<String>, StoreError> {
    const QUERY: &str = "SELECT relname::text FROM pg_class
        WHERE relkind = 'r' AND pg_table_is_visible(oid) AND starts_with(relname::text, $1) ORDER BY 1";
    let rows = watch.statement(QUERY, LIMIT, sqlx::query(QUERY).bind(prefix).fetch_all(connection)).await?;
    rows.iter().map(|row| row.try_get(0).map_err(|error| StoreError::of(&error))).collect()
}

/// Ends a DETACH that somebody did not live to end; until then nothing else can be cut off.
async fn finish_detaching(connection: &mut PgConnection, parent: Parent, watch: &Watch) -> Result<(), StoreError> {
    const QUERY: &str =
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass($1) AND inhdetachpending";
    let pending = sqlx::query(QUERY).bind(parent.name()).fetch_optional(&mut *connection);
    if let Some(row) = watch.statement(QUERY, LIMIT, pending).await? {
        let leaf: String = row.try_get(0).map_err(|error| StoreError::of(&error))?;
        let finalize = format!("ALTER TABLE {} DETACH PARTITION {leaf} FINALIZE", parent.name());
        patiently(watch, connection, &finalize).await?;
    }
    Ok(())
}

/// Cuts a leaf off, in a way that no writer waits for, and gives it the name of what is on its way out.
async fn cut_off(connection: &mut PgConnection, leaf: Leaf, watch: &Watch) -> Result<(), StoreError> {
    let (parent, name) = (leaf.parent.name(), leaf.name());
    if is_attached(connection, leaf, watch).await? {
        let detach = format!("ALTER TABLE {parent} DETACH PARTITION {name} CONCURRENTLY");
        patiently(watch, connection, &detach).await?;
    }
    // a late row may have taken it back meanwhile
    begin_with_lock(connection, watch).await?;
    if !is_attached(connection, leaf, watch).await? {
        run(watch, connection, &format!("ALTER TABLE {name} RENAME TO {RETIRED}{name}")).await?;
    }
    run(watch, connection, "COMMIT").await?;
    Ok(())
}

/// Archives and drops what is cut off.
async fn finish(
    connection: &mut PgConnection,
    parent: Parent,
    settings: &StoreSettings,
    watch: &Watch,
) -> Result<(), StoreError> {
    for table in tables(connection, &format!("{RETIRED}{}", parent.name()), watch).await? {
        let Some(leaf) = table.strip_prefix(RETIRED).and_then(Leaf::parse).filter(|leaf| leaf.parent == parent) else {
            continue;
        };
        if let Some(folder) = &settings.archive {
            archive(connection, folder, leaf, &table, watch).await?;
        }
        begin_with_lock(connection, watch).await?;
        if parent == Parent::Requests {
            let numbers = format!(
                "INSERT INTO ledger_retired (instance, sequence) SELECT instance, max(sequence) FROM {table} GROUP BY instance
                 ON CONFLICT (instance) DO UPDATE SET sequence = greatest(ledger_retired.sequence, excluded.sequence)"
            );
            run(watch, connection, &numbers).await?;
        }
        run(watch, connection, &format!("DROP TABLE {table}")).await?;
        run(watch, connection, "COMMIT").await?;
        log::info!(table = leaf.name().as_str(); "the ledger dropped what is older than it keeps");
    }
    Ok(())
}

/// Writes rows to the archive: a table, or a part of one.
async fn archive(
    connection: &mut PgConnection,
    folder: &Path,
    leaf: Leaf,
    rows: &str,
    watch: &Watch,
) -> Result<(), StoreError> {
    let archive = Archive::begin(folder, &leaf.name())?;
    let (names, key) = (table::names(leaf.parent, copy::name), leaf.parent.key());
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
    let counted = sqlx::query(AssertSqlSafe(statement.clone())).fetch_one(connection);
    let counted = watch.patient(&statement, async { counted.await?.try_get::<i64, _>(0) }).await?;
    archive.finish(counted.cast_unsigned()).await.map(drop)
}

/// The span that the oldest row of a table is in.
async fn oldest(connection: &mut PgConnection, parent: Parent, watch: &Watch) -> Result<Option<Leaf>, StoreError> {
    let statement = format!("SELECT to_char(min(created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD') FROM {}", parent.name());
    let read = sqlx::query(AssertSqlSafe(statement.clone())).fetch_one(connection);
    let oldest = watch.statement(&statement, LIMIT, async { read.await?.try_get::<Option<String>, _>(0) }).await?;
    Ok(oldest.and_then(|text| calendar::parse(&text)).map(|time| Leaf::of(parent, time)))
}

/// Archives and deletes a span of a table that has no leaves. What goes to the archive and what is deleted is seen at one moment:
/// a row that comes later stays for the next turn.
async fn delete(
    connection: &mut PgConnection,
    leaf: Leaf,
    settings: &StoreSettings,
    watch: &Watch,
) -> Result<(), StoreError> {
    let (start, end) = (calendar::text(leaf.start()), calendar::text(leaf.end()));
    let rows = format!("{} WHERE created_at >= '{start}+00' AND created_at < '{end}+00'", leaf.parent.name());
    // while the archive is read back, the transaction is idle
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL idle_in_transaction_session_timeout = 0";
    run(watch, connection, begin).await?;
    if let Some(folder) = &settings.archive {
        archive(connection, folder, leaf, &rows, watch).await?;
    }
    patiently(watch, connection, &format!("DELETE FROM {rows}")).await?;
    run(watch, connection, "COMMIT").await?;
    log::info!(rows = leaf.name().as_str(); "the ledger dropped what is older than it keeps");
    Ok(())
}

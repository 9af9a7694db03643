//! Old leaves go: cut off, then written to the archive, then dropped. Whatever stops it midway, the next turn takes it up,
//! and nothing is dropped before its archive is on the disk.

use futures_util::StreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::schema::{begin_with_lock, is_attached};
use super::{LIMIT, copy, run};
use crate::store::archive::Archive;
use crate::store::cuts::Cuts;
use crate::store::leaf::{Leaf, Parent};
use crate::store::table::{BODIES, REQUESTS};
use crate::store::watch::Watch;
use crate::store::{StoreError, calendar};
use crate::{StoreSettings, Timestamp};

/// What a table that is cut off is called until it is gone.
const RETIRED: &str = "retired_";
/// Rows deleted at a time, where a table is not cut by time.
const AT_A_TIME: u64 = 10_000;

/// Retires what is older than the settings keep.
pub(super) async fn keep(
    connection: &mut PgConnection,
    settings: &StoreSettings,
    watch: &Watch,
) -> Result<(), StoreError> {
    let Cuts { rows, bodies } = Cuts::now(settings);
    for (parent, cut) in [(Parent::Requests, rows), (Parent::Bodies, bodies)] {
        finish(connection, parent, settings, watch).await?;
        let Some(cut) = cut else { continue };
        finish_detaching(connection, parent, watch).await?;
        for leaf in old_leaves(connection, parent, cut, watch).await? {
            cut_off(connection, leaf, watch).await?;
        }
        finish(connection, parent, settings, watch).await?;
    }
    if let Some(cut) = bodies {
        delete(connection, "streaming_chunks", cut, watch).await?;
    }
    if let Some(cut) = rows {
        delete(connection, "batch_results", cut, watch).await?;
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
        patiently(connection, &finalize, watch).await?;
    }
    Ok(())
}

/// Cuts a leaf off, in a way that no writer waits for, and gives it the name of what is on its way out.
async fn cut_off(connection: &mut PgConnection, leaf: Leaf, watch: &Watch) -> Result<(), StoreError> {
    let (parent, name) = (leaf.parent.name(), leaf.name());
    if is_attached(connection, leaf, watch).await? {
        let detach = format!("ALTER TABLE {parent} DETACH PARTITION {name} CONCURRENTLY");
        patiently(connection, &detach, watch).await?;
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
            let archive = Archive::begin(folder, &leaf.name())?;
            let names = match parent {
                Parent::Requests => copy::names(&REQUESTS),
                Parent::Bodies => copy::names(&BODIES),
            };
            let statement = format!(
                "COPY (SELECT {names} FROM {table} ORDER BY created_at, id) TO STDOUT (FORMAT csv, HEADER true)"
            );
            let copied = async {
                let mut pieces = connection.copy_out_raw(&statement).await?;
                while let Some(piece) = pieces.next().await {
                    archive.write(piece?).await?;
                }
                Ok(())
            };
            watch.patient(&statement, copied).await?;
            let rows = count(connection, &table, watch).await?;
            archive.finish(rows).await?;
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

async fn count(connection: &mut PgConnection, table: &str, watch: &Watch) -> Result<u64, StoreError> {
    let statement = format!("SELECT count(*) FROM {table}");
    let counted = sqlx::query(AssertSqlSafe(statement.clone())).fetch_one(connection);
    let counted = watch.patient(&statement, async { counted.await?.try_get::<i64, _>(0) }).await?;
    Ok(counted.cast_unsigned())
}

/// Deletes rows of a table that is not cut by time, some at a time.
async fn delete(connection: &mut PgConnection, table: &str, cut: Timestamp, watch: &Watch) -> Result<(), StoreError> {
    let delete = format!(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM {table} WHERE created_at < '{}+00' LIMIT {AT_A_TIME}))",
        calendar::text(cut)
    );
    while run(watch, connection, &delete).await? == AT_A_TIME {}
    Ok(())
}

async fn patiently(connection: &mut PgConnection, statement: &str, watch: &Watch) -> Result<(), StoreError> {
    let work = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection);
    watch.patient(statement, async { work.await.map(drop) }).await
}

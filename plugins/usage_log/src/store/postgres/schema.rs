//! The schema: its version, and the leaves of its partitioned tables. Of many gateways that begin at once, one changes it.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::{LIMIT, patiently, run, transaction};
use crate::Migrate;
use crate::store::leaf::Leaf;
use crate::store::migration::{self, POSTGRES};
use crate::store::watch::Watch;
use crate::store::{StoreError, calendar};

/// Whoever holds it changes the schema: `tollgate` in ASCII.
const LOCK: i64 = 0x746f_6c6c_6761_7465;

/// Brings the schema to this build's version, or sees that it is.
pub(super) async fn migrate(connection: &mut PgConnection, migrate: Migrate, watch: &Watch) -> Result<(), StoreError> {
    if migrate == Migrate::Off {
        return Ok(());
    }
    let version = version(connection, watch).await?;
    let missing = migration::missing(&POSTGRES, version).map_err(StoreError::Unavailable)?;
    if missing.is_empty() {
        return Ok(());
    }
    if migrate == Migrate::Check {
        return Err(StoreError::Unavailable(migration::behind(version, missing)));
    }
    // a step may go through all of a table, and whoever waits for another gateway's waits as long
    run(watch, connection, &transaction::begin_patiently()).await?;
    patiently(watch, connection, &format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    // another gateway may have been quicker
    let version = self::version(connection, watch).await?;
    let missing = migration::missing(&POSTGRES, version).map_err(StoreError::Unavailable)?;
    run(
        watch,
        connection,
        "CREATE TABLE IF NOT EXISTS ledger_schema (version bigint PRIMARY KEY, applied_at timestamptz NOT NULL)",
    )
    .await?;
    for step in missing {
        patiently(watch, connection, step.sql).await?;
        let done = format!("INSERT INTO ledger_schema (version, applied_at) VALUES ({}, now())", step.version);
        run(watch, connection, &done).await?;
        log::info!(version = step.version; "the ledger's schema is brought forward");
    }
    run(watch, connection, "COMMIT").await?;
    Ok(())
}

/// Sees that the database holds every text as it is written. One of another encoding has no place for most of them, and one of none
/// (`SQL_ASCII`) gives them back as whatever its reader believes.
pub(super) async fn check_encoding(connection: &mut PgConnection, watch: &Watch) -> Result<(), StoreError> {
    const QUERY: &str = "SHOW server_encoding";
    let read = sqlx::raw_sql(QUERY).fetch_one(connection);
    let encoding = watch.statement(QUERY, LIMIT, async { read.await?.try_get::<String, _>(0) }).await?;
    if encoding == "UTF8" {
        return Ok(());
    }
    let why = "and the ledger holds texts of any language: it needs a database with ENCODING 'UTF8'";
    Err(StoreError::Unavailable(format!("the database's encoding is {encoding}, {why}")))
}

async fn version(connection: &mut PgConnection, watch: &Watch) -> Result<i64, StoreError> {
    // asked of the catalog's own table: behind a lock that somebody else held, to_regclass() may still say what was true before
    const IS_THERE: &str =
        "SELECT count(*) > 0 FROM pg_class WHERE relname = 'ledger_schema' AND pg_table_is_visible(oid)";
    const VERSION: &str = "SELECT coalesce(max(version), 0) FROM ledger_schema";
    let read = async {
        if !sqlx::raw_sql(IS_THERE).fetch_one(&mut *connection).await?.try_get::<bool, _>(0)? {
            return Ok(0);
        }
        sqlx::raw_sql(VERSION).fetch_one(&mut *connection).await?.try_get::<i64, _>(0)
    };
    watch.statement(VERSION, LIMIT, read).await
}

/// Makes a leaf where there is none.
pub(super) async fn make_leaf(connection: &mut PgConnection, leaf: Leaf, watch: &Watch) -> Result<(), StoreError> {
    if is_attached(connection, leaf, watch).await? {
        return Ok(());
    }
    begin_with_lock(connection, watch).await?;
    if !is_attached(connection, leaf, watch).await? {
        add_columns(connection, &leaf.name(), leaf.parent.name(), watch).await?;
        run(watch, connection, &making(leaf)).await?;
    }
    run(watch, connection, "COMMIT").await?;
    Ok(())
}

/// Gives a table that stands alone the columns that a parent has got since: steps of the schema do not reach it. Does nothing where
/// there is no such table.
pub(super) async fn add_columns(
    connection: &mut PgConnection,
    table: &str,
    parent: &str,
    watch: &Watch,
) -> Result<(), StoreError> {
    let query = format!(
        "SELECT string_agg(format('ADD COLUMN %I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
         FROM pg_attribute WHERE attrelid = to_regclass('{parent}') AND attnum > 0 AND NOT attisdropped
           AND to_regclass('{table}') IS NOT NULL
           AND attname NOT IN (
               SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('{table}') AND NOT attisdropped)"
    );
    let missing = sqlx::raw_sql(AssertSqlSafe(query.clone())).fetch_one(&mut *connection);
    let missing = watch.statement(&query, LIMIT, async { missing.await?.try_get::<Option<String>, _>(0) }).await?;
    if let Some(columns) = missing {
        run(watch, connection, &format!("ALTER TABLE {table} {columns}")).await?;
    }
    Ok(())
}

/// The statements that make a leaf. It is attached rather than made in its place: that takes no lock that writers wait for.
/// A table of its name that stands alone, as one cut off by hand does, is taken back.
fn making(leaf: Leaf) -> String {
    let (name, parent) = (leaf.name(), leaf.parent.name());
    let (from, to) = (calendar::text(leaf.start()), calendar::text(leaf.end()));
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (LIKE {parent} INCLUDING ALL) WITH (autovacuum_vacuum_scale_factor = 0.1);
         ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ('{from}+00') TO ('{to}+00')"
    )
}

/// Begins a transaction in which nobody else makes leaves or takes them away.
pub(super) async fn begin_with_lock(connection: &mut PgConnection, watch: &Watch) -> Result<(), StoreError> {
    run(watch, connection, &format!("{}; {}", transaction::begin(), lock())).await?;
    Ok(())
}

/// Waits for the right to make leaves and take them away, until the end of the transaction.
pub(super) fn lock() -> String {
    format!("SET LOCAL lock_timeout = '10s'; SELECT pg_advisory_xact_lock({LOCK})")
}

/// Whether a leaf is a part of its table.
pub(super) async fn is_attached(connection: &mut PgConnection, leaf: Leaf, watch: &Watch) -> Result<bool, StoreError> {
    let query = format!(
        "SELECT count(*) FROM pg_inherits
         WHERE inhrelid = to_regclass('{}') AND inhparent = to_regclass('{}') AND NOT inhdetachpending",
        leaf.name(),
        leaf.parent.name()
    );
    let found = sqlx::raw_sql(AssertSqlSafe(query.clone())).fetch_one(connection);
    let row = watch.statement(&query, LIMIT, found).await?;
    Ok(row.try_get::<i64, _>(0).map_err(|error| StoreError::of(&error))? > 0)
}

//! The schema: its version, and the partitions of its partitioned tables. Of many gateways that begin at once, one changes it.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::{LIMIT, patiently, run, transaction};
use crate::Migrate;
use crate::store::migration::{POSTGRES, Schema, Standing};
use crate::store::partition::Partition;
use crate::store::query_timer::QueryTimer;
use crate::store::{StoreError, calendar};

/// Whoever holds it changes the schema: `tollgate` in ASCII.
const LOCK: i64 = 0x746f_6c6c_6761_7465;
/// How long a step waits for those who use a table, such as a long report: whoever writes to it waits behind the step. Then all of them go
/// first, and the steps are tried again later.
const STEP_LOCK: &str = "3s";

/// Brings the schema to this build's version, or sees that it is; whether it is a later build's.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    migrate: Migrate,
    watch: &QueryTimer,
) -> Result<bool, StoreError> {
    if migrate == Migrate::Off {
        return Ok(false);
    }
    let schema = read(connection, watch).await?;
    match schema.standing(&POSTGRES).map_err(StoreError::Unavailable)? {
        Standing::Newer => return Ok(true),
        Standing::Missing([]) => return Ok(false),
        Standing::Missing(missing) if migrate == Migrate::Check => {
            return Err(StoreError::Unavailable(schema.behind(missing)));
        }
        Standing::Missing(_) => {}
    }
    // a step may go through all of a table, once it has it, and whoever waits for another gateway's waits as long
    run(watch, connection, &transaction::begin_patiently()).await?;
    patiently(watch, connection, &format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    // another gateway may have been quicker
    let standing = read(connection, watch).await?.standing(&POSTGRES).map_err(StoreError::Unavailable)?;
    let (missing, is_newer): (&[_], _) = match standing {
        Standing::Missing(missing) => (missing, false),
        Standing::Newer => (&[], true),
    };
    run(
        watch,
        connection,
        "CREATE TABLE IF NOT EXISTS ledger_schema (version bigint PRIMARY KEY, applied_at timestamptz NOT NULL)",
    )
    .await?;
    run(watch, connection, &format!("SET LOCAL lock_timeout = '{STEP_LOCK}'")).await?;
    for step in missing {
        patiently(watch, connection, step.sql).await?;
        let (column, value) =
            step.readable_from.map_or_else(Default::default, |from| (", readable_from", format!(", {from}")));
        let done =
            format!("INSERT INTO ledger_schema (version, applied_at{column}) VALUES ({}, now(){value})", step.version);
        run(watch, connection, &done).await?;
        log::info!(version = step.version; "the ledger's schema is brought forward");
    }
    run(watch, connection, "COMMIT").await?;
    Ok(is_newer)
}

/// Sees that the database holds every text as it is written. One of another encoding has no place for most of them, and one of none
/// (`SQL_ASCII`) gives them back as whatever its reader believes.
pub(super) async fn check_encoding(connection: &mut PgConnection, watch: &QueryTimer) -> Result<(), StoreError> {
    const QUERY: &str = "SHOW server_encoding";
    let read = sqlx::raw_sql(QUERY).fetch_one(connection);
    let encoding = watch.statement(QUERY, LIMIT, async { read.await?.try_get::<String, _>(0) }).await?;
    if encoding == "UTF8" {
        return Ok(());
    }
    let why = "and the ledger holds texts of any language: it needs a database with ENCODING 'UTF8'";
    Err(StoreError::Unavailable(format!("the database's encoding is {encoding}, {why}")))
}

async fn read(connection: &mut PgConnection, watch: &QueryTimer) -> Result<Schema, StoreError> {
    // asked of the catalog's own tables: behind a lock that somebody else held, to_regclass() may still say what was true before
    const COLUMNS: &str = "SELECT count(*) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relname = 'ledger_schema' AND pg_table_is_visible(pg_class.oid)
          AND attname IN ('version', 'readable_from') AND NOT attisdropped";
    const SCHEMA: &str = "SELECT version, readable_from FROM ledger_schema ORDER BY version DESC LIMIT 1";
    const VERSION: &str = "SELECT version, NULL::bigint FROM ledger_schema ORDER BY version DESC LIMIT 1";
    let read = async {
        let query = match sqlx::raw_sql(COLUMNS).fetch_one(&mut *connection).await?.try_get::<i64, _>(0)? {
            0 => return Ok(Schema::default()),
            1 => VERSION,
            _ => SCHEMA,
        };
        let Some(row) = sqlx::raw_sql(query).fetch_optional(&mut *connection).await? else {
            return Ok(Schema::default());
        };
        Ok(Schema { version: row.try_get(0)?, readable_from: row.try_get(1)? })
    };
    watch.statement(SCHEMA, LIMIT, read).await
}

/// Makes a partition where there is none.
pub(super) async fn make_partition(
    connection: &mut PgConnection,
    partition: Partition,
    watch: &QueryTimer,
) -> Result<(), StoreError> {
    if is_attached(connection, partition, watch).await? {
        return Ok(());
    }
    begin_with_lock(connection, watch).await?;
    if !is_attached(connection, partition, watch).await? {
        add_columns(connection, &partition.name(), partition.parent.name(), watch).await?;
        run(watch, connection, &making(partition)).await?;
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
    watch: &QueryTimer,
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

/// The statements that make a partition. It is attached rather than made in its place: that takes no lock that writers wait for.
/// A table of its name that stands alone, as one cut off by hand does, is taken back.
fn making(partition: Partition) -> String {
    let (name, parent) = (partition.name(), partition.parent.name());
    let (from, to) = (calendar::text(partition.start()), calendar::text(partition.end()));
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (LIKE {parent} INCLUDING ALL) WITH (autovacuum_vacuum_scale_factor = 0.1);
         ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ('{from}+00') TO ('{to}+00')"
    )
}

/// Begins a transaction in which nobody else makes partitions or takes them away.
pub(super) async fn begin_with_lock(connection: &mut PgConnection, watch: &QueryTimer) -> Result<(), StoreError> {
    run(watch, connection, &format!("{}; {}", transaction::begin(), lock())).await?;
    Ok(())
}

/// Waits for the right to make partitions and take them away, until the end of the transaction.
pub(super) fn lock() -> String {
    format!("SET LOCAL lock_timeout = '10s'; SELECT pg_advisory_xact_lock({LOCK})")
}

/// Whether a partition is a part of its table.
pub(super) async fn is_attached(
    connection: &mut PgConnection,
    partition: Partition,
    watch: &QueryTimer,
) -> Result<bool, StoreError> {
    let query = format!(
        "SELECT count(*) FROM pg_inherits
         WHERE inhrelid = to_regclass('{}') AND inhparent = to_regclass('{}') AND NOT inhdetachpending",
        partition.name(),
        partition.parent.name()
    );
    let found = sqlx::raw_sql(AssertSqlSafe(query.clone())).fetch_one(connection);
    let row = watch.statement(&query, LIMIT, found).await?;
    Ok(row.try_get::<i64, _>(0).map_err(|error| StoreError::of(&error))? > 0)
}

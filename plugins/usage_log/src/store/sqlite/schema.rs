//! The schema and its version.

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::{LIMIT, patiently, run};
use crate::Migrate;
use crate::store::StoreError;
use crate::store::migration::{Migration, SQLITE, Schema, Standing};
use crate::store::query_timer::QueryTimer;

/// Brings the schema to this build's version, or sees that it is; whether it is a later build's.
pub(super) async fn migrate(
    connection: &mut SqliteConnection,
    migrate: Migrate,
    watch: &QueryTimer,
) -> Result<bool, StoreError> {
    if migrate == Migrate::Off {
        return Ok(false);
    }
    let schema = read(connection, watch).await?;
    match schema.standing(&SQLITE).map_err(StoreError::Unavailable)? {
        Standing::Newer => return Ok(true),
        Standing::Missing([]) => return Ok(false),
        Standing::Missing(missing) if migrate == Migrate::Check => {
            return Err(StoreError::Unavailable(schema.behind(missing)));
        }
        Standing::Missing(_) => {}
    }
    // an index of a large table is sorted here, for which no memory is enough
    run(watch, connection, "PRAGMA temp_store = FILE").await?;
    run(watch, connection, "BEGIN IMMEDIATE").await?;
    // another process may have been quicker
    let standing = read(connection, watch).await?.standing(&SQLITE).map_err(StoreError::Unavailable)?;
    if let Standing::Missing(missing) = standing {
        take(connection, missing, watch).await?;
    }
    run(watch, connection, "COMMIT").await?;
    run(watch, connection, "PRAGMA temp_store = MEMORY").await?;
    Ok(matches!(standing, Standing::Newer))
}

/// Takes steps.
async fn take(connection: &mut SqliteConnection, steps: &[Migration], watch: &QueryTimer) -> Result<(), StoreError> {
    for Migration { version, sql, readable_from } in steps {
        patiently(watch, connection, sql).await?;
        run(watch, connection, &format!("PRAGMA user_version = {version}")).await?;
        if let Some(from) = readable_from {
            let done = format!("INSERT INTO ledger_schema (version, readable_from) VALUES ({version}, {from})");
            run(watch, connection, &done).await?;
        }
        log::info!(version; "the ledger's schema is brought forward");
    }
    Ok(())
}

async fn read(connection: &mut SqliteConnection, watch: &QueryTimer) -> Result<Schema, StoreError> {
    const VERSION: &str = "PRAGMA user_version";
    const IS_THERE: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'ledger_schema'";
    const READABLE_FROM: &str = "SELECT readable_from FROM ledger_schema WHERE version = ?";
    let read = async {
        let version: i64 = sqlx::query(VERSION).fetch_one(&mut *connection).await?.try_get(0)?;
        let is_there: i64 = sqlx::query(IS_THERE).fetch_one(&mut *connection).await?.try_get(0)?;
        if is_there == 0 {
            return Ok(Schema { version, readable_from: None });
        }
        let row = sqlx::query(READABLE_FROM).bind(version).fetch_optional(&mut *connection).await?;
        Ok(Schema { version, readable_from: row.map(|row| row.try_get(0)).transpose()? })
    };
    watch.statement(VERSION, LIMIT, read).await
}

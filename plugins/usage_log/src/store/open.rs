//! Connections as the settings want them: how many, for how long, and how long a statement may take. None is made here.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{ConnectOptions, Database};

use super::StoreError;
use crate::PoolSettings;

/// How long Postgres works at a statement.
const STATEMENT_TIMEOUT: &str = "30s";
/// How long a transaction of `SQLite` waits for another.
const BUSY: Duration = Duration::from_secs(5);

/// Connections to Postgres. The driver itself sets their time zone to UTC.
pub(crate) fn postgres(url: &str, settings: &PoolSettings) -> Result<PgPool, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| StoreError::of(&error))?;
    let options = options
        .application_name("tollgate")
        .options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("idle_in_transaction_session_timeout", "60s"),
            // that a table is there already is nothing to tell an operator
            ("client_min_messages", "warning"),
        ])
        .disable_statement_logging();
    Ok(pool(settings).connect_lazy_with(options))
}

/// Connections to a file that is only read.
pub(crate) fn sqlite(path: &Path, settings: &PoolSettings) -> SqlitePool {
    pool(settings).connect_lazy_with(file(path).read_only(true))
}

/// Connections to a file that is made where there is none. What is committed is on the disk, since the journal forgets it.
pub(crate) fn sqlite_to_write(path: &Path, settings: &PoolSettings) -> SqlitePool {
    let options = file(path).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    pool(settings).connect_lazy_with(options)
}

fn file(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY).disable_statement_logging()
}

fn pool<D: Database>(settings: &PoolSettings) -> sqlx::pool::PoolOptions<D> {
    sqlx::pool::PoolOptions::new()
        .max_connections(settings.max.get())
        .idle_timeout(settings.idle_timeout.get())
        .acquire_timeout(settings.connect_timeout.get())
}

//! Connections as the settings want them: how many, for how long, and how long a statement may take. None is made here.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use plugin_api::private;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Database};

use super::StoreError;
use crate::PoolSettings;

/// How long a transaction of `SQLite` waits for another.
const BUSY: Duration = Duration::from_secs(5);

/// Connections to Postgres, or to a pooler before it: they ask for nothing that a pooler does not know, and prepare no statement
/// that another connection of the pooler's would not have.
pub(crate) fn postgres(url: &str, settings: &PoolSettings) -> Result<PgPool, StoreError> {
    Ok(pool(settings).connect_lazy_with(postgres_options(url)?))
}

/// Why no connection to Postgres comes about, if none does within the time that there is for one.
pub(crate) async fn why_not(url: &str, settings: &PoolSettings) -> Option<StoreError> {
    let options = match postgres_options(url) {
        Ok(options) => options,
        Err(error) => return Some(error),
    };
    let error = match tokio::time::timeout(settings.connect_timeout.get(), options.connect()).await {
        Ok(Err(error)) => error,
        Ok(Ok(connection)) => {
            let _ = connection.close().await;
            return None;
        }
        Err(_) => return None,
    };
    // whatever it is, no row is to blame
    Some(StoreError::Unavailable(StoreError::of(&error).to_string()))
}

pub(crate) fn postgres_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| StoreError::of(&error))?;
    Ok(options
        .application_name("tollgate")
        .extra_float_digits(None)
        .statement_cache_capacity(0)
        .disable_statement_logging())
}

/// Connections to a file that is only read.
pub(crate) fn sqlite(path: &Path, settings: &PoolSettings) -> SqlitePool {
    pool(settings).connect_lazy_with(file(path).read_only(true))
}

/// Connections to a file that is made where there is none. What is committed is on the disk, since the journal forgets it.
pub(crate) fn sqlite_to_write(path: &Path, settings: &PoolSettings) -> SqlitePool {
    // the engine would make it readable by all, and gives its own files beside it the mode of this one; what keeps it from being
    // created is told by the engine
    let _ = private::options().write(true).create_new(true).open(path);
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

//! Options of connections to Postgres, and the reason why one cannot be made.

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{ConnectOptions, Connection};

use crate::PoolSettings;
use crate::store::{StoreError, open};

/// Connections to Postgres, or to a pooler before it: they ask for nothing that a pooler does not know, and prepare no statement
/// that another connection of the pooler's would not have.
pub(crate) fn pool(url: &str, settings: &PoolSettings) -> Result<PgPool, StoreError> {
    Ok(open::pool(settings).connect_lazy_with(options(url)?))
}

/// Why no connection to Postgres comes about, if none does within the time that there is for one.
pub(super) async fn why_not(url: &str, settings: &PoolSettings) -> Option<StoreError> {
    let options = match options(url) {
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

pub(crate) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| StoreError::of(&error))?;
    Ok(options
        .application_name("tollgate")
        .extra_float_digits(None)
        .statement_cache_capacity(0)
        .disable_statement_logging())
}

//! Pools of connections as the settings want them: how many, and for how long.

use sqlx::Database;
use sqlx::pool::PoolOptions;

use crate::PoolSettings;

pub(super) fn pool<D: Database>(settings: &PoolSettings) -> PoolOptions<D> {
    PoolOptions::new()
        .max_connections(settings.max.get())
        .idle_timeout(settings.idle_timeout.get())
        .acquire_timeout(settings.connect_timeout.get())
}

//! A connection in use. It goes back to the pool only when all went well: one that is dropped in the midst of a statement,
//! or whose server is no longer what it was, is closed.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};

use super::StoreError;
use super::connections::{Connections, Counted};

/// A connection in use.
pub(super) struct PooledConnection<D: Database> {
    connection: PoolConnection<D>,
    well: bool,
    _in_use: Counted,
}

impl<D: Database> PooledConnection<D> {
    /// A connection of the pool, or a new one, within the pool's own time. It counts as in use.
    pub(super) async fn acquire(
        pool: &Pool<D>,
        within: Duration,
        connections: &Connections,
    ) -> Result<Self, StoreError> {
        match pool.acquire().await {
            Ok(connection) => Ok(Self { connection, well: false, _in_use: connections.one() }),
            Err(sqlx::Error::PoolTimedOut) => Err(StoreError::Unavailable(format!("no connection within {within:?}"))),
            // whatever keeps it from beginning, no row is to blame
            Err(error) => Err(StoreError::Unavailable(StoreError::of(&error).to_string())),
        }
    }

    /// All went well.
    pub(super) fn release(mut self) {
        self.well = true;
    }
}

impl<D: Database> Deref for PooledConnection<D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        &self.connection
    }
}

impl<D: Database> DerefMut for PooledConnection<D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        &mut self.connection
    }
}

impl<D: Database> Drop for PooledConnection<D> {
    fn drop(&mut self) {
        if !self.well {
            self.connection.close_on_drop();
        }
    }
}

//! A connection in use. It goes back to the pool only when all went well: one that is dropped in the midst of a statement,
//! or whose server is no longer what it was, is closed.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};
use tokio::time::timeout;

use super::StoreError;
use super::connections::{Connections, Counted};

/// How long the pool may take to see that a connection still answers.
const RETURN: Duration = Duration::from_secs(1);

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

    /// All went well: the connection is back in the pool when this returns, so that the next one who wants a connection gets this one
    /// and opens no other. Of two that take turns, each would read again what the other has written.
    pub(super) async fn release(mut self) {
        self.well = true;
        // a server that does not answer now is found out by the next statement
        let _ = timeout(RETURN, self.connection.return_to_pool()).await;
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

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_releases_a_connection_and_wants_one_gets_the_same() {
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(2).connect_lazy("sqlite::memory:").unwrap();
        let connections = Connections::new();
        for round in 0..3 {
            let mut held = PooledConnection::acquire(&pool, RETURN, &connections).await.unwrap();
            // what one connection to a database in memory makes, no other sees
            let make = format!("CREATE TABLE {} (x)", if round == 0 { "t" } else { "IF NOT EXISTS t" });
            sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&mut *held).await.unwrap();
            sqlx::raw_sql("INSERT INTO t VALUES (1)").execute(&mut *held).await.unwrap();
            held.release().await;
        }
        let mut held = PooledConnection::acquire(&pool, RETURN, &connections).await.unwrap();
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut *held).await.unwrap();
        assert_eq!((rows, pool.size()), (3, 1));
    }
}

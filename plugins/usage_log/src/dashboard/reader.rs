//! Reads a database for the dashboard, on connections of its own. A page cannot pile queries up: few run at once, few wait, and each
//! has a limit.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::Failure;
use crate::report::engine::{self, BRIEF, Engine, Limit, TextRow, Words};
use crate::rollup::Dialect;
use crate::{Database, PoolSettings};

/// As many queries run at once.
const AT_ONCE: u32 = 2;
/// As many requests wait for their turn.
const WAITING: usize = 32;
/// As long one waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// A database that is read.
#[derive(Debug)]
pub(super) struct Reader {
    engine: Box<dyn Engine>,
    dialect: &'static Dialect,
    running: Semaphore,
    waiting: AtomicUsize,
    /// An answer that all get who ask for the same shortly after.
    pub(super) latest: Mutex<Option<(Instant, String, serde_json::Value)>>,
}

/// One of those that wait.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reader {
    /// A reader of a database, which is reached only when something is asked of it.
    pub(super) fn open(database: &Database, pool: &PoolSettings) -> Result<Self, Failure> {
        let pool = PoolSettings { max: pool.max.min(std::num::NonZeroU32::MIN.saturating_add(AT_ONCE - 1)), ..*pool };
        let engine = engine::open(database, &pool).map_err(|error| Failure::Unavailable(error.to_string()))?;
        let dialect = dialect(database)?;
        let running = Semaphore::new(AT_ONCE as usize);
        Ok(Self { engine, dialect, running, waiting: AtomicUsize::new(0), latest: Mutex::default() })
    }

    pub(super) fn words(&self) -> &'static Words {
        self.engine.words()
    }

    pub(super) fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    /// The rows of a query with so many columns, each as text.
    pub(super) async fn rows(&self, query: &str, columns: usize) -> Result<Vec<TextRow>, Failure> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Failure::Busy);
        }
        let waiting = Waiting(&self.waiting);
        let turn = tokio::time::timeout(TURN, self.running.acquire()).await;
        drop(waiting);
        let Ok(Ok(_turn)) = turn else { return Err(Failure::Busy) };
        let began = Instant::now();
        let rows = self.engine.rows(query, columns, Limit::Brief);
        // a server that is frozen never says that it gives up
        match tokio::time::timeout(BRIEF + BRIEF, rows).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(_)) if began.elapsed() >= BRIEF => Err(Failure::Timeout),
            Ok(Err(error)) => Err(Failure::Unavailable(error.to_string())),
            Err(_) => Err(Failure::Timeout),
        }
    }
}

/// The SQL of a database's engine.
fn dialect(database: &Database) -> Result<&'static Dialect, Failure> {
    match database {
        #[cfg(feature = "postgres")]
        Database::Postgres(_) => Ok(&crate::store::postgres::rollup::DIALECT),
        #[cfg(feature = "sqlite")]
        Database::Sqlite(_) => Ok(&crate::store::sqlite::rollup::DIALECT),
        #[cfg(not(all(feature = "postgres", feature = "sqlite")))]
        other => Err(Failure::Unavailable(other.missing_engine().unwrap_or_default())),
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;

    use super::*;
    use crate::store::StoreError;

    /// A database that never answers.
    #[derive(Debug)]
    struct Frozen;

    #[async_trait]
    impl Engine for Frozen {
        fn words(&self) -> &'static Words {
            unreachable!("no query is made")
        }

        async fn rows(&self, _: &str, _: usize, _: Limit) -> Result<Vec<TextRow>, StoreError> {
            std::future::pending().await
        }
    }

    fn reader(engine: Box<dyn Engine>) -> Reader {
        let running = Semaphore::new(AT_ONCE as usize);
        let dialect = &crate::store::sqlite::rollup::DIALECT;
        Reader { engine, dialect, running, waiting: AtomicUsize::new(0), latest: Mutex::default() }
    }

    #[tokio::test]
    async fn as_many_queries_run_and_wait_as_may_and_one_that_is_given_up_makes_room() {
        let reader = Arc::new(reader(Box::new(Frozen)));
        let ask = || {
            let reader = reader.clone();
            tokio::spawn(async move { reader.rows("", 1).await })
        };
        let asked: Vec<_> = (0..AT_ONCE as usize + WAITING).map(|_| ask()).collect();
        while reader.waiting.load(Ordering::Relaxed) < WAITING || reader.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(reader.rows("", 1).await, Err(Failure::Busy));
        for query in asked {
            query.abort();
            assert!(query.await.is_err_and(|error| error.is_cancelled()));
        }
        assert_eq!((reader.waiting.load(Ordering::Relaxed), reader.running.available_permits()), (0, AT_ONCE as usize));
    }

    #[tokio::test]
    async fn a_query_of_a_file_that_takes_too_long_is_given_up_and_the_next_one_answers() {
        let folder = crate::tests::Folder::new();
        let file = folder.0.join("ledger.db");
        std::fs::write(&file, "").unwrap();
        let reader = Reader::open(&Database::Sqlite(file), &PoolSettings::default()).unwrap();
        let endless =
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT CAST(count(*) AS text) FROM n";
        assert_eq!(reader.rows(endless, 1).await, Err(Failure::Timeout));
        assert_eq!(reader.rows("SELECT '1'", 1).await, Ok(vec![vec![Some("1".into())]]));
    }
}

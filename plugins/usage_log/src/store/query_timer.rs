//! What is counted of the database's work, and how long a statement may take. Runs no statement of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plugin_api::LogLimit;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntCounter};

use super::StoreError;
use super::connections::Connections;

/// Counts of the database's work, which outlive every connection. Clones count together.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    slow: IntCounter,
    /// What all statements of the database took; none where the role may not know.
    total: Counter,
    known: Arc<Mutex<Option<f64>>>,
    pub(super) connections: Connections,
}

impl StoreMetrics {
    /// Counts that begin at 0.
    ///
    /// # Errors
    /// None, as long as the names below are names.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            slow: IntCounter::new(
                "tollgate_ledger_slow_queries_total",
                "Statements of the ledger that took longer than `slow_query`.",
            )?,
            total: Counter::new(
                "pg_stat_statements_total_time",
                "What all statements of the ledger's Postgres database took, in milliseconds, by pg_stat_statements.",
            )?,
            known: Arc::default(),
            connections: Connections::new(),
        })
    }

    /// Statements that took too long so far.
    #[must_use]
    pub fn slow_queries(&self) -> u64 {
        self.slow.get()
    }

    /// What `pg_stat_statements` sums up to now, in milliseconds.
    #[cfg(feature = "postgres")]
    pub(super) fn set_total_time(&self, milliseconds: Option<f64>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = milliseconds;
    }
}

impl Collector for StoreMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let connections = self.connections.all().into_iter().flat_map(Collector::desc);
        [self.slow.desc(), self.total.desc()].into_iter().flatten().chain(connections).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.slow.collect();
        families.extend(self.connections.all().into_iter().flat_map(Collector::collect));
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(milliseconds) = known {
            self.total.reset();
            self.total.inc_by(milliseconds);
            families.extend(self.total.collect());
        }
        families
    }
}

/// The longest that anything may take that takes as long as it takes.
pub(crate) const PATIENT_TIMEOUT: Duration = Duration::from_secs(4 * 3600);

/// What is written of slow statements.
static SLOW: LogLimit<String> = LogLimit::new();

/// Runs statements against the clock.
#[derive(Clone, Debug)]
pub(super) struct QueryTimer {
    pub(super) slow: Duration,
    pub(super) metrics: StoreMetrics,
}

impl QueryTimer {
    /// A statement's result; after `limit` it is given up.
    pub(super) async fn statement<T>(
        &self,
        statement: &str,
        limit: Duration,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let result = tokio::time::timeout(limit, work).await;
        let took = begun.elapsed();
        if took >= self.slow {
            self.metrics.slow.inc();
            if let Some(suppressed) = SLOW.pass(statement.to_owned()) {
                log::warn!(statement, seconds = took.as_secs_f64(), suppressed; "Slow SQL query detected");
            }
        }
        result.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(|error| match error {
            sqlx::Error::PoolTimedOut => StoreError::Unavailable(format!("no answer within {limit:?}")),
            error => StoreError::of(&error),
        })
    }

    /// The same for a statement that scans a whole table, and that nothing waits for: it is not slow at any duration.
    /// Only a server that hangs for hours is given up.
    pub(super) async fn patient<T>(
        &self,
        statement: &str,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        self.statement(statement, PATIENT_TIMEOUT, work).await
    }
}

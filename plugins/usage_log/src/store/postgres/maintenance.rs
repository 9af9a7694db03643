//! Statistics: those that the planner needs, and those that are exported.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::{LIMIT, patiently, run, transaction};
use crate::store::StoreError;
use crate::store::query_timer::QueryTimer;

/// Autovacuum looks at partitions only; what the planner knows of the whole table is refreshed here, once a day.
pub(super) async fn analyze(connection: &mut PgConnection, watch: &QueryTimer) -> Result<(), StoreError> {
    const CLAIM: &str = "INSERT INTO ledger_tasks (task, done_at) VALUES ('analyze', now())
        ON CONFLICT (task) DO UPDATE SET done_at = now() WHERE ledger_tasks.done_at < now() - interval '1 day'";
    if run(watch, connection, &transaction::alone(CLAIM)).await? > 0 {
        patiently(watch, connection, &transaction::alone_patiently("ANALYZE api_requests")).await?;
    }
    Ok(())
}

/// What all statements of this database took so far, in milliseconds; none where the server does not count, or the role
/// may not know.
pub(super) async fn statement_time(
    connection: &mut PgConnection,
    watch: &QueryTimer,
) -> Result<Option<f64>, StoreError> {
    // the settings of the extension are there only where the server has loaded it
    const IS_THERE: &str = "SELECT current_setting('pg_stat_statements.max', true) IS NOT NULL
        AND coalesce(has_table_privilege(to_regclass('pg_stat_statements'), 'SELECT'), false)";
    const TOTAL: &str = "SELECT sum(total_exec_time) FROM pg_stat_statements
        WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let read = async {
        if !sqlx::raw_sql(IS_THERE).fetch_one(&mut *connection).await?.try_get::<bool, _>(0)? {
            return Ok(None);
        }
        sqlx::raw_sql(TOTAL).fetch_one(&mut *connection).await?.try_get::<Option<f64>, _>(0)
    };
    watch.statement(TOTAL, LIMIT, read).await
}

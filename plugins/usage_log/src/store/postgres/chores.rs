//! What falls due with time, away from the writer: retention, statistics. Of many gateways, one does it.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgPool};

use super::{LIMIT, retention, run};
use crate::StoreSettings;
use crate::store::StoreError;
use crate::store::held::Held;
use crate::store::watch::Watch;

/// Whoever holds it does the chores: one more than the schema's.
const LOCK: i64 = 0x746f_6c6c_6761_7466;

/// Does all that is due. The connection is closed in the end, and the lock goes with it.
pub(super) async fn all(pool: &PgPool, settings: &StoreSettings, watch: &Watch) -> Result<(), StoreError> {
    let mut held = Held::acquire(pool, settings.pool.connect_timeout.get()).await?;
    let lock = format!("SELECT pg_try_advisory_lock({LOCK})");
    let locked = sqlx::query(sqlx::AssertSqlSafe(lock.clone())).fetch_one(&mut *held);
    let locked = watch.statement(&lock, LIMIT, async { locked.await?.try_get::<bool, _>(0) }).await?;
    if !locked {
        held.release();
        return Ok(());
    }
    run(watch, &mut held, "SET statement_timeout = 0").await?;
    retention::keep(&mut held, settings, watch).await?;
    analyze(&mut held, watch).await
}

/// Autovacuum looks at leaves only; what the planner knows of the whole table is refreshed here, once a day.
async fn analyze(connection: &mut PgConnection, watch: &Watch) -> Result<(), StoreError> {
    const CLAIM: &str = "INSERT INTO ledger_tasks (task, done_at) VALUES ('analyze', now())
        ON CONFLICT (task) DO UPDATE SET done_at = now() WHERE ledger_tasks.done_at < now() - interval '1 day'";
    const ANALYZE: &str = "ANALYZE api_requests";
    if run(watch, connection, CLAIM).await? > 0 {
        watch.patient(ANALYZE, sqlx::raw_sql(ANALYZE).execute(connection)).await?;
    }
    Ok(())
}

/// What all statements of this database took so far, in milliseconds; none where the server does not count, or the role
/// may not know.
pub(super) async fn statement_time(connection: &mut PgConnection, watch: &Watch) -> Result<Option<f64>, StoreError> {
    // the settings of the extension are there only where the server has loaded it
    const IS_THERE: &str = "SELECT current_setting('pg_stat_statements.max', true) IS NOT NULL
        AND coalesce(has_table_privilege(to_regclass('pg_stat_statements'), 'SELECT'), false)";
    const TOTAL: &str = "SELECT sum(total_exec_time) FROM pg_stat_statements
        WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let read = async {
        if !sqlx::query(IS_THERE).fetch_one(&mut *connection).await?.try_get::<bool, _>(0)? {
            return Ok(None);
        }
        sqlx::query(TOTAL).fetch_one(&mut *connection).await?.try_get::<Option<f64>, _>(0)
    };
    watch.statement(TOTAL, LIMIT, read).await
}

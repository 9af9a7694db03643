//! Fills the sums by day from rows: all of before the sums were kept, once, and each day once it is over. A few days at a time, one after
//! the other, each in one transaction: what stops it midway costs nothing but the day that it was at.

use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;

use super::StoreError;
use super::calendar::{self, Date};
use crate::Timestamp;
use crate::report::engine::TextRow;
use crate::rollup::fill::{COLUMNS, Detail, Lacking, lacking, latest_before, query};
use crate::rollup::{DAILY, Dialect};

/// After so long no further day is begun before the next turn.
const LONG_ENOUGH: Duration = Duration::from_secs(15);
/// So long after its end a day is compared with its rows: the calls that began on it have ended.
const SETTLED: Duration = Duration::from_secs(2 * 3600);
/// The days that are filled.
const DAYS: &str = "usage_days";

/// A database, as far as filling needs it.
#[async_trait]
pub(super) trait Fillable: Send {
    fn dialect(&self) -> &'static Dialect;
    /// The rows of a query with so many columns, each as text. It may take as long as it takes.
    async fn rows(&mut self, query: &str, columns: usize) -> Result<Vec<TextRow>, StoreError>;
    /// What begins a transaction that writes.
    fn begin(&self) -> String;
    /// Runs statements that return no rows: how many they changed.
    async fn execute(&mut self, statements: &str) -> Result<u64, StoreError>;

    /// Runs the first statement, and the others only if it changed something: all of them, or none.
    async fn run(&mut self, first: &str, others: &str) -> Result<(), StoreError> {
        self.execute(&self.begin()).await?;
        let end = if self.execute(first).await? > 0 { "COMMIT" } else { "ROLLBACK" };
        if end == "COMMIT" && !others.is_empty() {
            self.execute(others).await?;
        }
        self.execute(end).await.map(drop)
    }
}

/// Fills some days; whether all of before are filled.
pub(super) async fn turn(database: &mut dyn Fillable) -> Result<bool, StoreError> {
    let began = Instant::now();
    let settled = SystemTime::now().checked_sub(SETTLED).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut before = Date::of(settled.into()).start();
    let is_whole = text(database, "SELECT task FROM ledger_tasks WHERE task = 'rollups_filled'").await?.is_some();
    loop {
        let latest = latest_before(before, database.dialect());
        let latest = text(database, &latest).await?.and_then(|text| calendar::parse(&text));
        let Some(day) = latest.map(Date::of) else { break };
        let is_filled = text(database, &format!("SELECT 'filled' FROM {DAYS} WHERE day = '{day}'")).await?.is_some();
        // all before it were filled before it was
        if is_filled && is_whole {
            break;
        }
        match if is_filled { Ok(()) } else { fill(database, day).await } {
            Ok(()) => {}
            // a day that cannot be compared with its rows was summed up as they were written
            Err(error) if is_whole => {
                log::warn!(day:%, error:%; "the ledger's sums of a day cannot be compared with its rows");
                // retention goes on with the same connection; where this fails, so does what is next
                let _ = database.execute("ROLLBACK").await;
                break;
            }
            Err(error) => return Err(error),
        }
        before = day.start();
        if began.elapsed() > LONG_ENOUGH {
            return Ok(is_whole);
        }
    }
    if !is_whole {
        let done = format!("INSERT INTO ledger_tasks (task, done_at) VALUES ('rollups_filled', {})", now(database));
        database.run(&format!("{done} ON CONFLICT (task) DO NOTHING"), "").await?;
        log::info!("the ledger's rows of before are summed up by day");
    }
    Ok(true)
}

async fn fill(database: &mut dyn Fillable, day: Date) -> Result<(), StoreError> {
    let others = format!("SELECT 'others' FROM {} WHERE day = '{day}' AND others > 0 LIMIT 1", DAILY.name);
    let mut detail = if text(database, &others).await?.is_some() { Detail::Others } else { Detail::Exact };
    let groups = loop {
        let rows = database.rows(&query(day, detail, database.dialect()), COLUMNS).await?;
        match lacking(day, detail, rows) {
            Lacking::Groups(groups) => break groups,
            Lacking::TooMany => detail = Detail::Others,
            Lacking::RowsGone => break Vec::new(),
        }
    };
    // of many that fill this day, one does
    let claim =
        format!("INSERT INTO {DAYS} (day, filled_at) VALUES ('{day}', {}) ON CONFLICT (day) DO NOTHING", now(database));
    let add = DAILY.add(&groups, database.dialect());
    database.run(&claim, &add).await
}

fn now(database: &dyn Fillable) -> String {
    (database.dialect().time)(Timestamp::from(SystemTime::now()))
}

/// The first column of the first row of a query.
async fn text(database: &mut dyn Fillable, query: &str) -> Result<Option<String>, StoreError> {
    Ok(database.rows(query, 1).await?.into_iter().flatten().flatten().next())
}

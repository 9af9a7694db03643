//! Rows as `SQLite` takes them: many to a statement, what is there already replaced by a higher revision only.

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe};

use super::LIMIT;
use crate::columns::{Table, Value, sqlite_name};
use crate::store::query_timer::QueryTimer;
use crate::store::{StoreError, calendar};

/// Rows in a statement. `SQLite` takes 32,766 values.
const AT_A_TIME: usize = 128;

/// The name of a column, as SQL has it.
pub(super) fn name(column: &str) -> String {
    format!("\"{}\"", sqlite_name(column))
}

/// Inserts rows, and returns how many changed anything.
pub(super) async fn insert<R: Sync>(
    watch: &QueryTimer,
    connection: &mut SqliteConnection,
    table: &Table<R>,
    rows: &[&R],
) -> Result<u64, StoreError> {
    let mut new = 0;
    for rows in rows.chunks(AT_A_TIME) {
        let one = format!("({})", vec!["?"; table.columns.len()].join(","));
        let all = vec![one; rows.len()].join(",");
        let (columns, conflict) = (table.names(name), table.on_conflict(name));
        let statement = format!("INSERT INTO {} ({columns}) VALUES {all} {conflict}", table.name);
        let mut arguments = SqliteArguments::default();
        for row in rows {
            for column in table.columns {
                add(&mut arguments, (column.value)(row)).map_err(|error| StoreError::Rejected(error.to_string()))?;
            }
        }
        let insert = sqlx::query_with(AssertSqlSafe(statement), arguments).execute(&mut *connection);
        let what = format!("INSERT INTO {} …", table.name);
        new += watch.statement(&what, LIMIT, async { Ok(insert.await?.rows_affected()) }).await?;
    }
    Ok(new)
}

fn add(arguments: &mut SqliteArguments, value: Value<'_>) -> Result<(), sqlx::error::BoxDynError> {
    match value {
        Value::Null => arguments.add(None::<i64>),
        Value::Text(text) | Value::Json(text) => arguments.add(text.into_owned()),
        Value::Bytes(bytes) => arguments.add(bytes.to_vec()),
        Value::Int4(number) => arguments.add(i64::from(number)),
        Value::Int8(number) => arguments.add(number),
        Value::Bool(value) => arguments.add(i64::from(value)),
        Value::Uuid(id) => arguments.add(id.to_string()),
        Value::Time(time) => arguments.add(calendar::text(time)),
        Value::Money(cost) => arguments.add(cost.picos()),
        Value::Address(address) => arguments.add(address.to_string()),
    }
}

//! Rows as `SQLite` takes them: many to a statement, what is there already replaced by a higher revision only.

use std::fmt;
use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe};

use super::LIMIT;
use crate::columns::{Table, Value, sqlite_name};
use crate::store::query_timer::QueryTimer;
use crate::store::{StoreError, calendar};

/// How many rows a statement takes: the largest first, and few of them. `SQLite` prepares a statement longer than it runs it.
const SIZES: [usize; 6] = [32, 16, 8, 4, 2, 1];

/// The name of a column, as SQL has it.
pub(super) fn name(column: &str) -> String {
    format!("\"{}\"", sqlite_name(column))
}

/// The statements that insert into a table. A connection prepares each of them once, and keeps it.
pub(super) struct Inserts<R: 'static> {
    table: &'static Table<R>,
    /// One of each of [`SIZES`].
    statements: [Arc<str>; SIZES.len()],
    /// What a log line says of them.
    what: String,
}

impl<R: Sync> Inserts<R> {
    pub(super) fn of(table: &'static Table<R>) -> Self {
        let one = format!("({})", vec!["?"; table.columns.len()].join(","));
        let (columns, conflict) = (table.names(name), table.on_conflict(name));
        let statements = SIZES.map(|rows| {
            let all = vec![one.as_str(); rows].join(",");
            format!("INSERT INTO {} ({columns}) VALUES {all} {conflict}", table.name).into()
        });
        Self { table, statements, what: format!("INSERT INTO {} …", table.name) }
    }

    /// Inserts rows, and returns how many changed anything.
    pub(super) async fn run(
        &self,
        watch: &QueryTimer,
        connection: &mut SqliteConnection,
        mut rows: &[&R],
    ) -> Result<u64, StoreError> {
        let mut new = 0;
        for (size, statement) in SIZES.iter().zip(&self.statements) {
            while let Some((these, others)) = rows.split_at_checked(*size) {
                rows = others;
                let insert = sqlx::query_with(AssertSqlSafe(statement.clone()), self.arguments(these)?);
                let insert = insert.execute(&mut *connection);
                new += watch.statement(&self.what, LIMIT, async { Ok(insert.await?.rows_affected()) }).await?;
            }
        }
        Ok(new)
    }

    fn arguments(&self, rows: &[&R]) -> Result<SqliteArguments, StoreError> {
        let mut arguments = SqliteArguments::default();
        for row in rows {
            for column in self.table.columns {
                add(&mut arguments, (column.value)(row)).map_err(|error| StoreError::Rejected(error.to_string()))?;
            }
        }
        Ok(arguments)
    }
}

impl<R> fmt::Debug for Inserts<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
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

//! Rows as `SQLite` takes them: many to a statement, what is there already replaced by a higher revision only.
//!
//! `SQLite` pays for each value that is bound, and most columns of most rows are empty, or the same in all of them. So a statement leaves
//! out the columns that are empty in all its rows, and takes the values that all share once:
//! `INSERT INTO … SELECT ?, ?, …, * FROM (VALUES (…), (…), …)`.

use std::fmt;
use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe};

use super::LIMIT;
use crate::columns::{Column, Table, Value, sqlite_name};
use crate::store::query_timer::QueryTimer;
use crate::store::{StoreError, calendar};

/// How many rows a statement takes: the largest first, and few of them. `SQLite` prepares a statement longer than it runs it.
const SIZES: [usize; 5] = [128, 32, 8, 2, 1];

/// The name of a column, as SQL has it.
pub(super) fn name(column: &str) -> String {
    format!("\"{}\"", sqlite_name(column))
}

/// The statements that insert into a table. A connection prepares each of them once, and keeps it.
pub(super) struct Inserts<R: 'static> {
    table: &'static Table<R>,
    /// What the values of each column were so far. None goes back, so that statements are few.
    uses: Vec<Use>,
    /// One of each of [`SIZES`], for rows that correct no other and for those that may; made where they are needed.
    statements: [[Option<Arc<str>>; SIZES.len()]; 2],
    /// What a log line says of them.
    what: String,
}

/// What the values of a column are in the rows of every statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Empty,
    Shared,
    Own,
}

impl<R: Sync> Inserts<R> {
    pub(super) fn of(table: &'static Table<R>) -> Self {
        let uses = vec![Use::Empty; table.columns.len()];
        Self { table, uses, statements: Default::default(), what: format!("INSERT INTO {} …", table.name) }
    }

    /// Inserts rows, and returns how many changed anything. Those that `may_replace` no other leave what is there as it is.
    pub(super) async fn run(
        &mut self,
        watch: &QueryTimer,
        connection: &mut SqliteConnection,
        mut rows: &[&R],
        may_replace: bool,
    ) -> Result<u64, StoreError> {
        let mut new = 0;
        for (place, size) in SIZES.into_iter().enumerate() {
            while let Some((these, others)) = rows.split_at_checked(size) {
                rows = others;
                self.adapt(these);
                let arguments = self.arguments(these).map_err(|error| StoreError::Rejected(error.to_string()))?;
                let insert = sqlx::query_with(AssertSqlSafe(self.statement(place, may_replace)), arguments);
                let insert = insert.execute(&mut *connection);
                new += watch.statement(&self.what, LIMIT, async { Ok(insert.await?.rows_affected()) }).await?;
            }
        }
        Ok(new)
    }

    /// Makes the statements fit these rows.
    fn adapt(&mut self, rows: &[&R]) {
        let Some(first) = rows.first() else { return };
        let mut changed = false;
        // row by row: a row is in the processor's cache while its columns are looked at
        for row in rows {
            for (at, (column, used)) in self.table.columns.iter().zip(&mut self.uses).enumerate() {
                let fits = match used {
                    Use::Empty => column.is_null(row),
                    Use::Shared => column.is_same(row, first),
                    Use::Own => true,
                };
                if !fits {
                    // the first is the key
                    let is_shared = at > 0 && rows.iter().all(|row| column.is_same(row, first));
                    (*used, changed) = (if is_shared { Use::Shared } else { Use::Own }, true);
                }
            }
        }
        if changed {
            self.statements = Default::default();
        }
    }

    fn used(&self, of: Use) -> impl Iterator<Item = usize> {
        self.uses.iter().enumerate().filter(move |(_, used)| **used == of).map(|(at, _)| at)
    }

    /// The statement for as many rows as this size.
    fn statement(&mut self, size: usize, may_replace: bool) -> Arc<str> {
        let known = &self.statements[usize::from(may_replace)][size];
        if let Some(statement) = known {
            return statement.clone();
        }
        let statement: Arc<str> = self.write(SIZES[size], may_replace).into();
        self.statements[usize::from(may_replace)][size] = Some(statement.clone());
        statement
    }

    fn write(&self, rows: usize, may_replace: bool) -> String {
        let (own, shared) = (self.used(Use::Own).count(), self.used(Use::Shared).count());
        let names = |at: usize| name(self.table.columns[at].name);
        let columns: Vec<String> = self.used(Use::Shared).chain(self.used(Use::Own)).map(names).collect();
        let own_values = format!("({})", vec!["?"; own].join(","));
        let (columns, own_values) = (columns.join(", "), vec![own_values; rows].join(","));
        // a row that replaces none needs no second journal, in case that others of its statement are taken back
        let insert = if may_replace { "INSERT" } else { "INSERT OR ROLLBACK" };
        // not joined: each row would read the values that all share from a table
        let shared_values = "?, ".repeat(shared);
        let mut statement =
            format!("{insert} INTO {} ({columns}) SELECT {shared_values}* FROM (VALUES {own_values})", self.table.name);
        statement.push_str(" WHERE true ");
        statement.push_str(&if may_replace { self.table.on_conflict(name) } else { self.table.on_conflict_keep() });
        statement
    }

    /// The values, in the order of the statement: those that all rows share, and then those of each.
    fn arguments(&self, rows: &[&R]) -> Result<SqliteArguments, sqlx::error::BoxDynError> {
        let mut arguments = SqliteArguments::default();
        let Some(first) = rows.first() else { return Ok(arguments) };
        let columns = |of| self.used(of).map(|at| &self.table.columns[at]);
        let own: Vec<&Column<R>> = columns(Use::Own).collect();
        arguments.reserve(own.len() * rows.len() + self.uses.len() - own.len(), 0);
        columns(Use::Shared).try_for_each(|column| add(&mut arguments, &(column.value)(first)))?;
        // neighbors often have the same text
        let mut texts: Vec<Option<Arc<str>>> = vec![None; own.len()];
        for row in rows {
            for (column, last) in own.iter().zip(&mut texts) {
                match (column.value)(row) {
                    Value::Text(text) | Value::Json(text) => {
                        let text = last.take().filter(|last| **last == *text).unwrap_or_else(|| text.as_ref().into());
                        arguments.add(last.insert(text).clone())?;
                    }
                    value => add(&mut arguments, &value)?,
                }
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

fn add(arguments: &mut SqliteArguments, value: &Value<'_>) -> Result<(), sqlx::error::BoxDynError> {
    match value {
        Value::Null => arguments.add(None::<i64>),
        Value::Text(text) | Value::Json(text) => arguments.add(Arc::<str>::from(text.as_ref())),
        Value::Bytes(bytes) => arguments.add(bytes.to_vec()),
        Value::Int4(number) => arguments.add(i64::from(*number)),
        Value::Int8(number) => arguments.add(*number),
        Value::Bool(value) => arguments.add(i64::from(*value)),
        Value::Uuid(id) => arguments.add(Arc::<str>::from(&*id.as_hyphenated().encode_lower(&mut [0; 36]))),
        Value::Time(time) => arguments.add(calendar::text_as::<Arc<str>>(*time)),
        Value::Money(cost) => arguments.add(cost.picos()),
        Value::Address(address) => arguments.add(address.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sqlx::{Connection, Row as _};
    use uuid::Uuid;

    use super::*;
    use crate::Row;
    use crate::columns::REQUESTS;
    use crate::store::StoreMetrics;
    use crate::store::migration::SQLITE;

    type Values = (Option<String>, Option<i64>, Option<Vec<u8>>);

    fn values() -> impl Strategy<Value = Values> {
        let text = proptest::option::of("[ab]");
        let hash = proptest::option::of((0_u8..3).prop_map(|byte| vec![byte; 32]));
        (text, proptest::option::of(0_i64..3), hash)
    }

    async fn database() -> SqliteConnection {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for step in SQLITE {
            sqlx::raw_sql(AssertSqlSafe(step.sql)).execute(&mut connection).await.unwrap();
        }
        connection
    }

    async fn stored(connection: &mut SqliteConnection) -> Vec<Values> {
        let query = "SELECT tenant, input_tokens, turn_hash FROM api_requests ORDER BY id";
        let rows = sqlx::query(query).fetch_all(connection).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn rows_come_back_whatever_they_share_and_lack(
            all in proptest::collection::vec(values(), 1..400), cuts in proptest::collection::vec(1_usize..200, 1..20),
        ) {
            let rows: Vec<Row> = (1..).zip(&all).map(|(id, (tenant, tokens, hash))| Row {
                id: Uuid::from_u128(id),
                tenant: tenant.clone().map(Into::into),
                tokens: crate::Tokens { input: *tokens, ..crate::Tokens::default() },
                turn_hash: hash.clone().map(|hash| hash.try_into().unwrap()),
                ..Row::default()
            }).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (came, again) = runtime.block_on(async {
                let (mut connection, mut inserts) = (database().await, Inserts::of(&REQUESTS));
                let watch = QueryTimer { slow: LIMIT, metrics: StoreMetrics::new().unwrap() };
                let (mut new, mut again, mut from) = (0, 0, 0);
                let mut cuts = cuts.iter().cycle();
                while from < rows.len() {
                    let to = rows.len().min(from + cuts.next().unwrap());
                    let part: Vec<&Row> = rows[from..to].iter().collect();
                    new += inserts.run(&watch, &mut connection, &part, from % 2 == 1).await.unwrap();
                    again += inserts.run(&watch, &mut connection, &part, from % 2 == 0).await.unwrap();
                    from = to;
                }
                assert_eq!(new, rows.len() as u64);
                (stored(&mut connection).await, again)
            });
            prop_assert_eq!((came, again), (all, 0));
        }
    }

    #[tokio::test]
    async fn a_correction_takes_the_place_of_a_row_and_empties_what_it_lacks() {
        let (mut connection, mut inserts) = (database().await, Inserts::of(&REQUESTS));
        let watch = QueryTimer { slow: LIMIT, metrics: StoreMetrics::new().unwrap() };
        let first = Row { tenant: Some("a".into()), ..Row::default() };
        let correction = Row { revision: 1, ..Row::default() };
        assert_eq!(inserts.run(&watch, &mut connection, &[&first], false).await.unwrap(), 1);
        assert_eq!(inserts.run(&watch, &mut connection, &[&correction], true).await.unwrap(), 1);
        assert_eq!(inserts.run(&watch, &mut connection, &[&first], false).await.unwrap(), 0);
        assert_eq!(stored(&mut connection).await, [(None, None, None)]);
    }
}

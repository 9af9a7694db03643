//! The rows of one run within an hour, page by page: what leaves the ledger in files.

use uuid::Uuid;

use super::engine::{Engine, Limit, Words};
use crate::columns::{Column, REQUESTS, SqlType};
use crate::store::{StoreError, calendar};
use crate::{Row, Timestamp};

/// A value of a row, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// There is none.
    Null,
    /// A text; also JSON, an address and a UUID.
    Text(String),
    Bytes(Vec<u8>),
    Int(i64),
    Bool(bool),
    /// Microseconds.
    Time(i64),
    /// Picodollars.
    Money(i128),
}

/// A row: its values, in the order of the columns of `api_requests`.
pub(crate) type Cells = Vec<Cell>;

/// Which rows are read: those of one run that began from one moment on and before another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageQuery {
    pub(crate) instance: Uuid,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// Only those behind this one, by time and id.
    pub(crate) after: Option<(Timestamp, Uuid)>,
    /// At most so many.
    pub(crate) most: usize,
}

/// The next rows, by time and id.
///
/// # Errors
/// That they cannot be read.
pub(super) async fn rows(engine: &dyn Engine, query: &PageQuery) -> Result<Vec<Cells>, StoreError> {
    let columns = REQUESTS.columns;
    let rows = engine.rows(&text(engine.words(), columns, query), columns.len(), Limit::Usual).await?;
    let cells = |row: Vec<Option<String>>| columns.iter().zip(row).map(|(column, text)| cell(column, text)).collect();
    rows.into_iter().map(cells).collect()
}

/// By the index of `created_at`.
fn text(words: &Words, columns: &[Column<Row>], query: &PageQuery) -> String {
    let selected: Vec<String> = columns.iter().map(|column| shown(words, column)).collect();
    // one lower bound: of two an engine may read from the other, and each page from the beginning
    let from = (words.time)(query.after.map_or(query.from, |(time, _)| time));
    let to = (words.time)(query.to);
    let after = query
        .after
        .map_or_else(String::new, |(_, id)| format!(" AND (created_at, id) > ({from}, '{id}'{})", words.uuid));
    format!(
        "SELECT {} FROM api_requests WHERE created_at >= {from} AND created_at < {to} AND instance = '{}'{}{after}
        ORDER BY created_at, id LIMIT {}",
        selected.join(", "),
        query.instance,
        words.uuid,
        query.most
    )
}

/// A column as text.
fn shown(words: &Words, column: &Column<Row>) -> String {
    let name = column.name;
    let value = match column.sql {
        SqlType::Time => (words.moment)(name),
        SqlType::Bytes => (words.hex)(name),
        SqlType::Money => (words.money)(name.strip_suffix("_usd").unwrap_or(name)),
        SqlType::Address => (words.host)(name),
        SqlType::Uuid | SqlType::Text | SqlType::Json | SqlType::Int4 | SqlType::Int8 | SqlType::Bool => {
            format!("\"{name}\"")
        }
    };
    format!("CAST({value} AS text)")
}

fn cell(column: &Column<Row>, text: Option<String>) -> Result<Cell, StoreError> {
    let Some(text) = text else { return Ok(Cell::Null) };
    let cell = match column.sql {
        SqlType::Uuid | SqlType::Text | SqlType::Json | SqlType::Address => Some(Cell::Text(text)),
        SqlType::Bytes => bytes(&text).map(Cell::Bytes),
        SqlType::Int4 | SqlType::Int8 => text.parse().ok().map(Cell::Int),
        SqlType::Bool => Some(Cell::Bool(text == "true" || text == "1")),
        SqlType::Time => calendar::parse(&text).map(|time| Cell::Time(time.micros())),
        SqlType::Money => text.parse().ok().map(Cell::Money),
    };
    cell.ok_or_else(|| StoreError::Unavailable(format!("`{}` of a row cannot be read", column.name)))
}

/// Bytes from hexadecimal digits.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_what_its_column_says() {
        let column = |name| REQUESTS.columns.iter().find(|column| column.name == name).unwrap();
        let read = |name, text: &str| cell(column(name), Some(text.into())).ok();
        assert_eq!(read("created_at", "1970-01-01 00:00:01.000002"), Some(Cell::Time(1_000_002)));
        assert_eq!(read("turn_hash", "00ff"), Some(Cell::Bytes(vec![0, 255])));
        assert_eq!((read("turn_hash", "0"), read("turn_hash", "+f")), (None, None));
        assert_eq!(read("cost_usd", "-12300000000"), Some(Cell::Money(-12_300_000_000)));
        assert_eq!(
            (read("streaming", "1"), read("streaming", "false")),
            (Some(Cell::Bool(true)), Some(Cell::Bool(false)))
        );
        assert_eq!((read("attempts", "2"), read("attempts", "two")), (Some(Cell::Int(2)), None));
        assert_eq!(cell(column("cost_usd"), None), Ok(Cell::Null));
    }
}

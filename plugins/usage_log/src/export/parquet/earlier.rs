//! The rows of a file that is to be written anew. What the database has no more, by retention or since it is another one, stays in the file.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ::parquet::data_type::{AsBytes, Decimal};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::reader::RowIter;
use ::parquet::record::{Field, Row};
use ::parquet::schema::types::Type;

use super::hour_file::{Key, key};
use crate::columns::REQUESTS;
use crate::report::page::{Cell, Cells};

/// The rows of an earlier file, in order.
pub(super) struct Earlier {
    rows: RowIter<'static>,
    next: Option<(Key, Cells)>,
}

impl Earlier {
    /// Those of this file, with the columns by which they come in order, or with all. None where there is no file that can be read.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub(super) fn open(path: &Path, with_all: bool) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(SerializedFileReader::new(file).and_then(|reader| Self::of(reader, with_all)).ok())
    }

    fn of(reader: SerializedFileReader<File>, with_all: bool) -> Result<Self, ParquetError> {
        let schema = reader.metadata().file_metadata().schema().clone();
        let is_key = |column: &&Arc<Type>| ["created_at", "id"].contains(&column.name());
        let fields = schema.get_fields().iter().filter(is_key).cloned().collect();
        let keys = Type::group_type_builder(schema.name()).with_fields(fields).build()?;
        let rows = RowIter::from_file_into(Box::new(reader)).project((!with_all).then_some(keys))?;
        let mut earlier = Self { rows, next: None };
        earlier.advance()?;
        Ok(earlier)
    }

    /// The next row that comes before another one; none where the next one is that one, or comes behind it.
    pub(super) fn before(&mut self, other: Option<Key>) -> Result<Option<Cells>, ParquetError> {
        let Some((key, _)) = &self.next else { return Ok(None) };
        if other.is_some_and(|other| *key >= other) {
            return Ok(None);
        }
        self.advance()
    }

    /// Passes over the next row if it is this one.
    pub(super) fn pass(&mut self, other: Option<Key>) -> Result<(), ParquetError> {
        match &self.next {
            Some((key, _)) if Some(*key) == other => self.advance().map(drop),
            _ => Ok(()),
        }
    }

    fn advance(&mut self) -> Result<Option<Cells>, ParquetError> {
        let next = self.rows.next().transpose()?.map(cells).map(|row| Some((key(&row)?, row)));
        let next = match next {
            Some(None) => return Err(ParquetError::General("a row has no key".into())),
            next => next.flatten(),
        };
        Ok(std::mem::replace(&mut self.next, next).map(|(_, row)| row))
    }
}

/// A row with the columns of today: one that the file lacks is null.
fn cells(row: Row) -> Cells {
    let mut cells = vec![Cell::Null; REQUESTS.columns.len()];
    for (name, field) in row.into_columns() {
        let place = REQUESTS.columns.iter().position(|column| column.name == name);
        if let Some(cell) = place.and_then(|place| cells.get_mut(place)) {
            *cell = match field {
                Field::Str(text) => Cell::Text(text),
                Field::Bytes(bytes) => Cell::Bytes(bytes.data().to_vec()),
                Field::Int(number) => Cell::Int(number.into()),
                Field::Long(number) => Cell::Int(number),
                Field::Bool(value) => Cell::Bool(value),
                Field::TimestampMicros(micros) => Cell::Time(micros),
                Field::Decimal(decimal) => picos(&decimal).map_or(Cell::Null, Cell::Money),
                _ => Cell::Null,
            };
        }
    }
    cells
}

fn picos(decimal: &Decimal) -> Option<i128> {
    decimal.as_bytes().try_into().ok().map(i128::from_be_bytes)
}

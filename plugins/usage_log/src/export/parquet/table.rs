//! Rows as the bytes of a Parquet file: the columns of `api_requests`, under their names. Holds one group of rows in memory.

use std::io::Write;
use std::mem;
use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::{KeyValue, SortingColumn};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::types::{Type, TypePtr};

use crate::columns::{REQUESTS, SqlType};
use crate::parquet_types::ParquetType;
use crate::report::page::{Cell, Cells};

/// A group ends with so many rows, or about so many bytes of what they hold. Each value takes some 40 bytes besides.
const GROUP_ROWS: usize = 20_000;
const GROUP_BYTES: usize = 32 << 20;
/// The columns by which rows come in order.
const ORDER: [&str; 2] = ["created_at", "id"];

/// A table that is being written.
pub(super) struct TableWriter<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<ColumnBuffer>,
    rows: usize,
    bytes: usize,
}

/// The values of a column that wait for the end of their group.
struct ColumnBuffer {
    is_nullable: bool,
    /// 1 where there is a value, and 0 where there is none.
    levels: Vec<i16>,
    values: Values,
}

enum Values {
    Bytes(Vec<ByteArray>),
    Int4(Vec<i32>),
    Int8(Vec<i64>),
    Bool(Vec<bool>),
    Money(Vec<FixedLenByteArray>),
}

/// What a column of the ledger is in a file. A UUID is a string: Spark reads no other.
fn parquet_type(sql: SqlType) -> ParquetType {
    match sql {
        SqlType::Uuid | SqlType::Text | SqlType::Json | SqlType::Address => ParquetType::Text,
        SqlType::Bytes => ParquetType::Bytes,
        SqlType::Int4 => ParquetType::Int4,
        SqlType::Int8 => ParquetType::Int8,
        SqlType::Bool => ParquetType::Bool,
        SqlType::Time => ParquetType::Time,
        SqlType::Money => ParquetType::Money,
    }
}

fn schema() -> Result<TypePtr, ParquetError> {
    let column =
        |column: &crate::columns::Column<crate::Row>| parquet_type(column.sql).column(column.name, column.is_nullable);
    let fields = REQUESTS.columns.iter().map(column).collect::<Result<Vec<TypePtr>, _>>()?;
    Type::group_type_builder(REQUESTS.name).with_fields(fields).build().map(Arc::new)
}

impl<W: Write + Send> TableWriter<W> {
    /// Begins a file. The same rows make the same bytes.
    pub(super) fn new(into: W, is_compressed: bool, notes: &[(&str, String)]) -> Result<Self, ParquetError> {
        let compression =
            if is_compressed { Compression::ZSTD(ZstdLevel::default()) } else { Compression::UNCOMPRESSED };
        let place = |name| REQUESTS.columns.iter().position(|column| column.name == name);
        let order = ORDER.iter().filter_map(|name| i32::try_from(place(*name)?).ok());
        let order = order.map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: false });
        let note = |(key, value): &(&str, String)| KeyValue::new((*key).to_owned(), value.clone());
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_created_by(concat!("tollgate version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_sorting_columns(Some(order.collect()))
            .set_key_value_metadata(Some(notes.iter().map(note).collect()));
        let writer = SerializedFileWriter::new(into, schema()?, Arc::new(properties.build()))?;
        let columns = REQUESTS.columns.iter().map(|column| ColumnBuffer::new(column.sql, column.is_nullable));
        Ok(Self { writer, columns: columns.collect(), rows: 0, bytes: 0 })
    }

    /// Appends a row, which comes behind all before it.
    pub(super) fn push(&mut self, row: Cells) -> Result<(), ParquetError> {
        for (column, cell) in self.columns.iter_mut().zip(row) {
            self.bytes += column.push(cell)?;
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES { self.end_group() } else { Ok(()) }
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> Result<W, ParquetError> {
        self.end_group()?;
        self.writer.into_inner()
    }

    fn end_group(&mut self) -> Result<(), ParquetError> {
        if mem::take(&mut self.rows) == 0 {
            return Ok(());
        }
        self.bytes = 0;
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let mut writer = group.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".into()))?;
            column.write(&mut writer)?;
            writer.close()?;
        }
        group.close().map(drop)
    }
}

impl ColumnBuffer {
    fn new(sql: SqlType, is_nullable: bool) -> Self {
        let values = match parquet_type(sql) {
            ParquetType::Text | ParquetType::Bytes => Values::Bytes(Vec::new()),
            ParquetType::Int4 => Values::Int4(Vec::new()),
            ParquetType::Int8 | ParquetType::Time => Values::Int8(Vec::new()),
            ParquetType::Bool => Values::Bool(Vec::new()),
            ParquetType::Money => Values::Money(Vec::new()),
        };
        Self { is_nullable, levels: Vec::new(), values }
    }

    /// Appends a value, and returns about how many bytes it takes.
    fn push(&mut self, cell: Cell) -> Result<usize, ParquetError> {
        let wrong = || ParquetError::General("a value is not of its column's type".into());
        let is_there = cell != Cell::Null;
        let size = match (&mut self.values, cell) {
            (_, Cell::Null) if self.is_nullable => 0,
            (Values::Bytes(values), Cell::Text(text)) => {
                values.push(text.into_bytes().into());
                values.last().map_or(0, ByteArray::len)
            }
            (Values::Bytes(values), Cell::Bytes(bytes)) => {
                values.push(bytes.into());
                values.last().map_or(0, ByteArray::len)
            }
            (Values::Int4(values), Cell::Int(number)) => {
                values.push(number.try_into().map_err(|_| wrong())?);
                size_of::<i32>()
            }
            (Values::Int8(values), Cell::Int(number) | Cell::Time(number)) => {
                values.push(number);
                size_of::<i64>()
            }
            (Values::Bool(values), Cell::Bool(value)) => {
                values.push(value);
                size_of::<bool>()
            }
            (Values::Money(values), Cell::Money(picos)) => {
                values.push(picos.to_be_bytes().to_vec().into());
                size_of::<i128>()
            }
            _ => return Err(wrong()),
        };
        if self.is_nullable {
            self.levels.push(is_there.into());
        }
        Ok(size)
    }

    /// Writes what waits.
    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = self.is_nullable.then_some(self.levels.as_slice());
        match &mut self.values {
            Values::Bytes(values) => {
                writer.typed::<ByteArrayType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Int4(values) => {
                writer.typed::<Int32Type>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Int8(values) => {
                writer.typed::<Int64Type>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Bool(values) => {
                writer.typed::<BoolType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Money(values) => {
                writer.typed::<FixedLenByteArrayType>().write_batch(values, levels, None)?;
                values.clear();
            }
        }
        self.levels.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use plugin_api::Bytes;

    use super::*;

    /// A row with nothing but what must be there, and what is given.
    fn row(given: &[(&str, Cell)]) -> Cells {
        let cell = |column: &crate::columns::Column<crate::Row>| {
            let given = given.iter().find(|(name, _)| *name == column.name).map(|(_, cell)| cell.clone());
            given.unwrap_or_else(|| match parquet_type(column.sql) {
                _ if column.is_nullable => Cell::Null,
                ParquetType::Text => Cell::Text("t".into()),
                ParquetType::Bytes => Cell::Bytes(vec![1]),
                ParquetType::Int4 | ParquetType::Int8 => Cell::Int(1),
                ParquetType::Bool => Cell::Bool(true),
                ParquetType::Time => Cell::Time(1),
                ParquetType::Money => Cell::Money(1),
            })
        };
        REQUESTS.columns.iter().map(cell).collect()
    }

    fn file(rows: &[Cells]) -> Vec<u8> {
        let mut table = TableWriter::new(Vec::new(), true, &[("tollgate.instance", "i".into())]).unwrap();
        rows.iter().for_each(|row| table.push(row.clone()).unwrap());
        table.finish().unwrap()
    }

    #[test]
    fn a_reader_finds_what_was_written_and_the_same_rows_make_the_same_bytes() {
        let known = row(&[
            ("created_at", Cell::Time(1_795_000_000_123_456)),
            ("cost_usd", Cell::Money(12_300_000_001)),
            ("input_tokens", Cell::Int(i64::MAX)),
            ("streaming", Cell::Bool(false)),
        ]);
        let rows = [row(&[]), known];
        let bytes = file(&rows);
        assert_eq!(bytes, file(&rows));
        let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        let rows: Vec<String> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert!(rows[0].contains("cost_usd: null") && rows[0].contains("input_tokens: null"), "{rows:?}");
        for part in [
            "created_at: 2026-11-18 ",
            "cost_usd: 0.012300000001",
            "input_tokens: 9223372036854775807",
            "streaming: false",
        ] {
            assert!(rows[1].contains(part), "{part}: {rows:?}");
        }
    }

    #[test]
    fn a_value_that_must_be_there_or_is_another_type_is_refused() {
        let mut table = TableWriter::new(Vec::new(), false, &[]).unwrap();
        assert!(table.push(row(&[("domain", Cell::Null)])).is_err());
        let mut table = TableWriter::new(Vec::new(), false, &[]).unwrap();
        assert!(table.push(row(&[("attempts", Cell::Int(1 << 40))])).is_err());
    }
}

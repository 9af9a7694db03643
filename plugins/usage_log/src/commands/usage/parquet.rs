//! Sums as a Parquet file, for warehouses: names are strings, counts 64-bit integers, money is `decimal(38, 12)`.

use std::sync::Arc;

use crate::parquet_types::ParquetType;
use crate::report::Line;
use ::parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::{Type, TypePtr};

use super::figures::{FIGURES, Figure, figures};

/// The lines as the bytes of a file.
pub(super) fn file(by: &[&str], lines: &[Line]) -> Result<Vec<u8>, ParquetError> {
    let names = by.iter().map(|by| ParquetType::Text.column(by, true));
    let kinds = figures(&crate::report::Sums::default());
    let figures_of = FIGURES.iter().zip(kinds).map(|(name, kind)| match kind {
        Figure::Count(_) => ParquetType::Int8.column(name, false),
        Figure::Money(_) => ParquetType::Money.column(name, true),
    });
    let fields = names.chain(figures_of).collect::<Result<Vec<TypePtr>, _>>()?;
    let schema = Arc::new(Type::group_type_builder("usage").with_fields(fields).build()?);
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default())?;
    let mut group = writer.next_row_group()?;
    let mut index = 0_usize;
    while let Some(mut column) = group.next_column()? {
        match index.checked_sub(by.len()) {
            None => {
                let parts = || lines.iter().map(|line| line.group[index].as_deref());
                let there: Vec<i16> = parts().map(|part| i16::from(part.is_some())).collect();
                let texts: Vec<ByteArray> = parts().flatten().map(ByteArray::from).collect();
                column.typed::<ByteArrayType>().write_batch(&texts, Some(&there), None)?;
            }
            Some(figure) => match kinds[figure] {
                Figure::Count(_) => {
                    let counts = lines.iter().filter_map(|line| match figures(&line.sums)[figure] {
                        Figure::Count(count) => Some(i64::try_from(count).unwrap_or(i64::MAX)),
                        Figure::Money(_) => None,
                    });
                    column.typed::<Int64Type>().write_batch(&counts.collect::<Vec<_>>(), None, None)?;
                }
                Figure::Money(_) => {
                    let amounts = lines.iter().map(|line| match figures(&line.sums)[figure] {
                        Figure::Money(picos) => picos,
                        Figure::Count(_) => None,
                    });
                    let there: Vec<i16> = amounts.clone().map(|picos| i16::from(picos.is_some())).collect();
                    let known: Vec<FixedLenByteArray> =
                        amounts.flatten().map(|picos| picos.to_be_bytes().to_vec().into()).collect();
                    column.typed::<FixedLenByteArrayType>().write_batch(&known, Some(&there), None)?;
                }
            },
        }
        column.close()?;
        index += 1;
    }
    group.close()?;
    writer.into_inner()
}

#[cfg(test)]
mod tests {
    use crate::report::Sums;
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use plugin_api::Bytes;

    use super::*;

    #[test]
    fn a_reader_finds_what_was_written() {
        let sums = Sums { requests: 2, cost: 12_300_000_000, ..Sums::default() };
        let line = |model: Option<&str>, sums| Line { group: vec![model.map(Into::into)], sums };
        let unknown = Sums { cost_unknown: true, ..sums };
        let bytes = file(&["model"], &[line(Some("claude"), sums), line(None, unknown)]).unwrap();
        let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        let rows: Vec<String> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(rows.len(), 2);
        assert!(
            rows[0].contains("model: \"claude\", requests: 2") && rows[0].contains("cost_usd: 0.012300000000"),
            "{rows:?}"
        );
        assert!(rows[1].contains("model: null") && rows[1].contains("cost_usd: null"), "{rows:?}");
        assert!(SerializedFileReader::new(Bytes::from(file(&[], &[]).unwrap())).is_ok());
    }
}

//! The types of columns in the Parquet files that the gateway writes, chosen so that `DuckDB`, pandas, Spark and Athena read them alike.

use std::sync::Arc;

use ::parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use ::parquet::errors::ParquetError;
use ::parquet::schema::types::{PrimitiveTypeBuilder, Type, TypePtr};

/// Digits of money, in all and behind the point: as many as fit in 16 bytes, and a picodollar.
const PRECISION: i32 = 38;
const SCALE: i32 = 12;
const MONEY_BYTES: i32 = 16;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParquetType {
    /// A string in UTF-8.
    Text,
    Bytes,
    Int4,
    Int8,
    Bool,
    /// Microseconds, in UTC.
    Time,
    /// `decimal(38, 12)`.
    Money,
}

impl ParquetType {
    /// A column of this name.
    pub(crate) fn column(self, name: &str, is_nullable: bool) -> Result<TypePtr, ParquetError> {
        let repetition = if is_nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        self.builder(name).with_repetition(repetition).build().map(Arc::new)
    }

    fn builder(self, name: &str) -> PrimitiveTypeBuilder<'_> {
        let physical = |physical| Type::primitive_type_builder(name, physical);
        match self {
            Self::Text => physical(Physical::BYTE_ARRAY)
                .with_logical_type(Some(LogicalType::String))
                .with_converted_type(ConvertedType::UTF8),
            Self::Bytes => physical(Physical::BYTE_ARRAY),
            Self::Int4 => physical(Physical::INT32),
            Self::Int8 => physical(Physical::INT64),
            Self::Bool => physical(Physical::BOOLEAN),
            Self::Time => physical(Physical::INT64)
                .with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MICROS)))
                .with_converted_type(ConvertedType::TIMESTAMP_MICROS),
            Self::Money => physical(Physical::FIXED_LEN_BYTE_ARRAY)
                .with_length(MONEY_BYTES)
                .with_precision(PRECISION)
                .with_scale(SCALE)
                .with_converted_type(ConvertedType::DECIMAL),
        }
    }
}

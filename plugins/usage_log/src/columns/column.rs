//! A column: its name, its type, and what it shows of a row. Knows no table.

use super::{SqlType, Value};

/// A column.
pub(crate) struct Column<R: 'static> {
    pub(crate) name: &'static str,
    pub(crate) sql: SqlType,
    pub(crate) is_nullable: bool,
    pub(crate) value: for<'a> fn(&'a R) -> Value<'a>,
    /// Tests of the field, for which no value is made. `None` for a column that shows no field.
    pub(super) field: Option<FieldTests<R>>,
}

/// Tests of a field.
pub(super) struct FieldTests<R> {
    pub(super) is_null: fn(&R) -> bool,
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only SQLite's statements share values"))]
    pub(super) is_same: fn(&R, &R) -> bool,
}

impl<R> Column<R> {
    /// Whether its value is NULL.
    pub(crate) fn is_null(&self, row: &R) -> bool {
        self.field.as_ref().map_or_else(|| (self.value)(row) == Value::Null, |field| (field.is_null)(row))
    }

    /// Whether two rows have the same value. Of fields that differ the values may be the same all the same.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only SQLite's statements share values"))]
    pub(crate) fn is_same(&self, row: &R, other: &R) -> bool {
        match &self.field {
            Some(field) => (field.is_same)(row, other),
            None => (self.value)(row) == (self.value)(other),
        }
    }
}

/// A column that is never NULL, and is no field of the row as it stands.
pub(super) const fn plain<R>(name: &'static str, sql: SqlType, value: for<'a> fn(&'a R) -> Value<'a>) -> Column<R> {
    Column { name, sql, is_nullable: false, value, field: None }
}

//! How a field of a record shows in a column: the SQL type in either engine, and the value.

use std::borrow::Cow;

use serde_json::{Map, json};

use super::{Column, FieldTests, Value};
use crate::row::RowAttempt;
use crate::{Billed, Cost, RowText, Timestamp, UsageSource};

/// What a column is, whatever the engine calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqlType {
    Uuid,
    Time,
    Text,
    Json,
    Bytes,
    Int4,
    Int8,
    Bool,
    Money,
    Address,
}

impl SqlType {
    /// Its name in Postgres, as the catalog has it.
    pub(crate) fn postgres(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Time => "timestamp with time zone",
            Self::Text => "text",
            Self::Json => "json",
            Self::Bytes => "bytea",
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Bool => "boolean",
            Self::Money => "numeric",
            Self::Address => "inet",
        }
    }

    /// Its name in `SQLite`.
    pub(crate) fn sqlite(self) -> &'static str {
        match self {
            Self::Uuid | Self::Time | Self::Text | Self::Json | Self::Address => "text",
            Self::Bytes => "blob",
            Self::Int4 | Self::Int8 | Self::Bool | Self::Money => "integer",
        }
    }
}

/// A way to show a `T`.
pub(super) trait Shows<T> {
    const SQL: SqlType;
    const IS_NULLABLE: bool = false;

    fn value(field: &T) -> Value<'_>;

    /// Whether that is NULL.
    fn is_null(_field: &T) -> bool {
        false
    }
}

/// A column that shows a field. `field` says of which type the field is.
pub(super) const fn column<R, T, S: Shows<T>>(
    name: &'static str,
    _field: fn(&R) -> &T,
    value: for<'a> fn(&'a R) -> Value<'a>,
    tests: FieldTests<R>,
) -> Column<R> {
    Column { name, sql: S::SQL, is_nullable: S::IS_NULLABLE, value, field: Some(tests) }
}

/// The value of a column that shows a field.
pub(super) fn value<T, S: Shows<T>>(field: &T) -> Value<'_> {
    S::value(field)
}

/// Whether that value is NULL.
pub(super) fn is_null<T, S: Shows<T>>(field: &T) -> bool {
    S::is_null(field)
}

impl<T, S: Shows<T>> Shows<Option<T>> for S {
    const SQL: SqlType = <S as Shows<T>>::SQL;
    const IS_NULLABLE: bool = true;

    fn value(field: &Option<T>) -> Value<'_> {
        field.as_ref().map_or(Value::Null, <S as Shows<T>>::value)
    }

    fn is_null(field: &Option<T>) -> bool {
        field.is_none()
    }
}

/// Declares a way to show a type.
macro_rules! shows {
    ($shown:ident is $sql:ident of $($type:ty: $value:expr),*) => {
        pub(super) struct $shown;

        $(impl Shows<$type> for $shown {
            const SQL: SqlType = SqlType::$sql;

            fn value(field: &$type) -> Value<'_> {
                let value: for<'a> fn(&'a $type) -> Value<'a> = $value;
                value(field)
            }
        })*
    };
}

shows!(Id is Uuid of uuid::Uuid: |id| Value::Uuid(*id));
shows!(Time is Time of Timestamp: |time| Value::Time(*time));
shows!(Text is Text of
    RowText: |text| Value::text(text),
    UsageSource: |source| Value::text(source.as_str()));
shows!(Key is Text of RowText: |text| Value::key(text));
shows!(Json is Json of String: |text| Value::Json(Cow::Borrowed(text)));
shows!(Bytes is Bytes of [u8; 32]: |hash| Value::Bytes(hash));
shows!(Int4 is Int4 of
    i16: |number| Value::Int4((*number).into()),
    i32: |number| Value::Int4(*number));
shows!(Int8 is Int8 of i64: |number| Value::Int8(*number));
shows!(Bool is Bool of bool: |value| Value::Bool(*value));
shows!(Money is Money of Cost: |cost| Value::Money(*cost));
shows!(Address is Address of std::net::IpAddr: |address| Value::Address(*address));

impl Shows<Vec<Billed>> for Json {
    const SQL: SqlType = SqlType::Json;
    const IS_NULLABLE: bool = true;

    /// Each sampling as a JSON object, under the names of the columns; money as text, for no JSON number is exact.
    fn value(billed: &Vec<Billed>) -> Value<'_> {
        if <Self as Shows<Vec<Billed>>>::is_null(billed) {
            return Value::Null;
        }
        let object = |one: &Billed| {
            let mut object = Map::new();
            let tokens = one.tokens;
            object.insert("kind".into(), json!(one.kind));
            object.insert("model".into(), json!(one.model));
            object.insert("input_tokens".into(), json!(tokens.input));
            object.insert("output_tokens".into(), json!(tokens.output));
            object.insert("cache_read_input_tokens".into(), json!(tokens.cache_read));
            object.insert("cache_creation_input_tokens".into(), json!(tokens.cache_creation));
            object.insert("cache_creation_1h_input_tokens".into(), json!(tokens.cache_creation_1h));
            object.insert("reasoning_tokens".into(), json!(tokens.reasoning));
            object.insert("cost_usd".into(), json!(one.cost_usd.map(|cost| cost.to_string())));
            object
        };
        Value::Json(Cow::Owned(json!(billed.iter().map(object).collect::<Vec<_>>()).to_string()))
    }

    fn is_null(billed: &Vec<Billed>) -> bool {
        billed.is_empty()
    }
}

impl Shows<Vec<RowAttempt>> for Json {
    const SQL: SqlType = SqlType::Json;
    const IS_NULLABLE: bool = true;

    /// Each attempt as a JSON object, with its times in milliseconds from the head of the request on.
    fn value(attempts: &Vec<RowAttempt>) -> Value<'_> {
        if <Self as Shows<Vec<RowAttempt>>>::is_null(attempts) {
            return Value::Null;
        }
        let object = |one: &RowAttempt| {
            json!({
                "upstream": one.upstream,
                "server": one.server,
                "address": one.address,
                "wanted_ms": one.wanted_us / 1000,
                "began_ms": one.began_us / 1000,
                "ended_ms": one.ended_us.map(|ended| ended / 1000),
                "status": one.status,
                "error": one.error,
            })
        };
        Value::Json(Cow::Owned(json!(attempts.iter().map(object).collect::<Vec<_>>()).to_string()))
    }

    fn is_null(attempts: &Vec<RowAttempt>) -> bool {
        attempts.is_empty()
    }
}

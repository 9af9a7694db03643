//! A value of a column, whatever the engine. Each engine writes it in its own way.

use std::borrow::Cow;
use std::net::IpAddr;

use uuid::Uuid;

use crate::{Cost, Timestamp};

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Text(Cow<'a, str>),
    Json(Cow<'a, str>),
    Bytes(&'a [u8]),
    Int4(i32),
    Int8(i64),
    Bool(bool),
    Uuid(Uuid),
    Time(Timestamp),
    Money(Cost),
    Address(IpAddr),
}

impl<'a> Value<'a> {
    /// The value, where there is one.
    pub(crate) fn some<T>(value: Option<T>, make: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Null, make)
    }

    /// A text. No Postgres text holds a NUL: a sign stands in its place.
    pub(crate) fn text(text: &'a str) -> Self {
        Self::Text(if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() })
    }

    /// The beginning of a text that has a place in an index, which takes no long ones.
    pub(crate) fn key(text: &'a str) -> Self {
        Self::text(&text[..text.floor_char_boundary(LONGEST_KEY)])
    }
}

/// The longest text in an index, in bytes; that of a name in the DNS is 253.
const LONGEST_KEY: usize = 512;

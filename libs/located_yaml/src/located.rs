//! A value of the configuration together with where it stands in the file.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A place in a file; the first line and the first column are 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The number of the file: 0 for the one that is read, and from 1 on those that it includes, in order.
    pub file: usize,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Location {
    /// A place in the file that is read.
    #[must_use]
    pub fn new(line: usize, column: usize) -> Self {
        Self { file: 0, line, column }
    }
}

/// A value and its place. To read it, it is the value.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands. The default location if it was not read from a file.
    pub at: Location,
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The name under which a located value asks for itself. This crate's deserializer answers it with file, line, column and value;
/// every other takes it for the name of a newtype.
pub(crate) const LOCATED: &str = "located_yaml::Located";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(LOCATED, LocatedVisitor(PhantomData))
    }
}

struct LocatedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for LocatedVisitor<T> {
    type Value = Located<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Located<T>, D::Error> {
        Ok(Located { value: T::deserialize(deserializer)?, at: Location::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut located: A) -> Result<Located<T>, A::Error> {
        let missing = || A::Error::custom("a located value lacks its place");
        let file = located.next_element()?.ok_or_else(missing)?;
        let line = located.next_element()?.ok_or_else(missing)?;
        let column = located.next_element()?.ok_or_else(missing)?;
        let value = located.next_element()?.ok_or_else(missing)?;
        Ok(Located { value, at: Location { file, line, column } })
    }
}

impl<T: Serialize> Serialize for Located<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_a_format_without_places_it_is_the_value_alone() {
        let located: Located<Vec<u8>> = serde_json::from_str("[1, 2, 3]").unwrap();
        assert_eq!((&*located.value, located.at), (&[1, 2, 3][..], Location::default()));
    }
}

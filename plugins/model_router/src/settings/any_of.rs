//! One value, or a list of values of which any suffices.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use glob::Glob;
use plugin_api::one_or_many;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// The values, at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct AnyOf<T>(Vec<T>);

impl<T> AnyOf<T> {
    /// The values.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for AnyOf<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let values = one_or_many(reader, "a text, or a list of texts")?;
        if values.is_empty() {
            return Err(serde::de::Error::custom("the list is empty, so it never holds; wanted at least one text"));
        }
        Ok(Self(values))
    }
}

impl<T: JsonSchema> JsonSchema for AnyOf<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("AnyOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [value, { "type": "array", "items": value, "minItems": 1 }] })
    }
}

/// A pattern: `*` stands for any text, `?` for any one character, and letter case does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "String", into = "String")]
pub struct Pattern(pub Glob);

impl FromStr for Pattern {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Glob::new(text)))
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self(Glob::new(&text))
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

impl JsonSchema for Pattern {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "`*` stands for any text, `?` for any one character" })
    }
}

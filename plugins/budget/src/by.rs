//! By what a budget tells callers apart, as the YAML writes it, and who a caller is to it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use plugin_api::{Spender, SpentBy, one_or_many, shortened};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// The longest text of a caller in a message, in bytes.
const LONGEST_NAME: usize = 128;

/// By what a budget tells callers apart: one thing, several together, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "Vec<String>")]
pub struct By(Vec<SpentBy>);

/// One word of the list; `None` is `all`.
struct Part(Option<SpentBy>);

impl By {
    /// The parts; empty for all callers together.
    pub(crate) fn parts(&self) -> &[SpentBy] {
        &self.0
    }

    /// Whether it names something twice.
    pub(crate) fn repeats(&self) -> bool {
        (1..self.0.len()).any(|place| self.0[..place].contains(&self.0[place]))
    }

    /// Who that is, in words: `key alice and model gpt-5`.
    pub(crate) fn describe(&self, spender: &Spender<'_>) -> String {
        if self.0.is_empty() {
            return "all callers".to_owned();
        }
        let parts = self.0.iter().map(|by| match spender.get(*by) {
            Some(text) => format!("{} {}", word(*by), shortened(text, LONGEST_NAME)),
            None => format!("callers without a {}", word(*by)),
        });
        parts.collect::<Vec<_>>().join(" and ")
    }

    /// The texts that tell the spender apart. Callers without what the budget goes by share one.
    pub(crate) fn texts_of<'a>(&self, spender: &Spender<'a>) -> impl Iterator<Item = Option<&'a str>> + Clone {
        self.0.iter().map(|by| spender.get(*by))
    }
}

/// The texts of a spender in one, for a label: `alice`, `alice+gpt-5`.
pub(crate) fn label(texts: &[Option<Box<str>>]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| text.as_deref().unwrap_or_default()).collect();
    shortened(&texts.join("+"), LONGEST_NAME).into_owned()
}

fn word(by: SpentBy) -> &'static str {
    match by {
        SpentBy::Tenant => "tenant",
        SpentBy::Key => "key",
        SpentBy::User => "user",
        SpentBy::Model => "model",
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [SpentBy::Tenant, SpentBy::Key, SpentBy::User, SpentBy::Model];
        match all.into_iter().find(|by| word(*by) == text) {
            Some(by) => Ok(Self(Some(by))),
            None if text == "all" => Ok(Self(None)),
            None => Err(format!(
                "`{text}` is nothing that spending is told apart by; wanted `key`, `tenant`, `user`, `model` or `all`"
            )),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|by| word(*by)).collect();
        f.write_str(&if words.is_empty() { "all".to_owned() } else { words.join("+") })
    }
}

impl From<By> for Vec<String> {
    fn from(by: By) -> Self {
        if by.0.is_empty() { vec!["all".to_owned()] } else { by.0.iter().map(|by| word(*by).to_owned()).collect() }
    }
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let parts: Vec<Part> = one_or_many(reader, "what spending is told apart by, such as `key`, or a list of that")?;
        if parts.is_empty() {
            return Err(D::Error::custom("the list is empty; for all callers together write `all`"));
        }
        if parts.len() > 1 && parts.iter().any(|part| part.0.is_none()) {
            return Err(D::Error::custom("a list with `all` has nothing else in it"));
        }
        Ok(Self(parts.into_iter().filter_map(|part| part.0).collect()))
    }
}

impl JsonSchema for By {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SpentBy".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let part = json_schema!({ "enum": ["tenant", "key", "user", "model", "all"] });
        json_schema!({ "anyOf": [part, { "type": "array", "items": part, "minItems": 1 }] })
    }
}

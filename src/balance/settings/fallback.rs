//! The upstream that takes over: its name, and the model to ask it for.

use std::fmt;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The upstream that takes over when another is exhausted: `NAME`, or `{ upstream: NAME, model: … }`. It has attempts of
/// its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(with = "Written")]
pub struct Fallback {
    /// Its name.
    pub upstream: String,
    /// The model that every call asks it for. Absent: the call's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The model to ask for in the place of another, by the name of that other, which may be a pattern; goes before `model`.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub models: IndexMap<String, String>,
}

impl Fallback {
    /// The model to ask for in the place of this one; none where it stays.
    #[must_use]
    pub fn model_for(&self, asked: &str) -> Option<&str> {
        let own = || self.models.iter().find(|(pattern, _)| glob::matches(pattern, asked)).map(|(_, model)| model);
        own().or(self.model.as_ref()).map(String::as_str).filter(|model| *model != asked)
    }

    /// The models that it names.
    pub fn model_names(&self) -> impl Iterator<Item = &str> {
        self.models.iter().flat_map(|(asked, model)| [asked, model]).chain(&self.model).map(String::as_str)
    }

    /// Whether it ever changes a call's model.
    #[must_use]
    pub fn changes_models(&self) -> bool {
        self.model.is_some() || !self.models.is_empty()
    }
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Written {
    /// Its name.
    Name(String),
    /// Its name, and the model to ask it for.
    Full(Full),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Full {
    /// The name of an upstream.
    upstream: String,
    /// The model that every call asks it for. Absent: the call's own.
    #[serde(default)]
    model: Option<String>,
    /// The model to ask for in the place of another, by the name of that other, which may be a pattern; goes before `model`.
    #[serde(default)]
    models: IndexMap<String, String>,
}

impl<'de> Deserialize<'de> for Fallback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FallbackVisitor)
    }
}

struct FallbackVisitor;

impl<'de> Visitor<'de> for FallbackVisitor {
    type Value = Fallback;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an upstream, or a mapping with `upstream`")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Fallback, E> {
        Ok(Fallback { upstream: name.to_owned(), model: None, models: IndexMap::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fallback, A::Error> {
        let Full { upstream, model, models } = Full::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Fallback { upstream, model, models })
    }
}

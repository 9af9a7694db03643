//! What stands behind a plugin's name in the YAML: its settings, or `off`.

use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// What stands in the place of settings to take a plugin out of a route.
pub(super) const OFF: &str = "off";

/// The settings of a plugin, or `off`.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Switch<T> {
    /// Not on this route.
    #[schemars(with = "OffWord")]
    Off,
    /// With these settings.
    On(T),
}

impl<T> Switch<T> {
    /// The settings, unless it is off.
    pub(super) fn on(&self) -> Option<&T> {
        match self {
            Self::On(settings) => Some(settings),
            Self::Off => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchVisitor(PhantomData))
    }
}

struct SwitchVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SwitchVisitor<T> {
    type Value = Switch<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its settings, or `{OFF}`")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Switch<T>, E> {
        if word == OFF { Ok(Switch::Off) } else { Err(E::invalid_value(Unexpected::Str(word), &self)) }
    }

    /// Nothing beneath the name: no setting at all.
    fn visit_unit<E: Error>(self) -> Result<Switch<T>, E> {
        self.visit_map(MapDeserializer::new(std::iter::empty::<(&str, &str)>()))
    }

    fn visit_map<A: MapAccess<'de>>(self, settings: A) -> Result<Switch<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(settings)).map(Switch::On)
    }
}

/// The word `off`, for the schema.
#[derive(JsonSchema)]
#[schemars(inline)]
enum OffWord {
    /// Not on this route.
    #[schemars(rename = "off")]
    #[expect(dead_code, reason = "only its name in the schema is of use")]
    Off,
}

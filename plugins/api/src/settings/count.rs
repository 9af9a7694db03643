//! A whole number with bounds that its type names.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A whole number of `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "u64")]
pub struct Count<const LEAST: u64, const MOST: u64>(u64);

impl<const LEAST: u64, const MOST: u64> Count<LEAST, MOST> {
    /// This number, or the bound that it is beyond.
    #[must_use]
    pub const fn clamped(number: u64) -> Self {
        Self(if number < LEAST {
            LEAST
        } else if number > MOST {
            MOST
        } else {
            number
        })
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As an index; the largest where the machine's is smaller.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const LEAST: u64, const MOST: u64> TryFrom<u64> for Count<LEAST, MOST> {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        match number {
            _ if number < LEAST => Err(format!("found number `{number}`, wanted a whole number of at least {LEAST}")),
            _ if number > MOST => Err(format!("found number `{number}`, wanted a whole number of at most {MOST}")),
            _ => Ok(Self(number)),
        }
    }
}

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Count<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_u64(CountVisitor)
    }
}

struct CountVisitor<const LEAST: u64, const MOST: u64>;

impl<const LEAST: u64, const MOST: u64> Visitor<'_> for CountVisitor<LEAST, MOST> {
    type Value = Count<LEAST, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number of at least {LEAST}")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        number.try_into().map_err(E::custom)
    }
}

impl<const LEAST: u64, const MOST: u64> From<Count<LEAST, MOST>> for u64 {
    fn from(count: Count<LEAST, MOST>) -> Self {
        count.0
    }
}

impl<const LEAST: u64, const MOST: u64> JsonSchema for Count<LEAST, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_has_bounds() {
        let read = |text: &str| serde_json::from_str::<Count<1, 9>>(text).map(Count::get).map_err(|e| e.to_string());
        assert_eq!((read("1"), read("9")), (Ok(1), Ok(9)));
        assert!(read("0").unwrap_err().contains("at least 1") && read("10").unwrap_err().contains("at most 9"));
        assert_eq!((Count::<1, 9>::clamped(0).get(), Count::<1, 9>::clamped(99).as_usize()), (1, 9));
    }
}

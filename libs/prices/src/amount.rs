//! A decimal number with up to six digits behind the point, kept exactly.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cost::Cost;

const DIGITS: usize = 6;
const ONE: u64 = 1_000_000;
/// The limit, so that no sum overflows.
const MAX: u64 = 1_000_000 * ONE;

/// A number of US dollars, or a factor: not negative, at most a million, six digits behind the point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount(u64);

impl Amount {
    /// As money.
    #[must_use]
    pub fn cost(self) -> Cost {
        Cost::from_picos(self.millionths() * 1_000_000)
    }

    /// In millionths.
    pub(crate) fn millionths(self) -> i128 {
        self.0.into()
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not an amount; write it like `3`, `0.25` or `18.75`, with at most six digits behind the point"
            )
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || fraction.len() > DIGITS || !is_number(whole) || !is_number(fraction) {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let fraction: u64 = format!("{fraction:0<DIGITS$}").parse().map_err(|_| wrong())?;
        let sum = whole.checked_mul(ONE).and_then(|whole| whole.checked_add(fraction));
        sum.filter(|sum| *sum <= MAX).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:0DIGITS$}", self.0 / ONE, self.0 % ONE);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount like `3`, `0.25` or `18.75`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Amount, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Amount, E> {
        self.visit_str(&number.to_string())
    }

    /// The shortest decimal that is this number is the one that was written.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Amount, E> {
        self.visit_str(&number.to_string())
    }
}

/// As a number where that is exact to the reader, too, which six digits are.
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.to_string().parse::<f64>() {
            Ok(number) if !self.0.is_multiple_of(ONE) => serializer.serialize_f64(number),
            _ => serializer.serialize_u64(self.0 / ONE),
        }
    }
}

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "string"], "minimum": 0, "maximum": 1_000_000, "examples": [3, 0.25, 18.75] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_to_its_last_digit_however_it_is_written() {
        for (json, millionths, text) in [
            ("3", 3_000_000, "3"),
            ("0.25", 250_000, "0.25"),
            ("\"18.75\"", 18_750_000, "18.75"),
            ("0.000001", 1, "0.000001"),
            ("1e-6", 1, "0.000001"),
            ("0.1", 100_000, "0.1"),
            ("1000000", 1_000_000_000_000, "1000000"),
        ] {
            let amount: Amount = serde_json::from_str(json).unwrap();
            assert_eq!((amount.millionths(), amount.to_string().as_str()), (millionths, text), "{json}");
        }
        for wrong in ["-1", "0.0000001", "\"1,5\"", "\"\"", "1000001", "1e300", "true", "\".5\""] {
            assert!(serde_json::from_str::<Amount>(wrong).is_err(), "{wrong}");
        }
    }
}

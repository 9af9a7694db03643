//! Amounts as the YAML writes them: US dollars by the span of time, shares of that, and what a call without a price counts.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use plugin_api::AssumedCost;
use prices::{Amount, Cost};
use quota::Unit;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// US dollars by the span of time: `500/month`, `20/day`, `0.5/week`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct UsdRate {
    pub(crate) amount: Amount,
    pub(crate) unit: Unit,
}

/// A share of a budget, in whole per cent: `80%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share(u32);

/// What becomes of calls whose price is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unpriced {
    /// `refuse`: they are refused.
    #[default]
    Refuse,
    /// `allow`: they pass, and count nothing.
    Allow,
    /// They pass, and each counts so many US dollars.
    Charge(Amount),
}

impl UsdRate {
    /// In picodollars.
    pub(crate) fn picos(self) -> u64 {
        u64::try_from(self.amount.cost().picos()).unwrap_or(0)
    }
}

impl Share {
    /// Whether so much of so much is at least this share.
    pub(crate) fn is_reached(self, spent: i64, amount: u64) -> bool {
        i128::from(spent) * 100 >= i128::from(amount) * i128::from(self.0)
    }
}

impl Unpriced {
    /// What counts for a call that had a price when it was let through, and whose cost does not become known.
    pub(crate) fn assumed(self, of_call: AssumedCost) -> AssumedCost {
        match self {
            Self::Refuse | Self::Allow => of_call,
            // its own amount counts, by the ledger's number of such answers
            Self::Charge(_) => AssumedCost { answered: None, ..of_call },
        }
    }

    /// What an answer of unknown cost counts, in picodollars.
    pub(crate) fn picos(self) -> i64 {
        match self {
            Self::Refuse | Self::Allow => 0,
            Self::Charge(amount) => amount.cost().picos(),
        }
    }
}

/// The word for a span of time.
pub(crate) fn word(unit: Unit) -> &'static str {
    match unit {
        Unit::Day => "day",
        Unit::Week => "week",
        Unit::Month => "month",
    }
}

/// Picodollars as people write dollars: `$20`, `$0.31`. Rounded down to six digits behind the point.
pub(crate) fn dollars(picos: u64) -> String {
    let rounded = i128::from(picos / 1_000_000) * 1_000_000;
    format!("${}", Cost::from_picos(rounded))
}

impl FromStr for UsdRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is not an amount by the span of time; write it like `500/month`, `20/day` or `100/week`")
        };
        let (amount, span) = text.split_once('/').ok_or_else(wrong)?;
        let unit = match span.trim() {
            "d" | "day" => Unit::Day,
            "w" | "week" => Unit::Week,
            "month" => Unit::Month,
            _ => return Err(wrong()),
        };
        let amount: Amount = amount.trim().parse().map_err(|_| wrong())?;
        if amount == Amount::default() {
            return Err(format!("`{text}` allows nothing; to refuse a model, leave it out of `models` of the keys"));
        }
        Ok(Self { amount, unit })
    }
}

impl fmt::Display for UsdRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.amount, word(self.unit))
    }
}

impl TryFrom<String> for UsdRate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<UsdRate> for String {
    fn from(rate: UsdRate) -> Self {
        rate.to_string()
    }
}

impl JsonSchema for UsdRate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "UsdRate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["500/month", "20/day", "0.5/week"] })
    }
}

impl TryFrom<String> for Share {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
        let number = number.filter(|number| (1..=1000).contains(number));
        number.map(Self).ok_or_else(|| format!("`{text}` is not a share; write it like `80%`, from `1%` to `1000%`"))
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl JsonSchema for Share {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+%$", "examples": ["80%"] })
    }
}

impl<'de> Deserialize<'de> for Unpriced {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(UnpricedVisitor)
    }
}

struct UnpricedVisitor;

impl Visitor<'_> for UnpricedVisitor {
    type Value = Unpriced;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`refuse`, `allow`, or an amount of US dollars for each call like `0.05`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Unpriced, E> {
        match text {
            "refuse" => Ok(Unpriced::Refuse),
            "allow" => Ok(Unpriced::Allow),
            text => match text.parse() {
                Ok(amount) => Ok(Unpriced::Charge(amount)),
                Err(_) => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
            },
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Unpriced, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Unpriced, E> {
        self.visit_str(&number.to_string())
    }

    /// The shortest decimal that is this number is the one that was written.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Unpriced, E> {
        self.visit_str(&number.to_string())
    }
}

impl Serialize for Unpriced {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Refuse => serializer.serialize_str("refuse"),
            Self::Allow => serializer.serialize_str("allow"),
            Self::Charge(amount) => amount.serialize(serializer),
        }
    }
}

impl JsonSchema for Unpriced {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Unpriced".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let amount = Amount::json_schema(generator);
        json_schema!({ "anyOf": [{ "enum": ["refuse", "allow"] }, amount] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_people_write_them_and_are_exact() {
        for (text, picos, written) in [
            ("500/month", 500_000_000_000_000, "500/month"),
            ("20/d", 20_000_000_000_000, "20/day"),
            (" 0.000001 / week ", 1_000_000, "0.000001/week"),
        ] {
            let rate: UsdRate = text.parse().unwrap();
            assert_eq!((rate.picos(), rate.to_string().as_str()), (picos, written));
        }
        for wrong in ["", "500", "500/m", "500/hour", "-1/day", "/day", "1e3/day", "0/day", "1000001/day"] {
            assert!(wrong.parse::<UsdRate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_is_reached_exactly_and_no_sooner() {
        let share: Share = serde_json::from_str("\"80%\"").unwrap();
        assert!(share.is_reached(80, 100) && !share.is_reached(79, 100) && !share.is_reached(-5, 100));
        assert!(share.is_reached(i64::MAX, u64::MAX / 2));
        for wrong in ["\"80\"", "\"0%\"", "\"1001%\"", "\"%\"", "80"] {
            assert!(serde_json::from_str::<Share>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_unpriced_is_a_word_or_an_amount() {
        for (json, unpriced, picos) in [
            ("\"refuse\"", Unpriced::Refuse, 0),
            ("\"allow\"", Unpriced::Allow, 0),
            ("0.05", Unpriced::Charge("0.05".parse().unwrap()), 50_000_000_000),
            ("2", Unpriced::Charge("2".parse().unwrap()), 2_000_000_000_000),
        ] {
            let read: Unpriced = serde_json::from_str(json).unwrap();
            assert_eq!((read, read.picos()), (unpriced, picos));
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
        assert!(
            serde_json::from_str::<Unpriced>("\"free\"").is_err() && serde_json::from_str::<Unpriced>("-1").is_err()
        );
    }

    #[test]
    fn dollars_are_written_without_more_digits_than_help() {
        assert_eq!(dollars(20_000_000_000_000), "$20");
        assert_eq!(dollars(312_345_678_901), "$0.312345");
        assert_eq!(dollars(0), "$0");
    }
}

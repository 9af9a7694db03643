//! Comparisons with a number: `<400`, `>=2`, `3`, `>90%`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// How a number is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `=`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    More,
}

impl Comparison {
    // the longer ones first, so that `<=` is not taken for `<`
    const ALL: [(&'static str, Self); 5] =
        [("<=", Self::AtMost), (">=", Self::AtLeast), ("<", Self::Less), (">", Self::More), ("=", Self::Equal)];

    fn of(text: &str) -> (Self, &str) {
        let found = Self::ALL.iter().find_map(|(sign, how)| text.strip_prefix(sign).map(|rest| (*how, rest)));
        let (how, rest) = found.unwrap_or((Self::Equal, text));
        (how, rest.trim_start())
    }

    fn sign(self) -> &'static str {
        Self::ALL.iter().find(|(_, how)| *how == self).map_or("=", |(sign, _)| sign)
    }

    fn holds<T: PartialOrd>(self, value: T, bound: T) -> bool {
        match self {
            Self::Less => value < bound,
            Self::AtMost => value <= bound,
            Self::Equal => value == bound,
            Self::AtLeast => value >= bound,
            Self::More => value > bound,
        }
    }
}

/// A condition on a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Number {
    how: Comparison,
    bound: u64,
}

impl Number {
    /// Whether it holds.
    #[must_use]
    pub fn holds(self, value: u64) -> bool {
        self.how.holds(value, self.bound)
    }
}

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (how, rest) = Comparison::of(text);
        let bound = rest.parse().map_err(|_| {
            format!("`{text}` is no condition on a number; wanted `<400`, `<=400`, `>400`, `>=400` or `400`")
        })?;
        Ok(Self { how, bound })
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(Written)
    }
}

/// Reads it as the YAML may write it: as a number, or as a text.
struct Written;

impl Visitor<'_> for Written {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a comparison such as `<400`")
    }

    fn visit_u64<E: Error>(self, bound: u64) -> Result<Number, E> {
        Ok(Number { how: Comparison::Equal, bound })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
        text.parse().map_err(E::custom)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.how.sign(), self.bound)
    }
}

impl From<Number> for String {
    fn from(number: Number) -> Self {
        number.to_string()
    }
}

impl JsonSchema for Number {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number, or a comparison with one: `<400`, `<=400`, `>400`, `>=400`",
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^(<|<=|=|>=|>)? *[0-9]+$" }]
        })
    }
}

/// A condition on a share.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent {
    how: Comparison,
    bound: f64,
}

impl Percent {
    /// Whether it holds for a share, of which 1 is the whole.
    #[must_use]
    pub fn holds(self, share: f64) -> bool {
        self.how.holds(share * 100.0, self.bound)
    }
}

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (how, rest) = Comparison::of(&text);
        let number = rest.strip_suffix('%').and_then(|number| number.trim_end().parse::<f64>().ok());
        let bound = number.filter(|bound| (0.0..=1000.0).contains(bound));
        let wrong = || format!("`{text}` is no condition on a share; wanted `>90%`, `>=90%`, `<50%` or `<=50%`");
        Ok(Self { how, bound: bound.ok_or_else(wrong)? })
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}%", self.how.sign(), self.bound)
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        percent.to_string()
    }
}

impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A comparison with a share: `>90%`",
            "type": "string",
            "pattern": "^(<|<=|=|>=|>)? *[0-9]+(\\.[0-9]+)? *%$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_compared_as_it_is_written() {
        let holds = |text: &str, value| text.parse::<Number>().unwrap().holds(value);
        assert!(holds("<400", 399) && !holds("<400", 400));
        assert!(holds("<= 400", 400) && !holds("<=400", 401));
        assert!(holds(">2", 3) && !holds(">2", 2));
        assert!(holds(">=2", 2) && !holds(">=2", 1));
        assert!(holds("2", 2) && !holds("=2", 3));
        for text in ["", "<", "=<3", "many", "<-1", "<1.5", "< 4 0"] {
            let error = text.parse::<Number>().unwrap_err();
            assert!(error.starts_with(&format!("`{text}` is no condition on a number")), "{error}");
        }
    }

    #[test]
    fn a_share_is_compared_in_percent() {
        let holds = |text: &str, share| Percent::try_from(text.to_owned()).unwrap().holds(share);
        assert!(holds(">90%", 0.91) && !holds(">90%", 0.9));
        assert!(holds("<=12.5%", 0.125) && holds(">=100%", 1.2));
        for text in ["90", ">90", "%", ">-1%", ">NaN%", ">inf%"] {
            assert!(Percent::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert_eq!(String::from(Percent::try_from("> 90 %".to_owned()).unwrap()), ">90%");
    }
}

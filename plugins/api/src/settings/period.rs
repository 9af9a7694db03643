//! A span of time as settings write it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A span of time as the YAML writes it: `30s`, `10m`, `1h 30m`, `250ms`. `0s` is legal, and no span is longer than
/// [`Period::LONGEST`]: every clock can add it to its present time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(Duration);

impl Period {
    /// The longest span: 100 years of 365.25 days.
    pub const LONGEST: Duration = Duration::from_secs(100 * 31_557_600);

    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        match humantime::parse_duration(text) {
            Ok(span) if span <= Self::LONGEST => Ok(Self(span)),
            Ok(_) | Err(humantime::DurationError::NumberOverflow) => {
                Err(format!("`{text}` is too long a span of time; wanted at most 100 years"))
            }
            Err(_) => Err(format!("`{text}` is not a span of time; write it like `30s`, `10m` or `250ms`")),
        }
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&humantime::format_duration(self.0), f)
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl JsonSchema for Period {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["30s", "10m", "250ms"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_read_as_people_write_them() {
        for (text, milliseconds) in
            [("30s", 30_000), ("10m", 600_000), ("250ms", 250), ("1h 30m", 5_400_000), ("0s", 0)]
        {
            assert_eq!(text.parse::<Period>().unwrap().get(), Duration::from_millis(milliseconds), "{text}");
        }
        assert!("30".parse::<Period>().unwrap_err().contains("`30` is not a span of time"));
        assert!("-1s".parse::<Period>().is_err());
        assert_eq!("100y".parse::<Period>().unwrap().get(), Period::LONGEST);
        for text in ["101y", "500000000000y", "99999999999999999999y", "18446744073709551615s"] {
            assert!(text.parse::<Period>().unwrap_err().contains("at most 100 years"), "{text}");
        }
        let now = (std::time::Instant::now(), std::time::SystemTime::now());
        assert!(now.0.checked_add(Period::LONGEST * 2).is_some() && now.1.checked_add(Period::LONGEST * 2).is_some());
    }
}

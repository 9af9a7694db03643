//! How much a caller may have: amounts by the span of time, and calls at once. Says it, and counts nothing.

use std::borrow::Cow;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What one caller may have. What is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Requests by the span of time: `100/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Rate>,
    /// The most requests at once after a pause. Absent: as many as `requests` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<NonZeroU64>,
    /// Tokens, input and output, by the span of time: `400000/m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Rate>,
    /// Calls in flight at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<NonZeroU32>,
}

impl Quota {
    /// Whether it limits nothing.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.requests.is_none() && self.tokens.is_none() && self.concurrent.is_none()
    }
}

/// An amount by the span of time, as the YAML writes it: `100/s`, `400000/m`, `20000000/d`, `500/month`.
///
/// ```
/// # use plugin_api::{Rate, Window};
/// let rate: Rate = "400000/m".parse().unwrap();
/// assert_eq!((rate.amount.get(), rate.window), (400_000, Window::Minute));
/// assert_eq!(rate.to_string(), "400000/m");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// How much.
    pub amount: NonZeroU64,
    /// In what time.
    pub window: Window,
}

/// The span of time of a [`Rate`]. Days and months are those of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// `s`
    Second,
    /// `m`
    Minute,
    /// `h`
    Hour,
    /// `d`
    Day,
    /// `month`
    Month,
}

impl Window {
    /// All of them, each with the words for it; the first is the one it is written with.
    const WORDS: [(Self, &'static [&'static str]); 5] = [
        (Self::Second, &["s", "second"]),
        (Self::Minute, &["m", "minute"]),
        (Self::Hour, &["h", "hour"]),
        (Self::Day, &["d", "day"]),
        (Self::Month, &["month"]),
    ];
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = Self::WORDS.iter().find(|(window, _)| window == self).map_or(&[][..], |(_, words)| words);
        f.write_str(words.first().copied().unwrap_or_default())
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not an amount by the span of time; write it like `100/s`, `400000/m`, `20/d` or `500/month`"
            )
        };
        let (amount, word) = text.split_once('/').ok_or_else(wrong)?;
        let (amount, word) = (amount.trim(), word.trim());
        let is_number = !amount.is_empty() && amount.bytes().all(|byte| byte.is_ascii_digit());
        let amount: u64 = amount.parse().ok().filter(|_| is_number).ok_or_else(wrong)?;
        let window = Window::WORDS.iter().find(|(_, words)| words.contains(&word)).ok_or_else(wrong)?.0;
        let amount =
            NonZeroU64::new(amount).ok_or_else(|| format!("`{text}` allows nothing; the amount must be at least 1"))?;
        Ok(Self { amount, window })
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.amount, self.window)
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl JsonSchema for Rate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["100/s", "400000/m", "20000000/d", "500/month"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_as_people_write_them_and_print_again() {
        for (text, amount, window, written) in [
            ("100/s", 100, Window::Second, "100/s"),
            ("400000/minute", 400_000, Window::Minute, "400000/m"),
            (" 5 / h ", 5, Window::Hour, "5/h"),
            ("20/day", 20, Window::Day, "20/d"),
            ("18446744073709551615/month", u64::MAX, Window::Month, "18446744073709551615/month"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.amount.get(), rate.window, rate.to_string()), (amount, window, written.to_owned()));
            assert_eq!(written.parse(), Ok(rate));
        }
        for text in ["", "100", "/m", "100/", "-1/s", "+1/s", "1.5/s", "100/w", "18446744073709551616/s", "1/s/s"] {
            assert!(text.parse::<Rate>().unwrap_err().contains("write it like"), "{text}");
        }
        assert!("0/s".parse::<Rate>().unwrap_err().contains("at least 1"));
    }

    #[test]
    fn a_quota_limits_what_it_names() {
        let quota: Quota = serde_json::from_str(r#"{"tokens":"100000/m","concurrent":3}"#).unwrap();
        assert_eq!(quota.tokens, Some("100000/m".parse().unwrap()));
        assert_eq!(
            (quota.concurrent.map(NonZeroU32::get), quota.requests, quota.is_unlimited()),
            (Some(3), None, false)
        );
        assert!(Quota::default().is_unlimited());
        for wrong in [r#"{"tokens":5}"#, r#"{"concurrent":0}"#, r#"{"token":"5/s"}"#] {
            assert!(serde_json::from_str::<Quota>(wrong).is_err(), "{wrong}");
        }
    }
}

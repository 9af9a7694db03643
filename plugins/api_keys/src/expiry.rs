//! The moment from which a key is refused, as the YAML writes it: a date or a moment. Reads no clock.

use std::borrow::Cow;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDate, NaiveTime};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The moment from which a key is refused: `2027-01-01`, which is the beginning of that day in UTC, or
/// `2027-01-01T12:00:00+01:00`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expiry {
    at: Moment,
    text: String,
}

/// A second of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(i64);

impl Moment {
    /// Whether it has come by the clock of the machine.
    pub(crate) fn has_come(self) -> bool {
        self.has_come_by(SystemTime::now())
    }

    fn has_come_by(self, now: SystemTime) -> bool {
        // a clock before 1970 is wrong; then nothing has expired
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        i64::try_from(now).unwrap_or(i64::MAX) >= self.0
    }
}

impl Expiry {
    /// The moment.
    pub(crate) fn at(&self) -> Moment {
        self.at
    }
}

impl TryFrom<String> for Expiry {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let date = NaiveDate::parse_from_str(&text, "%Y-%m-%d").map(|date| date.and_time(NaiveTime::MIN).and_utc());
        let moment = date.or_else(|_| DateTime::parse_from_rfc3339(&text).map(|moment| moment.to_utc()));
        let moment = moment.map_err(|_| {
            format!("`{text}` is neither a date nor a moment; write it like `2027-01-01` or `2027-01-01T12:00:00Z`")
        })?;
        Ok(Self { at: Moment(moment.timestamp()), text })
    }
}

impl From<Expiry> for String {
    fn from(expiry: Expiry) -> Self {
        expiry.text
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for Expiry {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Expiry".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["2027-01-01", "2027-01-01T12:00:00Z"] })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_date_begins_in_utc_and_a_moment_says_where() {
        let at = |text: &str| Expiry::try_from(text.to_owned()).map(|expiry| expiry.at().0);
        assert_eq!(at("1970-01-02"), Ok(86_400));
        assert_eq!(at("1970-01-02T00:00:00Z"), Ok(86_400));
        assert_eq!(at("1970-01-02T01:00:00+01:00"), Ok(86_400));
        for wrong in ["", "2027", "2027-13-01", "2027-02-30", "01.02.2027", "2027-01-01T12:00:00", "tomorrow"] {
            assert!(at(wrong).unwrap_err().contains("write it like"), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_good_until_the_second_before() {
        let moment = Moment(100);
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(!moment.has_come_by(at(99)) && moment.has_come_by(at(100)) && moment.has_come_by(at(1_000_000)));
    }
}

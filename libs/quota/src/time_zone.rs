//! A time zone as settings name it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Timelike};
use chrono_tz::Tz;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A time zone, by its name in the IANA database: `UTC`, `Europe/Berlin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZone(pub Tz);

impl TimeZone {
    /// UTC.
    pub const UTC: Self = Self(Tz::UTC);

    /// The minute of the day there, from 0 to 1439, at a moment in seconds since 1970, UTC.
    #[must_use]
    pub fn minute_of_day(self, unix: i64) -> u32 {
        let there = DateTime::from_timestamp(unix, 0).unwrap_or_default().with_timezone(&self.0);
        there.hour() * 60 + there.minute()
    }
}

impl TryFrom<String> for TimeZone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let zone = Tz::from_str(&name);
        zone.map(Self).map_err(|_| format!("`{name}` is not a time zone; write it like `UTC` or `Europe/Berlin`"))
    }
}

impl From<TimeZone> for String {
    fn from(zone: TimeZone) -> Self {
        zone.to_string()
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl JsonSchema for TimeZone {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TimeZone".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["UTC", "Europe/Berlin"] })
    }
}

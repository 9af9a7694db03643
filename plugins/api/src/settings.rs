//! Types of settings that the gateway and its plugins share: spans of time and sizes, parsed once.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

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

/// A number of bytes as the YAML writes it: `512`, `64KiB`, `32MiB`, `1GiB`, or decimal `10MB`; no more than
/// [`ByteSize::LARGEST`], so that sums of sizes are numbers, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(u64);

const UNITS: [(&str, u64); 9] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TiB", 1 << 40),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// The largest size: 1024 TiB.
    pub const LARGEST: u64 = 1 << 50;

    /// So many kibibytes.
    #[must_use]
    pub const fn kibibytes(n: u64) -> Self {
        Self(n << 10)
    }

    /// So many mebibytes.
    #[must_use]
    pub const fn mebibytes(n: u64) -> Self {
        Self(n << 20)
    }

    /// In bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// In bytes, as an index; the largest where the machine's is smaller.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size; write it like `32MiB`, `64KiB` or `512`");
        let (digits, unit) = UNITS
            .iter()
            .find_map(|(unit, bytes)| text.strip_suffix(unit).map(|digits| (digits, *bytes)))
            .unwrap_or((text, 1));
        let digits = digits.trim_end();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let size = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|size| *size <= Self::LARGEST);
        size.map(Self).ok_or_else(|| format!("`{text}` is too large a size; wanted at most 1024TiB"))
    }
}

impl TryFrom<String> for ByteSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().take(3).find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes)) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "examples": ["32MiB", "64KiB", 512] })
    }
}

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

    #[test]
    fn sizes_read_as_people_write_them_and_print_again() {
        for (text, bytes) in
            [("512", 512), ("64KiB", 65_536), ("32MiB", 33_554_432), ("1 GiB", 1 << 30), ("10MB", 10_000_000)]
        {
            assert_eq!(text.parse::<ByteSize>().unwrap().get(), bytes, "{text}");
        }
        assert_eq!(ByteSize::mebibytes(32).to_string(), "32MiB");
        for text in ["", "MiB", "1.5MiB", "-1"] {
            assert!(text.parse::<ByteSize>().unwrap_err().contains("is not a size"), "{text}");
        }
        assert_eq!("1024TiB".parse::<ByteSize>().unwrap().get(), ByteSize::LARGEST);
        for text in ["1025TiB", "99999999999GiB", "18446744073709551615", "99999999999999999999"] {
            assert!(text.parse::<ByteSize>().unwrap_err().contains("at most 1024TiB"), "{text}");
        }
    }

    #[test]
    fn a_count_has_bounds() {
        let read = |text: &str| serde_json::from_str::<Count<1, 9>>(text).map(Count::get).map_err(|e| e.to_string());
        assert_eq!((read("1"), read("9")), (Ok(1), Ok(9)));
        assert!(read("0").unwrap_err().contains("at least 1") && read("10").unwrap_err().contains("at most 9"));
        assert_eq!((Count::<1, 9>::clamped(0).get(), Count::<1, 9>::clamped(99).as_usize()), (1, 9));
    }
}

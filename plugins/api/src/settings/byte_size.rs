//! A number of bytes as settings write it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}

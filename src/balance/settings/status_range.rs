//! The statuses by which a health check is passed, as the YAML writes them.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A status or a range of statuses: `204`, `200-399`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusRange(RangeInclusive<u16>);

impl StatusRange {
    /// Every status that is no error: 200 to 399.
    pub const NO_ERROR: Self = Self(200..=399);

    /// Whether a status is one of them.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.contains(&status)
    }
}

impl TryFrom<String> for StatusRange {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let (from, to) = written.split_once('-').unwrap_or((&written, &written));
        let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (200..=599).contains(status));
        match (status(from), status(to)) {
            (Some(from), Some(to)) if from <= to => Ok(Self(from..=to)),
            _ => {
                Err(format!("`{written}` is not a status of 200 to 599, nor a range of them; write `204` or `200-399`"))
            }
        }
    }
}

impl From<StatusRange> for String {
    fn from(StatusRange(range): StatusRange) -> Self {
        match (range.start(), range.end()) {
            (from, to) if from == to => from.to_string(),
            (from, to) => format!("{from}-{to}"),
        }
    }
}

impl JsonSchema for StatusRange {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "StatusRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "examples": [204, "200-399"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_or_all_from_one_to_another() {
        let range = |written: &str| StatusRange::try_from(written.to_owned());
        let ok = range("200-399").unwrap();
        assert_eq!([199, 200, 399, 400].map(|status| ok.contains(status)), [false, true, true, false]);
        let one = range("204").unwrap();
        assert_eq!([203, 204, 205].map(|status| one.contains(status)), [false, true, false]);
        assert_eq!((String::from(ok), String::from(one)), ("200-399".to_owned(), "204".to_owned()));
        for wrong in ["", "-", "2xx", "199", "600", "399-200", "200-", "200-300-400"] {
            assert!(range(wrong).unwrap_err().contains("write `204` or `200-399`"), "{wrong}");
        }
    }
}

//! The name of a rule, which stands in headers and rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of a rule: letters, digits, `-`, `_` and `.`, at most 64.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RuleName(Box<str>);

impl RuleName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RuleName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        match !text.is_empty() && text.len() <= 64 && text.bytes().all(fits) {
            true => Ok(Self(text.into())),
            false => Err(format!("`{text}` is no name of a rule; wanted 1 to 64 letters, digits, `-`, `_` and `.`")),
        }
    }
}

impl From<RuleName> for String {
    fn from(name: RuleName) -> Self {
        name.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_header() {
        assert!(RuleName::try_from("short-calls_2.1".to_owned()).is_ok());
        for text in ["", "two words", "größe", "a/b", &"x".repeat(65)] {
            assert!(RuleName::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}

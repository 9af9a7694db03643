//! Patterns for the values of headers and query parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::regex::RouteRegex;

/// A pattern for a value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum TextPattern {
    /// Any value.
    Any,
    /// Exactly this one.
    Exact(Box<str>),
    /// Every one that this expression matches.
    Regex(RouteRegex),
}

impl TextPattern {
    /// Whether it takes this value.
    #[must_use]
    pub fn takes(&self, value: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact.as_bytes() == value,
            Self::Regex(regex) => regex.is_match(value),
        }
    }

    /// Whether it takes every value that another one takes; `false` also where that is hard to tell.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Regex(_), Self::Exact(exact)) => self.takes(exact.as_bytes()),
            (one, other) => one == other,
        }
    }
}

impl TryFrom<String> for TextPattern {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        match written.as_str() {
            "*" => Ok(Self::Any),
            text => match RouteRegex::parse(text) {
                Some(regex) => regex.map(Self::Regex),
                None => Ok(Self::Exact(written.into())),
            },
        }
    }
}

impl From<TextPattern> for String {
    fn from(pattern: TextPattern) -> Self {
        match pattern {
            TextPattern::Any => "*".to_owned(),
            TextPattern::Exact(exact) => exact.into(),
            TextPattern::Regex(regex) => regex.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_taken_whole_by_an_expression_or_whatever_it_is() {
        let takes = |written: &str, value: &[u8]| TextPattern::try_from(written.to_owned()).unwrap().takes(value);
        for (written, value, taken) in [
            ("1", "1", true),
            ("1", "11", false),
            ("a", "A", false),
            ("", "", true),
            ("*", "", true),
            ("*", "x", true),
            ("~ ^Bearer sk-", "Bearer sk-1", true),
            ("~ ^Bearer sk-", "bearer sk-1", false),
            ("~* ^bearer ", "Bearer x", true),
        ] {
            assert_eq!(takes(written, value.as_bytes()), taken, "{written} {value}");
        }
        assert!(takes("*", b"\xff") && takes("~* bot", b"\xffBot"));
    }
}

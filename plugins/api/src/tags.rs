//! Words that a plugin sets for later plugins, the ledger and the logs. A fact of the request is a typed field instead.

use std::borrow::Cow;

use crate::LONGEST_TEXT;
use crate::shortened::shortened;

/// The tag that says what a cache did for a call: `hit`, `miss`, `coalesced` or `bypass`. The ledger keeps it as
/// `cache_status`.
pub const CACHE_STATUS: &str = "cache_status";

/// The tag that says which rule chose the model of a call: `auto/2`. The ledger keeps it as `rule`.
pub const RULE: &str = "rule";

/// Words by name: at most [`Tags::MOST`] of at most [`LONGEST_TEXT`] bytes each. An empty list allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Tags(Vec<(&'static str, Cow<'static, str>)>);

impl Tags {
    /// The most tags that one request has. More are dropped.
    pub const MOST: usize = 16;

    /// Sets a tag, in the place of an earlier value.
    pub fn set(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        let value = match value.into() {
            Cow::Owned(text) if text.len() > LONGEST_TEXT => Cow::Owned(shortened(&text, LONGEST_TEXT).into_owned()),
            value => value,
        };
        if let Some((_, old)) = self.0.iter_mut().find(|(known, _)| *known == name) {
            *old = value;
        } else if self.0.len() < Self::MOST {
            self.0.push((name, value));
        }
    }

    /// The value of a tag, if it was set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Cow<'static, str>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All tags, in the order in which they were first set.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_its_last_value_and_there_are_no_more_than_a_few() {
        const NAMES: [&str; 20] =
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"];
        let mut tags = Tags::default();
        for name in NAMES {
            tags.set(name, "first");
        }
        tags.set("a", "x".repeat(LONGEST_TEXT * 2));
        assert_eq!(tags.iter().count(), Tags::MOST);
        assert!(tags.get("a").unwrap().len() <= LONGEST_TEXT && tags.get("t").is_none());
        assert_eq!(tags.get("b").map(|value| &**value), Some("first"));
    }
}

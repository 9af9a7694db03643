//! Patterns for names of models ([`Glob`]), and values by pattern ([`GlobMap`]). Of several patterns that match a name the first
//! in the order of the file counts, so a narrow pattern stands above a wide one.
//!
//! ```
//! use glob::GlobMap;
//!
//! let limits: GlobMap<u32> = [("claude-opus-5", 900), ("claude-*", 100)].into_iter().collect();
//! assert_eq!(limits.get("claude-opus-5").map(|(_, limit)| *limit), Some(900));
//! assert_eq!(limits.get("Claude-Haiku").map(|(pattern, _)| pattern.as_str()), Some("claude-*"));
//! assert_eq!(limits.get("gpt-5"), None);
//! ```

mod map;

use std::str::Chars;

pub use map::{GlobMap, Unreachable};

/// A pattern: `*` stands for any text, `?` for any one character, and letter case does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob(String);

impl Glob {
    /// The pattern that a text is; every text is one.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole name fits. Takes time in proportion to pattern times name at worst.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.0, name)
    }

    /// Whether every name that `other` matches fits this pattern too; `false` also where that is hard to tell.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        // what a `*` of the other stands for can only be swallowed by one of this pattern's
        !self.0.contains('?') && self.matches(&other.0)
    }
}

/// Whether the whole name fits a pattern, as [`Glob::matches`] has it.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut pattern = pattern.chars();
    let mut rest = name.chars();
    // where to go on if the text that the last `*` stands for has to be longer
    let mut retry: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        let ahead = rest.clone();
        let fits = match (pattern.next(), rest.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                retry = Some((pattern.clone(), ahead.clone()));
                rest = ahead;
                continue;
            }
            (Some('?'), Some(_)) => true,
            (Some(wanted), Some(found)) => wanted.eq_ignore_ascii_case(&found),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !fits {
            let Some((behind_star, from)) = &mut retry else { return false };
            if from.next().is_none() {
                return false;
            }
            pattern = behind_star.clone();
            rest = from.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_a_question_mark_any_character() {
        for (pattern, name, fits) in [
            ("claude-opus-*", "claude-opus-5", true),
            ("claude-opus-*", "claude-opus-", true),
            ("claude-opus-*", "claude-opus", false),
            ("claude-opus-*", "anthropic/claude-opus-5", false),
            ("*claude-opus-*", "anthropic/Claude-Opus-5", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("gpt-?", "gpt-5", true),
            ("gpt-?", "gpt-", false),
            ("gpt-?", "gpt-ö", true),
            ("gpt-?", "gpt-55", false),
            ("*b*b", "abab", true),
            ("*b*b", "aba", false),
            ("a*bc", "abcbc", true),
            ("a*bc", "abcb", false),
            ("**", "x", true),
            ("a.c", "abc", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), fits, "{pattern} on {name}");
        }
    }

    #[test]
    fn a_hostile_name_takes_no_more_than_pattern_times_name() {
        let pattern = Glob::new(&format!("{}b", "a*".repeat(100)));
        assert!(!pattern.matches(&"a".repeat(512)));
    }

    #[test]
    fn a_pattern_covers_what_it_matches_with_every_expansion() {
        for (wide, narrow, covers) in [
            ("*", "claude-*", true),
            ("claude-*", "claude-opus-*", true),
            ("claude-*", "Claude-Opus-5", true),
            ("claude-opus-*", "claude-*", false),
            ("claude-?", "claude-*", false),
            ("*-5", "claude-*-5", true),
        ] {
            assert_eq!(Glob::new(wide).covers(&Glob::new(narrow)), covers, "{wide} over {narrow}");
        }
    }
}

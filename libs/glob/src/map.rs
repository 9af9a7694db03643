//! Values by pattern, of which the first that matches counts.

use crate::Glob;

/// Values by pattern, in order.
#[derive(Clone, Debug)]
pub struct GlobMap<T>(Vec<(Glob, T)>);

/// A pattern that can never apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable<'a> {
    /// It is empty, and matches no name.
    Empty,
    /// Another one above it matches every name that it does.
    Covered {
        /// The pattern.
        pattern: &'a str,
        /// The one above it.
        by: &'a str,
    },
}

impl<T> GlobMap<T> {
    /// The first pattern that matches a name, and its value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<(&Glob, &T)> {
        self.0.iter().find(|(pattern, _)| pattern.matches(name)).map(|(pattern, value)| (pattern, value))
    }

    /// All values, in order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    /// The first pattern that can never apply, as far as that is easy to tell.
    #[must_use]
    pub fn unreachable(&self) -> Option<Unreachable<'_>> {
        self.0.iter().enumerate().find_map(|(at, (pattern, _))| {
            if pattern.as_str().is_empty() {
                return Some(Unreachable::Empty);
            }
            let (wider, _) = self.0[..at].iter().find(|(above, _)| above.covers(pattern))?;
            Some(Unreachable::Covered { pattern: pattern.as_str(), by: wider.as_str() })
        })
    }
}

impl<S: AsRef<str>, T> FromIterator<(S, T)> for GlobMap<T> {
    fn from_iter<I: IntoIterator<Item = (S, T)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(pattern, value)| (Glob::new(pattern.as_ref()), value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_matches_counts() {
        let map: GlobMap<u8> = [("a-b", 1), ("a-*", 2), ("*", 3)].into_iter().collect();
        for (name, value) in [("a-b", 1), ("A-B", 1), ("a-c", 2), ("x", 3)] {
            assert_eq!(map.get(name).map(|(_, value)| *value), Some(value), "{name}");
        }
        assert_eq!(map.values().copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(map.unreachable(), None);
    }

    #[test]
    fn a_pattern_that_never_applies_is_told_with_the_one_above_it() {
        let map: GlobMap<u8> = [("claude-*", 1), ("gpt-5", 2), ("claude-opus-*", 3)].into_iter().collect();
        assert_eq!(map.unreachable(), Some(Unreachable::Covered { pattern: "claude-opus-*", by: "claude-*" }));
        let map: GlobMap<u8> = [("", 1)].into_iter().collect();
        assert_eq!((map.unreachable(), map.get("")), (Some(Unreachable::Empty), Some((&Glob::new(""), &1))));
    }
}

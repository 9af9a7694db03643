//! The paths of a location, and what is certain of other expressions about them.

use super::request_facts::compiled;
use super::subset::{are_apart, is_within};

/// The paths that a location takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Paths {
    /// Any: the place is that of a server.
    Any,
    /// One.
    Exact(String),
    /// All that begin so.
    Prefix(String),
    /// All that an expression matches.
    Expression {
        /// The expression.
        text: String,
        /// Whether letter case does not count.
        any_case: bool,
    },
    /// All that an expression matches of those that begin so.
    Below {
        /// How they begin.
        prefix: String,
        /// The expression.
        text: String,
        /// Whether letter case does not count.
        any_case: bool,
    },
}

/// What an expression says about the paths of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// It matches all of them.
    Covers,
    /// It matches none.
    MatchesNone,
    /// It matches some of them, and no others.
    Within,
    /// It matches some, and perhaps others besides.
    Unknown,
}

impl Paths {
    /// Those that a route's `paths` writes so.
    pub(super) fn of_pattern(pattern: &str) -> Self {
        let expression = |marked: &str| {
            let any_case = marked.starts_with("~*");
            (marked.trim_start_matches(['~', '*']).trim_start().to_owned(), any_case)
        };
        match pattern.split_once(" ~") {
            Some((prefix, _)) if prefix.starts_with('/') => {
                let (text, any_case) = expression(&pattern[prefix.len() + 1..]);
                Self::Below { prefix: prefix.to_owned(), text, any_case }
            }
            _ if pattern.starts_with('~') => {
                let (text, any_case) = expression(pattern);
                Self::Expression { text, any_case }
            }
            _ => match pattern.strip_prefix("= ") {
                Some(exact) => Self::Exact(exact.to_owned()),
                None => Self::Prefix(pattern.to_owned()),
            },
        }
    }

    /// As a route's `paths` writes it; none for any.
    pub(super) fn pattern(&self) -> Option<String> {
        let marked = |text: &str, any_case: bool| format!("{} {text}", if any_case { "~*" } else { "~" });
        Some(match self {
            Self::Any => return None,
            Self::Prefix(path) if path == "/" => return None,
            Self::Exact(path) if !is_plain(path) => format!("~ ^{}$", regex::escape(path)),
            Self::Prefix(path) if !is_plain(path) => format!("~ ^{}", regex::escape(path)),
            Self::Exact(path) => format!("= {path}"),
            Self::Prefix(path) => path.clone(),
            Self::Expression { text, any_case } => marked(text, *any_case),
            Self::Below { prefix, text, any_case } => format!("{prefix} {}", marked(text, *any_case)),
        })
    }

    /// Whether a route can ask for them by an expression.
    pub(super) fn are_by_expression(&self) -> bool {
        match self {
            Self::Expression { .. } => true,
            Self::Below { prefix, .. } => is_plain(prefix),
            _ => false,
        }
    }

    /// Those of them that begin so; none where there are none.
    pub(super) fn below(&self, prefix: &str) -> Option<Self> {
        let Self::Expression { text, any_case } = self else { return Some(Self::Prefix(prefix.to_owned())) };
        let begins = format!("^{}", regex::escape(prefix));
        let own = expression(text, *any_case);
        if prefix == "/" || is_within(&own, &begins) {
            Some(self.clone())
        } else if are_apart(&own, &begins) {
            None
        } else {
            Some(Self::Below { prefix: prefix.to_owned(), text: text.clone(), any_case: *any_case })
        }
    }

    /// As regular expressions that match all at once.
    fn expressions(&self) -> Vec<String> {
        match self {
            Self::Any => vec![String::new()],
            Self::Exact(path) => vec![format!("^{}$", regex::escape(path))],
            Self::Prefix(path) => vec![format!("^{}", regex::escape(path))],
            Self::Expression { text, any_case } => vec![expression(text, *any_case)],
            Self::Below { prefix, text, any_case } => {
                vec![format!("^{}", regex::escape(prefix)), expression(text, *any_case)]
            }
        }
    }

    /// Whether each of these paths is one of others, for certain.
    pub(super) fn are_within(&self, others: &Self) -> bool {
        let own = self.expressions();
        others.expressions().iter().all(|other| own.iter().any(|own| own == other || is_within(own, other)))
    }

    /// What another expression says about these paths.
    pub(super) fn relation(&self, text: &str, any_case: bool) -> Relation {
        let other = Self::Expression { text: text.to_owned(), any_case };
        match self {
            Self::Exact(path) => match compiled(text, any_case) {
                Ok(regex) if regex.is_match(path.as_bytes()) => Relation::Covers,
                Ok(_) => Relation::MatchesNone,
                Err(_) => Relation::Unknown,
            },
            _ if self.are_within(&other) => Relation::Covers,
            _ if other.are_within(self) => Relation::Within,
            _ => Relation::Unknown,
        }
    }
}

fn expression(text: &str, any_case: bool) -> String {
    if any_case { format!("(?i:{text})") } else { text.to_owned() }
}

/// Whether `paths` of a route can write this path as it is.
fn is_plain(path: &str) -> bool {
    let is_normal = !path.contains("//") && !path.split('/').any(|part| matches!(part, "." | ".."));
    path.starts_with('/') && !path.contains(['?', '#', ' ', '%', '*']) && is_normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(path: &str) -> Paths {
        Paths::Prefix(path.to_owned())
    }

    #[test]
    fn paths_are_written_as_routes_write_them() {
        assert_eq!(prefix("/").pattern(), None);
        assert_eq!(prefix("/v1").pattern().as_deref(), Some("/v1"));
        assert_eq!(prefix("/a b").pattern().as_deref(), Some("~ ^/a b"));
        assert_eq!(Paths::Exact("/x".to_owned()).pattern().as_deref(), Some("= /x"));
        let expression = Paths::Expression { text: "^/a".to_owned(), any_case: true };
        assert_eq!(expression.pattern().as_deref(), Some("~* ^/a"));
        for paths in [
            prefix("/v1"),
            Paths::Exact("/x".to_owned()),
            expression,
            Paths::Below { prefix: "/a/".to_owned(), text: "b ~ c$".to_owned(), any_case: false },
            Paths::Below { prefix: "/a/".to_owned(), text: "b".to_owned(), any_case: true },
        ] {
            assert_eq!(Paths::of_pattern(&paths.pattern().unwrap()), paths);
        }
    }

    #[test]
    fn an_expression_covers_paths_or_is_within_them_or_neither() {
        for (paths, expression, relation) in [
            (prefix("/api/"), "^/api/(.*)$", Relation::Covers),
            (prefix("/api/"), "^/api(/.*)$", Relation::Covers),
            (prefix("/api"), "^/api(/.*)$", Relation::Within),
            (prefix("/api/"), "^(.*)$", Relation::Covers),
            (prefix("/api/"), "/old", Relation::Unknown),
            (Paths::Exact("/x".to_owned()), "^/y", Relation::MatchesNone),
            (Paths::Exact("/x".to_owned()), "^", Relation::Covers),
            (Paths::Any, "^/old$", Relation::Within),
        ] {
            assert_eq!(paths.relation(expression, false), relation, "{paths:?} {expression}");
        }
        let alternatives = Paths::Expression { text: "^/(api|openapi.json)(/.*)?$".to_owned(), any_case: false };
        assert_eq!(alternatives.relation("^/api(/.*)$", false), Relation::Within);
        assert_eq!(alternatives.relation("^/ap", false), Relation::Unknown);
    }
}

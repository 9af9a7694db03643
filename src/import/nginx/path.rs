//! The paths of a location, and what is certain of other expressions about them.

use super::subset::is_within;

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
    /// As a route's `paths` writes it; none for any.
    pub(super) fn pattern(&self) -> Option<String> {
        Some(match self {
            Self::Any => return None,
            Self::Prefix(path) if path == "/" => return None,
            Self::Exact(path) | Self::Prefix(path) if !is_plain(path) => format!("~ {}", self.expression()),
            Self::Exact(path) => format!("= {path}"),
            Self::Prefix(path) => path.clone(),
            Self::Expression { text, any_case } => format!("{} {text}", if *any_case { "~*" } else { "~" }),
        })
    }

    /// As a regular expression.
    pub(super) fn expression(&self) -> String {
        match self {
            Self::Any => String::new(),
            Self::Exact(path) => format!("^{}$", regex::escape(path)),
            Self::Prefix(path) => format!("^{}", regex::escape(path)),
            Self::Expression { text, any_case: true } => format!("(?i:{text})"),
            Self::Expression { text, any_case: false } => text.clone(),
        }
    }

    /// What another expression says about these paths.
    pub(super) fn relation(&self, text: &str, any_case: bool) -> Relation {
        let other = Self::Expression { text: text.to_owned(), any_case }.expression();
        let own = self.expression();
        if own == other || is_within(&own, &other) {
            return Relation::Covers;
        }
        match self {
            Self::Exact(_) => Relation::MatchesNone,
            _ if is_within(&other, &own) => Relation::Within,
            _ => Relation::Unknown,
        }
    }
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

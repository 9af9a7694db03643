//! Paths that a route takes, in their [normal form](normalize): one path, all that begin so, or all that an expression matches.

use plugin_api::Variable;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url_path::normalize;

use super::regex::RouteRegex;

/// A pattern for paths in their normal form.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum PathPattern {
    /// Exactly this path.
    Exact(String),
    /// Every path with this prefix. One that ends with `/` matches the paths below it; any other also matches longer names, as nginx's
    /// `location` does.
    Prefix(String),
    /// Every path that this expression matches, and that has its prefix.
    Regex(RouteRegex),
}

/// What stands between a prefix and an expression.
const BELOW: &str = " ~";

impl PathPattern {
    /// Whether it matches this path, which is in its normal form.
    #[must_use]
    pub fn takes(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Self::Regex(regex) => regex.is_match(path.as_bytes()),
        }
    }

    /// Whether it takes every path that another one takes; `false` also where that is hard to tell.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(path), Self::Exact(other)) => path == other,
            (Self::Prefix(prefix), Self::Exact(path) | Self::Prefix(path)) => path.starts_with(prefix.as_str()),
            (Self::Prefix(prefix), Self::Regex(regex)) => {
                self.takes_all() || regex.prefix().starts_with(prefix.as_str())
            }
            (Self::Regex(regex), Self::Regex(other)) => regex == other,
            (Self::Regex(regex), Self::Exact(path)) => regex.is_match(path.as_bytes()),
            (Self::Exact(_), _) | (Self::Regex(_), Self::Prefix(_)) => false,
        }
    }

    /// Whether it takes every path.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        matches!(self, Self::Prefix(prefix) if prefix == "/")
    }

    /// The path in it, or the expression.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(path) | Self::Prefix(path) => path,
            Self::Regex(regex) => regex.as_str(),
        }
    }

    /// A path that whatever takes all of its paths takes.
    #[must_use]
    pub fn sample(&self) -> &str {
        match self {
            Self::Exact(path) | Self::Prefix(path) => path,
            Self::Regex(regex) if regex.prefix().is_empty() => "/",
            Self::Regex(regex) => regex.prefix(),
        }
    }

    /// The expression that it is, if it is one.
    #[must_use]
    pub fn regex(&self) -> Option<&RouteRegex> {
        match self {
            Self::Regex(regex) => Some(regex),
            Self::Exact(_) | Self::Prefix(_) => None,
        }
    }
}

impl TryFrom<String> for PathPattern {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let (prefix, marked) = match written.find(BELOW) {
            Some(at) if written.starts_with('/') => (&written[..at], &written[at + 1..]),
            _ => ("", &*written),
        };
        if let Some(regex) = RouteRegex::parse(marked) {
            let mut regex = regex?;
            if !prefix.is_empty() {
                literal(prefix, prefix, "")?;
                regex = regex.below(prefix, &written);
            }
            let taken = regex.group_names().find(|name| Variable::named(name).is_some());
            return match taken {
                Some(name) => Err(format!("`{name}` is a variable; give the group of `{written}` another name")),
                None => Ok(Self::Regex(regex)),
            };
        }
        let exact = written.strip_prefix('=').map(str::trim_start);
        let path = exact.unwrap_or(&written);
        literal(path, &written, if exact.is_some() { "= " } else { "" })?;
        let path = path.to_owned();
        Ok(if exact.is_some() { Self::Exact(path) } else { Self::Prefix(path) })
    }
}

/// Refuses a path that no request has.
fn literal(path: &str, written: &str, mark: &str) -> Result<(), String> {
    if let Some(prefix) = written.strip_prefix("^~") {
        return Err(format!(
            "`{written}` is not a path: the first route that matches wins; write `{}`",
            prefix.trim_start()
        ));
    }
    if !path.starts_with('/') {
        return Err(format!("`{written}` is not a path; it must begin with `/`"));
    }
    if path.contains(['?', '#', ' ']) {
        return Err(format!("`{written}` is not a path; it must hold no query, fragment or space"));
    }
    if path.contains('%') {
        return Err(format!("`{written}` is not a path; paths are matched decoded, so write it without `%`"));
    }
    if let Some((before, _)) = path.split_once('*') {
        // as a byte like any other it would match nothing that anybody sends
        return Err(format!(
            "`{written}` is not a path; a route takes every path that begins with its own: write `{before}`, or an \
             expression, such as `~ ^/img/`"
        ));
    }
    match normalize(path) {
        Ok(normal) if normal == path => Ok(()),
        Ok(normal) => Err(format!(
            "`{written}` takes no path, since they are matched with `//` merged and `..` resolved: write `{mark}{normal}`"
        )),
        Err(fault) => Err(format!("`{written}` takes no path. {fault}")),
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> Self {
        match pattern {
            PathPattern::Exact(path) => format!("= {path}"),
            PathPattern::Prefix(path) => path,
            PathPattern::Regex(regex) => regex.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(written: &str) -> Result<PathPattern, String> {
        PathPattern::try_from(written.to_owned())
    }

    #[test]
    fn a_path_that_no_request_can_have_is_an_error() {
        for (written, wanted) in [
            ("/v1//x", "write `/v1/x`"),
            ("= /v1/./x", "write `= /v1/x`"),
            ("/v1/x/..", "write `/v1/`"),
            ("/a%20b", "matched decoded"),
            ("/..", "above its root"),
            ("= x", "must begin with `/`"),
            ("= ", "must begin with `/`"),
            ("/v1?x", "no query"),
            ("/v1/*", "write `/v1/`"),
            ("^~ /static/", "write `/static/`"),
            ("~ (", "unclosed group"),
            ("~ ^/(?<host>x)", "`host` is a variable"),
            ("/a/ ~ (", "unclosed group"),
            ("/a//b ~ c", "write `/a/b`"),
        ] {
            let error = pattern(written).unwrap_err();
            assert!(error.contains(wanted), "{written}: {error}");
        }
        for written in ["= /health", "/v1/", "~ ^/img/([^/]+)$", "~* \\.php$", "/app/ ~* \\.php$"] {
            assert_eq!(String::from(pattern(written).unwrap()), written);
        }
    }

    #[test]
    fn an_expression_may_be_for_paths_below_a_prefix() {
        let below = pattern("/app/ ~ /([^/]+)\\.php$").unwrap();
        for (path, taken) in [("/app/x.php", true), ("/app/a/x.php", true), ("/apps/x.php", false), ("/x.php", false)] {
            assert_eq!(below.takes(path), taken, "{path}");
        }
        let groups = below.regex().and_then(|regex| regex.captures("/app/a/x.php")).unwrap();
        assert_eq!(&groups[1], b"x");
        assert!(below.regex().and_then(|regex| regex.captures("/x.php")).is_none());
    }

    #[test]
    fn a_pattern_covers_what_it_takes_in_any_case() {
        for (one, other, covers) in [
            ("/", "/v1/", true),
            ("/v1", "/v1/messages", true),
            ("/v1", "= /v1x", true),
            ("/v1/", "/v1", false),
            ("= /v1", "/v1", false),
            ("= /v1", "= /v1", true),
            ("/", "~ x", true),
            ("/v1", "~ ^/v1", false),
            ("~ ^/v1", "~ ^/v1", true),
            ("~ ^/v1", "~* ^/v1", false),
            ("~ ^/v1", "= /v1/x", true),
            ("~ ^/v1", "/v1/x", false),
            ("/v1", "/v1/ ~ x", true),
            ("/v1/x", "/v1/ ~ x", false),
            ("/v1/ ~ x", "= /v1/x", true),
            ("/v1/ ~ x", "= /v2/x", false),
        ] {
            assert_eq!(pattern(one).unwrap().covers(&pattern(other).unwrap()), covers, "{one} {other}");
        }
    }
}

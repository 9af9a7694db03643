//! Hosts that a route takes: exact names, and wildcards for the names below one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A host, or a wildcard for the names below one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum HostPattern {
    /// Exactly this name, in lower case.
    Exact(String),
    /// Every name with this suffix, which begins with a dot.
    Below(String),
}

impl HostPattern {
    /// Whether it matches this host, which has no port. Letter case does not count.
    #[must_use]
    pub fn takes(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Below(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .is_some_and(|at| at > 0 && host.is_char_boundary(at) && host[at..].eq_ignore_ascii_case(suffix)),
        }
    }
}

impl HostPattern {
    /// Whether it takes every host that another one takes.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(name), Self::Exact(other)) => name == other,
            (Self::Below(suffix), Self::Below(other)) => other.ends_with(suffix.as_str()),
            (Self::Below(_), Self::Exact(name)) => self.takes(name),
            (Self::Exact(_), Self::Below(_)) => false,
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let lower = written.to_ascii_lowercase();
        let name = lower.strip_prefix("*.").unwrap_or(&lower);
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '[' | ']' | ':');
        if name.is_empty() || !name.chars().all(valid) {
            return Err(format!("`{written}` is not a host; write `name` or `*.name`, without scheme and path"));
        }
        if !name.starts_with('[') && name.contains(':') {
            return Err(format!("`{written}` is not a host; leave the port out, a route takes any"));
        }
        // a host is matched without the dot at the end of an absolute name
        if let Some(relative) = lower.strip_suffix('.').filter(|relative| !relative.ends_with('.')) {
            return Err(format!(
                "`{written}` takes no host, since the dot at the end of a name does not count: write `{relative}`"
            ));
        }
        if let Some(below) = name.strip_prefix('.') {
            return Err(format!(
                "`{written}` takes no host; write `*.{below}` for the names below it, and `{below}` for itself"
            ));
        }
        if name.split('.').any(str::is_empty) {
            return Err(format!("`{written}` takes no host: a name has no empty parts"));
        }
        Ok(if name.len() == lower.len() { Self::Exact(lower) } else { Self::Below(format!(".{name}")) })
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        match pattern {
            HostPattern::Exact(name) => name,
            HostPattern::Below(suffix) => format!("*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_no_request_can_have_is_an_error() {
        for (written, wanted) in [
            ("a.example.", "write `a.example`"),
            ("*.Example.", "write `*.example`"),
            (".example", "write `*.example` for the names below it, and `example` for itself"),
            ("a..example", "no empty parts"),
            ("a.example..", "no empty parts"),
            ("*.", "is not a host"),
            ("a.example:80", "leave the port out"),
            ("https://a.example", "without scheme"),
        ] {
            let error = HostPattern::try_from(written.to_owned()).unwrap_err();
            assert!(error.contains(wanted), "{written}: {error}");
        }
        for written in ["a.example", "*.example", "localhost", "192.0.2.7", "[::1]", "a_b.example"] {
            assert_eq!(String::from(HostPattern::try_from(written.to_owned()).unwrap()), written);
        }
    }
}

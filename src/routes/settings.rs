//! The settings of a route: which requests it takes, and where they go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::located::Located;
use crate::plugins::PluginEntry;

/// Which requests go to which upstream. Without hosts and paths it takes every request.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// The hosts it serves: exact names, or `*.example.com` for every name below. None: any.
    #[serde(default)]
    pub hosts: Vec<HostPattern>,
    /// What the path begins with. None: anything.
    #[serde(default)]
    pub paths: Vec<PathPrefix>,
    /// The upstream its requests go to.
    pub upstream: Located<String>,
    /// Plugins for this route. One that is also in the global list replaces its settings there; `NAME: off` takes it out;
    /// new ones come after the global ones.
    #[serde(default)]
    pub plugins: Vec<Located<PluginEntry>>,
    /// What becomes of the call when its client leaves.
    #[serde(default)]
    pub on_client_gone: OnClientGone,
}

/// What becomes of an upstream call whose client has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnClientGone {
    /// It is cancelled: nobody pays for what nobody reads.
    #[default]
    Cancel,
    /// A POST is read to its end, so that its usage is known in full.
    Drain,
}

/// A host, or a wildcard for the names below one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum HostPattern {
    /// This very name, in lower case.
    Exact(String),
    /// Every name that ends in this, which begins with a dot.
    Below(String),
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

/// What a path begins with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct PathPrefix(String);

impl PathPrefix {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PathPrefix {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        if !written.starts_with('/') {
            return Err(format!("`{written}` is not a path; it must begin with `/`"));
        }
        if written.contains(['?', '#', ' ']) {
            return Err(format!("`{written}` is not a path; it must hold no query, fragment or space"));
        }
        if let Some((before, _)) = written.split_once('*') {
            // as a byte like any other it would match nothing that anybody sends
            return Err(format!(
                "`{written}` is not a path; a route takes every path that begins with its own: write `{before}`"
            ));
        }
        Ok(Self(written))
    }
}

impl From<PathPrefix> for String {
    fn from(prefix: PathPrefix) -> Self {
        prefix.0
    }
}

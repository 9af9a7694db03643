//! The settings of a route: which requests it takes, and where they go.

use located_yaml::Located;
use std::sync::Arc;

use plugin_api::{LONGEST_TEXT, shortened};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plugins::PluginEntry;

use super::normalize;

/// Which requests go to which upstream. Without hosts and paths it takes every request.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// What records and logs call it. Absent: its first host and its first path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The hosts it serves: exact names, or `*.example.com` for every name below. None: any.
    #[serde(default)]
    pub hosts: Vec<HostPattern>,
    /// The paths it serves. `/v1/` takes every path below, `/v1/messages` every path that begins so (`/v1/messages/batches`,
    /// but `/v1/messagesX` too), `= /health` that one alone. None: any. A path is matched decoded, with `//` merged and `.`
    /// and `..` resolved, however the client spells it; letter case counts. It is sent on as it came.
    #[serde(default)]
    pub paths: Vec<PathPattern>,
    /// The upstream its requests go to.
    pub upstream: Located<String>,
    /// Plugins for this route. One that is also in the global list replaces its settings there; `NAME: off` takes it out;
    /// new ones come after the global ones.
    #[serde(default)]
    pub plugins: Vec<Located<PluginEntry>>,
    /// What becomes of the call when its client leaves.
    #[serde(default, alias = "on_client_gone")]
    pub on_client_disconnect: OnClientDisconnect,
}

impl RouteSettings {
    /// What records and logs call it.
    #[must_use]
    pub fn label(&self) -> Arc<str> {
        if let Some(name) = &self.name {
            return name.as_str().into();
        }
        let host = self.hosts.first().cloned().map(String::from).unwrap_or_default();
        let path = self.paths.first().map_or("/", |path| match path {
            PathPattern::Exact(path) | PathPattern::Prefix(path) => path,
        });
        shortened(&(host + path), LONGEST_TEXT).into()
    }
}

/// What becomes of an upstream call whose client has left before it had its whole answer. One that leaves once it has the
/// event that ends a stream (`message_stop`, `[DONE]`, `response.completed`) has it, where the route reads answers; the server
/// then has a second to end its side, so that its connection stays usable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnClientDisconnect {
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

impl HostPattern {
    /// Whether it takes this host, which has no port, in any case.
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

/// Which paths a route takes, in the form in which [paths are matched](super::normalize).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum PathPattern {
    /// This very path.
    Exact(String),
    /// Every path that begins with this. One that ends with `/` takes what is below it; any other also takes longer
    /// names, as nginx's `location` does.
    Prefix(String),
}

impl PathPattern {
    /// Whether it takes this path, which is in its normal form.
    #[must_use]
    pub fn takes(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
        }
    }
}

impl TryFrom<String> for PathPattern {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let exact = written.strip_prefix('=').map(str::trim_start);
        let path = exact.unwrap_or(&written);
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
                "`{written}` is not a path; a route takes every path that begins with its own: write `{before}`"
            ));
        }
        match normalize(path) {
            Ok(normal) if normal == path => {}
            Ok(normal) => {
                return Err(format!(
                    "`{written}` takes no path, since they are matched with `//` merged and `..` resolved: \
                     write `{}{normal}`",
                    if exact.is_some() { "= " } else { "" }
                ));
            }
            Err(fault) => return Err(format!("`{written}` takes no path. {fault}")),
        }
        let path = path.to_owned();
        Ok(if exact.is_some() { Self::Exact(path) } else { Self::Prefix(path) })
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> Self {
        match pattern {
            PathPattern::Exact(path) => format!("= {path}"),
            PathPattern::Prefix(path) => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_called_by_its_name_or_by_what_it_takes() {
        let label = |json: &str| serde_json::from_str::<RouteSettings>(json).unwrap().label();
        let upstream = r#""upstream":"a""#;
        assert_eq!(&*label(&format!("{{{upstream}}}")), "/");
        assert_eq!(&*label(&format!(r#"{{"paths":["= /health","/v1/"],{upstream}}}"#)), "/health");
        let host = format!(r#""hosts":["*.example.com","b"],"paths":["/v1/"],{upstream}"#);
        assert_eq!(&*label(&format!("{{{host}}}")), "*.example.com/v1/");
        assert_eq!(&*label(&format!(r#"{{"name":"canary",{host}}}"#)), "canary");
    }
}

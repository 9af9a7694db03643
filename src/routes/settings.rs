//! The settings of a route: the requests that it matches, and their upstream.

use located_yaml::Located;
use std::sync::Arc;

use plugin_api::{LONGEST_TEXT, shortened};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plugins::PluginEntry;

use super::models::ModelEntry;
use super::normalize;

/// Sends requests to an upstream. Without hosts and paths, a route matches every request.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// The name of the route in rows and logs. Absent: its first host and its first path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The hosts that it matches: exact names, or `*.example.com` for every name below. None: any.
    #[serde(default)]
    pub hosts: Vec<HostPattern>,
    /// The paths that it matches. `/v1/` matches every path below, `/v1/messages` every path with this prefix (`/v1/messages/batches`, but
    /// `/v1/messagesX` too), `= /health` this path alone. None: any. Paths are matched decoded, with `//` merged and `.` and `..`
    /// resolved; letter case counts. They are forwarded unchanged.
    #[serde(default)]
    pub paths: Vec<PathPattern>,
    /// The upstream its requests go to.
    pub upstream: Located<String>,
    /// Other names and upstreams for some models, once the plugins have seen the call. The first entry that takes its model counts;
    /// what none takes goes to `upstream` as it is. A batch must stay on `upstream`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Located<ModelEntry>>,
    /// Plugins of this route. A plugin of the global list gets these settings instead; `NAME: off` removes it; further plugins come after
    /// the global ones.
    #[serde(default)]
    pub plugins: Vec<Located<PluginEntry>>,
    /// What happens to the upstream call when its client disconnects.
    #[serde(default, alias = "on_client_gone")]
    pub on_client_disconnect: OnClientDisconnect,
    /// Whether a WebSocket passes. `off` answers its handshake with 426, so that clients such as Codex fall back to requests.
    #[serde(default)]
    pub websocket: WebSockets,
}

impl RouteSettings {
    /// Its name in records and logs.
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

/// What happens to an upstream call whose client disconnects before it has the whole answer. Where the route reads answers, a client
/// that has the last event of a stream (`message_stop`, `[DONE]`, `response.completed`) has the whole answer; the server then gets a
/// second to end the response, so that its connection can be reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnClientDisconnect {
    /// The call is cancelled, so that no further tokens are billed.
    #[default]
    Cancel,
    /// The answer to a POST is read to its end, so that its usage is known in full.
    Drain,
}

/// Whether a WebSocket passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebSockets {
    /// It does. Where plugins read calls, each message that asks for an answer is one.
    #[default]
    On,
    /// Its handshake is answered with 426.
    Off,
}

impl WebSockets {
    /// Whether it passes.
    #[must_use]
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

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

/// A pattern for paths in their [normal form](super::normalize).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum PathPattern {
    /// Exactly this path.
    Exact(String),
    /// Every path with this prefix. One that ends with `/` matches the paths below it; any other also matches longer names, as nginx's
    /// `location` does.
    Prefix(String),
}

impl PathPattern {
    /// Whether it matches this path, which is in its normal form.
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

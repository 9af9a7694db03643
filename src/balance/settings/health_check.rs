//! The settings of active health checks. The checks themselves are in [`crate::health`].

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use http::uri::PathAndQuery;
use located_yaml::{Located, Location};
use plugin_api::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status_range::StatusRange;
use super::{HostHeader, ServerSettings};

/// How the gateway finds out by itself whether a server can take requests: it asks each of them, on connections of its
/// own, at every address that its name has. Servers that are `down` are not asked.
///
/// A server that is not healthy gets no request, and no retry. Where none of the others is healthy, the `backup` servers
/// take over; where none of them is, the `fallback`; where there is none, requests are answered 503 at once.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheckSettings {
    /// What a server must do.
    #[serde(rename = "type")]
    pub kind: CheckKind,
    /// The path (and query) that an `http` check gets. Absent: `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Located<CheckPath>>,
    /// The statuses by which an `http` check is passed. Absent: `[200-399]`. Redirects are not followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Located<Vec<StatusRange>>>,
    /// The `Host` of an `http` check. Absent: the upstream's `host`, or else the server's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Located<HostHeader>>,
    /// From the beginning of one check to the beginning of the next; at least 10 ms. A check that takes longer puts off
    /// the next.
    pub interval: CheckPeriod,
    /// Up to so much is added to every interval, and waited before the first check, at random, so that many gateways do
    /// not check in step.
    pub jitter: Period,
    /// How long a check may take, from the connection to the last byte of the answer; at least 10 ms.
    pub timeout: CheckPeriod,
    /// Checks that an unhealthy server must pass in a row to be healthy again.
    pub healthy: NonZeroU32,
    /// Checks that a healthy server must fail in a row to be unhealthy.
    pub unhealthy: NonZeroU32,
    /// What a new server is before its first check. One that is `unhealthy` is healthy from the first check that it
    /// passes.
    pub initial: InitialHealth,
}

impl Default for HealthCheckSettings {
    fn default() -> Self {
        Self {
            kind: CheckKind::Http,
            path: None,
            status: None,
            host: None,
            interval: CheckPeriod(Period::from_secs(5)),
            jitter: Period::from_millis(500),
            timeout: CheckPeriod(Period::from_secs(3)),
            healthy: NonZeroU32::MIN.saturating_add(1),
            unhealthy: NonZeroU32::MIN.saturating_add(2),
            initial: InitialHealth::Healthy,
        }
    }
}

impl HealthCheckSettings {
    /// Settings that contradict each other, or do not fit these servers.
    #[must_use]
    pub fn faults(&self, servers: &[Located<ServerSettings>]) -> Vec<(Location, String)> {
        let mut faults = Vec::new();
        if let Some(status) = self.status.as_ref().filter(|status| status.is_empty()) {
            faults.push((status.at, "the list is empty, wanted at least one status".to_owned()));
        }
        let kind = self.kind.as_str();
        if self.kind != CheckKind::Http {
            let settings = [
                ("path", self.path.as_ref().map(|path| path.at)),
                ("status", self.status.as_ref().map(|status| status.at)),
                ("host", self.host.as_ref().map(|host| host.at)),
            ];
            for (name, at) in settings {
                let message =
                    || format!("a check of the type `{kind}` has no {name}; leave it out, or write `type: http`");
                faults.extend(at.map(|at| (at, message())));
            }
        }
        if self.kind == CheckKind::Tls {
            for server in servers.iter().filter(|server| !server.address.tls) {
                let address = &server.address;
                let message = format!(
                    "`{address}` does not speak TLS, which its health check asks for; write `https://`, or `type: tcp`"
                );
                faults.push((server.at, message));
            }
        }
        faults
    }
}

/// What a server must do to be healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Answer a GET (in HTTP/1.1) with one of the statuses, over TLS where its address says `https://`.
    #[default]
    Http,
    /// Accept a connection.
    Tcp,
    /// Accept a connection and show a certificate that verifies.
    Tls,
}

impl CheckKind {
    /// The type in the YAML.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// What a server is before its first check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitialHealth {
    /// It gets requests at once.
    #[default]
    Healthy,
    /// It gets none until it has passed a check.
    Unhealthy,
}

/// A path, with a query or without one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct CheckPath(PathAndQuery);

impl CheckPath {
    /// The path for a request.
    #[must_use]
    pub fn get(&self) -> &PathAndQuery {
        &self.0
    }
}

impl Default for CheckPath {
    fn default() -> Self {
        Self(PathAndQuery::from_static("/"))
    }
}

impl TryFrom<String> for CheckPath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        match PathAndQuery::from_str(&path) {
            Ok(parsed) if path.starts_with('/') => Ok(Self(parsed)),
            _ => Err(format!("`{path}` is not a path; write it like `/health`")),
        }
    }
}

impl From<CheckPath> for String {
    fn from(path: CheckPath) -> Self {
        path.0.to_string()
    }
}

/// A period of at least 10 ms, so that checks do not keep a server busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Period", into = "Period")]
#[schemars(with = "Period")]
pub struct CheckPeriod(Period);

impl CheckPeriod {
    const SHORTEST: Duration = Duration::from_millis(10);

    /// The period.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0.get()
    }
}

impl TryFrom<Period> for CheckPeriod {
    type Error = String;

    fn try_from(period: Period) -> Result<Self, String> {
        if period.get() < Self::SHORTEST {
            return Err(format!("`{period}` is too short; it must be at least 10ms"));
        }
        Ok(Self(period))
    }
}

impl From<CheckPeriod> for Period {
    fn from(period: CheckPeriod) -> Self {
        period.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: serde_json::Value) -> Result<HealthCheckSettings, String> {
        serde_json::from_value(json).map_err(|error| error.to_string())
    }

    #[test]
    fn what_only_an_http_check_has_is_a_fault_elsewhere() {
        let servers: Vec<Located<ServerSettings>> =
            serde_json::from_value(serde_json::json!([{ "address": "https://a" }, { "address": "b:1" }])).unwrap();
        let faults =
            |json| settings(json).unwrap().faults(&servers).into_iter().map(|(_, what)| what).collect::<Vec<_>>();
        assert!(faults(serde_json::json!({ "path": "/health", "status": ["200"], "host": "a" })).is_empty());
        assert_eq!(faults(serde_json::json!({ "type": "tcp", "path": "/", "status": ["200"], "host": "a" })).len(), 3);
        let tls = faults(serde_json::json!({ "type": "tls" }));
        assert!(tls.len() == 1 && tls[0].contains("`b:1` does not speak TLS"), "{tls:?}");
        assert_eq!(faults(serde_json::json!({ "status": [] })).len(), 1);
    }

    #[test]
    fn a_check_without_pause_is_refused() {
        assert!(settings(serde_json::json!({ "interval": "9ms" })).unwrap_err().contains("at least 10ms"));
        assert!(settings(serde_json::json!({ "healthy": 0 })).is_err());
        assert!(settings(serde_json::json!({ "path": "health" })).unwrap_err().contains("write it like `/health`"));
    }
}

//! What the YAML says of active health checks. Asks nobody; that is the work of [`crate::health`].

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use http::uri::PathAndQuery;
use located_yaml::{Located, Location};
use plugin_api::Period;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

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
    /// What makes no sense beside the rest of it, or for these servers.
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
    /// As the YAML writes it.
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
    /// As a request has it.
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

/// A status, or all from one to another: `204`, `200-399`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusRange(RangeInclusive<u16>);

impl StatusRange {
    /// Every status that is no error: 200 to 399.
    pub const NO_ERROR: Self = Self(200..=399);

    /// Whether a status is one of them.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.contains(&status)
    }
}

impl TryFrom<String> for StatusRange {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let (from, to) = written.split_once('-').unwrap_or((&written, &written));
        let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (200..=599).contains(status));
        match (status(from), status(to)) {
            (Some(from), Some(to)) if from <= to => Ok(Self(from..=to)),
            _ => {
                Err(format!("`{written}` is not a status of 200 to 599, nor a range of them; write `204` or `200-399`"))
            }
        }
    }
}

impl From<StatusRange> for String {
    fn from(StatusRange(range): StatusRange) -> Self {
        match (range.start(), range.end()) {
            (from, to) if from == to => from.to_string(),
            (from, to) => format!("{from}-{to}"),
        }
    }
}

impl JsonSchema for StatusRange {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "StatusRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "examples": [204, "200-399"] })
    }
}

/// A span of time that is not so short that it keeps a server busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Period", into = "Period")]
#[schemars(with = "Period")]
pub struct CheckPeriod(Period);

impl CheckPeriod {
    const SHORTEST: Duration = Duration::from_millis(10);

    /// As the standard library's type.
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
    fn a_status_is_one_or_all_from_one_to_another() {
        let range = |written: &str| StatusRange::try_from(written.to_owned());
        let ok = range("200-399").unwrap();
        assert_eq!([199, 200, 399, 400].map(|status| ok.contains(status)), [false, true, true, false]);
        let one = range("204").unwrap();
        assert_eq!([203, 204, 205].map(|status| one.contains(status)), [false, true, false]);
        assert_eq!((String::from(ok), String::from(one)), ("200-399".to_owned(), "204".to_owned()));
        for wrong in ["", "-", "2xx", "199", "600", "399-200", "200-", "200-300-400"] {
            assert!(range(wrong).unwrap_err().contains("write `204` or `200-399`"), "{wrong}");
        }
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

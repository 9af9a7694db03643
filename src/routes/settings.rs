//! The settings of a route: the requests that it takes, and where they go.

use std::sync::Arc;

use located_yaml::Located;
use plugin_api::{ByteSize, LONGEST_TEXT, shortened};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plugins::PluginEntry;

use super::conditions::Conditions;
use super::fields::RouteFields;
use super::host::HostPattern;
use super::models::ModelEntry;
use super::path::PathPattern;
use super::target::Target;

/// A route: the requests that it takes, and where they go.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "RouteFields", into = "RouteFields")]
#[schemars(with = "RouteFields")]
pub struct RouteSettings {
    /// Its name in rows and logs, where it has one of its own.
    pub name: Option<String>,
    /// The hosts that it takes; none for any.
    pub hosts: Vec<Located<HostPattern>>,
    /// The paths that it takes; none for any.
    pub paths: Vec<Located<PathPattern>>,
    /// What else it asks of a request.
    pub conditions: Conditions,
    /// Where its requests go.
    pub target: Target,
    /// The largest body of a request; `None` where it has no limit of its own.
    pub max_body: Option<ByteSize>,
    /// Its plugins.
    pub plugins: Vec<Located<PluginEntry>>,
    /// Whether its requests are in the access log.
    pub access_log: RouteAccessLog,
}

impl RouteSettings {
    /// Its name in records and logs.
    #[must_use]
    pub fn label(&self) -> Arc<str> {
        if let Some(name) = &self.name {
            return name.as_str().into();
        }
        let host = self.hosts.first().map(|host| String::from(host.value.clone())).unwrap_or_default();
        let path = self.paths.first().map_or("/", |path| path.as_str());
        shortened(&(host + path), LONGEST_TEXT).into()
    }

    /// The entries of its `models`; none where it leads to no upstream.
    #[must_use]
    pub fn models(&self) -> &[Located<ModelEntry>] {
        self.target.upstream().map_or(&[], |target| &target.models)
    }
}

/// Whether the requests of a route are in the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteAccessLog {
    /// They are, where there is one.
    #[default]
    On,
    /// They are not.
    Off,
}

impl RouteAccessLog {
    /// Whether they are.
    #[must_use]
    pub fn is_on(self) -> bool {
        self == Self::On
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
    /// Its handshake goes on as a plain request. `Upgrade` is taken out of all requests, whatever the protocol, as nginx does without
    /// `proxy_set_header Upgrade`.
    Ignore,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(json: &str) -> Result<RouteSettings, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_route_is_called_by_its_name_or_by_what_it_takes() {
        let label = |json: &str| route(json).unwrap().label();
        let upstream = r#""upstream":"a""#;
        assert_eq!(&*label(&format!("{{{upstream}}}")), "/");
        assert_eq!(&*label(&format!(r#"{{"paths":["= /health","/v1/"],{upstream}}}"#)), "/health");
        assert_eq!(&*label(&format!(r#"{{"paths":["~ ^/img/"],{upstream}}}"#)), "~ ^/img/");
        let host = format!(r#""hosts":["*.example.com","b"],"paths":["/v1/"],{upstream}"#);
        assert_eq!(&*label(&format!("{{{host}}}")), "*.example.com/v1/");
        assert_eq!(&*label(&format!(r#"{{"name":"canary",{host}}}"#)), "canary");
    }

    #[test]
    fn a_route_has_one_target_and_what_belongs_to_it() {
        for (json, wanted) in [
            ("{}", "needs one of `upstream`, `redirect` and `answer`"),
            (r#"{"upstream":"a","answer":{}}"#, "this one has `upstream`, `answer`"),
            (r#"{"redirect":"/x","answer":{},"upstream":"a"}"#, "this one has `upstream`, `redirect`, `answer`"),
            (r#"{"redirect":"/x","strip":"/a"}"#, "`strip` is of use with `upstream` alone"),
            (r#"{"answer":{},"websocket":"off"}"#, "`websocket` is of use with `upstream` alone"),
            (r#"{"answer":{},"timeouts":{"idle":"1s"}}"#, "`timeouts` is of use with `upstream` alone"),
            (r#"{"upstream":"a","strip":"/a","rewrite":"/b"}"#, "one of `strip` and `rewrite`"),
            (r#"{"upstream":"a","status":302}"#, "`status` is that of a `redirect`"),
            (r#"{"redirect":"/x","status":304}"#, "`304` is no redirect"),
            (r#"{"upstream":"a","scheme":"ftp"}"#, "unknown variant"),
            (r#"{"upstream":"a","methods":["get"]}"#, "write `GET`"),
            (r#"{"upstream":"a","headers":{"host":"a"}}"#, "matched by `hosts`"),
        ] {
            let error = route(json).unwrap_err();
            assert!(error.contains(wanted), "{json}: {error}");
        }
    }

    #[test]
    fn what_is_read_is_written_again() {
        for json in [
            r#"{"hosts":["a"],"paths":["~ ^/i/(.*)$"],"methods":["GET"],"headers":{"x-a":"~ b"},"query":{"q":"*"},"scheme":"https","listeners":["0.0.0.0:443"],"upstream":"a","rewrite":"/$1","timeouts":{"idle":"1h"},"max_body":"20MiB","plugins":[],"on_client_disconnect":"drain","websocket":"off","access_log":"off"}"#,
            r#"{"hosts":[],"paths":[],"redirect":"https://$host$request_uri","status":308,"plugins":[],"on_client_disconnect":"cancel","websocket":"on","access_log":"on"}"#,
            r#"{"hosts":[],"paths":[],"answer":{"status":404,"body":"no","content_type":"text/plain","headers":{"x-a":"b"}},"plugins":[],"on_client_disconnect":"cancel","websocket":"on","access_log":"on"}"#,
        ] {
            assert_eq!(serde_json::to_string(&route(json).unwrap()).unwrap(), json);
        }
    }
}

//! A route as the YAML writes it: flat, so that what excludes each other can stand side by side. It becomes a route or an error.

use std::net::SocketAddr;

use indexmap::IndexMap;
use located_yaml::{Located, list};
use plugin_api::{ByteSize, HttpMethod};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plugins::PluginEntry;

use super::answer::AnswerSettings;
use super::conditions::{ConditionHeader, Conditions, Scheme};
use super::host::HostPattern;
use super::models::ModelEntry;
use super::path::PathPattern;
use super::path_change::{PathChange, RewriteTemplate, StripPrefix};
use super::redirect::{LocationTemplate, RedirectStatus};
use super::settings::{OnClientDisconnect, RouteAccessLog, RouteSettings, WebSockets};
use super::target::{Redirect, Target, UpstreamTarget};
use super::text::TextPattern;
use super::timeouts::RouteTimeouts;

/// Sends requests to an upstream, to another address, or answers them. Without hosts, paths and other conditions, a route takes every
/// request.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RouteSettings")]
pub(super) struct RouteFields {
    /// The name of the route in rows and logs. Absent: its first host and its first path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The hosts that it takes: exact names, or `*.example.com` for every name below. None: any.
    #[serde(default)]
    hosts: Vec<Located<HostPattern>>,
    /// The paths that it takes. `/v1/` takes every path below, `/v1/messages` every path with this prefix (`/v1/messages/batches`, but
    /// `/v1/messagesX` too), `= /health` this path alone, `~ ^/img/([^/]+)$` every path that this expression matches, and `~* \.php$`
    /// the same whatever the letter case; `/app/ ~ \.php$` every path with the prefix that the expression matches. None: any. Paths are matched decoded, with `//` merged and `.` and `..` resolved; letter case
    /// counts. They are forwarded unchanged.
    #[serde(default)]
    paths: Vec<Located<PathPattern>>,
    /// The methods that it takes, each in capitals; `GET` does not stand for `HEAD`. None: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    methods: Vec<HttpMethod>,
    /// The headers that a request must have, each with its value, `*` for any value, or an expression behind `~` or `~*`. Of a header
    /// that stands there several times, one value is enough.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    headers: IndexMap<ConditionHeader, TextPattern>,
    /// The parameters that the query must have, written in the same way. Names and values are compared decoded.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    query: IndexMap<String, TextPattern>,
    /// The scheme of the connection: `http` or `https`. Absent: either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scheme: Option<Scheme>,
    /// The listeners whose requests it takes, each by its address as `listeners` writes it. None: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    listeners: Vec<Located<SocketAddr>>,
    /// The upstream its requests go to. A route has one of `upstream`, `redirect` and `answer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream: Option<Located<String>>,
    /// The address that clients are sent to: absolute, or a path. It may hold variables, such as `https://$host$request_uri`, and
    /// groups of an expression in `paths`: `$1`, `$name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redirect: Option<Located<LocationTemplate>>,
    /// The status of the redirect: 301, 302, 303, 307 or 308. Absent: 301.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<RedirectStatus>,
    /// The answer that every request gets. The plugins of the route see the request and the answer; its body is not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerSettings>,
    /// The prefix that is taken off the path before it goes upstream, in whole segments. What is left stays as it came, and a path
    /// without the prefix does too. The call is understood by the path that is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strip: Option<StripPrefix>,
    /// The path that goes upstream in place of the client's, with variables and groups of an expression in `paths`, such as `/i/$1`.
    /// The query stays, unless there is a `?` in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rewrite: Option<RewriteTemplate>,
    /// Other names and upstreams for some models, once the plugins have seen the call. The first entry that takes its model counts;
    /// what none takes goes to `upstream` as it is. A batch must stay on `upstream`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    models: Vec<Located<ModelEntry>>,
    /// How long to wait, each in place of the same setting of the upstream, and of its fallbacks.
    #[serde(default, skip_serializing_if = "RouteTimeouts::is_none")]
    timeouts: RouteTimeouts,
    /// The largest body of a request; a larger one gets 413, at once where its length is known, and while it streams otherwise.
    /// Where plugins read calls, `server.max_body` holds too. `0`: no limit here. Absent: only what plugins read is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_body: Option<ByteSize>,
    /// Plugins of this route. A plugin of the global list gets these settings instead; `NAME: off` removes it; further plugins come after
    /// the global ones.
    #[serde(default)]
    plugins: Vec<Located<PluginEntry>>,
    /// What happens to the upstream call when its client disconnects.
    #[serde(default, alias = "on_client_gone")]
    on_client_disconnect: OnClientDisconnect,
    /// Whether a WebSocket passes. `off` answers its handshake with 426, so that clients such as Codex fall back to requests.
    #[serde(default)]
    websocket: WebSockets,
    /// Whether its requests are in the access log.
    #[serde(default)]
    access_log: RouteAccessLog,
}

impl TryFrom<RouteFields> for RouteSettings {
    type Error = String;

    fn try_from(fields: RouteFields) -> Result<Self, String> {
        let named = [
            ("upstream", fields.upstream.is_some()),
            ("redirect", fields.redirect.is_some()),
            ("answer", fields.answer.is_some()),
        ];
        let named: Vec<&str> = named.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect();
        if named.len() > 1 {
            return Err(format!(
                "a route has one of `upstream`, `redirect` and `answer`; this one has {}",
                list(&named)
            ));
        }
        let of_upstream = [
            ("strip", fields.strip.is_some()),
            ("rewrite", fields.rewrite.is_some()),
            ("models", !fields.models.is_empty()),
            ("timeouts", !fields.timeouts.is_none()),
            ("on_client_disconnect", fields.on_client_disconnect != OnClientDisconnect::default()),
            ("websocket", fields.websocket != WebSockets::default()),
        ];
        let meaningless = of_upstream.into_iter().find(|(_, is_there)| *is_there && fields.upstream.is_none());
        if let (Some((name, _)), [target]) = (meaningless, &*named) {
            return Err(format!("`{name}` is of use with `upstream` alone, and this route has `{target}`"));
        }
        if fields.status.is_some() && fields.redirect.is_none() {
            return Err("`status` is that of a `redirect`; an `answer` has one of its own".to_owned());
        }
        let path_change = match (fields.strip, fields.rewrite) {
            (Some(_), Some(_)) => return Err("a route has one of `strip` and `rewrite`; this one has both".to_owned()),
            (strip, rewrite) => strip.map(PathChange::Strip).or(rewrite.map(PathChange::Rewrite)),
        };
        let target = match (fields.upstream, fields.redirect, fields.answer) {
            (Some(upstream), ..) => Target::Upstream(Box::new(UpstreamTarget {
                upstream,
                models: fields.models,
                path_change,
                timeouts: fields.timeouts,
                on_client_disconnect: fields.on_client_disconnect,
                websocket: fields.websocket,
            })),
            (_, Some(location), _) => {
                Target::Redirect(Redirect { location, status: fields.status.unwrap_or_default() })
            }
            (.., Some(answer)) => Target::Answer(Box::new(answer)),
            (None, None, None) => return Err("a route needs one of `upstream`, `redirect` and `answer`".to_owned()),
        };
        Ok(Self {
            name: fields.name,
            hosts: fields.hosts,
            paths: fields.paths,
            conditions: Conditions {
                methods: fields.methods,
                headers: fields.headers,
                query: fields.query,
                scheme: fields.scheme,
                listeners: fields.listeners,
            },
            target,
            max_body: fields.max_body,
            plugins: fields.plugins,
            access_log: fields.access_log,
        })
    }
}

impl From<RouteSettings> for RouteFields {
    fn from(route: RouteSettings) -> Self {
        let RouteSettings { name, hosts, paths, conditions, target, max_body, plugins, access_log } = route;
        let Conditions { methods, headers, query, scheme, listeners } = conditions;
        let mut fields = Self {
            name,
            hosts,
            paths,
            methods,
            headers,
            query,
            scheme,
            listeners,
            upstream: None,
            redirect: None,
            status: None,
            answer: None,
            strip: None,
            rewrite: None,
            models: Vec::new(),
            timeouts: RouteTimeouts::default(),
            max_body,
            plugins,
            on_client_disconnect: OnClientDisconnect::default(),
            websocket: WebSockets::default(),
            access_log,
        };
        match target {
            Target::Upstream(target) => {
                match target.path_change {
                    Some(PathChange::Strip(strip)) => fields.strip = Some(strip),
                    Some(PathChange::Rewrite(rewrite)) => fields.rewrite = Some(rewrite),
                    None => {}
                }
                (fields.upstream, fields.models, fields.timeouts) =
                    (Some(target.upstream), target.models, target.timeouts);
                (fields.on_client_disconnect, fields.websocket) = (target.on_client_disconnect, target.websocket);
            }
            Target::Redirect(Redirect { location, status }) => {
                (fields.redirect, fields.status) = (Some(location), Some(status));
            }
            Target::Answer(answer) => fields.answer = Some(*answer),
        }
        fields
    }
}

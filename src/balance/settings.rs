//! The settings of an upstream: its servers, and how to reach them.

mod address;
mod algorithm;
mod eject;
mod fallback;
mod headers;
mod health_check;
mod queue;
mod retry;
mod server;
mod status_range;

use std::path::PathBuf;

use located_yaml::Located;
use plugin_api::{Count, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use address::{HostHeader, ServerAddress, TlsName};
pub use algorithm::{Algorithm, Bound, HashKey, HashSettings};
pub use eject::Eject;
pub use fallback::Fallback;
pub use headers::UpstreamHeaders;
pub use health_check::{CheckKind, CheckPath, HealthCheckSettings, InitialHealth};
pub use queue::{QueueSettings, QueueStatus};
pub use retry::{Attempts, Retry, RetryOn, Share};
pub use server::{ServerSettings, Weight};
pub use status_range::StatusRange;

/// A group of servers that answer alike.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// How a server is chosen.
    #[serde(default)]
    pub balance: Algorithm,
    /// The servers.
    pub servers: Vec<Located<ServerSettings>>,
    /// The `Host` sent upstream. Absent: the client's own for `host:port` servers, the server's name for URLs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostHeader>,
    /// Headers that the servers get in place of the client's, on requests and health checks; `off` removes one. The place for
    /// the provider's credentials: they hold for this upstream alone, also where it is a fallback.
    #[serde(default)]
    pub headers: UpstreamHeaders,
    /// What becomes of redirects of a server to itself: `own` makes its address in `Location` and `Refresh` the one that the client
    /// asked; `as_is` changes nothing.
    #[serde(default)]
    pub redirects: Redirects,
    /// TLS towards `https://` servers.
    #[serde(default)]
    pub tls: UpstreamTls,
    /// Idle connections kept for the next request.
    #[serde(default)]
    pub keepalive: Keepalive,
    /// How long to wait, each with its own error.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// When another server is tried.
    #[serde(default)]
    pub retry: Retry,
    /// When a failing server is left out for a while.
    #[serde(default)]
    pub eject: Eject,
    /// Servers are asked in the background whether they can take requests. Absent: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheckSettings>,
    /// Where requests wait while every server has as many as its `max_conns`. Absent: they are refused at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueSettings>,
    /// The upstream that takes over, with attempts of its own: when no server of this one can take a request (it has none
    /// that is in use and has an address, or all are full and so is the queue, or the wait in it was too long), and when an
    /// attempt has failed that is worth another by `retry.on`, but no server, attempt or budget is left for it. What is not
    /// worth another goes to the client as it is. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Located<Fallback>>,
}

/// What becomes of redirects of a server to itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Redirects {
    /// The client gets them as they come.
    #[default]
    AsIs,
    /// The client is sent to the address that it asked, as nginx does by default.
    Own,
}

/// TLS towards the servers. Certificates are always verified.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTls {
    /// A PEM file with the authorities to trust, in place of the system's. Relative paths are relative to the YAML file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<Located<PathBuf>>,
    /// The name to ask for (SNI) and to verify. Absent: the server's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<TlsName>,
}

/// Idle connections kept to the servers.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Keepalive {
    /// How many idle connections each thread keeps, as each worker of nginx does. The upstreams of a thread share two pools, one of plain
    /// connections and one of TLS, each of the sum of them, at most 100000 each; their size is read at start only.
    pub connections: Count<0, 100_000>,
    /// How long one is kept. Providers close theirs after 15 s; shorter is safe.
    pub idle_timeout: Period,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { connections: Count::clamped(128), idle_timeout: Period::from_secs(10) }
    }
}

/// How long to wait for a server.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// For the connection, TLS included.
    pub connect: Period,
    /// From the request's last byte to the head of the answer. Non-streaming calls take as long as the model does. How long
    /// a client may pause within its request is `server.body_timeout`.
    pub first_byte: Period,
    /// Between two pieces of the answer, and for how long a client may take nothing of it. A server may take nothing of the
    /// request for as long, or for `first_byte` where that is shorter. Where it is longer than `first_byte`, the servers are
    /// spoken to in HTTP/1.1.
    pub idle: Period,
    /// For the whole exchange, all attempts included. Upgraded connections (WebSocket) are exempt.
    pub total: Period,
    /// How long an upgraded connection (WebSocket) may be silent in both directions before it is closed. No server is to
    /// blame for it. The other limits end where the upgrade begins.
    pub upgraded: Period,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Period::from_secs(5),
            first_byte: Period::from_secs(600),
            idle: Period::from_secs(300),
            total: Period::from_secs(1800),
            upgraded: Period::from_secs(3600),
        }
    }
}

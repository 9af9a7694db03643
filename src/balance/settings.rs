//! The settings of an upstream: its servers, and how to reach them.

mod address;

use std::path::PathBuf;

use plugin_api::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::located::Located;

pub use address::{HostHeader, ServerAddress, TlsName};

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
}

/// How a server is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// The fewest requests in flight per weight, counted to the last byte of the answer; among equals by turns
    /// (nginx's `least_conn`).
    #[default]
    LeastConn,
    /// By turns, in proportion to the weights and as evenly spread as they allow (nginx's default).
    RoundRobin,
}

/// One server of an upstream.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// `host:port`, `http://host[:port]` or `https://host[:port]`.
    #[schemars(with = "String")]
    pub address: ServerAddress,
    /// Its share of the requests, against the weights of the others.
    #[serde(default)]
    pub weight: Weight,
}

/// A weight of 1 to 65,535, as nginx has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u64")]
#[schemars(extend("minimum" = 1, "maximum" = 65535))]
pub struct Weight(u16);

impl Weight {
    /// As a number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.into()
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<u64> for Weight {
    type Error = String;

    fn try_from(weight: u64) -> Result<Self, String> {
        match u16::try_from(weight) {
            Ok(0) => Err("weight is 0; it must be at least 1 (to take a server out, remove it)".into()),
            Ok(weight) => Ok(Self(weight)),
            Err(_) => Err(format!("weight is {weight}; it must be at most 65535")),
        }
    }
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
    /// How many idle connections each thread keeps, as each worker of nginx does. The upstreams of a thread share one pool
    /// of the sum of them; its size is read at start only.
    pub connections: usize,
    /// How long one is kept. Providers close theirs after 15 s; shorter is safe.
    pub idle_timeout: Period,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { connections: 128, idle_timeout: Period::from_secs(10) }
    }
}

/// How long to wait for a server.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// For the connection, TLS included.
    pub connect: Period,
    /// From the request's last byte to the head of the answer. Non-streaming calls take as long as the model does.
    pub first_byte: Period,
    /// Between two pieces of the answer. Where it is longer than `first_byte`, the servers are spoken to in HTTP/1.1.
    pub idle: Period,
    /// For the whole exchange, all attempts included. Upgraded connections (WebSocket) are exempt.
    pub total: Period,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Period::from_secs(5),
            first_byte: Period::from_secs(600),
            idle: Period::from_secs(300),
            total: Period::from_secs(1800),
        }
    }
}

/// When another server is tried. Only while nothing has reached the client.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Attempts in all, the first included; 1 is a single try.
    pub attempts: Attempts,
    /// What makes an attempt worth another.
    pub on: Vec<RetryOn>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: Attempts(2),
            on: vec![RetryOn::Connect, RetryOn::Http429, RetryOn::Http502, RetryOn::Http503, RetryOn::Http529],
        }
    }
}

/// A number of attempts, 1 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u64")]
#[schemars(extend("minimum" = 1, "maximum" = 10))]
pub struct Attempts(u8);

impl Attempts {
    /// As a number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.into()
    }
}

impl TryFrom<u64> for Attempts {
    type Error = String;

    fn try_from(attempts: u64) -> Result<Self, String> {
        match u8::try_from(attempts) {
            Ok(attempts @ 1..=10) => Ok(Self(attempts)),
            _ => Err(format!("attempts is {attempts}; it must be 1 (a single try) to 10")),
        }
    }
}

/// What makes an attempt worth another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// No connection came about: nothing was sent.
    Connect,
    /// The connection broke, or what came was not HTTP, before the head of an answer.
    Error,
    /// No answer began within `first_byte`.
    Timeout,
    /// The answer 429.
    #[serde(rename = "http_429")]
    Http429,
    /// The answer 500.
    #[serde(rename = "http_500")]
    Http500,
    /// The answer 502.
    #[serde(rename = "http_502")]
    Http502,
    /// The answer 503.
    #[serde(rename = "http_503")]
    Http503,
    /// The answer 504.
    #[serde(rename = "http_504")]
    Http504,
    /// The answer 529 (Anthropic's "overloaded").
    #[serde(rename = "http_529")]
    Http529,
}

//! The limits of time of a route, in place of those of its upstream.

use plugin_api::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long to wait on a route, each in place of the same setting of its upstream, and of that upstream's fallbacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteTimeouts {
    /// For the connection, TLS included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Period>,
    /// From the request's last byte to the head of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Period>,
    /// Between two pieces of the answer, and for how long a client may take nothing of it. Where it is longer than `first_byte`, the
    /// servers are spoken to in HTTP/1.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Period>,
    /// For the whole exchange, all attempts included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Period>,
    /// How long an upgraded connection (WebSocket) may be silent in both directions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgraded: Option<Period>,
}

impl RouteTimeouts {
    /// Whether it has none of its own.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

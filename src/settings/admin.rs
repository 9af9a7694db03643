//! The settings of the admin listener.

use std::net::SocketAddr;

use located_yaml::Located;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::routes::HostPattern;

/// The operator's listener.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// IP address and port. It has no authentication: keep it on the loopback or on a private network.
    #[schemars(with = "String")]
    pub address: Located<SocketAddr>,
    /// Further names under which it may be asked: exact ones, or `*.example.com` for every name below. It is always
    /// answered by IP address and by names without dots, such as `localhost` or a service of Kubernetes. Under any other
    /// name, and for pages of other sites, only `/healthz` and `/readyz` answer.
    #[serde(default)]
    pub hosts: Vec<HostPattern>,
}
